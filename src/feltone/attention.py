"""Where a network looked: the class token's attention, as a mask over the spectrogram and as a curve over time.

    (depth, heads, T) -> the last block, mean of its heads -> patches on the image -> Gaussian-smoothed
                      -> mask: 1 where it looked most  |  over time: each column's share

Kim & Lee (IEEE Access 2024) draw such masks, "Gaussian-smoothed", and leave open which block and which heads. Decided
here: the last block, because its attention is what the classified token finally gathers, and the mean of its heads.
Attention says what was read, not what decided: read a mask as a pointer, not as a proof.
"""

import numpy as np
from numpy.typing import NDArray

from feltone.errors import ConfigError

Mask = NDArray[np.float32]  # mel bands (low to high) x time columns, values in [0, 1]


def mask(
    attention: NDArray[np.floating],
    patches: tuple[int, int] = (1, 128),
    image: tuple[int, int] = (128, 128),
    smoothing_columns: float = 2.0,
) -> Mask:
    """Attention over every pixel of the image; 1 where it is strongest, so that only relations within a clip count.

    Args:
        attention: the class token's, of one clip, shape (depth, heads, T): `Output.attention` without its batch.
        patches: rows and columns of patches, T = rows * columns; (1, 128) are vertical slices, (8, 8) squares.
        image: mel bands and columns.
        smoothing_columns: standard deviation of the Gaussian in pixels of the image; 0 leaves the patches sharp.

    Returns:
        float32, of the shape of `image`. Even attention gives ones everywhere.
    """
    spread = _spread(attention, patches, image, smoothing_columns)
    return np.asarray(spread / spread.max(), np.float32)


def over_time(
    attention: NDArray[np.floating],
    patches: tuple[int, int] = (1, 128),
    image: tuple[int, int] = (128, 128),
    smoothing_columns: float = 2.0,
) -> NDArray[np.float32]:
    """Share of the attention that each column of the image receives: float32, shape (columns,), summing to 1.

    Arguments as for `mask`; squares are summed over their rows.
    """
    columns = _spread(attention, patches, image, smoothing_columns).sum(axis=0)
    return np.asarray(columns / columns.sum(), np.float32)


def _spread(
    attention: NDArray[np.floating], patches: tuple[int, int], image: tuple[int, int], smoothing_columns: float
) -> NDArray[np.float64]:
    """Attention of the last block on the image, smoothed but not normalised, shape `image`."""
    if not smoothing_columns >= 0:
        raise ConfigError(f"smoothing_columns {smoothing_columns} must be 0 (none) or more")
    tiles = _last_block(np.asarray(attention, np.float64), patches)
    if any(size % count for size, count in zip(image, patches, strict=True)):
        raise ConfigError(f"an image of {image} cannot be cut into {patches} equal patches")
    height, width = image[0] // patches[0], image[1] // patches[1]
    pixels = np.repeat(np.repeat(tiles, height, axis=0), width, axis=1) / (height * width)
    return _smoothed(_smoothed(pixels, smoothing_columns).T, smoothing_columns).T


def _smoothed(lines: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """Every line convolved with a Gaussian of that standard deviation, cut off at four of them."""
    if not deviation:
        return lines
    radius = round(4 * deviation)
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / deviation))
    # Mirrored at the borders: nothing leaks out of the image, and along mel a vertical slice stays constant.
    mirrored = np.pad(lines, ((0, 0), (radius, radius)), mode="symmetric")
    smooth = np.lib.stride_tricks.sliding_window_view(mirrored, len(weights), axis=1) @ (weights / weights.sum())
    return np.asarray(smooth)


def _last_block(attention: NDArray[np.float64], patches: tuple[int, int]) -> NDArray[np.float64]:
    """(depth, heads, T) -> mean of the last block's heads, shape `patches`; anything else is a `ConfigError`."""
    rows, columns = patches
    if attention.ndim != 3 or attention.shape[-1] != rows * columns or not attention.size:
        raise ConfigError(
            f"attention of shape {attention.shape} does not fit {rows} x {columns} patches: "
            f"give one clip's (depth, heads, {rows * columns})"
        )
    tiles = np.asarray(attention[-1].mean(axis=0))
    if not (np.isfinite(tiles).all() and tiles.min() >= 0 and tiles.max() > 0):
        raise ConfigError("attention must be finite, not negative and not all zero: give weights after the softmax")
    return tiles.reshape(rows, columns)
