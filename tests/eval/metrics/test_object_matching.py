import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isl.errors import InputError
from isl_eval.metrics.object_matching import compare_sizes, figures_of_table, tabulate_objects

SIZE = (20, 30)


def image(*boxes):
    labels = np.zeros(SIZE, int)
    for number, (top, bottom, left, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
    return labels


A, B, C = (2, 6, 2, 6), (2, 6, 10, 14), (10, 14, 2, 6)


def match_objects(true, predicted, **options):
    return figures_of_table(tabulate_objects(true, predicted, **options))


def errors(figures):
    return figures.split, figures.merged, figures.added, figures.missing


def test_alike_is_perfect_whatever_the_numbers():
    figures = match_objects(image(A, B, C), 7 * image(C, A, B))
    assert (figures.true_count, figures.predicted_count) == (3, 3)
    assert errors(figures) == (0, 0, 0, 0)
    assert (figures.accuracy, figures.average_precision_50, figures.average_precision_75) == (
        1,
        1,
        1,
    )
    assert (figures.size_ks_statistic, figures.size_ks_p) == pytest.approx((0, 1))
    assert figures.true_sizes.tolist() == figures.predicted_sizes.tolist() == [16] * 3
    assert figures.notes == ()


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([A, B], [(2, 6, 2, 4), (2, 6, 4, 6), B], (1, 0, 0, 0)),
        ([(2, 6, 2, 4), (2, 6, 4, 6), B], [A, B], (0, 1, 0, 0)),
        ([A], [A, B], (0, 0, 1, 0)),
        ([A, B], [A], (0, 0, 0, 1)),
        # In three parts it is still one nucleus taken for several.
        ([A], [(2, 6, 2, 3), (2, 6, 3, 4), (2, 6, 4, 6)], (1, 0, 0, 0)),
        # More of either is background than is shared.
        ([A], [(5, 9, 2, 6)], (0, 0, 1, 1)),
        # Half is shared: no more than with the background, which comes first.
        ([A], [(4, 8, 2, 6)], (0, 0, 1, 1)),
        ([A], [(3, 7, 2, 6)], (0, 0, 0, 0)),
    ],
)
def test_errors_by_kind(true, predicted, expected):
    figures = match_objects(image(*true), image(*predicted))
    assert errors(figures) == expected
    assert figures.accuracy == (len(true) - sum(expected)) / len(true)


def test_precision_by_intersection_over_union():
    # Rows shared of both: 12 of 20 pixels, 0.6; alike; and one missing.
    figures = match_objects(image(A, B, C), image((3, 7, 2, 6), B))
    assert figures.average_precision_50 == 2 / 3
    assert figures.average_precision_75 == 1 / 4
    half = match_objects(image((2, 6, 2, 6)), image((2, 6, 2, 4)))
    assert half.average_precision_50 == 0


def test_objects_at_the_edge_are_no_errors_of_either_image():
    edge, inside = (0, 5, 10, 14), (1, 5, 10, 14)
    for true, predicted in ((edge, inside), (inside, edge)):
        figures = match_objects(image(A, true), image(A, predicted))
        assert errors(figures) == (0, 0, 0, 0)
        assert figures.average_precision_50 == 1
    assert match_objects(image(A, edge), image(A)).true_count == 1
    counted = match_objects(image(A, edge), image(A), exclude_edge=False)
    assert (counted.true_count, counted.missing) == (2, 1)


def test_objects_that_reach_out_of_the_mask_are_left_out_like_those_at_the_edge():
    mask = np.ones(SIZE, bool)
    mask[:, 13:] = False
    assert match_objects(image(A, B), image(A), mask=mask).missing == 0
    # Most of it lies within.
    assert match_objects(image(A, B), image(A), mask=mask, exclude_edge=False).missing == 1
    mask[:, 12:] = False
    assert match_objects(image(A, B), image(A), mask=mask, exclude_edge=False).missing == 0


def test_objects_that_the_mask_cuts_off_are_left_out():
    # As a segmenter gives them that looks at measured ground only: B ends where the mask does.
    mask = np.ones(SIZE, bool)
    mask[:, 12:] = False
    cut = np.where(mask, image(A, B), 0)
    figures = match_objects(cut, np.where(mask, image(A), 0), mask=mask)
    assert (figures.true_count, figures.missing, figures.true_sizes.tolist()) == (1, 0, [16])
    counted = match_objects(cut, cut, mask=mask, exclude_edge=False)
    assert counted.true_sizes.tolist() == [16, 8]


def test_sizes_that_differ():
    large = image(*[(2, 8, 2 + 9 * n, 8 + 9 * n) for n in range(3)])
    small = image(*[(3, 7, 2 + 9 * n, 8 + 9 * n) for n in range(3)])
    figures = match_objects(large, small)
    assert figures.size_ks_statistic == 1
    # Two of the 20 ways to part six sizes are that extreme.
    assert figures.size_ks_p == pytest.approx(0.1)
    assert compare_sizes(np.zeros(0), np.ones(3)) == (None, None)


def test_fields_without_objects_have_reasons():
    nothing = image()
    figures = match_objects(nothing, nothing)
    assert (figures.accuracy, figures.average_precision_50, figures.size_ks_p) == (None,) * 3
    assert len(figures.notes) == 3
    figures = match_objects(nothing, image(A))
    assert (figures.accuracy, figures.added, figures.average_precision_50) == (None, 1, 0)
    assert "accuracy is undefined" in figures.notes[0]
    figures = match_objects(image(A), nothing)
    assert (figures.accuracy, figures.missing, figures.average_precision_75) == (0, 1, 0)
    nowhere = match_objects(image(A), image(A), mask=np.zeros(SIZE, bool))
    assert (nowhere.true_count, nowhere.predicted_count, nowhere.accuracy) == (0, 0, None)


def test_differing_sizes_are_refused():
    with pytest.raises(InputError, match="20 x 30 pixels, the predicted image 30 x 20"):
        match_objects(image(A), image(A).T)
    with pytest.raises(InputError, match="its mask 1 x 1"):
        match_objects(image(A), image(A), mask=np.ones((1, 1), bool))


small_labels = arrays(int, (4, 5), elements=st.integers(0, 4))


@given(small_labels, small_labels)
def test_against_loops_over_objects(true, predicted):
    figures = match_objects(true, predicted, exclude_edge=False)

    def largest(labels, other):
        """The object or 0 that each object shares most with; the lowest in value where equal."""
        return {
            n: max([0, *np.unique(other)], key=lambda k: ((labels == n) & (other == k)).sum())
            for n in np.unique(labels)
            if n
        }

    of_true, of_predicted = largest(true, predicted), largest(predicted, true)
    to_true, to_predicted = list(of_predicted.values()), list(of_true.values())
    assert errors(figures) == (
        sum(to_true.count(n) > 1 for n in of_true),
        sum(to_predicted.count(n) > 1 for n in of_predicted),
        to_true.count(0),
        to_predicted.count(0),
    )
    pairs = sum(
        ((true == n) & (predicted == k)).sum() > 0.5 * ((true == n) | (predicted == k)).sum()
        for n in of_true
        for k in of_predicted
    )
    total = len(of_true) + len(of_predicted) - pairs
    assert figures.average_precision_50 == (pairs / total if total else None)
