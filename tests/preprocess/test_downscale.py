import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.downscale import downscale


def averages_slowly(image, factor):
    height, width = (length // factor for length in image.shape)
    small = np.empty((height, width))
    for y, x in np.ndindex(height, width):
        block = [
            float(image[y * factor + i, x * factor + j])
            for i in range(factor)
            for j in range(factor)
        ]
        small[y, x] = sum(block) / factor**2
    return small


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(8, 6), (9, 7), (5, 12)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixels_are_averages_of_whole_blocks(dtype, shape, factor):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    before = image.copy()
    small = downscale(image, factor)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, averages_slowly(image, factor), rtol=1e-7)
    np.testing.assert_array_equal(image, before)


def test_two_is_the_default_and_full_counts_do_not_overflow():
    small = downscale(np.full((4, 6), 65535, np.uint16))
    assert small.shape == (2, 3)
    assert (small == 65535).all()


def test_positions_keep_their_place():
    # Of a ramp, each pixel is what the ramp is at the centre that the docstring states.
    image = np.arange(12.0)[:, None] + 100 * np.arange(10.0)
    centers = (np.arange(4) + 0.5) * 3 - 0.5
    expected = centers[:, None] + 100 * centers[:3]
    np.testing.assert_allclose(downscale(image, 3), expected)


def test_shot_noise_is_halved():
    image = np.random.default_rng(0).poisson(400, (200, 200)).astype(np.uint16)
    assert downscale(image).std() == pytest.approx(image.std() / 2, rel=0.03)


@pytest.mark.parametrize(
    ("shape", "factor"), [((1, 5), 2), ((5, 1), 2), ((4, 4), 5), ((4, 4), 0), ((2, 4, 4), 2)]
)
def test_what_is_no_block_is_named(shape, factor):
    with pytest.raises(InputError, match=rf"^tile.tif: .*downscaled by {factor};"):
        downscale(np.zeros(shape), factor, source="tile.tif")
