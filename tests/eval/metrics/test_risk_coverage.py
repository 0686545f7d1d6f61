"""Risk-coverage curves: a slow loop, ties, and what perfect and useless widths give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl_eval.metrics.risk_coverage import risk_coverage


def test_the_curve_is_that_of_a_slow_loop():
    rng = np.random.default_rng(0)
    width, error = rng.random(37), rng.random(37)
    curve = risk_coverage(width, error, points=37)
    order = np.argsort(width)
    for index, (coverage, risk) in enumerate(zip(curve.coverage, curve.risk, strict=True)):
        assert coverage == pytest.approx((index + 1) / 37)
        assert risk == pytest.approx(error[order[: index + 1]].mean())
        assert curve.width[index] == width[order[index]]
    assert curve.area == pytest.approx(curve.risk.mean())


def test_few_points_are_taken_from_the_same_curve():
    rng = np.random.default_rng(1)
    width, error = rng.random(1000), rng.random(1000)
    fine = risk_coverage(width, error, points=1000)
    coarse = risk_coverage(width, error, points=7)
    assert len(coarse.coverage) == 7
    assert coarse.coverage[-1] == 1
    assert coarse.risk[-1] == pytest.approx(error.mean())
    np.testing.assert_allclose(
        coarse.risk, fine.risk[np.rint(coarse.coverage * 1000).astype(int) - 1]
    )
    assert coarse.area == fine.area


def test_widths_that_know_the_error_beat_those_that_do_not():
    error = np.linspace(0, 1, 101)
    knowing = risk_coverage(error, error)
    assert knowing.area == pytest.approx(0.25, abs=0.01)
    assert np.all(np.diff(knowing.risk) > 0)
    ignorant = risk_coverage(np.ones(101), error)
    assert ignorant.area == pytest.approx(0.5)
    np.testing.assert_allclose(ignorant.risk, 0.5)
    assert risk_coverage(-error, error).area == pytest.approx(0.75, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1), st.randoms())
def test_order_does_not_matter(pixels, random):
    shuffled = random.sample(pixels, len(pixels))
    first, second = (
        risk_coverage(*np.array(order, float).T, points=5) for order in (pixels, shuffled)
    )
    np.testing.assert_allclose(first.risk, second.risk)
    assert first.area == pytest.approx(second.area)
    np.testing.assert_array_equal(first.width, second.width)


def test_nothing_to_judge_has_no_area():
    curve = risk_coverage(np.zeros(0), np.zeros(0))
    assert curve.area is None
    assert curve.coverage.size == curve.risk.size == curve.width.size == 0


@pytest.mark.parametrize(
    ("width", "error", "points", "complaint"),
    [
        (np.zeros(3), np.zeros(2), 5, "twice"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 5, "twice"),
        (np.zeros(3), np.zeros(3), 0, "1 point"),
        (np.array([np.nan]), np.zeros(1), 5, "finite"),
        (np.zeros(1), np.array([np.inf]), 5, "finite"),
    ],
)
def test_what_is_no_pair_is_refused(width, error, points, complaint):
    with pytest.raises(ValueError, match=complaint):
        risk_coverage(width, error, points=points)
