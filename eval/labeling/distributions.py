"""Whether distributions over 256 intensities mean what they say, from sums over pixels.

A label image has integers of 8 or 16 bits, and bin k stands for the intensity k / 255, so what is
predicted has 256 values while what was measured has up to 65536, and many pixels may share one bin
(an empty background is often all in the first few). A true value is therefore known to its bin
only. Its place in the predicted distribution, the probability integral transform (PIT), is drawn
evenly from the share of probability that its bin holds (randomised PIT, Smith 1985; Czado, Gneiting
and Held 2009): that is uniform if and only if the distributions are right. The alternatives are
not: whole bins make every interval too wide, and the bin's middle (mid-PIT) piles up wherever one
bin holds much. Coverage, reliability and the histogram all follow from the one draw.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from isl.labeling.bins import BINS

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
SHARPNESS_LEVEL = 0.9
"""The interval whose width is."""
RANGES = 4
"""Ranges of equal width that [0, 1] is cut into."""

PIT_BINS = 40
"""Ends of all the levels' intervals are multiples of 1 / 40, so counts in 40 bins give coverage."""

_SHOWN = 20
_AT_ONCE = 1 << 14
_FEW_BINS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class RangeSummary:
    """Pixels whose intensity lies in one range; None for what is undefined without any.

    Attributes:
        low: Lower end of the range.
        high: Upper end, excluded but for the last.
        pixels: How many.
        cross_entropy: As in `DistributionSummary`, as all below.
        ranked_probability_score: Mean over bins of the squared difference of cumulatives.
        coverage: By level.
        sharpness: Mean width of the 90 % interval.
    """

    low: float
    high: float
    pixels: int
    cross_entropy: float | None
    ranked_probability_score: float | None
    coverage: Mapping[float, float] | None
    sharpness: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionSummary:
    """How good and how honest distributions are; None for what is undefined, with a note.

    Attributes:
        pixels: How many were judged.
        cross_entropy: Mean, in nats divided by ln 256: a uniform prediction scores 1.
        ranked_probability_score: Mean over pixels and bins of (predicted - true cumulative)^2.
        coverage: By level, the share of true values within the central interval.
        pit: Counts of the randomised PIT in 20 bins from 0 to 1; even if the distributions are
            right, high at both ends if they are too narrow.
        reliability: (nominal, observed) coverage, from 0.05 to 0.95.
        sharpness: Mean width of the central 90 % interval, in intensities.
        by_true_intensity: The same for quarters of [0, 1], by what was measured. Even right
            distributions miss their nominal coverage here: the pixels were chosen by outcome.
        by_predicted_intensity: By the distribution's mean; here right ones do not.
        bins_used: How many of the 256 bins true values fell into.
        notes: What a reader must know, a sentence each.
    """

    pixels: int
    cross_entropy: float | None
    ranked_probability_score: float | None
    coverage: Mapping[float, float] | None
    pit: tuple[int, ...]
    reliability: tuple[tuple[float, float], ...]
    sharpness: float | None
    by_true_intensity: tuple[RangeSummary, ...]
    by_predicted_intensity: tuple[RangeSummary, ...]
    bins_used: int
    notes: tuple[str, ...]


class DistributionFigures:
    """Sums over pixels, tile by tile: all distributions of a field would not fit into memory."""

    def __init__(self, *, seed: int = 0) -> None:
        """Starts with no pixels.

        Args:
            seed: Of the draws within bins.
        """
        self._rng = np.random.default_rng(seed)
        cells = (RANGES, RANGES)  # of the true, and of the predicted intensity
        self._pit = np.zeros((*cells, PIT_BINS), np.int64)
        self._cross_entropy = np.zeros(cells)
        self._score = np.zeros(cells)
        self._width = np.zeros(cells)
        self._true_bins = np.zeros(BINS, np.int64)

    def add(self, log_probabilities: np.ndarray, true: np.ndarray) -> None:
        """Takes in pixels.

        Args:
            log_probabilities: float32 [N, 256], natural logarithms.
            true: float [N] in [0, 1], what was measured.

        Raises:
            ValueError: Shapes or values are not such.
        """
        if true.ndim != 1 or log_probabilities.shape != (true.size, BINS):
            raise ValueError(
                f"log_probabilities {log_probabilities.shape}, true {true.shape}; give [N, {BINS}] "
                "and [N]"
            )
        if not np.all((true >= 0) & (true <= 1)):
            raise ValueError("true intensities must be numbers from 0 to 1")
        for start in range(0, true.size, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._add(log_probabilities[part], true[part])

    def _add(self, log_probabilities: np.ndarray, true: np.ndarray) -> None:
        probabilities = np.exp(log_probabilities)
        cumulative = np.cumsum(probabilities, axis=1)
        totals = cumulative[:, -1]
        if not np.all(np.abs(totals - 1) < 1e-2):
            raise ValueError("probabilities must sum to 1; take the log-softmax of logits")
        cumulative /= totals[:, None]
        # As isl.labeling.bins.to_bins.
        true_bin = np.rint(true * (BINS - 1)).astype(int)
        pixel = np.arange(true.size)
        mean = probabilities @ (np.arange(BINS, dtype=np.float32) / (BINS - 1))
        cells = (_index(true, RANGES), _index(mean, RANGES))
        reached = np.arange(BINS) >= true_bin[:, None]
        np.add.at(self._pit, (*cells, randomised_pit(cumulative, true_bin, self._rng)), 1)
        np.add.at(self._cross_entropy, cells, -log_probabilities[pixel, true_bin] / np.log(BINS))
        np.add.at(self._score, cells, np.mean(np.square(cumulative - reached), axis=1))
        np.add.at(self._width, cells, interval_width(cumulative, SHARPNESS_LEVEL))
        self._true_bins += np.bincount(true_bin, minlength=BINS)

    @property
    def sums(self) -> dict[str, np.ndarray]:
        """All that it holds: arrays that add up over pixels, by name."""
        return {
            "pit": self._pit,
            "cross_entropy": self._cross_entropy,
            "score": self._score,
            "width": self._width,
            "true_bins": self._true_bins,
        }

    @classmethod
    def from_sums(cls, sums: Mapping[str, np.ndarray], *, seed: int = 0) -> "DistributionFigures":
        """Figures of the pixels that `sums` were taken of, or of several such added up."""
        figures = cls(seed=seed)
        for name, array in figures.sums.items():
            array += sums[name]
        return figures

    def result(self) -> DistributionSummary:
        """Figures of all pixels so far."""
        pit = self._pit.sum(axis=(0, 1))
        whole = self._summary(0.0, 1.0, (slice(None), slice(None)))
        used = int(np.count_nonzero(self._true_bins))
        return DistributionSummary(
            pixels=whole.pixels,
            cross_entropy=whole.cross_entropy,
            ranked_probability_score=whole.ranked_probability_score,
            coverage=whole.coverage,
            pit=tuple(pit.reshape(_SHOWN, -1).sum(axis=1).tolist()),
            reliability=reliability(pit) if whole.pixels else (),
            sharpness=whole.sharpness,
            by_true_intensity=tuple(
                self._summary(*_ends(index), (index, slice(None))) for index in range(RANGES)
            ),
            by_predicted_intensity=tuple(
                self._summary(*_ends(index), (slice(None), index)) for index in range(RANGES)
            ),
            bins_used=used,
            notes=_notes(whole, used),
        )

    def _summary(
        self, low: float, high: float, cells: tuple[int | slice, int | slice]
    ) -> RangeSummary:
        pit = self._pit[cells].reshape(-1, PIT_BINS).sum(axis=0)
        pixels = int(pit.sum())

        def mean(sums: np.ndarray) -> float | None:
            value = float(sums[cells].sum()) / pixels if pixels else np.inf
            return value if np.isfinite(value) else None

        return RangeSummary(
            low=low,
            high=high,
            pixels=pixels,
            cross_entropy=mean(self._cross_entropy),
            ranked_probability_score=mean(self._score),
            coverage={level: _within(pit, level) for level in LEVELS} if pixels else None,
            sharpness=mean(self._width),
        )


def randomised_pit(
    cumulative: np.ndarray, true_bin: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which of `PIT_BINS` parts of the predicted probability a true value falls into.

    Args:
        cumulative: float32 [N, 256], ending in 1.
        true_bin: int [N].
        rng: Draws the place within the bin.

    Returns:
        int [N].
    """
    pixel = np.arange(true_bin.size)
    above = cumulative[pixel, true_bin]
    below = np.where(true_bin > 0, cumulative[pixel, true_bin - 1], 0)
    return _index(below + rng.random(true_bin.size) * (above - below), PIT_BINS)


def reliability(pit: np.ndarray) -> tuple[tuple[float, float], ...]:
    """(nominal, observed) coverage of central intervals from 0.05 to 0.95.

    Args:
        pit: int [PIT_BINS], how many true values fell into each part; one at least.
    """
    levels = [2 * step / PIT_BINS for step in range(1, PIT_BINS // 2)]
    return tuple((level, _within(pit, level)) for level in levels)


def interval_width(cumulative: np.ndarray, level: float) -> np.ndarray:
    """Width of the central interval; probability is spread evenly over a bin's width of 1 / 255.

    Args:
        cumulative: float32 [N, 256], ending in 1.
        level: Share of probability within.

    Returns:
        float32 [N], in intensities.
    """
    tail = (1 - level) / 2
    return (_quantile(cumulative, 1 - tail) - _quantile(cumulative, tail)).astype(np.float32)


def _quantile(cumulative: np.ndarray, share: float) -> np.ndarray:
    index = np.minimum(np.count_nonzero(cumulative < share, axis=1), BINS - 1)
    pixel = np.arange(len(cumulative))
    above = cumulative[pixel, index]
    below = np.where(index > 0, cumulative[pixel, index - 1], 0)
    within = np.divide(share - below, above - below, out=np.ones_like(above), where=above > below)
    return (index - 0.5 + within) / (BINS - 1)


def _index(values: np.ndarray, parts: int) -> np.ndarray:
    return np.clip((values * parts).astype(int), 0, parts - 1)


def _ends(index: int) -> tuple[float, float]:
    return index / RANGES, (index + 1) / RANGES


def _within(pit: np.ndarray, level: float) -> float:
    cut = round((1 - level) / 2 * PIT_BINS)
    return float(pit[cut : PIT_BINS - cut].sum() / pit.sum())


def _notes(whole: RangeSummary, used: int) -> tuple[str, ...]:
    if not whole.pixels:
        return ("no pixel was judged, so nothing is defined",)
    notes = []
    if whole.cross_entropy is None:
        notes.append("a true intensity was given no probability, so cross-entropy is undefined")
    if used <= _FEW_BINS:
        notes.append(
            f"true intensities fall into {used} of the {BINS} bins: within a bin nothing can be "
            "told, and intervals narrower than a few bins mean little"
        )
    return tuple(notes)
