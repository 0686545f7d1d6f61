"""One number a label that makes its distributions as wide as errors are (after Guo et al. 2017).

Guo et al. take the temperature with the least cross-entropy. Cross-entropy hardly changes around
its least value while the coverage of intervals does, and intervals are what is handed on: so this
takes, of the temperatures that are as good as the best by cross-entropy, the one with which central
intervals hold most nearly what they say. Coverage alone would not do: it can be bought with
distributions that are right in nothing else.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.special

from isl.labeling.bins import BINS

from .distributions import PIT_BINS, randomised_pit, reliability

TEMPERATURES = np.geomspace(1 / 4, 4, 97)
"""Those that are looked among: 3 % apart, 1 in the middle."""
SPARED = 0.01
"""How much above the least a cross-entropy is as good, as a share of it."""

_AT_ONCE = 1 << 12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tempered:
    """What pixels of one label are at every temperature; sums, so pixels can be put together.

    Attributes:
        nats: float64 [T], cross-entropy summed over pixels.
        pit: int64 [T, PIT_BINS], how many true values fell into each part of the probability.
    """

    nats: np.ndarray
    pit: np.ndarray


def tempered(logits: np.ndarray, true_bins: np.ndarray) -> Tempered:
    """Judges pixels at all of `TEMPERATURES`.

    Args:
        logits: float32 [N, 256] of one label.
        true_bins: int [N], what was measured.

    Raises:
        ValueError: Shapes or bins are not such.
    """
    if true_bins.ndim != 1 or logits.shape != (true_bins.size, BINS):
        raise ValueError(f"logits {logits.shape}, bins {true_bins.shape}; give [N, {BINS}], [N]")
    if np.any((true_bins < 0) | (true_bins >= BINS)):
        raise ValueError(f"true bins must be 0 to {BINS - 1}")
    nats = np.zeros(TEMPERATURES.size)
    pit = np.zeros((TEMPERATURES.size, PIT_BINS), np.int64)
    for start in range(0, true_bins.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        true = true_bins[part]
        for index, temperature in enumerate(TEMPERATURES):
            logarithms = scipy.special.log_softmax(logits[part] / np.float32(temperature), axis=1)
            nats[index] -= logarithms[np.arange(true.size), true].sum(dtype=np.float64)
            cumulative = np.cumsum(np.exp(logarithms), axis=1)
            cumulative /= cumulative[:, -1:]
            # The same draws at each: temperatures differ by what they do, not by luck.
            places = randomised_pit(cumulative, true, np.random.default_rng(start))
            pit[index] += np.bincount(places, minlength=PIT_BINS)
    return Tempered(nats=nats, pit=pit)


def best_temperature(parts: Sequence[Tempered]) -> float:
    """The temperature for all the pixels together, as the module says.

    Returns:
        What logits are to be divided by: above 1 where they were too sure.

    Raises:
        ValueError: There is not a pixel.
    """
    pit = np.sum([part.pit for part in parts], axis=0)
    if not np.sum(pit):
        raise ValueError("there is not a pixel to fit a temperature on")
    nats = np.sum([part.nats for part in parts], axis=0)
    missed = np.array([coverage_error(reliability(each)) for each in pit])
    missed[nats > (1 + SPARED) * nats.min()] = np.inf
    return float(TEMPERATURES[missed.argmin()])


def coverage_error(reliability: Sequence[tuple[float, float]]) -> float:
    """Mean difference of observed and nominal coverage."""
    return float(np.mean([abs(observed - nominal) for nominal, observed in reliability]))
