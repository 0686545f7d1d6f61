"""Calibration of probabilities, by hand."""

import numpy as np
import pytest

from isl_eval.polarity.calibration import calibration


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
