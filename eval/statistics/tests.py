"""Tests of two samples: two proportions, matched pairs by ranks and by means.

What cannot be computed is None, with a note that says why.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import stats

_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProportionTest:
    """Whether two proportions differ.

    Attributes:
        first: Share of successes, 0 to 1.
        second: As `first`.
        z: Difference over its standard error; None: undefined.
        p: Two-sided; None: undefined.
        note: Why something is undefined; "" where nothing is.
    """

    first: float
    second: float
    z: float | None
    p: float | None
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Whether matched pairs differ, by Wilcoxon's signed ranks.

    Attributes:
        pairs: How many pairs there are.
        zeros: How many of them do not differ; the test leaves these out.
        median_difference: Of first - second over all pairs; None: there are none.
        statistic: The smaller sum of ranks; None: undefined.
        p: Two-sided; None: undefined.
        smallest_p: The least exact p that so many differing pairs can give; None: undefined.
        note: Why something is undefined, or what the test cannot show; "" where all is well.
    """

    pairs: int
    zeros: int
    median_difference: float | None
    statistic: float | None
    p: float | None
    smallest_p: float | None
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedMeansTest:
    """Whether the means of matched pairs differ, by Student's t.

    Attributes:
        pairs: How many pairs there are.
        mean_difference: Of first - second; None: there are no pairs.
        t: Mean over its standard error; None: undefined.
        p: Two-sided; None: undefined.
        note: Why something is undefined; "" where nothing is.
    """

    pairs: int
    mean_difference: float | None
    t: float | None
    p: float | None
    note: str = ""


def two_proportions(
    first_successes: int, first_total: int, second_successes: int, second_total: int
) -> ProportionTest:
    """Two-proportion z-test with pooled variance, two-sided (paper, Statistical analysis).

    It takes every case for independent of every other, within and between the two. Frames of one
    embryo are not, and two raters of the same frames are not: for those the interval of a paired
    difference over groups (`bootstrap_difference`) is the honest measure, and z is far too large.

    Args:
        first_successes: Of `first_total`.
        first_total: At least 1.
        second_successes: Of `second_total`.
        second_total: At least 1.
    """
    for successes, total in ((first_successes, first_total), (second_successes, second_total)):
        if not 0 <= successes <= total or not total:
            raise ValueError(f"{successes} successes of {total}: give 0 to total, of 1 or more")
    first, second = first_successes / first_total, second_successes / second_total
    successes, total = first_successes + second_successes, first_total + second_total
    if successes in (0, total):
        return ProportionTest(
            first=first, second=second, z=None, p=None, note="all cases are alike: no z"
        )
    pooled = successes / total
    z = (first - second) / math.sqrt(pooled * (1 - pooled) * (1 / first_total + 1 / second_total))
    return ProportionTest(first=first, second=second, z=z, p=float(2 * stats.norm.sf(abs(z))))


def matched_pairs(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Two-sided Wilcoxon signed-rank test; pairs that do not differ are left out.

    SciPy picks the exact distribution where it can (by permutation up to 13 pairs with ties, by
    recursion up to 50 without), else the normal approximation.

    Args:
        first: float [N], e.g. one model's time errors.
        second: float [N], of the same cases in the same order.
    """
    differences = paired_differences(first, second)
    differing = differences[differences != 0]
    zeros = differences.size - differing.size
    median = float(np.median(differences)) if differences.size else None
    if not differing.size:
        reason = f"all {zeros} differences are zero" if zeros else "there are no pairs"
        return PairedTest(
            pairs=differences.size,
            zeros=zeros,
            median_difference=median,
            statistic=None,
            p=None,
            smallest_p=None,
            note=f"nothing to test: {reason}",
        )
    tested: Any = stats.wilcoxon(differing, alternative="two-sided")
    smallest = min(1.0, 2.0 ** (1 - differing.size))
    note = ""
    if smallest > _SIGNIFICANT:
        note = (
            f"{differing.size} differing pairs are too few: p cannot fall below {smallest:.3g}, "
            "whatever they are"
        )
    return PairedTest(
        pairs=differences.size,
        zeros=zeros,
        median_difference=median,
        statistic=float(tested.statistic),
        p=float(tested.pvalue),
        smallest_p=smallest,
        note=note,
    )


def paired_t(first: np.ndarray, second: np.ndarray) -> PairedMeansTest:
    """Two-sided t-test of matched pairs, which takes them for independent and normal.

    Figures of the folds of a cross-validation are not independent, since folds share most of what
    they train on: their p comes out too small.

    Args:
        first: float [N], e.g. one model's figure in every fold.
        second: float [N], another's, of the same cases in the same order.
    """
    differences = paired_differences(first, second)
    mean = float(differences.mean()) if differences.size else None
    note = ""
    if differences.size < 2:
        note = f"no t of {differences.size} pair(s)"
    elif np.ptp(differences) == 0:
        note = "no t: all differences are alike"
    if note:
        return PairedMeansTest(
            pairs=differences.size, mean_difference=mean, t=None, p=None, note=note
        )
    tested: Any = stats.ttest_1samp(differences, 0.0)
    return PairedMeansTest(
        pairs=differences.size,
        mean_difference=mean,
        t=float(tested.statistic),
        p=float(tested.pvalue),
    )


def paired_differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differences first - second, float64 [N].

    Args:
        first: float [N].
        second: float [N], of the same cases in the same order.

    Raises:
        ValueError: They are no pairs, or a value is not finite.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"pairs have shapes {one.shape} and {other.shape}; give [N] twice")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a value of a pair is not finite")
    return one - other
