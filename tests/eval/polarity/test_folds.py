"""Who is held out with whom, and whose EZRIN comes from one network."""

import pytest
from simulated_polarity import make_embryo, make_embryos

from isl.errors import InputError
from isl_eval.polarity.folds import crossfit_folds, held_out_folds
from isl_eval.statistics.folds import folds_touched

EMBRYOS = make_embryos()


def folds_of(folds, embryos=EMBRYOS):
    return held_out_folds(embryos, folds, source="arms.toml")


def crossfit(folds, embryos=EMBRYOS, wanted=4):
    return crossfit_folds(embryos, folds, wanted=wanted, source="arms.toml")


@pytest.mark.parametrize("folds", [2, 3, 6, "leave_one_out", [["F", "A"], ["B", "C", "D", "E"]]])
def test_every_embryo_is_held_out_once(folds):
    found = folds_of(folds)
    assert sorted(group for fold in found for group in fold) == list("ABCDEF")


def test_folds_by_number_by_embryo_and_by_name():
    assert folds_of(3) == (("A", "D"), ("B", "E"), ("C", "F"))
    assert folds_of("leave_one_out") == tuple((name,) for name in "ABCDEF")
    assert folds_of([["F", "A"], ["B", "C", "D", "E"]]) == (("F", "A"), ("B", "C", "D", "E"))


def test_recordings_of_one_embryo_stay_together():
    twins = [make_embryo("A1", 3, group="A"), make_embryo("A2", 4, group="A")]
    assert folds_of("leave_one_out", [*twins, *EMBRYOS[1:]]) == folds_of("leave_one_out")


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([["A", "B"], ["B", "C", "D", "E", "F"]], "arms.toml: embryo 'B' is in more than one fold"),
        ([["A", "B"], ["C", "D", "E"]], "arms.toml: embryo 'F' is in no fold"),
        ([["A", "B"], ["C", "D", "E", "G"]], "unknown embryo 'G'"),
        ([["A", "B", "C", "D", "E", "F"], []], "fold 2 is empty"),
        (7, "6 embryos cannot be cut into 7 folds"),
    ],
)
def test_folds_that_share_or_lack_an_embryo_are_refused(folds, message):
    with pytest.raises(InputError, match=message):
        folds_of(folds)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_embryos(count):
    with pytest.raises(InputError, match="needs 3 embryos or more"):
        folds_of("leave_one_out", EMBRYOS[:count])


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        (3, [["A", "D"], ["B", "E"], ["C", "F"]]),
        # Of two, half of the other one is left to learn from.
        (2, [["A", "E"], ["C"], ["B", "F"], ["D"]]),
        # Of single embryos, a few share a network.
        ("leave_one_out", [["A", "E"], ["B", "F"], ["C"], ["D"]]),
    ],
)
def test_folds_of_ezrin(folds, expected):
    assert crossfit(folds_of(folds)) == tuple(map(tuple, expected))


def test_single_embryos_share_no_more_networks_than_there_are_embryos():
    three = EMBRYOS[:3]
    assert crossfit(folds_of("leave_one_out", three), three, wanted=2) == (("A",), ("B",), ("C",))
    assert crossfit(folds_of("leave_one_out", three), three) == (("A",), ("B",), ("C",))


@pytest.mark.parametrize("folds", [2, 3, 4, 5, 6, "leave_one_out"])
def test_while_a_fold_is_held_out_every_other_embryo_has_a_network(folds):
    held_out = folds_of(folds)
    ezrin = crossfit(held_out)
    everyone = set("ABCDEF")
    for fold in held_out:
        unseen = set(folds_touched(ezrin, fold))
        assert unseen >= set(fold)
        for group in everyone - set(fold):
            own = next(set(each) for each in ezrin if group in each)
            assert everyone - unseen - own


def test_folds_that_leave_no_network_are_refused():
    with pytest.raises(InputError, match="while fold 1 is held out, no network is left"):
        crossfit((tuple("ABCDE"), ("F",)))
