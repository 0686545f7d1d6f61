import numpy as np
import pytest

from isl.phantom.fluorescence import Confocal, project

HEIGHTS = np.arange(-7.0, 8.0)


def confocal(**changes):
    return Confocal(**({"projection": "SECTION", "axial": 1.5, "leak": 0.0} | changes))


def point(height, size=41):
    dye = np.zeros((len(HEIGHTS), size, size), np.float32)
    dye[np.flatnonzero(height == HEIGHTS)[0], size // 2, size // 2] = 1
    return dye


@pytest.mark.parametrize("projection", ["SECTION", "MAXIMUM"])
@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_dye_everywhere_gives_one(projection, leak):
    dye = np.ones((len(HEIGHTS), 20, 30), np.float32)
    seen = project(dye, HEIGHTS, confocal(projection=projection, leak=leak), 0.3)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, 1, rtol=1e-5)


def test_dye_away_from_the_section_fades():
    total = [project(point(z), HEIGHTS, confocal(), 0.3).sum() for z in (0.0, 2.0, 4.0)]
    np.testing.assert_allclose(total / total[0], np.exp([0, -(4 / 4.5), -(16 / 4.5)]), rtol=1e-3)


def test_the_maximum_sees_every_height_alike():
    seen = [
        project(point(z), HEIGHTS, confocal(projection="MAXIMUM"), 0.3).max() for z in (0.0, 3.0)
    ]
    assert seen[1] == pytest.approx(seen[0], rel=1e-2)


def test_a_point_spreads_by_the_lateral_deviation():
    seen = project(point(0.0), HEIGHTS, confocal(lateral=0.9), 0.3)
    x = (np.arange(41) - 20) * 0.3
    variance = (seen.sum(axis=0) * x**2).sum() / seen.sum()
    assert np.sqrt(variance) == pytest.approx(0.9, rel=0.03)


def test_haze_comes_from_outside_the_section():
    seen = project(point(7.0), HEIGHTS, confocal(leak=0.1), 0.3)
    clean = project(point(7.0), HEIGHTS, confocal(), 0.3)
    assert seen.sum() > 10 * clean.sum()
