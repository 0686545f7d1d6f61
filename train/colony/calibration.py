"""What a finished model says of its own reliability, from validation images."""

import numpy as np


def confusion_of(
    truth: np.ndarray, called: np.ndarray, classes: int
) -> tuple[tuple[float, ...], ...]:
    """Share of each class's images called each class; [K, K], rows add up to 1.

    A class with no image is taken to be called itself. Half an image of every class is added to
    each, so that a few images do not make a confusion that cannot be undone.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, called), 1)
    shown = counts.sum(axis=1)
    counts += np.where(shown[:, None] > 0, 0.5 / classes, np.eye(classes))
    shares = counts / counts.sum(axis=1, keepdims=True)
    return tuple(tuple(float(share) for share in row) for row in shares)


def recalls(truth: np.ndarray, called: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class's images that are called rightly, float64 [K]; nan without any."""
    with np.errstate(invalid="ignore"):
        shown = np.bincount(truth, minlength=classes)
        right = np.bincount(truth[called == truth], minlength=classes)
        return right / np.where(shown > 0, shown, np.nan)
