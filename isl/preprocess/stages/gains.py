"""How much brighter than the others each tile of a field is, from what overlapping tiles share.

Lamps flicker and stain bleaches while a well is scanned, so that the same cells are brighter in one
tile than in the next. Where two tiles overlap, a ratio says by how much: of their means in
transmitted light, which is mostly background that flickers as a whole; of their contrasts in
fluorescence, whose background also holds what was not taken off, and only where both show the same.
The gains that agree best with all ratios are solved like positions are: by least squares. The paper
does not do this.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Of a mean ratio's weight, what holds every gain to 1: decides only where overlaps say nothing.
_PRIOR = 1e-3
# What a flat field of a small set leaves at opposite edges, and what gains differ by where a single
# pair cannot show it.
_FLAT_FIELD, _USUAL = 0.05, 0.1
# Fluorescence of the same cells correlates at least so much.
_SAME = 0.9
# Overlaps that differ by more hold something else than the same cells.
_MOST = float(np.log(3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two tiles where they overlap.

    Attributes:
        i: Number of the first tile.
        j: Number of the second tile.
        log: Logarithm of the second's brightness over the first's; 0 where nothing can be said.
        pixels: That they share; 0 where nothing can be said.
        direction: 0 where they lie below each other, 1 where side by side.
    """

    i: int
    j: int
    log: float
    pixels: int
    direction: int


def overlap_ratio(
    first: np.ndarray,
    second: np.ndarray,
    offset: tuple[int, int],
    *,
    pair: tuple[int, int],
    fluorescence: bool,
) -> Ratio:
    """What the overlap of two tiles says of their gains.

    Args:
        first: [Y, X], counts above the sensor's offset.
        second: [Y, X], likewise.
        offset: Rows and columns from the first's origin to the second's, whole pixels.
        pair: Their numbers.
        fluorescence: Whether contrasts are compared instead of means.
    """
    direction = int(abs(offset[1]) > abs(offset[0]))
    parts = []
    for image, (dy, dx) in ((first, offset), (second, (-offset[0], -offset[1]))):
        rows = slice(max(0, dy), image.shape[0] + min(0, dy))
        columns = slice(max(0, dx), image.shape[1] + min(0, dx))
        parts.append(image[rows, columns].ravel().astype(np.float64))
    if fluorescence:
        measures = [_contrast(*parts), _contrast(*parts[::-1])]
    else:
        measures = [float(part.mean()) if part.size else 0.0 for part in parts]
    log = float(np.log(measures[1] / measures[0])) if min(measures) > 0 else np.inf
    known = abs(log) <= _MOST
    return Ratio(
        i=pair[0],
        j=pair[1],
        log=log if known else 0.0,
        pixels=parts[0].size if known else 0,
        direction=direction,
    )


def solve_gains(count: int, ratios: Sequence[Ratio]) -> np.ndarray:
    """The gains that agree best with what overlaps say.

    A flat field that errs makes every pair of neighbours along one axis differ in the same way,
    which would pile up to a slope over the field. So what the pairs of a direction have in common
    is no gain, as far as it is more than chance.

    Args:
        count: Of tiles.
        ratios: Of overlapping tiles.

    Returns:
        float64 [n], geometric mean 1: what a tile's counts are to be divided by.
    """
    known = [ratio for ratio in ratios if ratio.pixels]
    if not known:
        return np.ones(count)
    common = [_common([r.log for r in known if r.direction == axis]) for axis in (0, 1)]
    typical = float(np.mean([ratio.pixels for ratio in known]))
    normal = np.diag(np.full(count, _PRIOR))
    wanted = np.zeros(count)
    for ratio in known:
        weight, log = ratio.pixels / typical, ratio.log - common[ratio.direction]
        ends, signs = [ratio.i, ratio.j], np.array([-1.0, 1.0])
        normal[np.ix_(ends, ends)] += weight * np.outer(signs, signs)
        wanted[ends] += weight * log * signs
    logs = np.linalg.solve(normal, wanted)
    return np.exp(logs - logs.mean())


def _common(logs: Sequence[float]) -> float:
    """What a flat field makes of every ratio along an axis: their median, shrunk by its error."""
    if not logs:
        return 0.0
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(np.asarray(logs) - middle)))
    if len(logs) == 1:
        spread = _USUAL
    # The median of n normal numbers errs by 1.25 deviations over the root of n.
    error = 1.25 * spread / np.sqrt(len(logs))
    return middle * _FLAT_FIELD**2 / (_FLAT_FIELD**2 + error**2)


def _contrast(image: np.ndarray, other: np.ndarray) -> float:
    """Deviation of an image; 0 where another of the same place shows something else."""
    if image.size < 2 or not (image.std() > 0 and other.std() > 0):
        return 0.0
    same = np.corrcoef(image, other)[0, 1] >= _SAME
    return float(image.std()) if same else 0.0
