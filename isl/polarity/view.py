"""What a classifier sees: the embryo in the middle of a square.

The place of the embryo in the field tells recordings apart and nothing of the onset. Where the
embryo lies is read from the predicted EZRIN, which is bright where cells are whatever the light
does.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from isl.imaging.regions import connected_regions

_BLUR = 3 / 160
"""Deviation of the blur before the embryo is looked for, in frame widths."""

_LEVEL = 0.25
"""The embryo is what lies above this share of the way from darkest to (nearly) brightest."""

SOFTNESS = 0.6
"""Deviation of a blur of the finished view, in its pixels.

Views are turned by any angle in training, which interpolates and so takes detail off; without the
blur, views that are not turned would look sharper than anything trained on.
"""


def locate(ezrin: np.ndarray) -> tuple[float, float]:
    """The middle of the embryo.

    Args:
        ezrin: float [Y, X], predicted EZRIN of one frame.

    Returns:
        y and x in pixels; the middle of the frame where nothing stands out.
    """
    blurred = ndimage.gaussian_filter(ezrin.astype(np.float32), _BLUR * max(ezrin.shape))
    darkest, brightest = float(blurred.min()), float(np.percentile(blurred, 99))
    if brightest <= darkest:
        return (ezrin.shape[0] - 1) / 2, (ezrin.shape[1] - 1) / 2
    bright = blurred > darkest + _LEVEL * (brightest - darkest)
    regions = connected_regions(bright)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    rows, columns = np.nonzero(regions == np.argmax(sizes))
    return float(rows.mean()), float(columns.mean())


def view(
    image: np.ndarray,
    middle: tuple[float, float],
    window: float,
    size: int,
    *,
    softness: float = SOFTNESS,
) -> np.ndarray:
    """A square of the image around a place, made small; beyond the border the image is mirrored.

    Args:
        image: float [Y, X].
        middle: y and x, in pixels.
        window: Width of the square, in widths of the image's longer side.
        size: Width of the result, in pixels.
        softness: Deviation of the blur, in pixels of the result.

    Returns:
        float32 [size, size], in the image's range.
    """
    width = window * max(image.shape)
    border = int(np.ceil(width))
    padded = np.pad(image.astype(np.float32), border, mode="symmetric")
    top, left = (place + 0.5 + border - width / 2 for place in middle)
    square = Image.fromarray(padded).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + width)
    )
    return ndimage.gaussian_filter(np.asarray(square, np.float32), softness)


def standardized(views: np.ndarray) -> np.ndarray:
    """Every channel of views [..., Y, X, C] with mean 0 and deviation 1; 0 where it is flat."""
    means = views.mean(axis=(-3, -2), keepdims=True)
    deviations = views.std(axis=(-3, -2), keepdims=True)
    return (views - means) / np.where(deviations > 1e-6, deviations, 1.0)
