"""Folds of groups: each held out once, and classes shared out evenly."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl_eval.statistics.folds import (
    check_apart,
    dealt_folds,
    folds_touched,
    held_out_folds,
    stratified_folds,
)


def test_folds_by_number_by_group_and_by_name():
    cases = ["A", "A", "B", "C", "C", "D"]
    assert held_out_folds(cases, 2, source="x") == (("A", "C"), ("B", "D"))
    assert held_out_folds(cases, "leave_one_out", source="x") == (("A",), ("B",), ("C",), ("D",))
    named = [["D", "A"], ["B", "C"]]
    assert held_out_folds(cases, named, source="x") == (("D", "A"), ("B", "C"))
    with pytest.raises(InputError, match="x: well 'D' is in no fold"):
        held_out_folds(cases, [["A"], ["B", "C"]], source="x", noun="well")
    with pytest.raises(InputError, match="4 wells cannot be cut into 5 folds"):
        dealt_folds(cases, 5, noun="well")


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), min_size=12, max_size=60),
    st.integers(2, 4),
)
def test_every_group_is_in_one_fold(cases, count):
    groups = [f"g{group}" for group, _ in cases] + ["x", "y", "z", "u"]
    classes = [kind for _, kind in cases] + [0, 0, 0, 0]
    folds = stratified_folds(groups, classes, count, rng=np.random.default_rng(0))
    assert len(folds) == count
    assert all(folds)
    assert sorted(group for fold in folds for group in fold) == sorted(set(groups))


@pytest.mark.parametrize("count", [3, 5, 10])
def test_single_cases_are_shared_out_as_evenly_as_can_be(count):
    classes = ["spread"] * 57 + ["compact"] * 31 + ["dead"] * 12
    groups = [f"c{number}" for number in range(100)]
    folds = stratified_folds(groups, classes, count, rng=np.random.default_rng(1))
    of_group = dict(zip(groups, classes, strict=True))
    for kind in set(classes):
        held = [sum(of_group[group] == kind for group in fold) for fold in folds]
        assert max(held) - min(held) <= 1


def test_groups_of_several_cases_keep_shares_near():
    rng = np.random.default_rng(2)
    wells = [f"w{number}" for number in range(40) for _ in range(rng.integers(3, 20))]
    classes = rng.choice(3, len(wells), p=[0.6, 0.3, 0.1])
    folds = stratified_folds(wells, classes, 4, rng=np.random.default_rng(3))
    whole = collections.Counter(classes.tolist())
    for fold in folds:
        held = collections.Counter(
            kind for well, kind in zip(wells, classes.tolist(), strict=True) if well in fold
        )
        for kind, count in whole.items():
            assert held[kind] / count == pytest.approx(1 / 4, abs=0.05)


def test_another_generator_deals_other_folds_and_the_same_one_the_same():
    groups, classes = [f"c{n}" for n in range(30)], [n % 2 for n in range(30)]
    first, again, other = (
        stratified_folds(groups, classes, 3, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_folds_touched():
    folds = (("A", "B"), ("C",), ("D", "E"))
    assert folds_touched(folds, ["E", "C"]) == ("C", "D", "E")
    assert folds_touched(folds, []) == ()


def test_groups_on_both_sides_are_named():
    check_apart(["A", "B"], ["C"], where="here", remedy="divide them")
    with pytest.raises(InputError, match=r"here: group 'B' would be .* trained on it; divide them"):
        check_apart(["A", "B"], ["B"], where="here", remedy="divide them")
    with pytest.raises(InputError, match=r"embryos 'A', 'B' would be judged .* on them"):
        check_apart(["A", "B", "A"], ["B", "A"], where="here", remedy="divide them", noun="embryo")
