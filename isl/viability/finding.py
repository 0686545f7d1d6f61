"""Where the embryo is: the granular disc in a frame, found once and followed from frame to frame.

Cytoplasm is granular: brightness changes in every direction at once, which it does less at the wall
of a well, at a zona or at text's straight lines (the smaller eigenvalue of the structure tensor).
Of all discs that one is the embryo which is the most granular against the ring around it.

Where a lamp lights a well alone, its wall shines and what lies beyond it is dark. Then granularity
counts relative to brightness, and dark pixels are taken for pixels beyond the frame: they lack
everything, an embryo's granularity too.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from isl.errors import InputError

# The frame's longer side while looking, in pixels.
_SIDE = 96
_DERIVATIVE = 0.7
_NEIGHBOURHOOD = 2.5
# Radii that are tried, as shares of the longer side, each an eighth larger than the one before.
_SMALLEST, _LARGEST, _STEP = 0.12, 0.38, 1.125
# The ring around a disc reaches this far, in its radii.
_RING = 1.3
# Inside against ring, (i - r) / (i + r), that an embryo has at least.
_CONTRAST = 0.2
# Another embryo's contrast and radius are at least this share of the best one's.
_ANOTHER = 0.75
# Of a disc and its ring at least this share lies within the frame.
_WITHIN = 0.92
# Pixels are dark below this share of the 90th percentile; where so much of the frame's border is
# dark, a lamp lights the well alone.
_DARK, _DARK_BORDER = 0.2, 0.15
# Side of the square that is cut out, in diameters of what is granular.
_ROOM = 1.32


Box = tuple[slice, slice]
_ALL: Box = (slice(None), slice(None))


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


def granularity(small: np.ndarray) -> np.ndarray:
    """How much brightness changes in every direction at once, within some pixels of each.

    Args:
        small: float32 [y, x], in any unit.

    Returns:
        float32 [y, x], in that unit.
    """
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
    small = [_shrunk(frame) for frame in frames]
    grain = np.median([granularity(each) for each in small], axis=0).astype(np.float32)
    light = np.median(small, axis=0)
    return _discs(*_weighed(grain, light), frames.shape[1:])


def one_embryo(found: Sequence[Disc], *, which: int | None = None, source: object = "") -> Disc:
    """The embryo in a recording.

    Args:
        found: All of them, as `find_embryos` gives them.
        which: Which of several, counted from 1, the largest first; None: there must be one.
        source: Named in messages.

    Raises:
        InputError: There is none, there are several and nobody says which, or not as many.
    """
    if not found:
        raise InputError(
            f"{source}: no embryo found; the well is empty, or out of focus (where "
            "the embryo fills the picture, give `embryo=0`)"
        )
    places = "; ".join(
        f"{number}: row {disc.y:.0f}, column {disc.x:.0f}, {disc.diameter:.0f} pixels wide"
        for number, disc in enumerate(found, start=1)
    )
    if which is None and len(found) > 1:
        raise InputError(
            f"{source}: {len(found)} embryos found ({places}); say which with `embryo`"
        )
    if which is not None and not 1 <= which <= len(found):
        raise InputError(f"{source}: there is no embryo {which} (found: {places})")
    return found[(which or 1) - 1]


def whole_frame(shape: tuple[int, ...]) -> Disc:
    """A disc whose cut-out is the frame [Y, X], as far as a square can be.

    For recordings that show one embryo and nothing else, such as one whose yolk is not granular.
    """
    rows, columns = shape[:2]
    return Disc(y=(rows - 1) / 2, x=(columns - 1) / 2, diameter=min(rows, columns) / _ROOM)


def follow(frame: np.ndarray, last: Disc) -> Disc:
    """Where an embryo has moved to; where it was, if it cannot be told.

    Args:
        frame: [Y, X].
        last: Where it was.
    """
    scale = max(frame.shape) / _SIDE
    radius = last.diameter / 2 / scale
    small = _shrunk(frame)
    grain, lit = _weighed(granularity(small), small)
    y, x = (last.y + 0.5) / scale - 0.5, (last.x + 0.5) / scale - 0.5
    box = tuple(
        slice(max(0, int(middle - radius / 2)), max(0, min(length, int(middle + radius / 2) + 2)))
        for middle, length in zip((y, x), grain.shape, strict=True)
    )
    rows, columns = (np.arange(part.start, part.stop) for part in box)
    near = np.hypot(rows[:, None] - y, columns[None, :] - x) < 0.5 * radius
    if not near.any():
        return last
    tried = (radius / _STEP, radius, radius * _STEP)
    sums = _RunningSums(grain, lit, tried[-1])
    contrasts = [sums.contrast(own, (box[0], box[1])) for own in tried]
    best = [float(np.where(near, own, -1).max()) for own in contrasts]
    which = int(np.argmax(best))
    if best[which] < _CONTRAST:
        return last
    place = np.unravel_index(np.argmax(np.where(near, contrasts[which], -1)), near.shape)
    return _disc((rows[place[0]], columns[place[1]]), tried[which], scale)


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
    top, left = (round(middle - side / 2) for middle in (disc.y, disc.x))
    rows, columns = (
        np.clip(np.arange(side) + first, 0, length - 1)
        for first, length in zip((top, left), frame.shape, strict=True)
    )
    part = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if part.shape != (side, side):
        part = part[np.ix_(rows - rows[0], columns - columns[0])]
    way = Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize((size, size), way))


def _shrunk(frame: np.ndarray) -> np.ndarray:
    """A frame [Y, X], float32 [y, x], 96 pixels along the longer side."""
    size = [max(1, round(length * _SIDE / max(frame.shape))) for length in frame.shape[::-1]]
    image = Image.fromarray(np.ascontiguousarray(frame, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _weighed(grain: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root of granularity [y, x] as it counts, and which pixels do, both float32.

    Args:
        grain: As `granularity` gives it.
        light: Brightness of the same pixels.
    """
    bright = np.percentile(light, 90)
    places = np.zeros(light.shape, np.int32)
    ndimage.label(light <= _DARK * bright, output=places)
    border = np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]])
    if np.mean(border > 0) < _DARK_BORDER:
        return np.sqrt(grain), np.ones_like(grain)
    lit = ~np.isin(places, border[border > 0])
    around = ndimage.gaussian_filter(light, _NEIGHBOURHOOD) + _DARK / 2 * bright
    return (np.sqrt(grain) / around * bright * lit).astype(np.float32), lit.astype(np.float32)


def _discs(grain: np.ndarray, lit: np.ndarray, shape: tuple[int, ...]) -> tuple[Disc, ...]:
    scale = max(shape) / _SIDE
    count = int(np.log(_LARGEST / _SMALLEST) / np.log(_STEP)) + 1
    radii = [_SIDE * _SMALLEST * _STEP**number for number in range(count)]
    sums = _RunningSums(grain, lit, radii[-1])
    contrasts = np.stack([sums.contrast(radius) for radius in radii])
    found: list[tuple[float, Disc]] = []
    while (best := float(contrasts.max())) >= max(_CONTRAST, _ANOTHER * _first(found)):
        which, *place = (int(n) for n in np.unravel_index(np.argmax(contrasts), contrasts.shape))
        radius = radii[which]
        if not found or radius >= _ANOTHER * found[0][1].diameter / 2 / scale:
            found.append((best, _disc(place, radius, scale)))
        _take_away(contrasts, radii, place, radius)
    return tuple(disc for _, disc in sorted(found, key=lambda each: -each[1].diameter))


def _first(found: list[tuple[float, Disc]]) -> float:
    return found[0][0] if found else 0.0


def _take_away(contrasts: np.ndarray, radii: list[float], place: list[int], radius: float) -> None:
    """Discs that touch one that was found are not looked at again; in place."""
    rows, columns = (np.arange(length) for length in contrasts.shape[1:])
    away = np.hypot(rows[:, None] - place[0], columns[None, :] - place[1])
    for own, other in zip(contrasts, radii, strict=True):
        own[away < 0.9 * (radius + other)] = -1


class _RunningSums:
    """Sums over discs: a disc is a pile of rows, a row's sum the difference of two running sums."""

    def __init__(self, grain: np.ndarray, lit: np.ndarray, largest: float) -> None:
        """Takes what is summed.

        Args:
            grain: float32 [y, x].
            lit: As many, 1 where a pixel counts, else 0.
            largest: Of the discs that will be asked for, their radius in pixels.
        """
        self._beyond = beyond = int(np.ceil(_RING * largest)) + 1
        self._shape = y, x = grain.shape
        # Where every pixel counts, how many do need not be added up.
        summed = [grain] if lit.all() else [grain, lit]
        self._sums = np.zeros((len(summed), y + 2 * beyond, x + 2 * beyond))
        inner = self._sums[:, beyond : beyond + y, beyond : beyond + x]
        np.cumsum(summed, axis=2, dtype=np.float64, out=inner)
        self._sums[:, :, beyond + x :] = self._sums[:, :, beyond + x - 1, None]

    def contrast(self, radius: float, box: Box = _ALL) -> np.ndarray:
        """How granular a disc is against the ring around it, at every place of a box.

        Args:
            radius: Of the disc, pixels.
            box: Rows and columns of the places.

        Returns:
            float64 [y, x]; -1 where too much of disc and ring lies beyond what counts.
        """
        inner, area = self._within(radius, box)
        outer, whole = self._within(_RING * radius, box)
        inside = inner / np.maximum(area, 1)
        ring = (outer - inner) / np.maximum(whole - area, 1)
        contrast = (inside - ring) / np.maximum(inside + ring, 1e-9)
        return np.where(whole >= _WITHIN * np.pi * (_RING * radius) ** 2, contrast, -1.0)

    def _within(self, radius: float, box: Box) -> np.ndarray:
        """Sums [2, y, x] over the disc around every place: of the grain, and of what counts."""
        (top, bottom, _), (left, right, _) = (
            part.indices(length) for part, length in zip(box, self._shape, strict=True)
        )
        total = np.zeros((len(self._sums), bottom - top, right - left))
        away = np.arange(-int(radius), int(radius) + 1)
        halves = np.sqrt(radius**2 - away**2).astype(int)
        for row, half in zip((top + self._beyond + away).tolist(), halves.tolist(), strict=True):
            rows = self._sums[:, row : row + bottom - top]
            last, before = left + self._beyond + half, left + self._beyond - half - 1
            total += rows[:, :, last : last + right - left]
            total -= rows[:, :, before : before + right - left]
        if len(total) == 2:
            return total
        rows, columns = np.arange(top, bottom)[:, None] + away, np.arange(left, right)[None]
        reach = halves[:, None]
        ends = np.minimum(columns + reach, self._shape[1] - 1), np.maximum(columns - reach, 0)
        within = ((rows >= 0) & (rows < self._shape[0])).astype(float)
        return np.stack([total[0], within @ (ends[0] - ends[1] + 1.0)])


def _disc(place: Sequence[Any], radius: float, scale: float) -> Disc:
    y, x = ((float(number) + 0.5) * scale - 0.5 for number in place)
    return Disc(y=y, x=x, diameter=2 * radius * scale)
