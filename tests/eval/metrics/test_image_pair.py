import numpy as np
import pytest

from isl.errors import InputError
from isl_eval.metrics.image_pair import checked_pair, constancy, correlation, regression_line


def test_differing_sizes_are_refused_with_both():
    with pytest.raises(InputError, match="5 x 7 pixels, the predicted image 5 x 8"):
        checked_pair(np.zeros((5, 7)), np.zeros((5, 8)))
    with pytest.raises(InputError, match="5 x 7 pixels, its mask 7 x 5"):
        checked_pair(np.zeros((5, 7)), np.zeros((5, 7)), np.ones((7, 5), bool))


def test_what_is_no_number_is_refused_unless_masked():
    true, predicted = np.zeros((2, 3)), np.zeros((2, 3))
    predicted[1, 2] = np.nan
    with pytest.raises(InputError, match="the predicted image holds no finite number at 1 of 6"):
        checked_pair(true, predicted)
    mask = np.ones((2, 3), bool)
    mask[1, 2] = False
    assert checked_pair(true, predicted, mask).chosen[1].tolist() == [0] * 5


def test_a_line_through_points_on_it():
    true = np.array([0.1, 0.2, 0.5])
    line = regression_line(true, 0.5 * true + 0.25)
    assert line == pytest.approx((0.5, 0.25))
    assert correlation(true, -true) == pytest.approx(-1)


def test_constant_and_empty_are_said():
    constant, other = np.full(4, 0.3), np.arange(4) / 4
    assert correlation(constant, other) is None
    assert regression_line(constant, other) is None
    assert regression_line(other, constant) == pytest.approx((0, 0.3))
    assert [each.split()[1] for each in constancy(constant, constant)] == ["true", "predicted"]
    assert constancy(other, other) == ()
    assert constancy(np.zeros(0), np.zeros(0)) == ("no pixel counts: nothing is defined",)
    # Rounding of a constant image is no contrast.
    assert correlation(constant + 1e-12 * other, other) is None
