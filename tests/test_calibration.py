"""Calibration of probabilities, by hand."""

import numpy as np
import pytest

from isl.calibration import (
    HOTTEST,
    at_temperature,
    calibration,
    class_calibration,
    fit_temperature,
)


def test_bins_by_hand():
    truth = np.array([False, True, True, True])
    found = calibration(truth, np.array([0.1, 0.2, 0.9, 1.0]), bins=2)
    assert found.brier == pytest.approx((0.01 + 0.64 + 0.01 + 0.0) / 4)
    low, high = found.bins
    assert (low.low, low.high, low.count) == (0.0, 0.5, 2)
    assert (low.mean, low.share) == (pytest.approx(0.15), 0.5)
    assert (high.low, high.high, high.count) == (0.5, 1.0, 2)
    assert (high.mean, high.share) == (pytest.approx(0.95), 1.0)
    # Half of the cases lie in a bin that is 0.35 off, half in one that is 0.05 off.
    assert found.error == pytest.approx(0.5 * 0.35 + 0.5 * 0.05)


def test_an_empty_bin_has_neither_mean_nor_share():
    found = calibration(np.array([True, True]), np.array([0.95, 1.0]))
    assert [each.count for each in found.bins] == [0] * 9 + [2]
    assert found.bins[0].mean is None
    assert found.bins[0].share is None


def test_always_half_is_a_quarter_off_and_calibrated_where_half_are_true():
    found = calibration(np.array([True, False] * 5), np.full(10, 0.5))
    assert (found.brier, found.error) == (0.25, 0.0)


def test_probabilities_drawn_as_announced_are_calibrated():
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    found = calibration(rng.random(200_000) < probability, probability)
    # Brier: the mean of p (1 - p) over the unit interval.
    assert found.brier == pytest.approx(1 / 6, abs=2e-3)
    assert found.error < 0.01


@pytest.mark.parametrize(
    ("truth", "probability", "message"),
    [
        ([True], [0.1, 0.2], r"truth \(1,\), probability \(2,\)"),
        ([], [], r"give \[N\] twice"),
        ([True], [1.1], "from 0 to 1"),
        ([True], [np.nan], "from 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused(truth, probability, message):
    with pytest.raises(ValueError, match=message):
        calibration(np.array(truth, bool), np.array(probability, float))


def test_classes_are_binned_by_how_sure_the_likeliest_is():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.0, 0.1, 0.9]])
    found = class_calibration(np.array([0, 0, 2]), probabilities, bins=2)
    low, high = found.bins
    assert (low.count, high.count) == (0, 3)
    assert high.mean == pytest.approx((0.8 + 0.6 + 0.9) / 3)
    assert high.share == pytest.approx(2 / 3)
    assert found.error == pytest.approx(abs(high.mean - high.share))
    assert found.brier == pytest.approx(
        ((0.04 + 0.01 + 0.01) + (0.49 + 0.36 + 0.01) + (0.0 + 0.01 + 0.01)) / 3
    )


def drawn_classes(temperature, count=20_000):
    """Logits that are too sure by a factor: classes are drawn from softmax(logits / factor)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(count, 4)) * 2
    right = at_temperature(logits, temperature)
    truth = (np.cumsum(right, axis=1) < rng.random((count, 1))).sum(axis=1).clip(max=3)
    return logits, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_classes_were_drawn_at_is_found(temperature):
    logits, truth = drawn_classes(temperature)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(temperature, rel=0.05)
    before, after = (
        class_calibration(truth, at_temperature(logits, at)).error for at in (1.0, found)
    )
    assert after < 0.02
    assert temperature == 1.0 or after < before


def test_no_temperature_of_a_fine_grid_has_less_cross_entropy():
    logits, truth = drawn_classes(2.5, 300)

    def cross_entropy(temperature):
        likely = at_temperature(logits, temperature)[np.arange(truth.size), truth]
        return -np.log(likely).mean()

    least = min(map(cross_entropy, np.geomspace(0.02, 50, 3000)))
    assert cross_entropy(fit_temperature(logits, truth)) <= least + 1e-7


def test_logits_that_are_never_wrong_are_as_sure_as_can_be():
    found = fit_temperature(np.eye(3), np.arange(3))
    assert 1 / HOTTEST <= found < 0.03
    assert at_temperature(np.eye(3), found) == pytest.approx(np.eye(3), abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], r"give \[N\] and \[N, K\]"),
        ([], np.zeros((0, 2)), r"give \[N\] and \[N, K\]"),
        ([2], [[0.5, 0.5]], "classes must be 0 to 1"),
        ([0], [[0.5, 0.9]], "add up to 1"),
        ([0], [[np.nan, 0.9]], "finite"),
    ],
)
def test_what_are_no_probabilities_of_classes_is_refused(truth, probabilities, message):
    with pytest.raises(ValueError, match=message):
        class_calibration(np.array(truth, int), np.array(probabilities, float))
