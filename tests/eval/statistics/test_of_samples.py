import itertools

import numpy as np
import pytest
from scipy import stats

from isl_eval.statistics.tests import matched_pairs, paired_t, two_proportions


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


def test_paired_t_by_hand_and_as_scipy():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3).
    found = paired_t([2, 4, 6], [1, 2, 3])
    assert (found.pairs, found.mean_difference, found.note) == (3, 2.0, "")
    assert found.t == pytest.approx(2 * np.sqrt(3))
    first, second = rng(1).normal(size=(2, 30))
    scipys = stats.ttest_rel(first, second)
    assert paired_t(first, second).t == pytest.approx(scipys.statistic)
    assert paired_t(first, second).p == pytest.approx(scipys.pvalue)


@pytest.mark.parametrize(
    ("first", "second", "mean", "note"),
    [([], [], None, "0 pair"), ([3], [1], 2.0, "1 pair"), ([3, 4], [1, 2], 2.0, "alike")],
)
def test_without_spread_there_is_no_t(first, second, mean, note):
    found = paired_t(first, second)
    assert (found.mean_difference, found.t, found.p) == (mean, None, None)
    assert note in found.note


@pytest.mark.parametrize("broken", [[1.0, np.nan], [1.0], [[1.0, 2.0]]])
def test_what_are_no_pairs_is_refused(broken):
    with pytest.raises(ValueError, match="pair"):
        matched_pairs(broken, [1.0, 2.0])
    with pytest.raises(ValueError, match="pair"):
        paired_t(broken, [1.0, 2.0])
