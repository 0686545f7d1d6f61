import numpy as np
import pytest

from isl_eval.statistics.bootstrap import Resampling
from isl_eval.statistics.classification import roc
from isl_eval.statistics.roc_band import roc_band


def test_a_band_holds_its_curve_and_narrows_with_the_groups():
    rng = np.random.default_rng(0)
    widths = []
    for groups in (12, 200):
        of = np.repeat(np.arange(groups), 10)
        truth = rng.random(of.size) < 0.5
        score = truth + rng.normal(size=of.size)
        band = roc_band(truth, score, of, Resampling(replicates=100), places=21)
        curve = roc(truth, score)
        on_curve = np.interp(
            band.false_positive_rate, curve.false_positive_rate, curve.true_positive_rate
        )
        assert (band.low <= on_curve + 0.03).all()
        assert (on_curve <= band.high + 0.03).all()
        assert (np.diff(band.low) >= 0).all()
        assert (band.low[-1], band.high[-1]) == (1, 1)
        widths.append(np.mean(band.high - band.low))
    assert widths[1] < 0.5 * widths[0]


def test_perfect_scores_have_a_band_without_width():
    truth = np.arange(20) % 2 == 1
    band = roc_band(truth, truth.astype(float), None, Resampling(replicates=50))
    assert band.low == pytest.approx(np.ones(51))
    assert band.high == pytest.approx(np.ones(51))


def test_one_class_or_one_group_has_no_band():
    truth = np.arange(20) % 2 == 1
    assert roc_band(np.ones(20, bool), np.arange(20.0), None, Resampling(replicates=9)) is None
    assert roc_band(truth, np.arange(20.0), ["a"] * 20, Resampling(replicates=9)) is None
