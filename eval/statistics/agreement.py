"""How far two raters, or a prediction and a measurement, agree on the same cases.

What cannot be computed is None, with a note that says why.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy import stats

from isl.imaging.agreement import pearson

from .bootstrap import LEVEL, REPLICATES, Interval, bootstrap_one
from .tests import paired_differences

# Two pairs lie on a line whatever they are.
_FEWEST = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlandAltman:
    """Differences of two measurements of the same quantity (Bland and Altman 1986).

    Attributes:
        pairs: How many pairs there are.
        bias: Mean of first - second; None: there are no pairs.
        deviation: Unbiased deviation of the differences; None: there is one pair or none.
        low: Lower limit of agreement, bias - 1.96 deviations; None: undefined.
        high: Upper limit of agreement, bias + 1.96 deviations; None: undefined.
    """

    pairs: int
    bias: float | None
    deviation: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correlation:
    """Pearson's correlation with its interval.

    Attributes:
        interval: r with its bootstrap interval over pairs.
        p: Two-sided, of no correlation, for normal values; None: undefined.
        pairs: How many there are.
        note: Why something is undefined; "" where nothing is.
    """

    interval: Interval
    p: float | None
    pairs: int
    note: str = ""


def bland_altman(first: np.ndarray, second: np.ndarray) -> BlandAltman:
    """Bias and 95 % limits of agreement; for their own intervals, bootstrap them by group.

    The limits take differences for normal and independent of how large the quantity is: look at
    the plot of differences against means, too.

    Args:
        first: float [N], e.g. predicted shares.
        second: float [N], e.g. measured ones, of the same cases in the same order.
    """
    differences = paired_differences(first, second)
    bias = float(differences.mean()) if differences.size else None
    if bias is None or differences.size < 2:
        return BlandAltman(pairs=differences.size, bias=bias, deviation=None, low=None, high=None)
    deviation = float(differences.std(ddof=1))
    reach = float(stats.norm.ppf(0.975)) * deviation
    return BlandAltman(
        pairs=differences.size,
        bias=bias,
        deviation=deviation,
        low=bias - reach,
        high=bias + reach,
    )


def quadratic_weighted_kappa(first: np.ndarray, second: np.ndarray, grades: int) -> float | None:
    """Cohen's kappa of ordered grades; a disagreement weighs the square of its distance.

    Args:
        first: int [N], one rater's grades, from 0.
        second: int [N], the other's, of the same cases.
        grades: How many grades there are.

    Returns:
        1: they agree; 0: no more than by chance. None: there are no cases, or both give one grade
        only, the same.
    """
    one, other = np.asarray(first), np.asarray(second)
    paired_differences(one, other)
    if not np.all(np.isin(np.concatenate([one, other]), np.arange(grades))):
        raise ValueError(f"grades must be 0 to {grades - 1}")
    # What chance gives is every grade of the one beside every grade of the other.
    by_chance = np.mean(np.square(one)) + np.mean(np.square(other)) if one.size else 0.0
    by_chance -= 2 * np.mean(one) * np.mean(other) if one.size else 0.0
    if by_chance <= 0:
        return None
    return float(1 - np.mean(np.square(one - other)) / by_chance)


def correlation(
    first: np.ndarray,
    second: np.ndarray,
    *,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> Correlation:
    """Pearson's correlation of two quantities, one pair for each independent case.

    Args:
        first: float [N], e.g. predicted onsets.
        second: float [N], e.g. frames of compaction, in the same order.
        rng: For the bootstrap over pairs.
        replicates: Of the bootstrap.
        level: Of the interval.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    paired_differences(x, y)
    interval = bootstrap_one(
        _pearson, [x, y], groups=None, rng=rng, replicates=replicates, level=level
    )
    note, p = "", None
    if x.size < _FEWEST:
        note = f"Pearson's correlation is undefined: {x.size} pairs, where it takes {_FEWEST}"
    elif interval.estimate is None:
        note = "Pearson's correlation is undefined: one of the two does not vary"
    else:
        tested: Any = stats.pearsonr(x, y)
        p = float(tested.pvalue)
    return Correlation(interval=interval, p=p, pairs=x.size, note=note)


def _pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    return pearson(x, y) if x.size >= _FEWEST else None
