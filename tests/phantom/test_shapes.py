import numpy as np
import pytest

from isl.phantom.grid import make_grid
from isl.phantom.shapes import Body, body_window, depth_inside, fiber, filled, shell, window

GRID = make_grid(height=60, width=50, pixel_size=0.3, depth=12, thickness=0.5, border=3)
SIZE = GRID.size


def ball(radius, center=(0.3, 8.0, 7.0)):
    return Body(center=center, radii=(radius, radius, radius), angle=0.4)


def test_grid_holds_the_picture_and_its_border():
    assert GRID.slabs == 24
    assert GRID.rows >= 80
    assert GRID.columns >= 70
    np.testing.assert_allclose(GRID.heights, -GRID.heights[::-1])
    picture = GRID.center_crop(np.indices((GRID.rows, GRID.columns)), 60, 50)
    assert picture.shape == (2, 60, 50)
    assert picture[0].min() >= 10
    assert picture[1].max() < GRID.columns - 9


@pytest.mark.parametrize("size", [16, 17, 97, 512])
def test_grid_sizes_suit_fourier_transforms(size):
    grid = make_grid(height=size, width=size, pixel_size=1, depth=1, thickness=1, border=0)
    rest = grid.rows
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert size <= grid.rows < 1.3 * size + 2


def test_depth_in_a_ball_is_radius_less_distance():
    body = ball(3.0)
    where = body_window(GRID, body)
    z, y, x = np.meshgrid(
        GRID.heights[where[0]],
        *(np.arange(s.start, s.stop) * 0.3 for s in where[1:]),
        indexing="ij",
    )
    distance = np.sqrt((z - 0.3) ** 2 + (y - 8) ** 2 + (x - 7) ** 2)
    depth = depth_inside(GRID, body, where)
    away_from_center = distance > 0.1
    np.testing.assert_allclose(depth[away_from_center], 3 - distance[away_from_center], atol=1e-4)
    assert depth.min() < -0.7


def test_a_filled_ellipsoid_has_its_volume():
    body = Body(center=(0.1, 9.0, 8.5), radii=(2.5, 4.0, 3.0), angle=0.7)
    voxels = filled(depth_inside(GRID, body, body_window(GRID, body)), 0.4)
    volume = voxels.sum() * 0.5 * 0.3 * 0.3
    assert volume == pytest.approx(4 / 3 * np.pi * 2.5 * 4 * 3, rel=0.02)


def test_a_shell_peaks_on_the_surface():
    depth = np.array([-1.0, 0.0, 0.4])
    np.testing.assert_allclose(shell(depth, 0.4), np.exp([-3.125, 0, -0.5]))


def test_windows_end_at_the_grid():
    assert all(s.start == s.stop for s in window(GRID, (0.0, -50.0, 5.0), (1, 1))[1:2])
    corner = window(GRID, (-100.0, 0.0, SIZE[2]), (200, 2))
    assert corner[0] == slice(0, GRID.slabs)
    assert corner[1].start == 0
    assert corner[2].stop == GRID.columns


def test_a_fiber_is_as_thick_as_its_radius_says():
    t = np.linspace(0, 1, 40)
    path = np.stack([-1 + 2 * t, 4 + 8 * t, 5 + 6 * np.sin(t)], axis=-1)
    radii = np.linspace(0.4, 0.8, 40)
    drawn = np.zeros(GRID.shape)
    places, profile = fiber(GRID, path, radii)
    np.maximum.at(drawn, places, profile)
    rng = np.random.default_rng(0)
    for k, j, i in rng.integers(0, GRID.shape, size=(3000, 3)):
        voxel = np.array([GRID.heights[k], j * 0.3, i * 0.3])
        away = np.linalg.norm(path - voxel, axis=1)
        expected = np.exp(-0.5 * (away / radii) ** 2).max()
        assert drawn[k, j, i] == pytest.approx(expected if expected > 0.05 else 0, abs=1e-5)


def test_a_fiber_may_leave_the_grid():
    path = np.stack([np.zeros(30), np.linspace(-20, 40, 30), np.full(30, 5.0)], axis=-1)
    (z, y, x), profile = fiber(GRID, path, np.full(30, 0.5))
    assert profile.size
    assert z.max() < GRID.slabs
    assert y.min() >= 0
    assert y.max() < GRID.rows
    assert x.max() < GRID.columns
