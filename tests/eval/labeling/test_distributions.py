"""Figures of distributions: analytic answers, a slow loop, and what right ones must show."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from isl.labeling import losses
from isl_eval.labeling.distributions import LEVELS, DistributionFigures, interval_width

BINS = 256


def gaussians(rng: np.random.Generator, count: int, deviation: float) -> np.ndarray:
    """Log-probabilities [count, 256] around random centres."""
    centre = rng.uniform(0.2, 0.8, count)[:, None]
    distance = (np.arange(BINS) / (BINS - 1) - centre) / deviation
    return scipy.special.log_softmax(-0.5 * distance**2, axis=1).astype(np.float32)


def drawn(rng: np.random.Generator, log_probabilities: np.ndarray) -> np.ndarray:
    """True intensities that follow the distributions."""
    cumulative = np.cumsum(np.exp(log_probabilities), axis=1)
    below = cumulative < rng.uniform(0, cumulative[:, -1])[:, None]
    return below.sum(axis=1) / (BINS - 1)


def figures(log_probabilities: np.ndarray, true: np.ndarray, **options):
    judged = DistributionFigures(**options)
    judged.add(log_probabilities, true)
    return judged.result()


def test_right_distributions_cover_what_they_say():
    rng = np.random.default_rng(0)
    log_probabilities = gaussians(rng, 20_000, 0.05)
    result = figures(log_probabilities, drawn(rng, log_probabilities))
    assert result.pixels == 20_000
    assert tuple(result.coverage) == LEVELS
    for level, share in result.coverage.items():
        assert share == pytest.approx(level, abs=0.012)
    for nominal, observed in result.reliability:
        assert observed == pytest.approx(nominal, abs=0.012)
    assert scipy.stats.chisquare(result.pit).pvalue > 0.001
    assert result.sharpness == pytest.approx(2 * 1.6449 * 0.05, rel=0.01)
    assert result.notes == ()


def test_right_distributions_cover_what_they_say_where_one_bin_holds_most():
    """Middles of bins, or whole bins, would not: half of the probability is in the first."""
    rng = np.random.default_rng(1)
    log_probabilities = np.log(np.array([0.5, 0.3, 0.2] + [1e-12] * 253, np.float32))
    log_probabilities = np.repeat(log_probabilities[None], 30_000, axis=0)
    result = figures(log_probabilities, drawn(rng, log_probabilities))
    for level, share in result.coverage.items():
        assert share == pytest.approx(level, abs=0.012)
    assert scipy.stats.chisquare(result.pit).pvalue > 0.001
    assert result.bins_used == 3
    (note,) = result.notes
    assert "3 of the 256 bins" in note


@pytest.mark.parametrize(("factor", "too_narrow"), [(0.5, True), (2.0, False)])
def test_distributions_of_wrong_width_show(factor, too_narrow):
    rng = np.random.default_rng(2)
    true = drawn(rng, gaussians(np.random.default_rng(3), 5_000, 0.05))
    said = gaussians(np.random.default_rng(3), 5_000, 0.05 * factor)
    result = figures(said, true)
    expected = 2 * scipy.stats.norm.cdf(1.6449 * factor) - 1
    assert result.coverage[0.9] == pytest.approx(expected, abs=0.015)
    middle = sum(result.pit[8:12])
    ends = sum(result.pit[:2] + result.pit[-2:])
    assert (ends > middle) == too_narrow


def test_scores_are_the_losses_and_quarters_add_up():
    rng = np.random.default_rng(4)
    log_probabilities = scipy.special.log_softmax(rng.normal(0, 2, (999, BINS)), axis=1)
    log_probabilities = log_probabilities.astype(np.float32)
    true = rng.random(999)
    result = figures(log_probabilities, true)
    everywhere = np.ones((999, 1), bool)
    for name, value in (
        ("cross_entropy", result.cross_entropy),
        ("ranked_probability_score", result.ranked_probability_score),
    ):
        sums, counts = getattr(losses, name)(log_probabilities[:, None], true[:, None], everywhere)
        assert value == pytest.approx(float(sums[0] / counts[0]), rel=1e-5)
    mean = np.exp(log_probabilities) @ (np.arange(BINS) / (BINS - 1))
    for parts, intensity in (
        (result.by_true_intensity, true),
        (result.by_predicted_intensity, mean),
    ):
        assert [part.pixels for part in parts] == np.histogram(intensity, 4, (0, 1))[0].tolist()
        scored = [part for part in parts if part.pixels]
        total = sum(part.pixels * part.cross_entropy for part in scored)
        assert total / 999 == pytest.approx(result.cross_entropy)
        inside = sum(part.pixels * part.coverage[0.8] for part in scored)
        assert inside / 999 == pytest.approx(result.coverage[0.8])
    alone = figures(log_probabilities[true < 0.25], true[true < 0.25])
    first = result.by_true_intensity[0]
    assert (first.low, first.high) == (0, 0.25)
    assert first.sharpness == pytest.approx(alone.sharpness)
    assert first.ranked_probability_score == pytest.approx(alone.ranked_probability_score)


def test_coverage_is_that_of_a_slow_loop():
    rng = np.random.default_rng(5)
    log_probabilities = gaussians(rng, 300, 0.02)
    true = np.clip(drawn(rng, log_probabilities) + rng.normal(0, 0.02, 300), 0, 1)
    result = figures(log_probabilities, true, seed=9)
    draws = np.random.default_rng(9).random(300)
    places = []
    for row, value, draw in zip(np.exp(log_probabilities), true, draws, strict=True):
        bin_number = round(value * 255)
        places.append(row[:bin_number].sum() + draw * row[bin_number])
    for level, share in result.coverage.items():
        inside = [(1 - level) / 2 <= place < (1 + level) / 2 for place in places]
        assert share == pytest.approx(np.mean(inside), abs=1e-9)
    assert result.pit == tuple(np.histogram(places, 20, (0, 1))[0].tolist())


def test_tiles_add_up_to_the_whole():
    rng = np.random.default_rng(6)
    log_probabilities = gaussians(rng, 1000, 0.1)
    true = rng.random(1000)
    parts = DistributionFigures(seed=3)
    for start, stop in ((0, 1), (1, 700), (700, 700), (700, 1000)):
        parts.add(log_probabilities[start:stop], true[start:stop])
    whole = figures(log_probabilities, true, seed=3)
    assert parts.result().pit == whole.pit
    assert parts.result().sharpness == pytest.approx(whole.sharpness)
    assert parts.result().coverage == whole.coverage


def test_sums_of_parts_give_the_figures_of_the_whole():
    rng = np.random.default_rng(5)
    log_probabilities = gaussians(rng, 600, 0.1)
    true = drawn(rng, log_probabilities)
    whole, first, second = (DistributionFigures() for _ in range(3))
    whole.add(log_probabilities, true)
    first.add(log_probabilities[:200], true[:200])
    second.add(log_probabilities[200:], true[200:])
    added = {name: array + second.sums[name] for name, array in first.sums.items()}
    joined = DistributionFigures.from_sums(added).result()
    assert joined.pixels == 600
    assert joined.cross_entropy == pytest.approx(whole.result().cross_entropy)
    assert joined.sharpness == pytest.approx(whole.result().sharpness)
    assert joined.bins_used == whole.result().bins_used
    # What was taken out is not changed by what was made of it.
    assert first.result().pixels == 200


def test_the_interval_of_even_and_of_certain_distributions():
    even = np.cumsum(np.full((1, BINS), 1 / BINS, np.float32), axis=1)
    assert interval_width(even, 0.9) == pytest.approx([0.9 * 256 / 255], abs=1e-5)
    certain = (np.arange(BINS) >= 17).astype(np.float32)[None]
    assert interval_width(certain, 0.9) == pytest.approx([0.9 / 255], abs=1e-6)
    two = 0.5 * (np.arange(BINS) >= 0) + 0.5 * (np.arange(BINS) >= 255)
    # A tenth of the outermost bins' probability is left out at either end.
    expected = (255 + 2 * 0.4) / 255
    assert interval_width(two[None].astype(np.float32), 0.9) == pytest.approx([expected], abs=1e-5)


def test_nothing_judged_is_said_and_not_counted_as_a_figure():
    result = DistributionFigures().result()
    assert result.pixels == 0
    assert result.cross_entropy is None
    assert result.ranked_probability_score is None
    assert result.coverage is None
    assert result.sharpness is None
    assert result.reliability == ()
    assert result.pit == (0,) * 20
    assert result.notes == ("no pixel was judged, so nothing is defined",)
    empty = figures(np.log(np.full((2, BINS), 1 / BINS, np.float32)), np.zeros(2))
    assert empty.by_true_intensity[3].coverage is None
    assert empty.by_true_intensity[3].cross_entropy is None


def test_truth_without_probability_leaves_cross_entropy_undefined():
    with np.errstate(divide="ignore"):
        certain = np.log((np.arange(BINS) == 17).astype(np.float32))[None]
    result = figures(certain, np.ones(1))
    assert result.cross_entropy is None
    assert any("no probability" in note for note in result.notes)
    assert figures(certain, np.full(1, 17 / 255)).cross_entropy == 0


@pytest.mark.parametrize(
    ("log_probabilities", "true", "complaint"),
    [
        (np.zeros((3, 255)), np.zeros(3), "give"),
        (np.zeros((3, BINS)), np.zeros(2), "give"),
        (np.zeros((2, BINS)), np.zeros(2), "sum to 1"),
        (np.full((1, BINS), -np.log(BINS)), np.array([1.5]), "0 to 1"),
        (np.full((1, BINS), -np.log(BINS)), np.array([np.nan]), "0 to 1"),
    ],
)
def test_what_are_no_distributions_or_intensities_is_refused(log_probabilities, true, complaint):
    with pytest.raises(ValueError, match=complaint):
        DistributionFigures().add(log_probabilities.astype(np.float32), true)
