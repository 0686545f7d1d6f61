import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl_eval.polarity.classification import (
    Confusion,
    accuracy,
    auc,
    call_statistics,
    confusion,
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
