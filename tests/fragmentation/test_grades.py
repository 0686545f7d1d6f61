"""Grades and intervals."""

import math

import numpy as np
import pytest

from isl.errors import InputError
from isl.fragmentation.grades import GradeScale, conformal_radius, read_scale

SCALE = GradeScale()


@pytest.mark.parametrize(
    ("share", "grade"),
    [(0.0, "0-10 %"), (0.0999, "0-10 %"), (0.1, "10-25 %"), (0.25, "25-50 %"), (1.0, "over 50 %")],
)
def test_bins_hold_their_lower_bound(share: float, grade: str) -> None:
    assert SCALE.grade(share) == grade
    low, high = SCALE.range_of(grade)
    assert low <= share <= high


def test_distance_to_the_next_grade() -> None:
    distance, beyond = SCALE.to_next(0.12)
    assert (distance, beyond) == (pytest.approx(0.02), "0-10 %")
    assert SCALE.to_next(0.2)[1] == "25-50 %"
    assert SCALE.to_next(0.9) == (pytest.approx(0.4), "25-50 %")


def test_probabilities_count_where_held_out_errors_would_take_the_share() -> None:
    residuals = [-0.05, 0.0, 0.01, 0.04, 0.2]
    found = SCALE.probabilities(0.08, residuals)
    expected = np.array([3, 1, 1, 0]) + 0.25
    np.testing.assert_allclose(found, expected / expected.sum())


def test_a_laboratorys_own_scale_and_its_mistakes(tmp_path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "ours"\nsource = "us"\ngrades = ["A", "B"]\nbounds = [0.2]\n')
    assert read_scale(path).grade(0.2) == "B"
    path.write_text('grades = ["A", "B"]\nbounds = [0.2, 0.3]\n')
    with pytest.raises(InputError, match="2 grades and 2 bounds"):
        read_scale(path)
    path.write_text('grades = ["A", "B", "C"]\nbounds = [0.3, 0.2]\n')
    with pytest.raises(InputError, match="must increase"):
        read_scale(path)
    with pytest.raises(ValueError, match="not of the scale"):
        SCALE.range_of("5-15 %")


def test_conformal_intervals_cover_as_promised() -> None:
    rng = np.random.default_rng(0)
    covered = [abs(rng.normal()) <= conformal_radius(rng.normal(size=30), 0.9) for _ in range(3000)]
    assert 0.88 < np.mean(covered) < 0.94
    assert conformal_radius([0.1] * 8) == math.inf
    assert conformal_radius(np.arange(9) / 10) == pytest.approx(0.8)
