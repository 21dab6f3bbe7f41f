"""The rivals of the paper's tables: they cost what was published or say why not, learn, and are exported like ours."""

import builtins
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import feltone
from feltone import attention
from feltone.doors import cli, demo
from feltone.errors import ConfigError, FeltoneError, MissingExtraError
from feltone.features import DEFAULT
from feltone.lab import portable, trained
from feltone.lab.corpora import Clip
from feltone.lab.export import export
from feltone.lab.models import VARIANTS, ASTConfig, NetworkConfig, SepTrConfig, build, variant
from feltone.lab.models.ast import moved_positions, patches_to_columns
from feltone.lab.models.cost import PAPER_MACS, cost, costs, multiply_adds
from feltone.lab.recipes import recipe
from feltone.lab.training.ensemble import Ensemble
from feltone.lab.training.loop import fit
from feltone.lab.training.machine import Machine
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Single
from test_portable import CLIPS, LABELS, ORIGIN

SEPTR = SepTrConfig(depth=2, heads=2, image=(16, 24), token_width=32, head_width=8, mlp_width=48)
AST = ASTConfig(depth=2, heads=2, patch_size=8, stride=8, image=(16, 24), token_width=32, mlp_width=48)
OVERLAPPING = replace(AST, stride=5)
TINY: dict[str, NetworkConfig] = {"septr": SEPTR, "ast": AST, "ast-overlap": OVERLAPPING}
WHOLE: dict[str, NetworkConfig] = {  # of few tokens, on the images that recordings give
    "septr": SepTrConfig(depth=1, heads=1, token_width=8, head_width=8, mlp_width=8),
    "ast": ASTConfig(depth=1, heads=2, token_width=32, mlp_width=32),
    "ast-overlap": ASTConfig(depth=1, heads=2, stride=10, token_width=32, mlp_width=32),
}
FABRIC = Machine(precision="32-true", compiled=False, threads=1).fabric()


def toy_data(seed: int = 0, count: int = 16) -> TrainingData:
    """Two classes told apart by where their energy lies."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    images = rng.random((count, 16, 24)) * 0.2
    images[targets == 0, :6] += 0.6
    images[targets == 1, 10:] += 0.6
    return TrainingData(images.astype(np.float16), targets.astype(np.int64))


def test_septr_costs_what_was_published() -> None:
    found = cost("septr")
    assert f"{found.macs / 1e9:.2f}" == "175.81" and found.paper_macs == 175.81e9
    assert abs(found.macs - PAPER_MACS["septr"]) < 0.005e9  # half of the last digit that was published


def test_septrs_count_agrees_with_pencil_and_paper() -> None:
    """Per axis: as many sequences as the other axis is long, of its own length and the class token."""
    D, inner, hidden, (H, W) = 32, 2 * 8, 48, SEPTR.image
    total = 5 * D + 3 * D
    for sequences, N in [(W, 1 + H), (H, 1 + W)] * SEPTR.depth:
        products = N * D * 3 * inner + 2 * N * N * inner + N * inner * D + 2 * N * D * hidden
        total += sequences * (products + 5 * 2 * N * D)
    assert multiply_adds(build(SEPTR, 3, seed=0), SEPTR.image) == total


def test_asts_count_agrees_with_pencil_and_paper_and_is_above_what_was_published() -> None:
    D, T, N = 768, 64, 66  # a class and a distillation token
    layer = 4 * N * D * D + 2 * N * N * D + 2 * N * D * 3_072
    for_looking_at = 12 * 12 * 8 * 128  # attention from eight places along time to columns
    products = T * 256 * D + 12 * layer + D * 7 + for_looking_at
    assert cost("ast").macs == products + 5 * (12 * 2 * N * D + N * D + D)
    assert PAPER_MACS["ast"] < cost("ast").macs < cost("ast-overlap").macs


@pytest.mark.parametrize("name", TINY)
def test_counting_computes_nothing_and_leaves_the_network_as_it_was(name: str) -> None:
    network = build(TINY[name], 3, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    multiply_adds(network, TINY[name].image)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_a_rival_notices_the_order_of_the_columns(name: str) -> None:
    network, image = build(TINY[name], 3, seed=0).eval(), torch.zeros(1, 16, 24)
    image[:, 4:, :8] = 1
    assert not torch.allclose(network(image).logits, network(image.flip(2)).logits, atol=1e-5)


@torch.inference_mode()
def test_septrs_attention_follows_the_columns() -> None:
    """With the positions along time silenced, columns in another order are attended to in that order."""
    network, image = build(SEPTR, 3, seed=0).eval(), torch.rand(2, 16, 24)
    for axis in network.horizontal:
        axis.positions.zero_()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    straight, shuffled = network(image), network(image[:, :, order])
    assert torch.allclose(straight.attention[..., order], shuffled.attention, atol=1e-6)
    assert torch.allclose(straight.logits, shuffled.logits, atol=1e-5)


@pytest.mark.parametrize("config", [AST, OVERLAPPING, VARIANTS["ast"], VARIANTS["ast-overlap"]], ids=str)
def test_every_patch_gives_all_of_its_share_to_the_columns_it_covers(config: ASTConfig) -> None:
    shares = patches_to_columns(config)
    assert torch.allclose(shares.sum(1), torch.ones(config.grid[1]))
    for place, row in enumerate(shares):
        covered = slice(place * config.stride, place * config.stride + config.patch_size)
        assert (row[covered] > 0).all() and (row > 0).sum() == config.patch_size


@pytest.mark.parametrize("name", TINY)
def test_a_rival_learns_what_can_be_learnt(name: str, tmp_path: Path) -> None:
    stage = Stage("toy", "student", {"cross_entropy": 1.0}, epochs=14, learning_rate=3e-3)
    ticks = []
    network = build(TINY[name], 2, seed=0)
    options = {"fabric": FABRIC, "seed": 0, "compiled": False, "checkpoint": tmp_path / "c"}
    fit(stage, network, toy_data(), **options, on_tick=ticks.append)
    assert ticks[-1].loss < 0.5 * ticks[0].loss and ticks[-1].accuracy == 1.0


@pytest.mark.parametrize("name", TINY)
def test_several_rivals_in_one_step_have_each_its_own_gradient(name: str) -> None:
    stage = Stage("toy", "student", {"cross_entropy": 1.0})
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [9, 8, 1, 0]])
    networks, data = [build(TINY[name], 2, seed) for seed in range(3)], [toy_data(seed) for seed in range(3)]
    ensemble = Ensemble(stage, networks, data, fabric=FABRIC)
    losses, _ = ensemble.judge(rows)
    losses.sum().backward()
    for member, (network, samples) in enumerate(zip(networks, data, strict=True)):
        loss, _ = Single(stage, network, samples, fabric=FABRIC).judge(rows[member])
        loss.backward()
        assert loss.item() == pytest.approx(losses[member].item(), rel=1e-5)
        for key, parameter in network.named_parameters():
            stacked = ensemble.parameters[key].grad[member]
            assert torch.allclose(parameter.grad, stacked, atol=1e-6), key


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch of itself, in tracing
@pytest.mark.parametrize("name", TINY)
def test_a_rival_can_be_compiled_as_a_whole(name: str) -> None:
    network, image = build(TINY[name], 3, seed=0).eval(), torch.rand(2, 16, 24)
    compiled = torch.compile(network, dynamic=False, backend="aot_eager", fullgraph=True)
    for found, expected in zip(compiled(image), network(image), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_a_rival_is_exported_and_recognises_like_ours(name: str, tmp_path: Path) -> None:
    config = WHOLE[name]
    images = np.random.default_rng(0).random((2, 128, 128), np.float32)
    clips = [Clip("toy", label, Path(f"{label}.wav"), label) for label in LABELS]
    network = build(config, len(LABELS), seed=3).eval()
    origin = replace(ORIGIN, variant=name)
    sealed = export(network, LABELS, DEFAULT, origin, clips, images, tmp_path / "model")
    assert sealed.description["parity"]["fp32"]["max_probability_difference"] < 1e-5
    assert trained.sizes(sealed) == config and sealed.patches == (1, 128)
    for kind in ("onnx", "onnx-waveform"):
        done = portable.export(sealed, kind, tmp_path / "out", CLIPS[:2], "two clips")
        assert portable.verify(done.file) < 1e-5
    recognize = feltone.load(sealed.folder, threads=1)
    prediction = recognize(CLIPS[0])
    with torch.inference_mode():
        expected = network(torch.from_numpy(prediction.image)[None])
    assert np.abs(expected.logits.softmax(-1)[0].numpy() - list(prediction.scores.values())).max() < 1e-5
    assert np.abs(expected.attention[0].numpy() - prediction.attention).max() < 1e-5
    assert attention.over_time(prediction.attention, sealed.patches).shape == (128,)
    assert demo.portrait(recognize, prediction).startswith(b"\x89PNG")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """An AST as `save_pretrained` leaves it, for 48x24 images and patches that overlap, with positions that count."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    grid = {"patch_size": 8, "frequency_stride": 5, "time_stride": 5, "num_mel_bins": 24, "max_length": 48}
    torch.manual_seed(5)
    network = transformers.ASTForAudioClassification(transformers.ASTConfig(**sizes, **grid, num_labels=4))
    torch.nn.init.normal_(network.audio_spectrogram_transformer.embeddings.position_embeddings)
    network.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_weights_of_a_checkpoint_are_those_that_training_begins_with(checkpoint: Path) -> None:
    theirs = transformers.ASTModel.from_pretrained(checkpoint)
    config = replace(OVERLAPPING, weights=str(checkpoint))
    ours = build(config, 2, seed=0)
    expected = theirs.state_dict()
    for key, value in ours.encoder.state_dict().items():
        if "position" not in key:
            assert torch.equal(value, expected[key]), key
    assert ours.config.to_dict()["weights"] == str(checkpoint)
    assert torch.equal(ours.classifier.weight, build(OVERLAPPING, 2, seed=0).classifier.weight)  # drawn, as always


@torch.inference_mode()
def test_a_checkpoint_on_its_own_grid_hears_what_transformers_hears(checkpoint: Path) -> None:
    theirs = transformers.ASTModel.from_pretrained(checkpoint).eval()
    ours = build(replace(OVERLAPPING, image=(24, 48), weights=str(checkpoint)), 2, seed=0).eval()
    image = torch.rand(2, 24, 48)
    assert torch.equal(ours.encoder(image.transpose(1, 2)).pooler_output, theirs(image.transpose(1, 2)).pooler_output)


def test_positions_are_cut_from_the_middle_along_time_and_stretched_along_mel() -> None:
    rows, columns = 4, 9
    place = torch.arange(rows)[:, None] * 100.0 + torch.arange(columns)
    positions = torch.cat([torch.tensor([-1.0, -2.0]), place.flatten()]).view(1, -1, 1)
    assert torch.equal(moved_positions(positions, (rows, columns), (rows, columns)), positions)
    moved = moved_positions(positions, (rows, columns), (2, 5))
    assert moved[0, :2, 0].tolist() == [-1, -2]
    assert moved[0, 2:, 0].view(2, 5).tolist() == [[50 + k for k in range(2, 7)], [250 + k for k in range(2, 7)]]
    longer = moved_positions(positions, (rows, columns), (4, 18))[0, 2:, 0].view(4, 18)
    assert (longer.diff(dim=1) >= 0).all() and longer[0, 0] == 0 and longer[0, -1] == 8


def test_what_is_no_fitting_checkpoint_is_refused_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no AST checkpoint there") as absent:
        build(replace(AST, weights=str(tmp_path / "nowhere")), 2, seed=0)
    with pytest.raises(ConfigError, match="are of another num_hidden_layers; name another"):
        build(replace(AST, depth=1, weights=str(checkpoint)), 2, seed=0)
    assert "\n" not in str(absent.value)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    transformers.ViTModel(transformers.ViTConfig(**sizes)).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="are of a vit, not of an AST"):
        build(replace(AST, weights=str(tmp_path / "other")), 2, seed=0)


def test_a_recipe_begins_from_a_checkpoint_where_its_network_can() -> None:
    found = recipe("ast:MIT/ast-finetuned-audioset-10-10-0.4593")
    assert found.name == "ast-ast-finetuned-audioset-10-10-0.4593"
    assert variant(found.stages[0].learner).weights == "MIT/ast-finetuned-audioset-10-10-0.4593"
    assert recipe("ast").stages[0].learner == "ast" and VARIANTS["ast"].weights == "random"
    with pytest.raises(ConfigError, match="'septr' does not begin from a checkpoint; those that can: ast"):
        recipe("septr:somewhere")


@pytest.mark.parametrize("name", ["ast", "septr", "nope"])
def test_a_rivals_stage_is_the_papers_first_and_named_after_its_network(name: str) -> None:
    (stage,), first = recipe(name).stages, recipe("paper").stages[0]
    assert replace(stage, name=first.name, learner=first.learner) == first
    assert stage.name == stage.learner


def test_without_transformers_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = builtins.__import__

    def without(name: str, *args: object, **options: object) -> object:
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'feltone\[rivals\]'") as fault:
        build(AST, 2, seed=0)
    assert isinstance(fault.value, FeltoneError) and "\n" not in str(fault.value)
    assert [found.variant for found in costs()] == [name for name in VARIANTS if not name.startswith("ast")]
    assert cli.run(["flops"]) == 0
    assert "feltone[rivals]" in capsys.readouterr().err
