"""Focus stacking by local contrast, on stacks where it is plain which plane is sharp."""

import numpy as np
import pytest
from scipy import ndimage
from stacking import stack_by_laplacian, stack_by_variance

METHODS = [stack_by_variance, stack_by_laplacian]


def two_halves():
    """The left half is sharp in plane 1, the right half in plane 2."""
    texture = np.random.default_rng(0).integers(0, 4096, (48, 64)).astype(np.uint16)
    planes = np.stack([ndimage.gaussian_filter(texture, 3)] * 3)
    planes[1, :, :32] = texture[:, :32]
    planes[2, :, 32:] = texture[:, 32:]
    return planes, texture


@pytest.mark.parametrize("stack_by", METHODS)
def test_every_pixel_comes_from_the_sharp_plane(stack_by):
    planes, texture = two_halves()
    stacked = stack_by(planes)
    assert stacked.image.dtype == stacked.depth.dtype == np.float32
    for half, plane in ((np.s_[:, :26], 1), (np.s_[:, 38:], 2)):
        np.testing.assert_array_equal(stacked.depth[half], plane)
        np.testing.assert_array_equal(stacked.image[half], texture[half])
    taken = np.take_along_axis(planes, stacked.depth.astype(int)[None], axis=0)[0]
    np.testing.assert_array_equal(stacked.image, taken)


@pytest.mark.parametrize("stack_by", METHODS)
def test_a_single_plane_is_returned_as_it_is(stack_by):
    plane = np.random.default_rng(0).random((1, 5, 7), np.float32)
    stacked = stack_by(plane)
    np.testing.assert_array_equal(stacked.image, plane[0])
    np.testing.assert_array_equal(stacked.depth, np.zeros((5, 7)))


def test_the_variance_is_that_of_the_window():
    # One bright pixel in plane 0 makes every window that holds it the most varied one.
    planes = np.full((2, 21, 21), 50_000, np.uint16)
    planes[0, 10, 10] += 3
    planes[1] -= np.indices((21, 21)).sum(axis=0).astype(np.uint16) % 2
    depth = stack_by_variance(planes, width=5).depth
    # 24/25 * 1/25 * 9 in the one, 0.25 in the other.
    assert (depth[8:13, 8:13] == 0).all()
    assert (depth == 0).sum() == 25
