"""Whether probabilities mean what they say: of all cases called 80 % likely, 80 % should be so."""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 10
HOTTEST = 100.0
"""The temperatures that `fit_temperature` looks among: up to this, and down to 1 over this."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Cases of similar probability.

    Attributes:
        low: Lower end of the bin.
        high: Upper end.
        count: How many cases are in it.
        mean: Their mean probability; None: there are none.
        share: The share of them that is True; None: there are none.
    """

    low: float
    high: float
    count: int
    mean: float | None
    share: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far probabilities are from the shares they announce.

    Attributes:
        brier: Mean squared difference of probability and truth; 0 is best. Of a True or False,
            "always 0.5" has 0.25; of several classes it is summed over them, 0 to 2.
        error: Expected calibration error: the mean over cases of |mean - share| of their bin.
        bins: Bins of equal width from 0 to 1: the reliability curve.
    """

    brier: float
    error: float
    bins: tuple[CalibrationBin, ...]


def calibration(truth: np.ndarray, probability: np.ndarray, *, bins: int = BINS) -> Calibration:
    """Bins probabilities and compares each bin with the truth.

    Args:
        truth: bool [N].
        probability: float [N] in [0, 1].
        bins: How many.
    """
    truth = np.asarray(truth, dtype=np.float64)
    probability = np.asarray(probability, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != probability.shape or not truth.size:
        raise ValueError(f"truth {truth.shape}, probability {probability.shape}; give [N] twice")
    if not np.all((probability >= 0) & (probability <= 1)):
        raise ValueError("probabilities must be numbers from 0 to 1")
    brier = float(np.mean(np.square(probability - truth)))
    return _binned(truth, probability, brier, bins)


def class_calibration(
    truth: np.ndarray, probabilities: np.ndarray, *, bins: int = BINS
) -> Calibration:
    """Bins the probability of the likeliest class and compares it with how often that is right.

    Args:
        truth: int [N], the number of each case's class.
        probabilities: float [N, K], adding up to 1.
        bins: How many.
    """
    truth, probabilities = _checked(truth, probabilities)
    if not (np.all(probabilities >= 0) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("probabilities of a case must be 0 or more and add up to 1")
    called = probabilities.argmax(axis=1)
    confidence = np.minimum(probabilities.max(axis=1), 1)
    is_class = np.arange(probabilities.shape[1]) == truth[:, None]
    brier = float(np.square(probabilities - is_class).sum(axis=1).mean())
    return _binned((called == truth).astype(np.float64), confidence, brier, bins)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """What logits are to be divided by for the least cross-entropy (Guo et al. 2017).

    Fit it on cases that were neither trained on nor are judged.

    Args:
        logits: float [N, K]; of a True or False, [N, 2].
        truth: int [N], the number of each case's class.

    Returns:
        Above 1 where the logits were too sure. Where every case is called rightly, none is too
        low: then one at which they are as sure as numbers hold, 1 / `HOTTEST` at the least.
    """
    truth, logits = _checked(truth, logits)

    def cross_entropy(logarithm: float) -> float:
        logs = log_softmax(logits / np.exp(logarithm), axis=1)
        return -float(logs[np.arange(truth.size), truth].mean())

    # Convex in 1 / temperature, so there is one least value.
    reach = float(np.log(HOTTEST))
    found = minimize_scalar(cross_entropy, bounds=(-reach, reach), method="bounded")
    return float(np.exp(found.x))


def at_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64 [N, K], of logits [N, K] divided by a temperature."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def _checked(truth: np.ndarray, of_classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers, int64 [N], and what there is of every class, float64 [N, K]."""
    truth, of_classes = np.asarray(truth), np.asarray(of_classes, dtype=np.float64)
    if truth.ndim != 1 or of_classes.ndim != 2 or len(of_classes) != truth.size or not truth.size:
        raise ValueError(f"truth {truth.shape}, of classes {of_classes.shape}; give [N] and [N, K]")
    if not np.isfinite(of_classes).all():
        raise ValueError("a probability or logit is not finite")
    count = of_classes.shape[1]
    if not np.all(np.isin(truth, np.arange(count))):
        raise ValueError(f"classes must be 0 to {count - 1}; there are {np.unique(truth)[:5]}")
    return truth.astype(np.int64), of_classes


def _binned(truth: np.ndarray, probability: np.ndarray, brier: float, bins: int) -> Calibration:
    """Bins of probabilities, float [N], beside truth 0 or 1 [N]."""
    places = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    announced = np.bincount(places, weights=probability, minlength=bins)
    happened = np.bincount(places, weights=truth, minlength=bins)
    return Calibration(
        brier=brier,
        error=float(np.abs(announced - happened).sum() / truth.size),
        bins=tuple(
            CalibrationBin(
                low=number / bins,
                high=(number + 1) / bins,
                count=int(count),
                mean=float(announced[number] / count) if count else None,
                share=float(happened[number] / count) if count else None,
            )
            for number, count in enumerate(counts)
        ),
    )
