"""Temperatures: found again where they are known, and never worse than none."""

import numpy as np
import pytest
import scipy.special

from isl.labeling.temperature import NARROWEST, WIDEST, fit_temperature


def drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bins that follow the distributions."""
    cumulative = np.cumsum(scipy.special.softmax(logits, axis=1), axis=1)
    draws = np.random.default_rng(seed).random(len(logits)) * cumulative[:, -1]
    return np.minimum((cumulative < draws[:, None]).sum(axis=1), 255)


def random_logits(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 2, (count, 256)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    logits = random_logits(8000)
    true_bins = drawn(logits)
    given = (logits * np.float32(temperature)).astype(np.float32)
    found = fit_temperature([(given[:3000], true_bins[:3000]), (given[3000:], true_bins[3000:])])
    assert found == pytest.approx(temperature, rel=0.05)


def test_how_pixels_are_batched_does_not_matter() -> None:
    logits = random_logits(600)
    true_bins = drawn(2 * logits)
    whole = fit_temperature([(logits, true_bins)])
    parts = fit_temperature(
        [(logits[a:b], true_bins[a:b]) for a, b in ((0, 1), (1, 1), (1, 420), (420, 600))]
    )
    assert parts == pytest.approx(whole, rel=1e-3)
    assert whole == pytest.approx(0.5, rel=0.1)


def test_the_extremes_are_the_bounds() -> None:
    logits = random_logits(50)
    assert fit_temperature([(logits, logits.argmax(axis=1))]) == pytest.approx(NARROWEST, rel=0.01)
    assert fit_temperature([(logits, logits.argmin(axis=1))]) == pytest.approx(WIDEST, rel=0.01)


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
        fit_temperature([(logits, true_bins)])
