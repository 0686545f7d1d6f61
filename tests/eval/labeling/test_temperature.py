"""Temperatures: found again where they are known, and what they are chosen by."""

import numpy as np
import pytest
import scipy.special

from isl_eval.labeling.distributions import DistributionFigures
from isl_eval.labeling.temperature import (
    SPARED,
    TEMPERATURES,
    best_temperature,
    coverage_error,
    tempered,
)


def drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bins that follow the distributions."""
    cumulative = np.cumsum(scipy.special.softmax(logits, axis=1), axis=1)
    draws = np.random.default_rng(seed).random(len(logits)) * cumulative[:, -1]
    return np.minimum((cumulative < draws[:, None]).sum(axis=1), 255)


def random_logits(count: int) -> np.ndarray:
    """Bells of any place and width: a temperature widens them by its square root."""
    rng = np.random.default_rng(1)
    centre, width = rng.uniform(60, 190, (count, 1)), rng.uniform(4, 16, (count, 1))
    return (-np.square((np.arange(256) - centre) / width) / 2).astype(np.float32)


def judged(logits: np.ndarray, true_bins: np.ndarray, temperature: float):
    figures = DistributionFigures()
    scaled = logits / np.float32(temperature)
    figures.add(scipy.special.log_softmax(scaled, axis=1), true_bins.astype(np.float32) / 255)
    return figures.result()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    logits = random_logits(4000)
    true_bins = drawn(logits)
    given = (logits * np.float32(temperature)).astype(np.float32)
    parts = [tempered(given[:3000], true_bins[:3000]), tempered(given[3000:], true_bins[3000:])]
    assert best_temperature(parts) == pytest.approx(temperature, rel=0.1)


def test_sums_are_those_of_the_figures_that_are_reported() -> None:
    logits, index = random_logits(900), 60
    true_bins = drawn(2 * logits)
    made = tempered(logits, true_bins)
    figures = judged(logits, true_bins, TEMPERATURES[index])
    assert made.nats[index] / (900 * np.log(256)) == pytest.approx(figures.cross_entropy)
    # Draws within bins differ; of 900 pixels by few.
    shown = made.pit[index].reshape(20, 2).sum(axis=1)
    assert np.abs(shown - figures.pit).sum() < 90
    assert made.pit.sum(axis=1).tolist() == [900] * TEMPERATURES.size


def test_coverage_decides_among_those_that_are_as_likely() -> None:
    """A few pixels far out raise the likeliest temperature, and widen intervals that were right."""
    logits = random_logits(3000)
    true_bins = drawn(logits)
    true_bins[:30] = logits[:30].argmax(axis=1) + 40
    made = tempered(logits, true_bins)
    likeliest = TEMPERATURES[made.nats.argmin()]
    found = best_temperature([made])
    assert 1.0 <= found < likeliest
    error = {
        at: coverage_error(judged(logits, true_bins, at).reliability) for at in (found, likeliest)
    }
    assert error[found] < error[likeliest]
    (index,) = np.flatnonzero(found == TEMPERATURES)
    assert made.nats[index] <= (1 + SPARED) * made.nats.min()


def test_the_extremes_are_the_bounds() -> None:
    logits = random_logits(50)
    for true_bins, bound in ((logits.argmax(axis=1), 0), (logits.argmin(axis=1), -1)):
        found = best_temperature([tempered(logits, true_bins)])
        assert found == pytest.approx(TEMPERATURES[bound], rel=0.1)


@pytest.mark.parametrize(
    ("logits", "true_bins", "complaint"),
    [
        (np.zeros((0, 256)), np.zeros(0, int), "not a pixel"),
        (np.zeros((2, 255)), np.zeros(2, int), "give"),
        (np.zeros((2, 256)), np.zeros(3, int), "give"),
        (np.zeros((2, 256)), np.array([0, 256]), "0 to 255"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    logits: np.ndarray, true_bins: np.ndarray, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        best_temperature([tempered(logits, true_bins)])
