import numpy as np
import pytest
from scipy import stats

from isl_eval.statistics.bootstrap import bootstrap, bootstrap_difference, bootstrap_one
from isl_eval.statistics.classification import accuracy, auc


def rng(seed=0):
    return np.random.default_rng(seed)


def mean(values):
    return float(values.mean())


def test_by_row_it_is_scipys_percentile_bootstrap():
    values = rng(1).exponential(size=40)
    ours = bootstrap_one(mean, [values], groups=None, rng=rng(2))
    scipys = stats.bootstrap(
        (values,), np.mean, n_resamples=1000, method="percentile", rng=rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), rel=1e-12)
    assert ours.estimate == values.mean()
    assert (ours.units, ours.replicates, ours.degenerate, ours.note) == (40, 1000, 0, "")


def test_groups_that_repeat_a_row_are_as_sure_as_the_row_alone():
    values = rng(1).normal(size=12)
    alone = bootstrap_one(mean, [values], groups=None, rng=rng(3))
    repeated = bootstrap_one(
        mean, [np.repeat(values, 9)], groups=np.repeat(np.arange(12), 9), rng=rng(3)
    )
    assert repeated.units == 12
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))
    as_if_independent = bootstrap_one(mean, [np.repeat(values, 9)], groups=None, rng=rng(3))
    assert as_if_independent.high - as_if_independent.low < 0.5 * (alone.high - alone.low)


def test_a_group_comes_with_all_its_rows_and_no_others():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    sizes = {"a": 2, "b": 3, "c": 1}
    seen = []

    def note(rows, names):
        seen.append((rows, names))
        return 0.0

    bootstrap_one(note, [np.arange(6), groups], groups=groups, rng=rng(4), replicates=50)
    assert len(seen) == 51
    for rows, names in seen:
        assert (groups[rows] == names).all()
        drawn = 0
        for name, size in sizes.items():
            times, rest = divmod(int(np.sum(names == name)), size)
            assert rest == 0
            for row in np.flatnonzero(groups == name):
                assert np.sum(rows == row) == times
            drawn += times
        assert drawn == 3


def test_groups_need_not_lie_together():
    values, order = rng(5).normal(size=30), rng(6).permutation(30)
    groups = np.repeat(np.arange(6), 5)
    sorted_rows = bootstrap_one(mean, [values], groups=groups, rng=rng(7))
    shuffled = bootstrap_one(mean, [values[order]], groups=groups[order], rng=rng(7))
    assert (shuffled.low, shuffled.high) == pytest.approx((sorted_rows.low, sorted_rows.high))


def test_the_generator_alone_decides():
    values = rng(1).normal(size=20)
    first, again, other = (
        bootstrap_one(mean, [values], groups=None, rng=rng(seed)) for seed in (8, 8, 9)
    )
    assert first == again
    assert first != other


def test_statistics_of_one_call_share_their_replicates():
    values = rng(1).normal(size=20)
    found = bootstrap(
        lambda x: {"mean": mean(x), "negated": -mean(x)}, [values], groups=None, rng=rng(10)
    )
    assert found["negated"].low == pytest.approx(-found["mean"].high)
    assert found["negated"].high == pytest.approx(-found["mean"].low)


def test_the_level_sets_the_share_between_the_bounds():
    values = rng(1).normal(size=50)
    wide, narrow = (
        bootstrap_one(mean, [values], groups=None, rng=rng(11), level=level)
        for level in (0.95, 0.5)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow.level == 0.5


def test_degenerate_replicates_are_left_out_and_counted():
    # Three groups of which one alone has positives: no AUC unless it and another are drawn.
    truth = np.array([0, 1, 0, 0, 0, 0])
    score = np.array([0.1, 0.8, 0.3, 0.9, 0.2, 0.6])
    groups = np.array([0, 0, 1, 1, 2, 2])
    found = bootstrap_one(auc, [truth, score], groups=groups, rng=rng(12), replicates=2000)
    # The first is never drawn in (2/3)^3 of the replicates.
    assert found.degenerate / 2000 == pytest.approx((2 / 3) ** 3, abs=0.03)
    assert found.estimate == pytest.approx(4 / 5)
    assert 0 <= found.low < found.high <= 1
    assert f"undefined in {found.degenerate} of 2000" in found.note


def test_mostly_degenerate_replicates_bound_nothing():
    truth, score = np.array([0, 0, 0, 0, 0, 1]), np.arange(6)
    groups = np.array([0, 1, 1, 1, 2, 2])

    def of_all_three(truth, score):
        return auc(truth, score) if {0, 3, 5} <= set(score) else None

    found = bootstrap_one(of_all_three, [truth, score], groups=groups, rng=rng(13))
    assert found.estimate == 1.0
    assert (found.low, found.high) == (None, None)
    assert found.degenerate > 500  # 1 - 3! / 3^3 of them
    assert "no interval" in found.note
    assert found.excludes(0.5) is None


def test_what_is_undefined_is_none_whether_it_came_as_none_or_nan():
    for undefined in (None, np.nan, np.inf):
        found = bootstrap_one(lambda x, u=undefined: u, [np.arange(4)], groups=None, rng=rng(14))
        assert (found.estimate, found.low, found.high) == (None, None, None)
        assert found.degenerate == found.replicates
        assert "undefined" in found.note


def test_a_single_group_cannot_vary_and_says_so():
    found = bootstrap_one(mean, [np.arange(9.0)], groups=np.zeros(9), rng=rng(15))
    assert (found.estimate, found.low, found.high, found.units) == (4.0, None, None, 1)
    assert "one group" in found.note


def test_units_that_are_too_few_bound_nothing_and_say_so():
    values, groups = rng(15).normal(size=8), np.repeat(np.arange(4), 2)
    for by, units, what in ((groups, 4, "4 groups are"), (None, 8, "8 rows are")):
        bounded, few = (
            bootstrap(lambda x: {"mean": mean(x)}, [values], groups=by, rng=rng(15), fewest=fewest)[
                "mean"
            ]
            for fewest in (units, units + 1)
        )
        assert bounded.low < bounded.estimate < bounded.high
        assert (few.estimate, few.low, few.high) == (bounded.estimate, None, None)
        assert few.units == units
        assert few.note == f"no interval: {what} too few"
    alone = bootstrap_one(mean, [values[:1]], groups=None, rng=rng(15))
    assert (alone.low, alone.note) == (None, "no interval: there is one row only")


def test_differences_are_paired():
    truth = rng(16).random(200) < 0.5
    first = np.where(rng(17).random(200) < 0.9, truth, ~truth)
    second = first.copy()
    second[:20] = ~truth[:20]
    difference = bootstrap_difference(accuracy, [truth], first, second, groups=None, rng=rng(18))
    assert difference.estimate == pytest.approx(
        accuracy(truth, first) - accuracy(truth, second), abs=1e-12
    )
    assert difference.excludes(0.0)
    assert not difference.excludes(difference.estimate)
    same = bootstrap_difference(accuracy, [truth], first, first, groups=None, rng=rng(18))
    assert (same.low, same.estimate, same.high) == (0.0, 0.0, 0.0)
    # Paired, it is the mean over rows of how much more often the first is right.
    gained = (first == truth).astype(float) - (second == truth)
    by_row = bootstrap_one(mean, [gained], groups=None, rng=rng(18))
    assert (difference.low, difference.high) == pytest.approx((by_row.low, by_row.high))


def test_a_difference_of_what_is_undefined_is_undefined():
    found = bootstrap_difference(
        auc, [np.zeros(5)], np.arange(5), np.arange(5), groups=None, rng=rng(19)
    )
    assert found.estimate is None


def test_group_intervals_cover_where_row_intervals_do_not():
    draws = rng(20)
    groups = np.repeat(np.arange(20), 10)
    covered = {"groups": 0, "rows": 0}
    for _ in range(60):
        values = np.repeat(draws.normal(size=20), 10) + 0.3 * draws.normal(size=200)
        for name, by in (("groups", groups), ("rows", None)):
            found = bootstrap_one(mean, [values], groups=by, rng=draws, replicates=200)
            covered[name] += found.low <= 0.0 <= found.high
    # Of 60 at 95 %: 57 +- 1.7, a little fewer as 20 groups are few.
    assert covered["groups"] >= 50
    assert covered["rows"] <= 40


@pytest.mark.parametrize(
    ("columns", "groups", "options", "message"),
    [
        ([np.arange(3), np.arange(4)], None, {}, "lengths"),
        ([np.arange(3)], np.arange(4), {}, "lengths"),
        ([np.zeros(0)], None, {}, "lengths"),
        ([], None, {}, "lengths"),
        ([np.arange(3)], None, {"level": 1.0}, "level"),
        ([np.arange(3)], None, {"replicates": 0}, "replicates"),
    ],
)
def test_what_cannot_be_resampled_is_refused(columns, groups, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_one(lambda *_: 0.0, columns, groups=groups, rng=rng(), **options)
