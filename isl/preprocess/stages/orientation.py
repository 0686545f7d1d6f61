"""Which way a stage's numbers run in the image: of the eight orientations the one tiles fit in.

Rows and columns may be exchanged, and each may run backwards. Neighbours by one orientation are no
neighbours by another, so the overlaps tell: only where the orientation is right do they show the
same content.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from isl.preprocess.stages.neighbours import neighbouring

# Of an orientation's neighbours so many of each direction are compared, at most.
PAIRS = 8
# An orientation is right where so large a share of them fits, and exceeds the stated one's by this.
LEAST_SHARE = 0.5
BEYOND_STATED = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orientation:
    """How positions of the stage become rows and columns: exchanged first, then turned about.

    Attributes:
        swapped: Whether rows and columns are exchanged.
        direction: 1 or -1 for rows and for columns.
    """

    swapped: bool = False
    direction: tuple[int, int] = (1, 1)

    def applied(self, positions: np.ndarray) -> np.ndarray:
        """Positions [..., 2] (row, column) as they are with this orientation."""
        exchanged = positions[..., ::-1] if self.swapped else positions
        return exchanged * np.array(self.direction)

    def after(self, first: "Orientation") -> "Orientation":
        """The one orientation that is `first` and then this one."""
        inner = first.direction[::-1] if self.swapped else first.direction
        return Orientation(
            swapped=self.swapped != first.swapped,
            direction=(self.direction[0] * inner[0], self.direction[1] * inner[1]),
        )

    @property
    def words(self) -> str:
        """What is done to the stage's numbers."""
        parts = ["rows and columns exchanged"] if self.swapped else []
        names = [
            name for name, sign in zip(("rows", "columns"), self.direction, strict=True) if sign < 0
        ]
        return " and ".join([*parts, *([f"{' and '.join(names)} backwards"] if names else [])])


STATED = Orientation()
ALL = tuple(
    Orientation(swapped=swapped, direction=(down, right))
    for swapped in (False, True)
    for down, right in itertools.product((1, -1), (1, -1))
)


def fitting_orientation(
    nominal: np.ndarray,
    size: tuple[int, int],
    fits: Callable[[tuple[int, int], np.ndarray], bool],
    *,
    least_overlap: int,
) -> Orientation | None:
    """The orientation in which neighbours fit, where it is not the stated one.

    Args:
        nominal: float [n, 2], where tiles should lie by the stage as it is stated, pixels.
        size: Rows and columns of a tile.
        fits: Whether two tiles (i, j) show the same where j lies at an offset float [2] from i.
        least_overlap: Pixels that neighbours share at least.

    Returns:
        None where the stated one fits as well as any, or none does.
    """
    shares = {each: _share(each, nominal, size, fits, least_overlap) for each in ALL}
    best = max(ALL, key=shares.__getitem__)
    if shares[best] < max(LEAST_SHARE, shares[STATED] + BEYOND_STATED):
        return None
    return best


def _share(
    orientation: Orientation,
    nominal: np.ndarray,
    size: tuple[int, int],
    fits: Callable[[tuple[int, int], np.ndarray], bool],
    least_overlap: int,
) -> float:
    """Of neighbours above each other, and beside each other, the smaller share that fits."""
    positions = orientation.applied(nominal)
    pairs = neighbouring(positions, size, least_overlap=least_overlap)
    sides: dict[bool, list[tuple[tuple[int, int], np.ndarray]]] = {False: [], True: []}
    for pair in pairs:
        offset = positions[pair[1]] - positions[pair[0]]
        sides[bool(abs(offset[0]) > abs(offset[1]))].append((pair, offset))
    shares = [
        float(np.mean([fits(pair, offset) for pair, offset in _spread(side)]))
        for side in sides.values()
        if side
    ]
    return min(shares, default=0.0)


def _spread(
    side: Sequence[tuple[tuple[int, int], np.ndarray]],
) -> list[tuple[tuple[int, int], np.ndarray]]:
    chosen = np.unique(np.linspace(0, len(side) - 1, PAIRS).round().astype(int))
    return [side[index] for index in chosen]
