"""Stage 1: hot and dead pixels, taken away by a median filter until nothing changes."""

import dataclasses

import numpy as np
import scipy.ndimage
from numpy.lib.stride_tricks import sliding_window_view

from isl.errors import InputError

_BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Despeckled:
    """An image without salt and pepper, and what it took.

    Attributes:
        image: float32 [Y, X], in counts.
        passes: How often the filter was applied; where `converged`, the last changed nothing.
        converged: Whether nothing changes any more.
        changed: Share of the pixels that differ from the input.
    """

    image: np.ndarray
    passes: int
    converged: bool
    changed: float


def remove_salt_and_pepper(
    image: np.ndarray,
    *,
    size: int = 5,
    most_passes: int = 32,
    source: object = "image",
) -> Despeckled:
    """Median-filters an image until nothing changes (Christiansen et al. 2018, stage 1).

    Beyond its border an image goes on as its border pixels do: there alone a ramp along an axis
    stays what it is.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        size: Width of the square window, an odd number of pixels.
        most_passes: How often at most, at least 1.
        source: The file, named in messages.

    Raises:
        InputError: Pixels that are NaN or infinite, or no gray image.
    """
    if size < 1 or size % 2 == 0 or most_passes < 1:
        raise InputError(
            f"salt_and_pepper: size = {size}, most_passes = {most_passes}; "
            "the size must be odd, the passes 1 or more"
        )
    if image.ndim != 2 or image.size == 0 or not np.isfinite(image).all():
        raise InputError(
            f"{source}: a median filter needs a gray image [Y, X] of finite numbers; replace NaN "
            f"and infinite pixels first (shape {image.shape}, {image.dtype})"
        )
    before = image.astype(np.float32)
    after = scipy.ndimage.median_filter(before, size, mode="nearest")
    passes, latest = 1, after != before
    while latest.any() and passes < most_passes:
        # A median can only change where its window just did; the rest need not be looked at.
        due = scipy.ndimage.maximum_filter(latest, size)
        following = _median_where(after, due, size)
        latest = following != after
        after, passes = following, passes + 1
    return Despeckled(
        image=after,
        passes=passes,
        converged=not latest.any(),
        changed=float(np.count_nonzero(after != before)) / before.size,
    )


def _median_where(image: np.ndarray, due: np.ndarray, size: int) -> np.ndarray:
    """A copy of `image`, median-filtered in the pixels that are due (bool [Y, X]) alone."""
    windows = sliding_window_view(np.pad(image, size // 2, mode="edge"), (size, size))
    filtered = image.copy()
    rows, columns = np.nonzero(due)
    middle = size**2 // 2
    for start in range(0, len(rows), _BLOCK):
        at = rows[start : start + _BLOCK], columns[start : start + _BLOCK]
        values = windows[at].reshape(-1, size**2)
        filtered[at] = np.partition(values, middle, axis=1)[:, middle]
    return filtered
