"""The mask says where the network looked: nothing appears, nothing is lost, and a peak stays where it is."""

import numpy as np
import pytest

from feltone import attention
from feltone.errors import ConfigError

CHANCE = np.random.default_rng(7)
SLICES, SQUARES = (1, 128), (8, 8)


def weights(patches: tuple[int, int] = SLICES, depth: int = 3, heads: int = 5) -> np.ndarray:
    """Attention as a softmax would give it, (depth, heads, T)."""
    scores = np.exp(CHANCE.standard_normal((depth, heads, patches[0] * patches[1])))
    return scores / scores.sum(axis=-1, keepdims=True)


def peaked(patch: int, patches: tuple[int, int] = SLICES) -> np.ndarray:
    one = np.full((2, 3, patches[0] * patches[1]), 1e-3)
    one[-1, :, patch] = 1
    return one


@pytest.mark.parametrize("patches", [SLICES, SQUARES])
@pytest.mark.parametrize("smoothing", [0.0, 2.0, 9.0])
def test_even_attention_is_a_flat_mask(patches: tuple[int, int], smoothing: float) -> None:
    flat = np.full((2, 4, patches[0] * patches[1]), 0.003)
    np.testing.assert_allclose(attention.mask(flat, patches, smoothing_columns=smoothing), 1, atol=1e-6)
    np.testing.assert_allclose(attention.over_time(flat, patches, smoothing_columns=smoothing), 1 / 128, atol=1e-8)


@pytest.mark.parametrize("smoothing", [0.5, 2.0, 2.13, 40.0])
@pytest.mark.parametrize("patches", [SLICES, SQUARES])
def test_smoothing_equals_scipys(patches: tuple[int, int], smoothing: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="the core does without scipy; its oracle is in feltone[dev]")
    given = weights(patches)
    sharp = attention.mask(given, patches, smoothing_columns=0).astype(np.float64)
    expected = ndimage.gaussian_filter(sharp, smoothing, mode="reflect")
    found = attention.mask(given, patches, smoothing_columns=smoothing)
    np.testing.assert_allclose(found, expected / expected.max(), atol=1e-6)


@pytest.mark.parametrize("column", [0, 1, 40, 127])
@pytest.mark.parametrize("smoothing", [0.0, 1.0, 2.0, 5.0])
def test_a_peak_stays_where_it_is(column: int, smoothing: float) -> None:
    seen = attention.mask(peaked(column), smoothing_columns=smoothing)
    # Mirroring at the border gives columns 0 and 1 nearly the same height when the peak is at 1.
    assert abs(int(seen[0].argmax()) - column) <= (1 if column == 1 else 0)
    assert attention.over_time(peaked(column), smoothing_columns=smoothing).argmax() == seen[0].argmax()


def test_a_square_lights_its_own_place() -> None:
    seen = attention.mask(peaked(2 * 8 + 5, SQUARES), SQUARES, smoothing_columns=2)
    assert np.unravel_index(seen.argmax(), seen.shape) >= (32, 80)
    inside = seen[32:48, 80:96]
    assert inside.mean() > 0.7 and inside.mean() > 20 * np.delete(seen, slice(32, 48), axis=0).mean()
    assert 80 <= attention.over_time(peaked(2 * 8 + 5, SQUARES), SQUARES).argmax() < 96


@pytest.mark.parametrize("patches", [SLICES, SQUARES])
def test_smoothing_keeps_the_total(patches: tuple[int, int]) -> None:
    given = weights(patches)
    for smoothing in (0.0, 0.5, 2.0, 7.0, 30.0):
        spread = attention._spread(given, patches, (128, 128), smoothing)
        assert spread.sum() == pytest.approx(given[-1].mean(axis=0).sum(), rel=1e-9)
        assert attention.over_time(given, patches, smoothing_columns=smoothing).sum() == pytest.approx(1, abs=1e-5)


def test_smoothing_only_takes_contrast_away() -> None:
    given = weights()
    contrasts = [attention.over_time(given, smoothing_columns=s).std() for s in (0.0, 1.0, 2.0, 4.0, 8.0)]
    assert contrasts == sorted(contrasts, reverse=True)


@pytest.mark.parametrize("patches", [SLICES, SQUARES])
def test_scale_does_not_matter(patches: tuple[int, int]) -> None:
    given = weights(patches)
    for factor in (1e-6, 0.5, 100.0):
        np.testing.assert_allclose(attention.mask(factor * given, patches), attention.mask(given, patches), rtol=1e-5)
        np.testing.assert_allclose(
            attention.over_time(factor * given, patches), attention.over_time(given, patches), rtol=1e-5
        )


def test_without_smoothing_slices_are_the_attention_itself() -> None:
    given = weights()
    last = given[-1].mean(axis=0)
    np.testing.assert_allclose(attention.over_time(given, smoothing_columns=0), last / last.sum(), rtol=1e-5)
    np.testing.assert_allclose(attention.mask(given, smoothing_columns=0)[77], last / last.max(), rtol=1e-5)


def test_reversing_time_reverses_the_mask() -> None:
    given = weights()
    np.testing.assert_allclose(attention.mask(given[..., ::-1]), attention.mask(given)[:, ::-1], rtol=1e-5)


def test_only_the_last_block_counts() -> None:
    given = weights()
    other = given.copy()
    other[:-1] = other[:-1, ::-1, ::-1]
    np.testing.assert_array_equal(attention.mask(given), attention.mask(other))


def test_shape_type_and_range() -> None:
    seen = attention.mask(weights((8, 16)).astype(np.float32), (8, 16), image=(64, 256))
    assert seen.shape == (64, 256) and seen.dtype == np.float32
    assert seen.max() == 1 and seen.min() >= 0
    assert attention.over_time(weights()).shape == (128,)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (np.ones((2, 128)), {}, "does not fit"),
        (np.ones((1, 2, 4, 128)), {}, "one clip"),
        (np.ones((2, 4, 64)), {}, r"does not fit 1 x 128 patches"),
        (np.ones((0, 4, 128)), {}, "does not fit"),
        (np.ones((2, 4, 128)), {"image": (128, 100)}, "equal patches"),
        (np.ones((2, 4, 128)), {"smoothing_columns": -1.0}, "0 .none. or more"),
        (np.ones((2, 4, 128)), {"smoothing_columns": float("nan")}, "0 .none. or more"),
        (np.zeros((2, 4, 128)), {}, "softmax"),
        (-np.ones((2, 4, 128)), {}, "softmax"),
        (np.full((2, 4, 128), np.nan), {}, "softmax"),
    ],
)
def test_what_is_no_attention_is_refused_in_one_line(given: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        attention.mask(given, **options)
    assert "\n" not in str(refused.value)
