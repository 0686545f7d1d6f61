"""Grades: bins of the share of fragments, and what a share, with its uncertainty, says of them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydantic

from isl.config import Config, load_toml


class GradeScale(Config):
    """Bins [lo, hi) of the share of fragments.

    Attributes:
        name: Of the scale.
        source: Where it comes from.
        grades: Names, from the fewest fragments up.
        bounds: Shares between two grades, one fewer than grades.
    """

    name: str = "quarters"
    source: str = (
        "bins of 0-10, 10-25, 25-50 and over 50 % in common use; the Istanbul consensus (Alpha "
        "and ESHRE 2011) has below 10, 10-25 and above 25 %"
    )
    grades: tuple[str, ...] = ("0-10 %", "10-25 %", "25-50 %", "over 50 %")
    bounds: tuple[float, ...] = (0.10, 0.25, 0.50)

    @pydantic.model_validator(mode="after")
    def _fit(self) -> "GradeScale":
        if len(self.grades) != len(self.bounds) + 1 or len(set(self.grades)) != len(self.grades):
            raise ValueError(
                f"{len(self.grades)} grades and {len(self.bounds)} bounds: n grades of different "
                "names have n - 1 bounds between them"
            )
        if list(self.bounds) != sorted(set(self.bounds)) or not all(0 < b < 1 for b in self.bounds):
            raise ValueError(f"bounds {list(self.bounds)}: must increase within (0, 1)")
        return self

    def index(self, share: float) -> int:
        """The place of a share's grade; a share on a bound belongs to the grade above it."""
        return int(np.searchsorted(self.bounds, share, side="right"))

    def grade(self, share: float) -> str:
        """The grade of a share."""
        return self.grades[self.index(share)]

    def range_of(self, grade: str) -> tuple[float, float]:
        """The shares [lo, hi) of a grade.

        Raises:
            ValueError: There is no such grade.
        """
        if grade not in self.grades:
            raise ValueError(
                f"grade '{grade}' is not of the scale '{self.name}' ({', '.join(self.grades)})"
            )
        edges = (0.0, *self.bounds, 1.0)
        place = self.grades.index(grade)
        return edges[place], edges[place + 1]

    def to_next(self, share: float) -> tuple[float, str]:
        """How far the nearest bound is, and the grade beyond it."""
        place = self.index(share)
        nearest = min(self.bounds, key=lambda bound: abs(bound - share))
        beyond = place + 1 if nearest > share else place - 1
        return abs(nearest - share), self.grades[beyond]

    def probabilities(self, share: float, residuals: Sequence[float] | np.ndarray) -> np.ndarray:
        """The probability of every grade, float64 [grades], sum 1.

        Args:
            share: What the model says.
            residuals: Truth minus what it said, for embryos that it had not seen; each moves the
                share, and the places where it lands are counted (with one more for every grade).
        """
        shares = np.clip(share + np.asarray(residuals, float), 0, 1)
        landed = np.searchsorted(self.bounds, shares, side="right")
        counts = np.bincount(landed, minlength=len(self.grades)) + 1 / len(self.grades)
        return counts / counts.sum()


def read_scale(path: Path) -> GradeScale:
    """A laboratory's own scale: a TOML file with `name`, `source`, `grades` and `bounds`.

    Raises:
        InputError: It cannot be read, or is no scale.
    """
    return load_toml(path, GradeScale)


def conformal_radius(errors: Sequence[float] | np.ndarray, level: float = 0.9) -> float:
    """Half the width of an interval that holds the truth of a new embryo in `level` of all cases.

    Split conformal prediction: of n held-out embryos' errors, the ceil((n + 1) level)-th smallest.

    Args:
        errors: Absolute errors, one an embryo (its largest, where it has several frames).
        level: Of the interval.

    Returns:
        The radius; infinity where there are too few embryos to promise that level.
    """
    ordered = np.sort(np.abs(np.asarray(errors, float)))
    place = math.ceil((len(ordered) + 1) * level)
    return float(ordered[place - 1]) if 1 <= place <= len(ordered) else math.inf
