"""Who won and which arm is the default, branch by branch, with intervals made up for it."""

import types

import pytest

from isl_eval.polarity.verdict import decide, difference_words, headlines, interval_words, winner
from isl_eval.statistics.bootstrap import Interval


def interval(estimate, low=None, high=None, note=""):
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        level=0.95,
        units=11,
        replicates=1000,
        degenerate=0,
        note=note,
    )


def contender(name, auc, error, **others):
    mean = types.SimpleNamespace(mean=interval(error, error - 1, error + 1))
    return types.SimpleNamespace(
        name=name,
        by_embryo={
            "auc": interval(auc, auc - 0.1, auc + 0.05),
            "accuracy": interval(auc - 0.1, auc - 0.2, auc),
        },
        onset=lambda rule: mean,
        onsets={"smoothed": mean, **others},
    )


def comparison(name, auc, error=None, against="dic"):
    found = {"auc": auc, "accuracy": auc, "onset_error": error or interval(0.0, -1.0, 1.0)}
    return types.SimpleNamespace(name=name, against=against, by=found.__getitem__)


def arms(dic, ezrin, both, errors=(4.0, 5.0, 6.0)):
    names = ("dic", "ezrin", "dic+ezrin")
    return [contender(*each) for each in zip(names, (dic, ezrin, both), errors, strict=True)]


def test_an_arm_with_ezrin_that_is_best_is_the_default():
    compared = [
        comparison("ezrin", interval(-0.01, -0.05, 0.03)),
        comparison("dic+ezrin", interval(0.02, 0.01, 0.04)),
    ]
    found = decide(arms(0.92, 0.91, 0.94), compared, "auc")
    assert (found.default, found.best_ezrin, found.metric) == ("dic+ezrin", "dic+ezrin", "auc")
    assert "Outcome: dic+ezrin is the default." in found.words
    assert "dic+ezrin is 0.020 better than dic" in found.words
    assert "+0.010 to +0.040, excludes zero." in found.words


def test_dic_that_is_better_beyond_its_interval_is_the_default():
    compared = [
        comparison("ezrin", interval(-0.05, -0.09, -0.01)),
        comparison("dic+ezrin", interval(-0.07, -0.1, -0.02)),
    ]
    found = decide(arms(0.95, 0.90, 0.88), compared, "auc")
    assert (found.default, found.best_ezrin) == ("dic", "ezrin")
    assert "Outcome: DIC alone is the default." in found.words
    assert "ezrin is 0.050 worse than dic" in found.words
    assert "excludes zero" in found.words


def test_dic_that_is_better_within_its_interval_is_not():
    compared = [
        comparison("ezrin", interval(-0.02, -0.06, 0.01)),
        comparison("dic+ezrin", interval(-0.04, -0.08, 0.02)),
    ]
    found = decide(arms(0.95, 0.93, 0.91), compared, "auc")
    assert (found.default, found.best_ezrin) == ("ezrin", "ezrin")
    assert "does not exclude zero: these embryos cannot tell the two apart." in found.words


def test_of_onset_errors_less_is_better():
    given = arms(0.95, 0.93, 0.91)
    worse = interval(1.0, 0.2, 1.8)
    compared = [
        comparison("ezrin", interval(0.0, 0.0, 0.0), worse),
        comparison("dic+ezrin", interval(0.0, 0.0, 0.0), interval(2.0, 1.0, 3.0)),
    ]
    found = decide(given, compared, "onset_error")
    assert (found.default, found.best_ezrin, found.difference) == ("dic", "ezrin", worse)
    assert "ezrin is 1.00 frames worse than dic" in found.words
    assert winner(given, "onset_error").name == "dic"
    better = [comparison("ezrin", interval(0.0, 0.0, 0.0), interval(-1.0, -1.8, -0.2))]
    assert decide(given, better, "onset_error").default == "ezrin"


def test_without_dic_the_best_with_ezrin_is_the_default_and_that_is_said():
    found = decide(arms(0.95, 0.93, 0.94)[1:], [], "auc")
    assert (found.default, found.difference) == ("dic+ezrin", None)
    assert "DIC alone was not among the arms" in found.words


def test_without_any_arm_with_ezrin_there_is_no_default():
    assert decide([contender("dic", 0.9, 3.0), contender("measured", 0.9, 3.0)], [], "auc") is None


def test_a_difference_without_bounds_does_not_unseat_ezrin():
    alone = interval(-0.1, note="no interval: all rows are of one group")
    found = decide(arms(0.95, 0.85, 0.8), [comparison("ezrin", alone)], "auc")
    assert found.default == "ezrin"
    assert "no interval: all rows are of one group" in found.words


def test_headlines_say_who_won_by_how_much_and_whether_zero_is_excluded():
    compared = [
        comparison("ezrin", interval(-0.02, -0.06, 0.01)),
        comparison("dic+ezrin", interval(0.02, 0.01, 0.04)),
        comparison("dic", interval(0.1, 0.0, 0.2), interval(-3.5, -5.0, -2.0), "median onset"),
    ]
    said = headlines([*arms(0.92, 0.90, 0.94), contender("measured", 0.99, 1.0)], compared, "dic")
    auc, accuracy, error, measured, median = said
    assert auc == (
        "AUC per frame: dic+ezrin wins with 0.940 (0.840 to 0.990). dic+ezrin is 0.020 better than "
        "dic; the 95 % interval of the difference over embryos, +0.010 to +0.040, excludes zero."
    )
    assert accuracy.startswith("Accuracy per frame: dic+ezrin wins with 0.840")
    # Where DIC wins it is held against the next best.
    assert error.startswith(
        "Mean onset error by the smoothed rule: dic wins with 4.00 frames (3.00 to 5.00). ezrin and"
    )
    assert measured.startswith("Measured Ezrin in place of transmitted light, for comparison: AUC")
    assert median.startswith("Against the median onset alone, without any picture: dic is 3.50")
    assert "-5.00 to -2.00, excludes zero" in median


def test_arms_that_are_equal_share_the_first_place():
    said = headlines(arms(0.92, 0.92, 0.9, errors=(4.0, 3.0, 3.0)), [], "dic")
    assert (
        said[0] == "AUC per frame: dic and ezrin are equal and best, with 0.920 (0.820 to 0.970)."
    )
    assert said[2].startswith(
        "Mean onset error by the smoothed rule: ezrin and dic+ezrin are equal and best, with 3.00"
    )


def test_a_model_of_another_rule_is_told_by_that_rule_too():
    earlier = types.SimpleNamespace(mean=interval(3.0, 2.0, 4.5))
    said = headlines([contender("dic", 0.9, 4.0, posterior=earlier)], [], "dic")
    assert said[2] == "Mean onset error by the smoothed rule: dic has 4.00 frames (3.00 to 5.00)."
    assert said[3] == "Mean onset error by the median of posterior: dic 3.00 frames (2.00 to 4.50)."


def test_headlines_of_one_model_and_of_measured_ezrin_alone():
    said = headlines([contender("mine", 0.9, 3.0)], [], "mine")
    assert said[0] == "AUC per frame: mine has 0.900 (0.800 to 0.950)."
    assert len(said) == 3
    (only,) = headlines([contender("measured", 0.9, 3.0)], [], "measured")
    assert only.startswith("Measured Ezrin")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (None, "No difference between a and b can be given."),
        (interval(None), "No difference between a and b can be given."),
        (interval(0.0, -0.1, 0.1), "a and b are equal; the 95 % interval"),
        (interval(-0.5, note="why"), "a is 0.500 worse than b; why."),
    ],
)
def test_differences_in_words(difference, words):
    assert difference_words("a", "b", difference, "auc").startswith(words)


def test_intervals_in_words():
    assert interval_words(interval(2.5, 1.25, 4.0), "onset_error") == "2.50 frames (1.25 to 4.00)"
    assert interval_words(interval(0.5), "auc") == "0.500"
    assert interval_words(None, "auc") == "undefined"
