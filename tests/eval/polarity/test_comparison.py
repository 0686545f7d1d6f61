import itertools

import numpy as np
import pytest
from scipy import stats

from isl_eval.polarity.comparison import correlation, matched_pairs, two_proportions


def rng(seed=0):
    return np.random.default_rng(seed)


def test_z_squared_is_chi_square_without_correction():
    test = two_proportions(40, 90, 33, 120)
    table = [[40, 50], [33, 87]]
    chi_square = stats.chi2_contingency(table, correction=False)
    assert test.z**2 == pytest.approx(chi_square.statistic)
    assert test.p == pytest.approx(chi_square.pvalue)
    assert (test.first, test.second, test.note) == (40 / 90, 33 / 120, "")


def test_swapping_the_two_turns_the_sign_of_z():
    one, other = two_proportions(40, 90, 33, 120), two_proportions(33, 120, 40, 90)
    assert one.z == pytest.approx(-other.z)
    assert one.p == pytest.approx(other.p)
    assert two_proportions(9, 20, 9, 20).p == pytest.approx(1.0)


@pytest.mark.parametrize("successes", [0, 10])
def test_where_all_cases_are_alike_there_is_no_z(successes):
    test = two_proportions(successes, 10, successes, 10)
    assert (test.z, test.p) == (None, None)
    assert "alike" in test.note


@pytest.mark.parametrize("counts", [(1, 0, 1, 2), (3, 2, 1, 2), (-1, 2, 1, 2)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="successes of"):
        two_proportions(*counts)


def test_matched_pairs_are_scipys_wilcoxon():
    first, second = rng(1).normal(size=(2, 30))
    test = matched_pairs(first, second + 0.5)
    scipys = stats.wilcoxon(first, second + 0.5)
    assert test.statistic == pytest.approx(scipys.statistic)
    assert test.p == pytest.approx(scipys.pvalue)
    assert (test.pairs, test.zeros, test.note) == (30, 0, "")


def test_matched_pairs_of_few_whole_numbers_are_exact():
    # Errors in frames: ties and zeros. Counted over every way to turn the signs.
    first = np.array([1, 0, 3, 4, 1, 6, 2, 13])
    second = np.array([2, 0, 6, 5, 5, 4, 5, 15])
    differences = (first - second)[first != second]
    ranks = stats.rankdata(np.abs(differences))
    centre = ranks.sum() / 2
    distance = abs(ranks[differences > 0].sum() - centre)
    turned = [
        abs(np.dot(signs, ranks) - centre) >= distance - 1e-9
        for signs in itertools.product([0, 1], repeat=len(ranks))
    ]
    test = matched_pairs(first, second)
    assert test.p == pytest.approx(np.mean(turned))
    assert (test.pairs, test.zeros) == (8, 1)
    assert test.median_difference == np.median(first - second)


def test_where_no_pair_differs_nothing_is_tested_and_that_is_said():
    test = matched_pairs([3, 1, 4], [3, 1, 4])
    assert (test.p, test.statistic, test.smallest_p) == (None, None, None)
    assert (test.pairs, test.zeros, test.median_difference) == (3, 3, 0.0)
    assert "all 3 differences are zero" in test.note


def test_no_pairs_at_all():
    test = matched_pairs([], [])
    assert (test.pairs, test.p, test.median_difference) == (0, None, None)
    assert "no pairs" in test.note


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_too_few_pairs_to_be_significant_say_so(count):
    test = matched_pairs(np.arange(1, count + 1), np.zeros(count))
    assert test.p == test.smallest_p == 2.0 ** (1 - count)
    if count < 6:
        assert f"{count} differing pairs are too few" in test.note
    else:
        assert test.note == ""


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
    with pytest.raises(ValueError, match="pair"):
        matched_pairs(broken, [1.0, 2.0])
    with pytest.raises(ValueError, match="pair"):
        correlation(broken, [1.0, 2.0], rng=rng())
