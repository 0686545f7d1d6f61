import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isl.errors import InputError
from isl.preprocess import salt_and_pepper as module
from isl.preprocess.salt_and_pepper import remove_salt_and_pepper


def speckled(image, margin=0, every=7):
    """A copy with hot and dead pixels in turn, on a grid `margin` pixels from the borders."""
    damaged = image.copy()
    inside = damaged[margin : len(damaged) - margin, margin : damaged.shape[1] - margin]
    inside[::every, ::every] = 65535
    inside[every // 2 :: every, every // 2 :: every] = 0
    return damaged


def filtered_slowly(image, size, most_passes):
    """The filter over the whole image, again and again."""
    image = image.astype(np.float32)
    for done in range(1, most_passes + 1):
        following = scipy.ndimage.median_filter(image, size, mode="nearest")
        if (following == image).all():
            return following, done
        image = following
    return image, most_passes


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(64, 71), (15, 8)])
def test_isolated_hot_and_dead_pixels_come_back_exactly(dtype, shape):
    image = np.full(shape, 1000, dtype)
    damaged = speckled(image)
    before = damaged.copy()
    result = remove_salt_and_pepper(damaged)
    assert result.image.dtype == np.float32
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_array_equal(damaged, before)
    assert result.changed == np.mean(damaged != image)
    assert (result.passes, result.converged) == (2, True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(64, 71), (15, 8)])
def test_on_a_ramp_too_where_the_window_is_whole(shape, axis):
    # Neighbours across the ramp have the pixel's own value. At a border the window repeats
    # pixels, so that a single hot one would outweigh a step of the ramp.
    ramp = np.expand_dims(np.arange(shape[axis], dtype=np.uint16) * 9, 1 - axis)
    image = np.broadcast_to(1000 + ramp, shape)
    result = remove_salt_and_pepper(speckled(image, margin=3))
    np.testing.assert_array_equal(result.image, image)


def test_bytes_too():
    image = np.full((20, 20), 100, np.uint8)
    damaged = image.copy()
    damaged[4, 4], damaged[12, 19] = 255, 0
    np.testing.assert_array_equal(remove_salt_and_pepper(damaged).image, image)


@given(
    arrays.arrays(
        np.uint16,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.integers(0, 9),
    ),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 6),
)
@settings(max_examples=60)
def test_looking_where_something_changed_is_filtering_everything(image, size, most_passes):
    expected, passes = filtered_slowly(image, size, most_passes)
    result = remove_salt_and_pepper(image, size=size, most_passes=most_passes)
    np.testing.assert_array_equal(result.image, expected)
    assert result.passes == passes


def test_noise_needs_many_passes_and_ends_where_nothing_changes(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", (8, 9))
    noise = np.random.default_rng(0).integers(0, 65536, (60, 50)).astype(np.uint16)
    expected, passes = filtered_slowly(noise, 5, 200)
    result = remove_salt_and_pepper(noise, most_passes=200)
    np.testing.assert_array_equal(result.image, expected)
    assert 5 < passes < 200
    assert (result.passes, result.converged) == (passes, True)
    again = remove_salt_and_pepper(result.image)
    np.testing.assert_array_equal(again.image, result.image)
    assert (again.passes, again.changed) == (1, 0.0)


def test_it_stops_after_the_most_passes():
    noise = np.random.default_rng(0).integers(0, 65536, (60, 50)).astype(np.uint16)
    result = remove_salt_and_pepper(noise, most_passes=3)
    np.testing.assert_array_equal(result.image, filtered_slowly(noise, 5, 3)[0])
    assert (result.passes, result.converged) == (3, False)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([[1.0, np.inf]]), "finite"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
    ],
)
def test_bad_images_are_named(image, says):
    with pytest.raises(InputError, match="^tile.tif: .*" + says):
        remove_salt_and_pepper(image, source="tile.tif")


@pytest.mark.parametrize("wrong", [{"size": 4}, {"size": 0}, {"size": -3}, {"most_passes": 0}])
def test_bad_parameters_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=f"{name} = {value}"):
        remove_salt_and_pepper(np.zeros((9, 9)), **wrong)
