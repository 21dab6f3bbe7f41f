"""The picture shows the image it was given, where it was given it: time along, mel up, the mask over both."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from feltone import picture
from feltone.errors import ConfigError
from feltone.features import DEFAULT, log_mel_image, mel_matrix
from feltone.picture import colours, frequency_position, layout, spectrogram_png

CHANCE = np.random.default_rng(3)
SPEECH = np.clip(CHANCE.random((128, 128)) * np.linspace(1, 0.2, 128)[:, None], 0, 1).astype(np.float32)
BLACK = np.zeros((128, 128), np.float32)


def pixels(png: bytes) -> np.ndarray:
    """Decoded to (height, width, 3), after checking that the background is opaque."""
    with Image.open(io.BytesIO(png)) as decoded:
        assert decoded.format == "PNG" and decoded.mode == "RGB"
        return np.asarray(decoded, np.float64)


def inside(png: bytes, box: picture.Box) -> np.ndarray:
    return pixels(png)[box[1] : box[3], box[0] : box[2]]


def peak(column: int) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(128) - column) / 2) ** 2)


@pytest.mark.parametrize(("size", "scale"), [((900, 520), 1), ((520, 300), 1), ((520, 300), 2), ((360, 220), 1)])
@pytest.mark.parametrize("mask", [None, peak(30)])
def test_size_is_as_asked(size: tuple[int, int], scale: int, mask: np.ndarray | None) -> None:
    shape = pixels(spectrogram_png(SPEECH, mask, size=size, scale=scale, title="x", clip_end_seconds=3)).shape
    assert shape == (size[1] * scale, size[0] * scale, 3)


def test_the_same_arguments_give_the_same_bytes() -> None:
    options = {"title": "a.wav", "clip_end_seconds": 2.5}
    assert spectrogram_png(SPEECH, peak(9), **options) == spectrogram_png(SPEECH.copy(), peak(9), **options)


@pytest.mark.parametrize("column", [0, 20, 64, 127])
def test_the_glow_and_the_curve_peak_where_the_mask_does(column: int) -> None:
    page = layout(strip=True)
    png = spectrogram_png(BLACK, np.tile(peak(column), (128, 1)))
    columns = inside(png, page.spectrogram).sum(axis=(0, 2))
    wide = len(columns) / 128
    assert columns.argmax() == pytest.approx((column + 0.5) * wide, abs=wide)
    # The filled curve darkens white paper: the darkest column is the highest point.
    assert inside(png, page.strip).sum(axis=(0, 2)).argmin() == pytest.approx((column + 0.5) * wide, abs=wide)


@pytest.mark.parametrize(("band", "column"), [(0, 0), (127, 127), (10, 100), (90, 5)])
def test_a_bright_band_stands_at_its_time_and_height(band: int, column: int) -> None:
    image = BLACK.copy()
    image[band, column] = 1
    page = layout()
    bright = inside(spectrogram_png(image), page.spectrogram).sum(axis=2)
    row, at = np.unravel_index(bright.argmax(), bright.shape)
    assert at / bright.shape[1] == pytest.approx((column + 0.5) / 128, abs=1 / 128)
    assert 1 - row / bright.shape[0] == pytest.approx((band + 0.5) / 128, abs=1 / 128)


def test_ticks_stand_at_the_middle_of_the_band_that_hears_their_frequency() -> None:
    filters = mel_matrix(DEFAULT)
    for hertz in picture.TICKS_HZ[:-1]:
        # Centre of gravity of the filters' answers to a pure tone: between the two bands that share it.
        answer = filters[round(hertz * DEFAULT.fft_size / DEFAULT.sample_rate)]
        heard = (answer @ (np.arange(128) + 0.5)) / answer.sum() / 128
        assert frequency_position(hertz) == pytest.approx(heard, abs=0.002)
    assert frequency_position(8000) == 1 and frequency_position(0) == 0


def test_a_tone_lies_level_with_its_tick() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(64_000) / 16_000).astype(np.float32)
    page = layout()
    rows = inside(spectrogram_png(log_mel_image(tone)), page.spectrogram).sum(axis=(1, 2))
    assert 1 - rows.argmax() / len(rows) == pytest.approx(frequency_position(1000), abs=1 / 128)
    assert np.abs(tick_rows(spectrogram_png(BLACK)) - rows.argmax()).min() <= len(rows) / 128 + 1


def tick_rows(png: bytes) -> np.ndarray:
    """Rows of the frequency marks, counted from the top of the spectrogram: dark pixels just left of it."""
    left, top, _, bottom = layout().spectrogram
    return np.flatnonzero(pixels(png)[top : bottom + 1, left - 3].sum(axis=1) < 3 * 255)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000])
def test_every_tick_is_drawn_up_to_half_the_sample_rate(sample_rate: int) -> None:
    _, top, _, bottom = layout().spectrogram
    heights = [frequency_position(hertz, 128, sample_rate) for hertz in picture.TICKS_HZ if hertz <= sample_rate / 2]
    expected = sorted((bottom - top) * (1 - height) for height in heights)
    np.testing.assert_allclose(tick_rows(spectrogram_png(BLACK, sample_rate=sample_rate)), expected, atol=1)


def test_masks_change_the_picture_but_their_scale_does_not() -> None:
    plain = spectrogram_png(SPEECH)
    pictures = [spectrogram_png(SPEECH, mask) for mask in (peak(20), peak(100), np.ones(128))]
    assert len({plain, *pictures}) == 4
    assert spectrogram_png(SPEECH, 7 * peak(20)) == pictures[0]
    assert spectrogram_png(SPEECH, np.tile(peak(20), (128, 1))) == pictures[0]


def test_a_mask_brightens_and_never_darkens() -> None:
    page = layout(strip=True)
    even = inside(spectrogram_png(BLACK, np.full(128, 1e-9)), page.spectrogram)
    dark = colours(np.zeros(1))[0]
    assert (even > dark).all()  # an even mask lights everything evenly
    assert np.ptp(even, axis=(0, 1)).max() == 0


def test_padding_is_hatched_after_the_end_of_the_clip_only() -> None:
    page = layout()
    whole, cut = (inside(spectrogram_png(BLACK, clip_end_seconds=end), page.spectrogram) for end in (4.0, 1.0))
    changed = np.flatnonzero((whole != cut).any(axis=(0, 2)))
    quarter = whole.shape[1] / 4
    assert changed.min() == pytest.approx(quarter, abs=2) and changed.max() >= whole.shape[1] - 2
    assert np.array_equal(whole, inside(spectrogram_png(BLACK), page.spectrogram))
    assert np.array_equal(whole, inside(spectrogram_png(BLACK, clip_end_seconds=9), page.spectrogram))


@pytest.mark.parametrize("size", [(360, 220), (520, 300), (900, 520), (1600, 500)])
def test_no_label_touches_the_edge(size: tuple[int, int]) -> None:
    page = pixels(spectrogram_png(SPEECH, peak(3), size=size, title="W" * 300, clip_end_seconds=3))
    for edge in (page[:2], page[-2:], page[:, :2], page[:, -2:]):
        assert (edge == 255).all()


def test_double_scale_is_the_same_picture_with_more_pixels() -> None:
    one, two = (spectrogram_png(SPEECH, peak(50), size=(520, 300), scale=scale) for scale in (1, 2))
    halved = Image.open(io.BytesIO(two)).resize((520, 300), Image.Resampling.BOX)
    assert np.abs(np.asarray(halved, float) - pixels(one)).mean() < 12


@pytest.mark.parametrize("title", ["Äußerst schön – „ja“", "录音.wav", "a\nb\tc", "", "x" * 500])
def test_any_file_name_makes_a_title(title: str) -> None:
    assert pixels(spectrogram_png(BLACK, title=title)).shape == (520, 900, 3)
    fitted = picture._fitted(title, layout(title=True))
    assert set(fitted) <= picture.IN_FONT
    assert len(title) < 500 or fitted.endswith("…")


def test_colours_rise_evenly_in_lightness() -> None:
    srgb = colours(np.linspace(0, 1, 256)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)  # CIE L*
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert lightness[0] < 5 and lightness[-1] > 95
    assert np.corrcoef(np.arange(256), lightness)[0, 1] > 0.99


def test_values_outside_the_range_are_drawn_as_its_ends() -> None:
    assert spectrogram_png(SPEECH.round() * 3 - 1) == spectrogram_png(SPEECH.round())


@pytest.mark.parametrize("seconds", [0.5, 1.3, 4.0, 10.0, 60.0])
def test_time_is_marked_at_round_moments(seconds: float) -> None:
    moments = list(picture._moments(seconds))
    assert moments[0] == 0 and moments[-1] <= seconds + 1e-6 and 3 <= len(moments) <= 11
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert np.ptp(gaps) < 1e-9


@pytest.mark.parametrize(
    ("image", "mask", "options"),
    [
        (np.zeros(128), None, {}),
        (np.full((128, 128), np.nan), None, {}),
        (BLACK, None, {"seconds": 0}),
        (BLACK, None, {"size": (100, 100)}),
        (BLACK, None, {"scale": 0}),
        (BLACK, np.ones((64, 128)), {}),
        (BLACK, np.zeros(128), {}),
        (BLACK, -np.ones(128), {}),
        (BLACK, np.full(128, np.inf), {}),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(image: np.ndarray, mask: np.ndarray | None, options: dict) -> None:
    with pytest.raises(ConfigError) as refused:
        spectrogram_png(image, mask, **options)
    assert "\n" not in str(refused.value)
