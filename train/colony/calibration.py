"""What a finished model says of its own reliability, from validation images."""

import numpy as np
from scipy.optimize import minimize_scalar

from isl.colony.model import softmax

_BINS = 15
# A logarithm of the temperature beyond this is that of a network that says nothing.
_WIDEST = 3.0


def fitted_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """What logits [N, K] are divided by for the least cross-entropy (Guo et al. 2017)."""

    def cross_entropy(logarithm: float) -> float:
        scaled = logits / np.exp(logarithm)
        chosen = scaled[np.arange(len(truth)), truth]
        highest = scaled.max(axis=1)
        total = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
        return float((total - chosen).mean())

    found = minimize_scalar(cross_entropy, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def expected_calibration_error(logits: np.ndarray, truth: np.ndarray) -> float:
    """Mean gap between how likely the likeliest class is said to be and how often it is right.

    Args:
        logits: float [N, K].
        truth: int [N].
    """
    probabilities = softmax(logits)
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(sure[bins == number].mean() - right[bins == number].mean()) * (bins == number).mean()
        for number in np.unique(bins)
    ]
    return float(sum(gaps))


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
