"""How well an image shows the structures of another, once shade and outline are off."""

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.feature import hessian_matrix, hessian_matrix_eigvals
from skimage.morphology import skeletonize

from .image_pair import checked_pair, correlation

SHADE = 8.0
"""Deviation, in pixels, of the Gaussian that holds an image's shade."""
_RIDGE_SCALE = 2.0
_RIDGE_SHARE = 0.12
_TOLERANCE = 3.0
_FINE = (2.0, 20.0)


def detail_correlation(
    true: np.ndarray, predicted: np.ndarray, mask: np.ndarray, *, shade: float = SHADE
) -> float | None:
    """Pearson's correlation where the mask is True, once a wide Gaussian is taken off both.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X].
        shade: Deviation of the Gaussian, in pixels.

    Returns:
        -1 to 1; None: undefined, since one of the two has no detail there.
    """
    pair = checked_pair(true, predicted, mask)
    one, other = (
        (image - ndimage.gaussian_filter(image, shade))[pair.mask]
        for image in (pair.true, pair.predicted)
    )
    return correlation(one, other)


def band_correlation(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    *,
    periods: tuple[float, float] = _FINE,
) -> float | None:
    """Pearson's correlation where the mask is True, of what lies between two periods.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X].
        periods: Shortest and longest, in pixels.
    """
    pair = checked_pair(true, predicted, mask)
    one, other = (_band(image, periods)[pair.mask] for image in (pair.true, pair.predicted))
    return correlation(one, other)


def border_f1(
    true: np.ndarray, predicted: np.ndarray, mask: np.ndarray, *, tolerance: float = _TOLERANCE
) -> float:
    """Harmonic mean of how many of either's bright ridges lie near one of the other's.

    Of each image the same share of pixels, those where it is most like a ridge, is thinned to
    lines; so brightness has no say.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X], where ridges are looked for.
        tolerance: Pixels that lines may lie apart.

    Returns:
        0 to 1; 0 where one of them has no ridge.
    """
    pair = checked_pair(true, predicted, mask)
    first, second = (ridges(image, pair.mask) for image in (pair.true, pair.predicted))
    if not first.any() or not second.any():
        return 0.0
    precision = float((_distance(first)[second] <= tolerance).mean())
    recall = float((_distance(second)[first] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def ridges(image: np.ndarray, mask: np.ndarray, *, share: float = _RIDGE_SHARE) -> np.ndarray:
    """Lines along an image's bright ridges, bool [Y, X].

    Args:
        image: float [Y, X].
        mask: bool [Y, X], where they are looked for.
        share: Of the mask's pixels, those most like a ridge.
    """
    # The library's annotation has whole numbers only.
    scale: Any = _RIDGE_SCALE
    hessian: Any = hessian_matrix(image, sigma=scale, order="rc", use_gaussian_derivatives=False)
    # Across a bright ridge an image curves downward.
    strength = np.maximum(-hessian_matrix_eigvals(hessian)[1], 0)
    inside = strength[mask]
    if not inside.size or inside.max() <= 0:
        return np.zeros(image.shape, bool)
    threshold = np.quantile(inside, 1 - share)
    return np.asarray(skeletonize(mask & (strength >= threshold) & (strength > 0)))


def _distance(lines: np.ndarray) -> np.ndarray:
    found: Any = ndimage.distance_transform_edt(~lines)
    return found


def _band(image: np.ndarray, periods: tuple[float, float]) -> np.ndarray:
    frequency = np.hypot(
        np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None, :]
    )
    kept = (frequency <= 1 / periods[0]) & (frequency >= 1 / periods[1])
    return np.fft.irfft2(np.fft.rfft2(image - image.mean()) * kept, s=image.shape)
