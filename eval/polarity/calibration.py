"""Whether probabilities mean what they say: of all frames called 80 % likely, 80 % should be so."""

import dataclasses

import numpy as np

BINS = 10


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
        brier: Mean squared difference of probability and truth; 0 is best, 0.25 is "always 0.5".
        error: Expected calibration error: the mean over cases of |mean - share| of their bin.
        bins: Bins of equal width from 0 to 1.
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
    places = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    announced = np.bincount(places, weights=probability, minlength=bins)
    happened = np.bincount(places, weights=truth, minlength=bins)
    return Calibration(
        brier=float(np.mean(np.square(probability - truth))),
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
