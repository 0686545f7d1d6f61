"""Samples of distributions: uniform at every pixel, alike nearby, the same however they are cut."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

import isl
from isl.errors import InputError
from isl.imaging.image import ZStack
from isl.labeling.coherence import (
    SCALES,
    check_coherence,
    fit_coherence,
    normal_scores,
    sampled_shares,
    seed_of,
)

WEIGHTS = (0.1, 0.3, 0.2, 0.2, 0.2)
ROWS, COLUMNS = np.arange(300), np.arange(280)


def correlation(weights, lag):
    return sum(w * np.exp(-((lag / s) ** 2) / 4) for w, s in zip(weights, SCALES, strict=True))


def test_every_pixel_s_share_is_uniform():
    shares = np.stack([sampled_shares(WEIGHTS, ROWS[:64], COLUMNS[:64], (n,)) for n in range(60)])
    # Far apart, so independent.
    apart = shares[:, ::63, ::63].ravel()
    assert scipy.stats.kstest(apart, "uniform").pvalue > 0.01
    assert shares.min() > 0
    assert shares.max() < 1
    # Between nodes as at nodes.
    spread = scipy.special.ndtri(shares.astype(float)).std(axis=(0, 2))
    assert spread.max() / spread.min() < 1.25


@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 0, 0, 0, 0), (0, 0, 0, 1.0, 0)])
def test_neighbours_are_as_alike_as_asked(weights):
    fields = [
        scipy.special.ndtri(sampled_shares(weights, ROWS, COLUMNS, (n,)).astype(float))
        for n in range(30)
    ]
    for lag in (1, 3, 8, 20):
        found = np.mean(
            [(f[lag:] * f[:-lag]).mean() + (f[:, lag:] * f[:, :-lag]).mean() for f in fields]
        )
        assert found / 2 == pytest.approx(correlation(weights, lag), abs=0.08)


def test_parts_are_those_of_the_whole():
    whole = sampled_shares(WEIGHTS, ROWS, COLUMNS, seed_of(3, "DAPI", 0))
    part = sampled_shares(WEIGHTS, ROWS[37:101], COLUMNS[5:], seed_of(3, "DAPI", 0))
    np.testing.assert_array_equal(part, whole[37:101, 5:])
    for other in (seed_of(4, "DAPI", 0), seed_of(3, "MAP2", 0), seed_of(3, "DAPI", 1)):
        assert abs(sampled_shares(WEIGHTS, ROWS, COLUMNS, other) - whole).mean() > 0.2


def test_weights_are_found_again():
    rng = np.random.default_rng(0)
    fields = []
    for number in range(6):
        scores = scipy.special.ndtri(
            sampled_shares(WEIGHTS, np.arange(500), np.arange(500), (number,)).astype(float)
        )
        fields.append((1.3 * scores + 0.4, rng.random(scores.shape) < 0.7))
    found = fit_coherence(fields)
    assert found is not None
    assert sum(found) == pytest.approx(1)
    for lag in (1, 4, 10, 30):
        assert correlation(found, lag) == pytest.approx(correlation(WEIGHTS, lag), abs=0.06)
    assert fit_coherence([(np.zeros((9, 9)), np.zeros((9, 9), bool))]) is None
    assert fit_coherence([(np.zeros((99, 99)), np.ones((99, 99), bool))]) is None


def test_scores_are_normal_where_distributions_are_right():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(256, 0.05), 4000)
    true = np.array([rng.choice(256, p=each) for each in p])
    scores = normal_scores(p, true, rng)
    assert scipy.stats.kstest(scores, "norm").pvalue > 0.01


@pytest.fixture(scope="module")
def phantom():
    return isl.load_model("phantom")


def stack():
    planes = np.random.default_rng(2).integers(0, 60000, (13, 150, 170)).astype(np.uint16)
    return ZStack(name="a", planes=planes)


def test_samples_differ_by_seed_and_not_by_tile(phantom):
    given = {"statistics": ["sample", "median"], "allow_mismatch": True}
    first = phantom.predict(stack(), **given)
    assert first.statistics["sample"].dtype == np.float32
    again = phantom.predict(stack(), **given, tile=64)
    np.testing.assert_allclose(first.statistics["sample"], again.statistics["sample"], atol=2e-3)
    other = phantom.predict(stack(), **given, seed=1)
    np.testing.assert_array_equal(first.statistics["median"], other.statistics["median"])
    assert abs(first.statistics["sample"] - other.statistics["sample"]).mean() > 1e-3
    turned = phantom.predict(stack(), **given, symmetries=True)
    assert turned.statistics["sample"].shape == first.statistics["sample"].shape


def test_samples_have_the_distributions_mean(phantom):
    drawn = [
        phantom.predict(stack(), statistics=["sample"], allow_mismatch=True, seed=n).statistics
        for n in range(24)
    ]
    said = phantom.predict(
        stack(), statistics=["mean", "standard_deviation"], allow_mismatch=True
    ).statistics
    mean = np.mean([each["sample"] for each in drawn], axis=0)
    error = (mean - said["mean"]) / np.maximum(said["standard_deviation"], 1 / 255)
    assert abs(error.mean()) < 0.15
    assert np.sqrt((error**2).mean()) < 0.5


def test_a_seed_is_no_number_below_zero(phantom):
    with pytest.raises(InputError, match="`seed=-1`: expected a number from 0 on"):
        phantom.predict(stack(), statistics=["sample"], allow_mismatch=True, seed=-1)


def test_a_model_that_was_not_asked_how_it_errs_gives_none():
    check_coherence(("median",), ("DAPI",), {}, "m")
    with pytest.raises(
        InputError, match=r"model 'm' does not say how its errors in DAPI .*`isl calibrate`"
    ):
        check_coherence(("sample",), ("DAPI",), {"MAP2": WEIGHTS}, "m")
