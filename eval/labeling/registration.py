"""Whether a predicted image lies on the true one, or beside it."""

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from ..metrics.image_pair import checked_pair, correlation
from ..metrics.spectral import largest_rectangle

FARTHEST = 2.0
"""Pixels; images that lie farther apart are warned of."""
# How much better images must agree once shifted: a poor prediction correlates as well anywhere.
_GAIN = 0.02
# And how well: of images that agree nowhere, the summit of their cross-correlation is chance.
_LEAST = 0.3


def misregistration(
    true: np.ndarray, predicted: np.ndarray, mask: np.ndarray
) -> tuple[float, float] | None:
    """By how many pixels the true image must be shifted to lie on the predicted one.

    The shift is where the two images' cross-correlation has its summit (Guizar-Sicairos et al.,
    2008), over the largest rectangle that counts.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X], True where a pixel counts.

    Returns:
        Rows and columns; None where the images are no farther apart than `FARTHEST`, or no shift
        makes them agree, and better.
    """
    pair = checked_pair(true, predicted, mask)
    top, bottom, left, right = largest_rectangle(pair.mask)
    images = [image[top:bottom, left:right] for image in (pair.predicted, pair.true)]
    before = correlation(*images) if images[0].size else None
    if before is None:
        return None
    centered = [image - image.mean() for image in images]
    # Phases alone would follow noise: a prediction is smoother than what was measured.
    unweighted: Any = None
    found = phase_cross_correlation(*centered, normalization=unweighted, upsample_factor=10)
    rows, columns = (float(number) for number in found[0])
    if np.hypot(rows, columns) <= FARTHEST:
        return None
    shifted = ndimage.shift(images[1], (rows, columns), order=1, mode="constant", cval=np.nan)
    both = np.isfinite(shifted)
    after = correlation(images[0][both], shifted[both])
    if after is None or after < max(before + _GAIN, _LEAST):
        return None
    return rows, columns
