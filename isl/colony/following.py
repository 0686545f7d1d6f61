"""Following colonies over time: which one in a frame is which one in the frames before.

Colonies hardly move between frames, so overlap tells: pairs of one frame's colonies with those last
seen are chosen such that the sum of their overlaps is greatest.
"""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment

DEFAULT_GAP = 2
LEAST_OVERLAP = 0.2


@dataclasses.dataclass
class Follower:
    """Gives every frame's colonies the numbers they had before.

    Attributes:
        gap: Frames for which a colony may be missing and still be the same when it comes back; it
            stays absent from the frames in between.
        least: Least overlap with where it was last seen, as a share of both areas together.
    """

    gap: int = DEFAULT_GAP
    least: float = LEAST_OVERLAP

    def __post_init__(self) -> None:
        """Nothing was seen yet."""
        self._last: dict[int, tuple[int, np.ndarray]] = {}
        self._next = 1
        self._frame = 0

    def follow(self, labels: np.ndarray) -> np.ndarray:
        """The next frame, int32 [Y, X], with numbers that are identities over time.

        When a colony splits, the part with the larger overlap keeps its number and the other is
        new. When two merge, the one with the larger overlap keeps its number.
        """
        own = _pixels(labels)
        alive = {
            number: seen
            for number, seen in self._last.items()
            if self._frame - seen[0] <= self.gap + 1
        }
        names, numbers = list(own), list(alive)
        overlaps = np.array(
            [[_overlap(own[name], alive[number][1]) for number in numbers] for name in names]
        ).reshape(len(names), len(numbers))
        rows, columns = linear_sum_assignment(-overlaps)
        given = {
            names[row]: numbers[column]
            for row, column in zip(rows, columns, strict=True)
            if overlaps[row, column] >= self.least
        }
        result = np.zeros_like(labels)
        for name in names:
            number = given.get(name)
            if number is None:
                number, self._next = self._next, self._next + 1
            result.flat[own[name]] = number
            self._last[number] = (self._frame, own[name])
        self._last = {
            number: seen
            for number, seen in self._last.items()
            if self._frame - seen[0] <= self.gap + 1
        }
        self._frame += 1
        return result


def _pixels(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Sorted flat indices of every object's pixels, by its number."""
    where = np.flatnonzero(labels)
    numbers = labels.flat[where]
    order = np.argsort(numbers, kind="stable")
    names, first = np.unique(numbers[order], return_index=True)
    if not len(names):
        return {}
    return {
        int(name): np.sort(pixels)
        for name, pixels in zip(names, np.split(where[order], first[1:]), strict=True)
    }


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Common pixels as a share of those of either."""
    if one[-1] < other[0] or other[-1] < one[0]:
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
