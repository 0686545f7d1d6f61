import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.projection import project


def percentile_slowly(planes, percentile):
    projected = np.empty(planes.shape[1:])
    for y, x in np.ndindex(projected.shape):
        values = sorted(float(value) for value in planes[:, y, x])
        place = percentile / 100 * (len(values) - 1)
        below = int(place)
        above = min(below + 1, len(values) - 1)
        projected[y, x] = values[below] + (place - below) * (values[above] - values[below])
    return projected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("percentile", [0, 37.5, 90, 100])
@pytest.mark.parametrize("shape", [(15, 5, 3), (2, 70, 2), (1, 3, 3), (11, 130, 1)])
def test_it_is_the_percentile_of_each_pixel(dtype, percentile, shape):
    planes = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    before = planes.copy()
    projected = project(planes, percentile)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, percentile_slowly(planes, percentile), rtol=1e-6)
    np.testing.assert_array_equal(planes, before)


def test_ninety_is_the_default_and_passes_one_outlier_of_eleven():
    planes = np.tile(np.arange(11, dtype=np.uint16)[:, None, None], (1, 4, 5))
    planes[-1] = 65535
    assert (project(planes) == 9).all()


def test_the_order_of_the_planes_does_not_matter():
    planes = np.random.default_rng(0).random((7, 4, 5), np.float32)
    np.testing.assert_array_equal(project(planes), project(planes[::-1]))


@pytest.mark.parametrize("percentile", [-1, 101, float("nan")])
def test_what_is_no_percentile_is_named(percentile):
    with pytest.raises(InputError, match=f"percentile = {percentile:g}"):
        project(np.zeros((2, 2, 2)), percentile)


@pytest.mark.parametrize("shape", [(3, 4), (0, 3, 4), (2, 0, 4)])
def test_what_is_no_stack_is_named(shape):
    with pytest.raises(InputError, match=r"^well-A1: .*shape"):
        project(np.zeros(shape), source="well-A1")
