import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from isl_eval.statistics.classification import (
    ClassConfusion,
    Confusion,
    accuracy,
    auc,
    average_precision,
    call_statistics,
    class_confusion,
    confusion,
    mean_of_defined,
    roc,
)

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12)


def split(pairs):
    return np.array([truth for truth, _ in pairs]), np.array([score for _, score in pairs])


def test_each_cell_has_its_name():
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    calls = np.array([1, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    cells = confusion(truth, calls)
    assert cells == Confusion(true_negative=3, false_positive=1, false_negative=2, true_positive=4)
    assert (cells.total, cells.negatives, cells.positives) == (10, 4, 6)
    assert cells.accuracy == accuracy(truth, calls) == 0.7
    assert cells.sensitivity == 4 / 6
    assert cells.specificity == 3 / 4
    assert cells.precision == 4 / 5
    assert cells.f1 == pytest.approx(2 / (6 / 4 + 5 / 4))
    assert cells.undefined == ""


def test_confusions_of_parts_merge_to_the_whole():
    rng = np.random.default_rng(0)
    truth, calls = rng.random((2, 50)) < 0.4
    assert confusion(truth[:20], calls[:20]) + confusion(truth[20:], calls[20:]) == confusion(
        truth, calls
    )


def test_of_one_class_only_what_is_undefined_is_none_and_said():
    before = confusion(np.zeros(5), np.array([0, 1, 0, 0, 0]))
    assert (before.accuracy, before.sensitivity, before.specificity) == (0.8, None, 0.8)
    assert "all 5 rows are negative" in before.undefined
    after = confusion(np.ones(5), np.array([0, 1, 1, 1, 1]))
    assert (after.accuracy, after.sensitivity, after.specificity) == (0.8, 0.8, None)
    assert "all 5 rows are positive" in after.undefined
    nothing = Confusion()
    assert (nothing.accuracy, nothing.sensitivity, nothing.specificity) == (None, None, None)
    assert "no rows" in nothing.undefined
    assert (nothing.precision, nothing.f1) == (None, None)
    for truth in (np.zeros(3), np.ones(3), np.zeros(0)):
        score = np.arange(len(truth))
        assert auc(truth, score) is None
        assert roc(truth, score) is None


def test_auc_of_scores_that_order_reverse_or_say_nothing():
    truth = np.array([0, 0, 1, 1])
    assert auc(truth, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auc(truth, np.array([0.4, 0.3, 0.2, 0.1])) == 0.0
    assert auc(truth, np.full(4, 0.5)) == 0.5
    assert auc(truth, np.array([0.1, 0.3, 0.3, 0.4])) == 3.5 / 4


@given(rows)
def test_auc_is_the_share_of_pairs_in_order(pairs):
    truth, score = split(pairs)
    pairs_in_order = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in score[truth]
        for low in score[~truth]
    ]
    found = auc(truth, score)
    if not pairs_in_order:
        assert found is None
    else:
        assert found == pytest.approx(np.mean(pairs_in_order))


@given(rows)
def test_the_area_below_the_roc_curve_is_auc(pairs):
    truth, score = split(pairs)
    curve = roc(truth, score)
    if curve is None:
        assert auc(truth, score) is None
        return
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(auc(truth, score))


@given(rows)
def test_every_point_of_the_roc_curve_is_the_confusion_at_its_threshold(pairs):
    truth, score = split(pairs)
    curve = roc(truth, score)
    if curve is None:
        return
    assert np.isinf(curve.threshold[0])
    assert len(curve.threshold) == len(np.unique(score)) + 1
    for false_rate, true_rate, threshold in zip(
        curve.false_positive_rate, curve.true_positive_rate, curve.threshold, strict=True
    ):
        cells = confusion(truth, score >= threshold)
        assert true_rate == pytest.approx(cells.sensitivity)
        assert false_rate == pytest.approx(1 - cells.specificity)
    assert curve.false_positive_rate[-1] == curve.true_positive_rate[-1] == 1.0


def test_statistics_by_name():
    truth, calls = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert call_statistics(truth, calls, np.array([1, 3, 2, 4])) == {
        "accuracy": 0.75,
        "sensitivity": 1.0,
        "specificity": 0.5,
        "auc": 0.75,
    }


@pytest.mark.parametrize(
    ("truth", "other", "message"),
    [
        (np.array([0, 2]), np.array([0, 1]), "classes"),
        (np.array([0, 1]), np.array([0.0, np.nan]), "classes"),
        (np.array([0, 1]), np.array([0, 1, 1]), "shape"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "shape"),
    ],
)
def test_what_is_no_pair_of_classes_is_refused(truth, other, message):
    with pytest.raises(ValueError, match=message):
        confusion(truth, other)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="nan"):
        auc(np.array([0, 1]), np.array([0.0, np.nan]))


@given(rows)
def test_average_precision_sums_precision_over_steps_of_recall(pairs):
    truth, score = split(pairs)
    found = average_precision(truth, score)
    if not truth.any():
        assert found is None
        return
    total = recall_before = 0.0
    for threshold in sorted(set(score), reverse=True):
        cells = confusion(truth, score >= threshold)
        total += (cells.sensitivity - recall_before) * cells.precision
        recall_before = cells.sensitivity
    assert found == pytest.approx(total)


def test_average_precision_of_scores_that_order_or_say_nothing():
    truth = np.array([0, 1, 1, 0, 0])
    assert average_precision(truth, np.array([1, 5, 4, 3, 2])) == 1.0
    assert average_precision(truth, np.zeros(5)) == pytest.approx(2 / 5)


def several_classes(seed=0, count=120):
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, count, p=[0.5, 0.3, 0.15, 0.05])
    probabilities = rng.dirichlet(np.ones(4), count) + 0.3 * np.eye(4)[truth]
    return truth, probabilities / probabilities.sum(axis=1, keepdims=True)


CLASSES = ("spread", "compact", "differentiated", "dead")


def test_several_classes_are_as_scikit_learn_has_them():
    truth, probabilities = several_classes()
    calls = probabilities.argmax(axis=1)
    found = class_confusion(truth, calls, CLASSES)
    assert np.array_equal(found.counts, metrics.confusion_matrix(truth, calls))
    for name, scores in (
        ("recall", metrics.recall_score(truth, calls, average=None)),
        ("precision", metrics.precision_score(truth, calls, average=None)),
        ("f1", metrics.f1_score(truth, calls, average=None)),
    ):
        assert getattr(found, name) == pytest.approx(dict(zip(CLASSES, scores, strict=True)))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, calls))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, calls))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(truth, calls, average="macro"))
    for statistic, scikit in (
        (auc, metrics.roc_auc_score),
        (average_precision, metrics.average_precision_score),
    ):
        for number in range(len(CLASSES)):
            case = truth == number, probabilities[:, number]
            assert statistic(*case) == pytest.approx(scikit(*case))


def test_each_class_against_the_rest_is_a_confusion_of_two():
    truth, probabilities = several_classes(1)
    calls = probabilities.argmax(axis=1)
    found = class_confusion(truth, calls, CLASSES)
    for number, name in enumerate(CLASSES):
        assert found.against_rest(name) == confusion(truth == number, calls == number)
    parts = class_confusion(truth[:50], calls[:50], CLASSES) + class_confusion(
        truth[50:], calls[50:], CLASSES
    )
    assert np.array_equal(parts.counts, found.counts)


def test_a_class_without_cases_counts_in_no_mean():
    found = class_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ("a", "b", "c"))
    assert found.recall == {"a": 0.5, "b": 1.0, "c": None}
    assert found.precision == {"a": 1.0, "b": 0.5, "c": None}
    assert found.balanced_accuracy == 0.75
    assert found.macro_f1 == pytest.approx(2 / 3)
    nothing = class_confusion(np.zeros(0, int), np.zeros(0, int), ("a", "b"))
    assert (nothing.accuracy, nothing.balanced_accuracy, nothing.macro_f1) == (None, None, None)
    assert mean_of_defined([None, 1.0, 3.0]) == 2.0


def test_classes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="classes must be 0 to 1"):
        class_confusion(np.array([0, 2]), np.array([0, 1]), ("a", "b"))
    one = class_confusion(np.array([0]), np.array([0]), ("a", "b"))
    with pytest.raises(ValueError, match="do not merge"):
        one + ClassConfusion(classes=("a", "c"), counts=one.counts)
