"""Resampling by inverse frequency: shares within binomial limits, classes that nobody names."""

import numpy as np
import pytest

from isl_train.colony.balance import class_weights, drawn

LABELS = np.repeat([0, 1, 2, 3], [3587, 3934, 656, 10506])


def test_classes_are_drawn_equally_often() -> None:
    """Each share within four standard errors of a quarter."""
    index = drawn(LABELS, 4, "inverse", np.random.default_rng(0))
    assert len(index) == len(LABELS)
    shares = np.bincount(LABELS[index], minlength=4) / len(index)
    assert (np.abs(shares - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(index))).all()


def test_images_of_a_class_are_drawn_equally_often() -> None:
    labels = np.array([0] * 4 + [1])
    rng = np.random.default_rng(0)
    counts = sum(np.bincount(drawn(labels, 2, "inverse", rng), minlength=5) for _ in range(4000))
    expected = np.array([1 / 8] * 4 + [1 / 2])
    total = counts.sum()
    assert (np.abs(counts / total - expected) < 4 * np.sqrt(expected / total)).all()


def test_without_balance_each_image_is_there_once() -> None:
    index = drawn(LABELS, 4, "none", np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(index), np.arange(len(LABELS)))


@pytest.mark.parametrize("balance", ["inverse", "smoothed", "none"])
def test_a_class_that_the_teacher_never_names(balance) -> None:
    labels = np.array([0] * 90 + [2] * 10)
    weights = class_weights(np.bincount(labels, minlength=4), balance)
    assert np.isfinite(weights).all()
    assert (weights[[1, 3]] == 0).all()
    index = drawn(labels, 4, balance, np.random.default_rng(0))
    assert set(labels[index]) == {0, 2}


def test_smoothed_lies_between_inverse_and_none() -> None:
    counts = np.array([90, 9, 1])
    inverse, smoothed = (class_weights(counts, kind) for kind in ("inverse", "smoothed"))
    assert 1 < smoothed[2] / smoothed[0] < inverse[2] / inverse[0] == 90


def test_prior_correction_allows_for_the_teachers_confusion() -> None:
    """A teacher that calls a third of the many b's a names as many a's as b's; a's are rarer."""
    confusion = np.array([[1.0, 0.0], [1 / 3, 2 / 3]])
    true = np.array([10.0, 90.0])
    weights = class_weights(true @ confusion, "prior_corrected", confusion=confusion)
    np.testing.assert_allclose(weights, 1 / true, rtol=1e-6)
    with pytest.raises(ValueError, match="confusion"):
        class_weights(true, "prior_corrected")


def test_epochs_as_large_as_the_smallest_class_allows() -> None:
    index = drawn(LABELS, 4, "inverse", np.random.default_rng(0), size="smallest_class")
    assert len(index) == 4 * 656


def test_proportions_may_come_from_the_labelled_images() -> None:
    """Weights 1 / 50 for classes of 90 and 10: nothing is changed."""
    labels = np.array([0] * 900 + [1] * 100)
    index = drawn(labels, 2, "inverse", np.random.default_rng(0), proportions=np.array([50, 50]))
    assert abs(np.mean(labels[index]) - 0.1) < 4 * np.sqrt(0.09 / 1000)
