"""Where the embryo is: the granular disc in a frame, found once and followed from frame to frame.

Cytoplasm is granular: brightness changes in every direction at once, which it does not at the wall
of a well, at a zona or at text's straight lines (the smaller eigenvalue of the structure tensor).
"""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from isl.errors import InputError

# The frame's longer side while looking, in pixels.
_SIDE = 96
_DERIVATIVE = 0.7
_NEIGHBOURHOOD = 2.5
# An embryo is at least so many times as granular as what is around it.
_CONTRAST = 1.8
# Shares of the frame's shorter side that an embryo's diameter has.
_SMALLEST, _LARGEST = 0.12, 1.0
# Of the largest embryo's area another one has at least this share.
_ANOTHER = 0.35
# A disc fills 0.79 of the square around it; what fills less than this is no embryo.
_ROUND = 0.5
# Side of the square that is cut out, in diameters of what is granular.
_ROOM = 1.55


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disc:
    """A place in a frame, in its pixels.

    Attributes:
        y: Row of the middle.
        x: Column of the middle.
        diameter: Of a disc of the same area.
    """

    y: float
    x: float
    diameter: float


def granularity(frame: np.ndarray) -> np.ndarray:
    """How much brightness changes in every direction at once.

    Args:
        frame: Integers or floats [Y, X], in any unit.

    Returns:
        float32 [y, x], in that unit, 96 pixels along the longer side.
    """
    size = [max(1, round(length * _SIDE / max(frame.shape))) for length in frame.shape[::-1]]
    image = Image.fromarray(np.ascontiguousarray(frame, np.float32))
    small = np.asarray(image.resize(size, Image.Resampling.BOX))
    along_y, along_x = np.gradient(ndimage.gaussian_filter(small, _DERIVATIVE))
    yy, xx, xy = (
        ndimage.gaussian_filter(product, _NEIGHBOURHOOD)
        for product in (along_y**2, along_x**2, along_y * along_x)
    )
    return np.sqrt(np.maximum((yy + xx - np.sqrt((yy - xx) ** 2 + 4 * xy**2)) / 2, 0))


def find_embryos(frames: np.ndarray) -> tuple[Disc, ...]:
    """Every embryo in a few frames of one recording, the largest first.

    Args:
        frames: [N, Y, X], spread over the recording; those that are blank left out.

    Returns:
        None, where the well is empty.
    """
    grain = np.median([granularity(frame) for frame in frames], axis=0)
    return _discs(grain, frames.shape[1:])


def one_embryo(frames: np.ndarray, *, which: int | None = None, source: object = "") -> Disc:
    """The embryo in a recording.

    Args:
        frames: As in `find_embryos`.
        which: Which of several, counted from 1, the largest first; None: there must be one.
        source: Named in messages.

    Raises:
        InputError: There is none, there are several and nobody says which, or not as many.
    """
    found = find_embryos(frames)
    if not found:
        raise InputError(f"{source}: no embryo is to be seen; the well is empty, or out of focus")
    places = "; ".join(
        f"{number}: row {disc.y:.0f}, column {disc.x:.0f}, {disc.diameter:.0f} pixels wide"
        for number, disc in enumerate(found, start=1)
    )
    if which is None and len(found) > 1:
        raise InputError(
            f"{source}: {len(found)} embryos are to be seen ({places}); say which with --embryo"
        )
    if which is not None and not 1 <= which <= len(found):
        raise InputError(f"{source}: there is no embryo {which} (seen are {places})")
    return found[(which or 1) - 1]


def follow(frame: np.ndarray, last: Disc) -> Disc:
    """Where an embryo has moved to; where it was, if it cannot be told.

    Args:
        frame: [Y, X].
        last: Where it was.
    """
    found = _discs(granularity(frame), frame.shape)
    near = [
        disc
        for disc in found
        if np.hypot(disc.y - last.y, disc.x - last.x) < 0.6 * last.diameter
        and 0.6 < disc.diameter / last.diameter < 1.7
    ]
    if not near:
        return last
    return min(near, key=lambda disc: np.hypot(disc.y - last.y, disc.x - last.x))


def cut_out(frame: np.ndarray, disc: Disc, size: int) -> np.ndarray:
    """A square around an embryo, made `size` pixels wide.

    Args:
        frame: uint8 [Y, X].
        disc: The embryo; what lies beyond the frame repeats its border.
        size: Rows and columns of the result.

    Returns:
        uint8 [size, size].
    """
    side = max(8, round(_ROOM * disc.diameter))
    rows, columns = (np.arange(side) + round(middle - side / 2) for middle in (disc.y, disc.x))
    inside = np.ix_(np.clip(rows, 0, frame.shape[0] - 1), np.clip(columns, 0, frame.shape[1] - 1))
    way = Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(frame[inside]).resize((size, size), way))


def _discs(grain: np.ndarray, shape: tuple[int, ...]) -> tuple[Disc, ...]:
    scale = max(shape) / _SIDE
    mask = ndimage.binary_opening(grain > _between_classes(grain), iterations=2)
    mask = np.asarray(ndimage.binary_fill_holes(mask), bool)
    around = grain[~mask]
    if not mask.any() or not around.size:
        return ()
    usual = max(float(np.median(around)), 1e-9)
    numbered: Any = ndimage.label(mask)
    pieces: Any = ndimage.find_objects(numbered[0])
    found = []
    for number, box in enumerate(pieces, start=1):
        own = numbered[0][box] == number
        diameter = float(np.sqrt(4 * own.sum() / np.pi))
        fits = _SMALLEST <= diameter / min(grain.shape) <= _LARGEST
        filled = own.sum() / max(own.shape) ** 2
        granular = np.median(grain[box][own]) >= _CONTRAST * usual
        if fits and filled >= _ROUND and granular:
            y, x = ndimage.center_of_mass(own)
            y, x = y + box[0].start + 0.5, x + box[1].start + 0.5
            found.append(Disc(y=y * scale - 0.5, x=x * scale - 0.5, diameter=diameter * scale))
    found.sort(key=lambda disc: -disc.diameter)
    return tuple(d for d in found if d.diameter**2 >= _ANOTHER * found[0].diameter ** 2)


def _between_classes(values: np.ndarray) -> float:
    """Otsu's threshold: where the variance between what lies below and above is largest."""
    counts, edges = np.histogram(values, 128)
    centers = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centers)
    apart = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(centers[np.argmax(below * above * apart**2)])
