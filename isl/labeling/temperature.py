"""One number a label that makes its distributions as wide as the errors are (Guo et al. 2017)."""

from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special

from isl.labeling.bins import BINS

NARROWEST, WIDEST = 0.05, 20.0
"""Temperatures that are looked among."""

_AT_ONCE = 1 << 14
_CLOSE = 1e-3


def fit_temperature(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The temperature with the least cross-entropy.

    Cross-entropy has one minimum over temperatures: it is convex in the inverse.

    Args:
        batches: Logits float32 [N, 256] of one label, and the true bins, int [N]; gone through
            some twenty times.

    Returns:
        What logits are to be divided by: above 1 where they were too sure.

    Raises:
        ValueError: There is not a pixel, or shapes or bins are not such.
    """
    for logits, true_bins in batches:
        if true_bins.ndim != 1 or logits.shape != (true_bins.size, BINS):
            raise ValueError(
                f"logits {logits.shape}, bins {true_bins.shape}; give [N, {BINS}], [N]"
            )
        if np.any((true_bins < 0) | (true_bins >= BINS)):
            raise ValueError(f"true bins must be 0 to {BINS - 1}")
    if not sum(true_bins.size for _, true_bins in batches):
        raise ValueError("there is not a pixel to fit a temperature on")

    def loss(logarithm: float) -> float:
        return sum(_nats(*batch, np.float32(np.exp(logarithm))) for batch in batches)

    found = scipy.optimize.minimize_scalar(
        loss,
        bounds=(np.log(NARROWEST), np.log(WIDEST)),
        method="bounded",
        options={"xatol": _CLOSE},
    )
    return float(np.exp(found.x))


def _nats(logits: np.ndarray, true_bins: np.ndarray, temperature: np.float32) -> float:
    """Summed over pixels."""
    total = 0.0
    for start in range(0, true_bins.size, _AT_ONCE):
        some = logits[start : start + _AT_ONCE] / temperature
        true = np.take_along_axis(some, true_bins[start : start + _AT_ONCE, None], axis=1)[:, 0]
        total += float(np.sum(scipy.special.logsumexp(some, axis=1) - true, dtype=np.float64))
    return total
