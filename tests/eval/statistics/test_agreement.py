"""Agreement of raters and measurements: by hand, by a slow loop, and as scikit-learn has it."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from isl_eval.statistics.agreement import bland_altman, correlation, quadratic_weighted_kappa


def rng(seed=0):
    return np.random.default_rng(seed)


def test_bland_altman_by_hand():
    found = bland_altman([1.0, 3.0, 5.0], [0.0, 0.0, 0.0])
    assert (found.pairs, found.bias, found.deviation) == (3, 3.0, 2.0)
    assert (found.low, found.high) == (
        pytest.approx(3 - 3.92, abs=1e-3),
        pytest.approx(6.92, abs=1e-3),
    )


def test_limits_hold_95_of_100_normal_differences():
    truth = rng().random(100_000)
    predicted = truth + rng(1).normal(0.1, 0.2, truth.size)
    found = bland_altman(predicted, truth)
    assert found.bias == pytest.approx(0.1, abs=5e-3)
    differences = predicted - truth
    assert np.mean((differences > found.low) & (differences < found.high)) == pytest.approx(
        0.95, abs=2e-3
    )


def test_one_pair_has_a_bias_and_no_limits():
    found = bland_altman([2.0], [1.0])
    assert (found.bias, found.deviation, found.low, found.high) == (1.0, None, None, None)
    assert bland_altman([], []).bias is None


def test_kappa_of_grades_that_agree_reverse_or_are_dealt_evenly():
    grades = np.arange(4)
    assert quadratic_weighted_kappa(grades, grades, 4) == 1.0
    assert quadratic_weighted_kappa(grades, grades[::-1], 4) == pytest.approx(-1.0)
    pairs = np.array(list(itertools.product(grades, grades)))
    assert quadratic_weighted_kappa(pairs[:, 0], pairs[:, 1], 4) == pytest.approx(0.0)


def test_kappa_is_weighted_disagreement_over_that_by_chance():
    first, second = rng(2).integers(0, 5, 60), rng(3).integers(1, 5, 60)
    seen = np.mean([(a - b) ** 2 for a, b in zip(first, second, strict=True)])
    by_chance = np.mean([(a - b) ** 2 for a in first for b in second])
    found = quadratic_weighted_kappa(first, second, 5)
    assert found == pytest.approx(1 - seen / by_chance)
    assert found == pytest.approx(
        cohen_kappa_score(first, second, labels=range(5), weights="quadratic")
    )


def test_kappa_of_one_grade_only_is_undefined():
    assert quadratic_weighted_kappa([2, 2], [2, 2], 4) is None
    assert quadratic_weighted_kappa([], [], 4) is None
    # One rater who gives one grade only agrees by chance alone.
    assert quadratic_weighted_kappa([2, 2], [1, 3], 4) == pytest.approx(0.0)


def test_grades_out_of_range_are_refused():
    with pytest.raises(ValueError, match="0 to 3"):
        quadratic_weighted_kappa([4], [1], 4)


def test_correlation_is_pearsons_with_its_interval():
    first = rng(2).normal(size=40)
    second = first + rng(3).normal(size=40)
    found = correlation(first, second, rng=rng(4))
    expected = stats.pearsonr(first, second)
    assert found.interval.estimate == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.pairs, found.note) == (40, "")
    # The analytic interval for normal values is another estimate of the same.
    analytic = expected.confidence_interval()
    assert found.interval.low == pytest.approx(analytic.low, abs=0.12)
    assert found.interval.high == pytest.approx(analytic.high, abs=0.12)


def test_a_line_correlates_wholly():
    found = correlation([1, 2, 3, 4], [3, 5, 7, 9], rng=rng(5))
    assert found.interval.estimate == pytest.approx(1)
    # A replicate of one pair alone, four times, has none: 4 in 4^4.
    assert 0 < found.interval.degenerate < 60


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [([1, 2], [3, 4], "2 pairs"), ([1, 1, 1, 1], [1, 2, 3, 4], "vary"), ([7], [7], "1 pairs")],
)
def test_what_cannot_correlate_says_why(first, second, reason):
    found = correlation(first, second, rng=rng(6))
    assert (found.interval.estimate, found.interval.low, found.p) == (None, None, None)
    assert reason in found.note


@pytest.mark.parametrize("broken", [[1.0, np.nan], [1.0], [[1.0, 2.0]]])
def test_what_are_no_pairs_is_refused(broken):
    for refused in (
        lambda: correlation(broken, [1.0, 2.0], rng=rng()),
        lambda: bland_altman(broken, [1.0, 2.0]),
        lambda: quadratic_weighted_kappa(broken, [1, 2], 3),
    ):
        with pytest.raises(ValueError, match="pair"):
            refused()
