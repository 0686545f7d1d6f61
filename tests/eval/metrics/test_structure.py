"""Lines and texture, against pictures whose lines are drawn."""

import numpy as np
import pytest
import scipy.ndimage

from isl_eval.metrics.structure import line_threshold, structure_of

SIZE = 160
COUNTED = np.ones((SIZE, SIZE), bool)


def lines(*, broken: bool = False) -> np.ndarray:
    """Three lines of 120 pixels, 3 wide, on noise; broken ones have gaps of 12 pixels."""
    picture = np.zeros((SIZE, SIZE))
    for row in (40, 80, 120):
        picture[row - 1 : row + 2, 20:140] = 1
    if broken:
        for column in (50, 80, 110):
            picture[:, column - 6 : column + 6] = 0
    noise = np.random.default_rng(0).normal(size=picture.shape)
    return scipy.ndimage.gaussian_filter(picture, 1) + 0.02 * noise


def test_whole_lines_are_as_long_as_they_are():
    measured = lines()
    threshold = line_threshold(measured, COUNTED)
    found = structure_of(measured, measured, COUNTED, threshold)
    assert found.length == pytest.approx(360, rel=0.05)
    assert found.parts == 3
    assert found.connectedness == pytest.approx(120, rel=0.05)
    assert found.roughness == 0


def test_gaps_shorten_and_divide_and_blur_smooths():
    measured = lines()
    threshold = line_threshold(measured, COUNTED)
    broken = structure_of(lines(broken=True), measured, COUNTED, threshold)
    assert broken.length < 330
    assert broken.parts == 12
    assert broken.connectedness < 35
    blurred = structure_of(scipy.ndimage.gaussian_filter(measured, 4), measured, COUNTED, threshold)
    assert blurred.length < 100
    assert blurred.roughness > 0.5
    grain = measured + np.random.default_rng(1).normal(size=measured.shape) * 0.6
    assert structure_of(grain, measured, COUNTED, threshold).roughness > 0.5


def test_what_is_not_counted_is_not_looked_at():
    measured, counted = lines(), COUNTED.copy()
    counted[:60] = False
    threshold = line_threshold(measured, counted)
    other = measured.copy()
    other[:60] = np.random.default_rng(2).random((60, SIZE))
    assert structure_of(other, measured, counted, threshold) == structure_of(
        measured, measured, counted, threshold
    )
    nothing = structure_of(np.zeros_like(measured), measured, counted, threshold)
    assert (nothing.length, nothing.connectedness, nothing.parts) == (0, 0.0, 0)
