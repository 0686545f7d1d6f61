"""Which parts of a mask are one embryo, and where in a frame the embryos are."""

import numpy as np
from scipy import ndimage

from isl.fragmentation.polygons import FRAGMENT

# Parts nearer than this share of the frame's width are blastomeres of one embryo.
_TOGETHER = 0.03
# A second embryo is at least so large, relative to the first; what is smaller is debris.
_SECOND = 0.35
# One embryo fills its zona, which is round: two blastomeres of one that fill it are at most about
# 1.5 times as long as wide. Two embryos whose masks touch are twice as long, and narrow between.
_LONG = 1.75
_WAIST = 0.8
# Widths are means over this share of a mask's length.
_SMOOTH = 0.05
# A piece of which more is fragments is a heap of them, and no embryo of its own.
_FRAGMENTS = 0.5
# Pixels of a mask that has a shape.
_FEWEST = 64
# Nearer to its ends than this share of its length a mask is narrow because it ends.
_ENDS = 0.15


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
    if not count:
        return np.zeros(labels.shape, int)
    areas = ndimage.sum_labels(inside, parts, np.arange(1, count + 1))
    # Of hundreds of specks none is looked at.
    large = 1 + np.flatnonzero(areas >= smallest * labels.size)
    pieces = [piece for n in large for piece in _parted(inside & (parts == n), labels)]
    areas = [int(piece.sum()) for piece in pieces]
    least = max([smallest * labels.size, *(_SECOND * area for area in areas)])
    kept = [piece for piece, area in zip(pieces, areas, strict=True) if area >= least]
    numbers = np.zeros(labels.shape, int)
    for number, piece in enumerate(sorted(kept, key=_middle_column), start=1):
        numbers[piece] = number
    return numbers


def _middle_column(piece: np.ndarray) -> float:
    return float(np.nonzero(piece)[1].mean())


def _parted(mask: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """A mask cut where it is narrow, if it is too long for one embryo: bool [Y, X] each."""
    places = np.argwhere(mask)
    if len(places) < _FEWEST:
        return [mask]
    middle = places.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((places - middle).T))
    across, along = ((places - middle) @ axes).T
    if np.ptp(along) < _LONG * np.ptp(across):
        return [mask]
    place = (along - along.min()).astype(int)
    # Pixels fall unevenly into bins along a slanted axis, which looks like waists.
    smooth = max(3, round(_SMOOTH * (place.max() + 1)))
    widths = ndimage.uniform_filter1d(np.bincount(place).astype(float), smooth, mode="nearest")
    first, last = (round(share * len(widths)) for share in (_ENDS, 1 - _ENDS))
    waist = first + int(np.argmin(widths[first:last]))
    if waist == 0 or widths[waist] > _WAIST * min(widths[:waist].max(), widths[waist:].max()):
        return [mask]
    sides = [places[place < waist], places[place >= waist]]
    smaller, larger = sorted(map(len, sides))
    of_fragments = [(labels[tuple(side.T)] == FRAGMENT).mean() for side in sides]
    # What is no embryo by itself is a part of one.
    if smaller < _SECOND * larger or max(of_fragments) > _FRAGMENTS:
        return [mask]
    found = []
    for side in sides:
        piece = np.zeros_like(mask)
        piece[tuple(side.T)] = True
        found += _parted(piece, labels)
    return found


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
