"""Networks: sizes, costs, and the two properties the method rests on: who knows position and who does not."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from feltone.errors import ConfigError
from feltone.lab.models import (
    VARIANTS,
    ASTConfig,
    JoinedConfig,
    ModelConfig,
    NetworkConfig,
    ResidualConfig,
    SepTrConfig,
    build,
    config_from,
    variant,
)
from feltone.lab.models.cost import cost, multiply_adds
from feltone.lab.models.levels import heard_columns, relative_levels
from feltone.lab.models.stem import CoordinateChannels, NormalisedGELU, sinusoidal_positions

STUDENTS = ["student", "student-relative"]
ROUNDING = 1e-4  # of logits, between two orders of the same sums in fp32


def small(config: NetworkConfig) -> NetworkConfig:
    """The same network, of a size that a test can compute: a rival's costs up to 176 G an image."""
    if isinstance(config, SepTrConfig):
        return replace(config, image=(12, 16), token_width=32, head_width=8, mlp_width=32)
    if isinstance(config, ASTConfig):
        return replace(config, image=(48, 64), depth=2, heads=2, token_width=32, mlp_width=64)
    return config


def images(count: int = 2, seed: int = 0, size: tuple[int, int] = (128, 128)) -> torch.Tensor:
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(seed))


def network(name: str) -> nn.Module:
    return build(small(VARIANTS[name]), classes=7, seed=1).eval()


@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_every_variant_gives_logits_feature_and_attention_that_sums_to_what_the_class_token_leaves(name: str) -> None:
    config = small(VARIANTS[name])
    output = network(name)(images(size=config.image))
    patches = config.patches[0] * config.patches[1]
    assert output.logits.shape == (2, 7)
    assert output.embedding.shape == (2, config.token_width)
    total = output.attention.sum(-1)
    if isinstance(config, ResidualConfig | JoinedConfig):  # whose pooling has nowhere else to look
        assert output.attention.shape == (2, 1, 1, patches) and torch.allclose(total, torch.ones(2, 1, 1))
    else:
        assert output.attention.shape == (2, config.depth, config.heads, patches)
        assert (total > 0).all() and (total < 1).all()  # the rest goes to the class token itself


@pytest.mark.parametrize("name", STUDENTS)
@torch.inference_mode()
def test_a_student_does_not_notice_the_order_of_its_patches(name: str) -> None:
    x, order = images(), torch.randperm(128, generator=torch.Generator().manual_seed(3))
    student = network(name)
    straight, shuffled = student(x), student(x[:, :, order])
    assert torch.allclose(straight.logits, shuffled.logits, atol=ROUNDING)
    assert torch.allclose(straight.attention[..., order], shuffled.attention, atol=ROUNDING)


@pytest.mark.parametrize("name", VARIANTS)
def test_leaving_out_what_nothing_reads_in_the_last_block_changes_neither_outputs_nor_gradients(name: str) -> None:
    gradients, outputs = [], []
    for every_token in (False, True):
        model = network(name)
        outputs.append(model(images(size=model.config.image), every_token=every_token))
        (outputs[-1].logits.square().sum() + outputs[-1].embedding.abs().sum()).backward()
        gradients.append({key: value.grad for key, value in model.named_parameters()})
    for found, expected in zip(*outputs, strict=True):
        assert torch.allclose(found, expected, atol=ROUNDING)
    largest = max(float(gradient.abs().max()) for gradient in gradients[1].values())
    for key, expected in gradients[1].items():
        assert torch.allclose(gradients[0][key], expected, atol=1e-5 * largest), key


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("silent", [1, 37, 127])
@torch.inference_mode()
def test_one_column_of_silence_that_counts_for_all_of_them_is_all_of_them(silent: int, name: str) -> None:
    x = images()
    x[:, :, 128 - silent :] = 0
    student = network(name)
    spelled_out = student(x)
    merged = student(x[:, :, : 129 - silent], torch.full((2,), float(silent)))
    assert torch.allclose(merged.logits, spelled_out.logits, atol=ROUNDING)
    together = spelled_out.attention[..., 128 - silent :].sum(-1)
    assert torch.allclose(merged.attention[..., -1], together, atol=ROUNDING)


@torch.inference_mode()
def test_relative_levels_leave_out_what_a_band_has_in_common_and_what_is_not_heard() -> None:
    x = images() * 0.5 + 0.1
    x[0, :, 90:] = 0
    heard = heard_columns(x)
    assert heard.sum(1).tolist() == [90, 128]
    found = relative_levels(x, heard)
    louder = (x + torch.linspace(0, 0.3, 128)[None, :, None]) * heard[:, None, :]  # another microphone
    assert torch.allclose(relative_levels(louder, heard), found, atol=1e-5)
    assert found[0, :, :90].mean(1).abs().max() < 1e-5 and (found[0, :, 90:] == 0).all()
    assert torch.isfinite(relative_levels(torch.zeros(1, 8, 8), heard_columns(torch.zeros(1, 8, 8)))).all()


@torch.inference_mode()
def test_a_residual_network_looks_at_no_silence_after_the_recording() -> None:
    x = images()
    x[0, :, 70:] = 0
    attention = network("residual")(x).attention[:, 0, 0]
    assert (attention[0, 5:] == 0).all() and (attention[0, :5] > 0).all() and (attention[1] > 0).all()


@pytest.mark.parametrize("name", ["teacher", "teacher-sinusoidal", "teacher-nope", "residual"])
@torch.inference_mode()
def test_a_teacher_notices_the_order_of_the_columns(name: str) -> None:
    x, order = images(), torch.randperm(128, generator=torch.Generator().manual_seed(3))
    teacher = network(name)
    assert not torch.allclose(teacher(x).logits, teacher(x[:, :, order]).logits, atol=100 * ROUNDING)


@torch.inference_mode()
def test_only_coordinates_and_sinusoids_tell_a_teacher_where_a_sound_lies() -> None:
    """With the stem's border effects out of reach, a teacher without positions cannot tell a shift of the whole."""
    x = torch.zeros(1, 128, 128)
    x[:, 40:80, 60:64] = 1
    nope, ice = network("teacher-nope"), network("teacher")
    moved = torch.roll(x, 20, dims=2)
    assert torch.allclose(nope(x).logits, nope(moved).logits, atol=ROUNDING)
    assert not torch.allclose(ice(x).logits, ice(moved).logits, atol=ROUNDING)


def test_coordinates_are_minus_one_and_one_at_the_corners() -> None:
    picture = torch.rand(2, 1, 128, 128)
    joined = CoordinateChannels((128, 128))(picture)
    assert torch.equal(joined[:, :1], picture)
    x, y = joined[0, 1], joined[0, 2]
    assert [x[0, 0], x[0, -1], x[-1, 0], x[-1, -1]] == [-1, 1, -1, 1]
    assert [y[0, 0], y[0, -1], y[-1, 0], y[-1, -1]] == [-1, -1, 1, 1]
    assert torch.allclose(x[5].diff(), torch.full((127,), 2 / 127), atol=1e-6)  # equal steps along time


def test_the_fused_normalisation_equals_the_library_forward_and_backward() -> None:
    x = (3 * torch.randn(2, 5, 16, 16) + 1).requires_grad_()
    reference = x.detach().double().requires_grad_()
    weight = torch.randn(2, 5, 16, 16)
    (NormalisedGELU()(x) * weight).sum().backward()
    expected = nn.functional.gelu(nn.functional.instance_norm(reference))
    (expected * weight).sum().backward()
    assert torch.allclose(NormalisedGELU()(x).double(), expected, atol=1e-5)
    assert x.grad is not None and reference.grad is not None
    assert torch.allclose(x.grad.double(), reference.grad, atol=1e-5)


@torch.inference_mode()
def test_a_constant_channel_stays_finite() -> None:
    assert torch.isfinite(network("teacher")(torch.zeros(1, 128, 128)).logits).all()


def test_sinusoids_differ_at_every_position_and_stay_within_one() -> None:
    positions = sinusoidal_positions(128, 256)
    assert positions.abs().max() <= 1
    assert torch.cdist(positions, positions).fill_diagonal_(math.inf).min() > 0.1


@pytest.mark.parametrize(
    ("name", "limit"), [("student", 0.32e9), ("student-relative", 0.32e9), ("teacher", 1.43e9), ("teacher-12", 3.58e9)]
)
def test_no_row_costs_more_than_the_paper_says(name: str, limit: float) -> None:
    assert 0.8 * limit < cost(name).macs <= limit


def test_the_count_agrees_with_pencil_and_paper() -> None:
    """One block of depth 1: projection, qkv, two products, output, perceptron, and five per normalised element."""
    config = ModelConfig(depth=1, heads=2, image=(8, 8), patch=(8, 1), token_width=16, head_width=4, mlp_width=32)
    T, N, D, inner = 8, 9, 16, 8
    products = T * 8 * D + N * D * 3 * inner + 2 * N * N * inner + N * inner * D + 2 * N * D * 32 + D * 3
    normalised = T * 8 + T * D + 2 * N * D + D
    assert multiply_adds(build(config, 3, seed=0), config.image) == products + 5 * normalised


@torch.inference_mode()
def test_square_patches_are_cut_row_by_row() -> None:
    squares = network("student-16x16")
    image = torch.zeros(1, 1, 128, 128)
    image[0, 0, 16:32, 32:48] = 1  # second row of patches, third column
    tiles = squares.cut(image)
    assert tiles.shape == (1, 64, 256)
    assert tiles.sum(-1).argmax() == 8 + 2 and tiles.sum() == 256


def test_weights_depend_on_the_seed_alone_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (build(VARIANTS["student"], 7, seed).class_token for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_variant_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'techer'.*student, teacher"):
        variant("techer")


def test_patches_that_do_not_tile_the_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be cut"):
        ModelConfig(depth=1, heads=1, patch=(100, 1))


@pytest.mark.parametrize("name", VARIANTS)
def test_sizes_survive_json(name: str) -> None:
    config = VARIANTS[name]
    assert config_from(json.loads(json.dumps(config.to_dict()))) == config


def test_a_family_that_is_not_known_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"'mamba'.*vit, septr, ast"):
        config_from({"family": "mamba"})
