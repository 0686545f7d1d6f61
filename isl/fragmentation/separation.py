"""Which parts of a mask are one embryo, and where in a frame the embryos are."""

import numpy as np
from scipy import ndimage

# Parts nearer than this share of the frame's width are blastomeres of one embryo.
_TOGETHER = 0.03
# A second embryo is at least so large, relative to the first; what is smaller is debris.
_SECOND = 0.35


def separate(labels: np.ndarray, *, smallest: float) -> np.ndarray:
    """Numbers the embryos of a frame from left to right, int [Y, X]; 0 where there is none.

    Args:
        labels: uint8 [Y, X].
        smallest: Smallest area of an embryo, as a share of the frame's.
    """
    reach = max(1, round(_TOGETHER * labels.shape[1] / 2))
    inside = labels > 0
    away = np.asarray(ndimage.distance_transform_edt(~inside))
    parts, count = connected((away <= reach) & inside.any())
    areas = ndimage.sum_labels(inside, parts, np.arange(1, count + 1))
    if not count:
        return np.zeros(labels.shape, int)
    least = max(smallest * labels.size, _SECOND * float(areas.max()))
    kept = [n for n in range(1, count + 1) if areas[n - 1] >= least]
    middles = ndimage.center_of_mass(inside, parts, kept) if kept else []
    order = np.argsort([x for _, x in middles])
    numbers = np.zeros(count + 1, int)
    for new, old in enumerate(order, start=1):
        numbers[kept[int(old)]] = new
    return np.where(inside, numbers[parts], 0)


def connected(mask: np.ndarray, touching: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Connected parts of a mask [Y, X], numbered from 1, and how many there are."""
    parts = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, touching, output=parts)
    return parts, int(parts.max(initial=0))


def close_up(inside: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns of a square around what is inside, within the frame.

    Args:
        inside: bool [Y, X], true somewhere.
        margin: Side of the square, in the longer side of the box around what is inside.
    """
    box = [np.flatnonzero(inside.any(axis=1 - axis))[[0, -1]] for axis in (0, 1)]
    side = margin * max(last - first + 1 for first, last in box)
    found = []
    for (first, last), length in zip(box, inside.shape, strict=True):
        middle = (first + last + 1) / 2
        low, high = round(middle - side / 2), round(middle + side / 2)
        found.append(slice(max(0, low), min(length, high)))
    return found[0], found[1]
