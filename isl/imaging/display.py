"""What is shown as black and as full brightness: the same percentiles in pictures and in ImageJ."""

import math

import numpy as np

DARKEST, BRIGHTEST = 5.0, 99.8
"""Percentiles of fluorescence: most of a field is background, and labels may fill little of it."""
LIGHT_DARKEST, LIGHT_BRIGHTEST = 0.5, 99.5
"""Percentiles of transmitted light."""
_NARROWEST = 1 / 255
"""Share of full scale: what varies less is not stretched to look as if it varied."""


def shown_range(
    image: np.ndarray, percentiles: tuple[float, float] = (DARKEST, BRIGHTEST)
) -> tuple[float, float]:
    """The intensities shown as black and as full brightness.

    Args:
        image: Any shape and type; integers have their type's full scale, and whole numbers for
            ends; floats have 1. NaN is left out.
        percentiles: Of the image.
    """
    known = image[~np.isnan(image)] if image.dtype.kind == "f" else image.reshape(-1)
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, percentiles))
    if image.dtype.kind != "u":
        return low, max(high, low + _NARROWEST)
    full = np.iinfo(image.dtype).max
    return float(math.floor(low)), float(math.ceil(max(high, low + full * _NARROWEST)))


def stretched(image: np.ndarray, shown: tuple[float, float]) -> np.ndarray:
    """float32 of the same shape in [0, 1]: the lower end of a range becomes 0, the upper 1."""
    low, high = shown
    return np.clip((image.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)


def together(images: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Images in their colors in one picture, as light through screens: never brighter than white.

    Args:
        images: float32 [C, Y, X] in [0, 1].
        colors: float32 [C, 3], red, green, blue in [0, 1].

    Returns:
        float32 [Y, X, 3]: 1 - prod (1 - image * color).
    """
    left = np.ones((*images.shape[1:], 3), np.float32)
    for image, color in zip(images, colors, strict=True):
        left *= 1 - image[..., None] * color.astype(np.float32)
    return 1 - left
