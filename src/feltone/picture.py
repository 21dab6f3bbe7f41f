"""Pictures of what the network sees: the log-Mel image with its axes, and over it where the network looked.

    image (mel, time) -> colours -> padding hatched -> brightened by the mask -> axes, attention curve -> PNG

Pillow and NumPy only, so that `feltone explain` and the demo page need no plotting library. The same arguments give
the same bytes. Lengths below are in pixels unless their name says otherwise; `scale` multiplies them all.
"""

import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from feltone.errors import ConfigError
from feltone.features import hz_to_mel

Pixels = NDArray[np.float64]  # height x width x 3, in 0-255
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are outside

SMALLEST = (360, 220)  # below this the labels would touch
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000)

# Equal steps of OKLab lightness, 0.12-0.98, while the hue turns from 283 degrees (violet) over 360 to 452 (cream),
# with as much chroma as a half sine of 0.175 allows within sRGB: grey prints and colour-blind eyes see the order.
ANCHORS = "060023 210041 460059 710265 9a1a66 bf385f db5c59 ed855d f5af78 f8d6a8 fff8e4"
PAPER, INK, FAINT = (255, 255, 255), (32, 32, 40), (150, 150, 160)
GLOW = (110, 245, 255)  # the mask's tint: cyan does not occur in the colours, so it reads as a second layer
CURVE, UNDER_CURVE = (0, 118, 138), (176, 226, 233)

# Pillow's own font, the only one that is the same everywhere, knows ASCII and little else.
SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "–": "-", "—": "-", "„": "“"})
IN_FONT = frozenset(map(chr, range(32, 127))) | frozenset("«°±´·»‘’“”…‹›")


@dataclass(frozen=True)
class Layout:
    """Where things stand on the page."""

    width: int
    height: int
    font: int  # size of the labels
    spectrogram: Box
    strip: Box | None  # the attention over time, under the spectrogram; None without a mask


def layout(size: tuple[int, int] = (900, 520), scale: int = 1, *, title: bool = False, strip: bool = False) -> Layout:
    """The page for a picture of `size` times `scale`; sizes below `SMALLEST` raise `ConfigError`."""
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1] or scale < 1:
        raise ConfigError(f"a picture of {size} x {scale} is too small: at least {SMALLEST} with a scale of 1 or more")
    width, height = size[0] * scale, size[1] * scale
    font = scale * min(max(size[0] // 60, 11), 15)
    left, right = round(5.4 * font), width - round(1.3 * font)
    top, bottom = round((2.6 if title else 1.1) * font), height - round(3.5 * font)
    if not strip:
        return Layout(width, height, font, (left, top, right, bottom), None)
    divide = bottom - (bottom - top) // 5
    return Layout(
        width, height, font, (left, top, right, divide - font // 2), (left, divide + font // 2, right, bottom)
    )


def frequency_position(hertz: float, bands: int = 128, sample_rate: int = 16_000) -> float:
    """Height of a frequency in the image as a fraction, 0 bottom to 1 top.

    Band i of `bands` is a triangle whose tip is the (i + 1)-th of `bands + 2` points equally spaced in mel; the tip
    lies in the middle of the band's row.
    """
    mel, highest = hz_to_mel(np.array([hertz, sample_rate / 2]))
    return float(np.clip((mel / highest * (bands + 1) - 0.5) / bands, 0, 1))


def spectrogram_png(
    image: NDArray[np.floating],
    mask: NDArray[np.floating] | None = None,
    *,
    seconds: float = 4.0,
    sample_rate: int = 16_000,
    title: str | None = None,
    clip_end_seconds: float | None = None,
    size: tuple[int, int] = (900, 520),
    scale: int = 1,
) -> bytes:
    """A log-Mel image as an encoded PNG of `size` (width, height) times `scale`, on opaque white.

    Args:
        image: shape (mel bands, columns), low bands first, values in [0, 1]: `features.log_mel_image`.
        mask: `attention.mask` of the same shape, or one value per column; brightens the spectrogram and is drawn as
            a curve over time below it. Relative to its own maximum.
        seconds: length of the image.
        sample_rate: in Hz; the image reaches up to half of it.
        title: one line above; shortened where it does not fit. Spelled in the few characters of Pillow's font ("ae"
            for "ä", "?" for what it lacks): a page with better fonts may rather write its own.
        clip_end_seconds: where the recording ended and padding began; what follows is hatched.
        size: width and height.
        scale: 2 gives the same picture with twice the pixels, for dense screens.
    """
    if image.ndim != 2 or not np.isfinite(image).all() or seconds <= 0:
        raise ConfigError(f"an image is (mel bands, columns), finite, of positive length; got shape {image.shape}")
    page = layout(size, scale, title=bool(title), strip=mask is not None)
    relative = None if mask is None else _relative(mask, image.shape)
    canvas = Image.new("RGB", (page.width, page.height), PAPER)
    end = 1.0 if clip_end_seconds is None else min(max(clip_end_seconds / seconds, 0.0), 1.0)
    canvas.paste(Image.fromarray(_spectrogram(image, relative, end, page.spectrogram, scale)), page.spectrogram[:2])
    draw = ImageDraw.Draw(canvas)
    if page.strip and relative is not None:
        canvas.paste(Image.fromarray(_curve(relative, end, page.strip, scale)), page.strip[:2])
        _label(draw, (page.spectrogram[0] - 0.6 * page.font, sum(page.strip[1::2]) / 2), "attention", page.font, "rm")
    _padding_label(draw, page, end)
    _axes(draw, page, seconds, image.shape[0], sample_rate, scale)
    _frequency_title(canvas, page)
    if title:
        _label(draw, (page.spectrogram[0], 1.2 * page.font), _fitted(title, page), _title_size(page), "lm")
    encoded = io.BytesIO()
    canvas.save(encoded, "PNG")
    return encoded.getvalue()


def colours(values: NDArray[np.floating]) -> Pixels:
    """Colours of values in [0, 1], shape (…, 3), in 0-255."""
    anchors = np.array([list(bytes.fromhex(anchor)) for anchor in ANCHORS.split()], np.float64)
    places = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(values, places, channel) for channel in anchors.T], axis=-1)


def _relative(mask: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The mask at the image's shape, with maximum 1."""
    if mask.shape not in (shape, shape[1:]) or not np.isfinite(mask).all() or mask.min() < 0 or not mask.max() > 0:
        raise ConfigError(f"a mask is finite, not negative, not all zero, of shape {shape} or {shape[1:]}")
    return np.broadcast_to(np.asarray(mask, np.float64) / mask.max(), shape)


def _spectrogram(
    image: NDArray[np.floating], mask: NDArray[np.float64] | None, end: float, box: Box, scale: int
) -> NDArray[np.uint8]:
    """The painted area of the spectrogram; `end` is the fraction of its width that is recording."""
    pixels = colours(_resized(np.clip(image[::-1], 0, 1), box))
    pixels = _hatched(pixels, end, np.array([120, 120, 135]), scale)
    if mask is not None:
        pixels = _blended(pixels, np.array(GLOW), 0.5 * _resized(mask[::-1], box)[..., None])
    return np.round(pixels).astype(np.uint8)


def _curve(mask: NDArray[np.float64], end: float, box: Box, scale: int) -> NDArray[np.uint8]:
    """The strip: attention over time from 0 to its maximum, filled."""
    height, width = box[3] - box[1], box[2] - box[0]
    over_time = mask.mean(axis=0)
    level = _resized(over_time[None] / over_time.max(), box)[0]
    up = height - 0.5 - np.arange(height)[:, None]  # each row's height above the ground
    tall = level * (height - 4 * scale)
    page = _hatched(np.full((height, width, 3), 255.0), end, np.array(FAINT), scale)
    page = _blended(page, np.array(UNDER_CURVE), np.clip(tall - up + 0.5, 0, 1)[..., None])
    # Distance to the line is vertical distance shortened by the slope, or steep flanks would look thin.
    distance = np.abs(up - tall) / np.hypot(1, np.gradient(tall))
    page = _blended(page, np.array(CURVE), np.clip(0.8 * scale + 0.5 - distance, 0, 1)[..., None])
    return np.round(page).astype(np.uint8)


def _resized(values: NDArray[np.floating], box: Box) -> NDArray[np.float64]:
    """Bilinear, to the size of a box: columns stay where they are and nothing overshoots."""
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR), np.float64)


def _blended(pixels: Pixels, colour: NDArray[np.int_], amount: NDArray[np.float64]) -> Pixels:
    return pixels + (colour - pixels) * amount


def _hatched(pixels: Pixels, end: float, colour: NDArray[np.int_], scale: int) -> Pixels:
    """Thin diagonals over everything after the fraction `end` of the width."""
    height, width, _ = pixels.shape
    x, y = np.arange(width), np.arange(height)[:, None]
    period = 9 * scale
    distance = np.abs((x + y) % period - period / 2) / np.sqrt(2)
    lines = np.clip(0.5 * scale + 0.5 - distance, 0, 1) * (x >= end * width)
    return _blended(pixels, colour, 0.8 * lines[..., None])


def _axes(draw: ImageDraw.ImageDraw, page: Layout, seconds: float, bands: int, sample_rate: int, scale: int) -> None:
    """Ticks and their labels along frequency and time, and the frame of the strip."""
    left, top, right, bottom = page.spectrogram
    for hertz in (tick for tick in TICKS_HZ if tick <= sample_rate / 2):
        y = round(bottom - frequency_position(hertz, bands, sample_rate) * (bottom - top))
        draw.line((left - 0.4 * page.font, y, left - 1, y), FAINT, scale)
        _label(draw, (left - 0.6 * page.font, y), f"{hertz / 1000:g}", page.font, "rm")
    ground = page.strip[3] if page.strip else bottom
    for moment in _moments(seconds):
        x = round(left + moment / seconds * (right - left))
        draw.line((x, ground, x, ground + 0.4 * page.font), FAINT, scale)
        _label(draw, (x, ground + 0.7 * page.font), f"{moment:g}", page.font, "mt")
    _label(draw, ((left + right) / 2, page.height - 0.5 * page.font), "time (s)", page.font, "mb")
    if page.strip:
        frame = (left - scale, page.strip[1] - scale, right + scale - 1, ground + scale - 1)
        draw.rectangle(frame, outline=FAINT, width=scale)


def _moments(seconds: float) -> Iterator[float]:
    """Round times from 0 to the end: four to ten of them."""
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10) if seconds / step <= 9), seconds)
    return (step * i for i in range(int(seconds / step + 1e-6) + 1))


def _padding_label(draw: ImageDraw.ImageDraw, page: Layout, end: float) -> None:
    """The word on the hatched part of the spectrogram, where there is room for it."""
    left, top, right, _ = page.spectrogram
    middle, font = (left + end * (right - left) + right) / 2, _font(page.font)
    half = font.getlength("padding") / 2 + 0.5 * page.font
    if right - middle > half:
        ground = tuple(colours(np.zeros(1))[0].astype(int))
        draw.rectangle((middle - half, top + page.font, middle + half, top + 2.6 * page.font), ground)
        draw.text((middle, top + 1.8 * page.font), "padding", FAINT, font, "mm")


def _frequency_title(canvas: Image.Image, page: Layout) -> None:
    """What the left axis counts, along the edge, reading upwards."""
    text = Image.new("RGB", (9 * page.font, round(1.6 * page.font)), PAPER)
    _label(ImageDraw.Draw(text), (text.width / 2, text.height / 2), "frequency (kHz)", page.font, "mm")
    middle = sum(page.spectrogram[1::2]) // 2
    canvas.paste(text.rotate(90, expand=True), (round(0.3 * page.font), middle - text.width // 2))


def _fitted(title: str, page: Layout) -> str:
    """The title in characters that the font has, its end replaced by an ellipsis where the page is too narrow."""
    room, font = page.spectrogram[2] - page.spectrogram[0], _font(_title_size(page))
    spelled = unicodedata.normalize("NFC", title).translate(SPELLED)  # some systems store "ä" as two characters
    letters = (c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))
    title = " ".join("".join(c if c in IN_FONT or c.isspace() else "?" for c in letters).split())
    if font.getlength(title) <= room:
        return title
    while title and font.getlength(title + "…") > room:
        title = title[:-1]
    return title.rstrip() + "…"


def _title_size(page: Layout) -> int:
    return round(1.15 * page.font)


def _label(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
    draw.text(at, text, INK, _font(size), anchor)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
