"""Images that lie beside each other are distinguished from those that only disagree."""

import numpy as np
import pytest
import scipy.ndimage
from simulated_labeling import blobs

from isl_eval.labeling.registration import misregistration

ALL = np.ones((120, 110), bool)


def pair(shift, seed=0):
    true = blobs(seed, ALL.shape, count=40)
    predicted = scipy.ndimage.gaussian_filter(0.6 * true + 0.1, 1)
    return true, np.roll(predicted, shift, axis=(0, 1))


@pytest.mark.parametrize("shift", [(5, -3), (0, 4), (-8, 0)])
def test_a_shift_is_found(shift):
    assert misregistration(*pair(shift), ALL) == pytest.approx(shift, abs=0.3)


@pytest.mark.parametrize("shift", [(0, 0), (1, -1), (0, 2)])
def test_a_small_one_is_not_spoken_of(shift):
    assert misregistration(*pair(shift), ALL) is None


def test_only_what_counts_is_looked_at():
    true, predicted = pair((6, 0))
    mask = ALL.copy()
    mask[:30] = False
    true[:30] = 1
    assert misregistration(true, predicted, mask) == pytest.approx((6, 0), abs=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_a_poor_prediction_is_not_called_unregistered(seed):
    noise = np.random.default_rng(seed).random(ALL.shape)
    assert misregistration(blobs(1, ALL.shape), noise, ALL) is None


@pytest.mark.parametrize("mask", [ALL, np.zeros_like(ALL)])
def test_nothing_to_compare_says_nothing(mask):
    assert misregistration(blobs(2, ALL.shape), np.full(ALL.shape, 0.3), mask) is None
