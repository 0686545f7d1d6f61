import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isl.errors import InputError
from isl.preprocess.stages import salt_and_pepper as module
from isl.preprocess.stages.salt_and_pepper import MedianOf25, remove_salt_and_pepper


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
    st.one_of(
        arrays.arrays(
            dtype,
            st.tuples(st.integers(1, 13), st.integers(1, 13)),
            elements=elements,
        )
        for dtype, elements in (
            (np.uint16, st.integers(0, 9)),
            (np.uint16, st.sampled_from([0, 1, 65534, 65535])),
            (np.int32, st.sampled_from([-1, 0, 65535, 65536])),
            (np.float32, st.floats(-(2.0**24), 2.0**24, width=32)),
            (np.float64, st.sampled_from([0.0, 0.1, 0.5, 1.0, 65535.0])),
        )
    ),
    st.sampled_from([1, 3, 5, 5, 5, 7]),
    st.integers(1, 6),
    st.sampled_from([(2, 1), (4, 3), (6, 8), (128, 256)]),
)
@settings(max_examples=150)
def test_blocks_where_something_changed_are_filtering_everything(image, size, most_passes, block):
    expected, passes = filtered_slowly(image, size, most_passes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        result = remove_salt_and_pepper(image, size=size, most_passes=most_passes)
    np.testing.assert_array_equal(result.image, expected)
    assert result.image.dtype == np.float32
    assert result.passes == passes


@pytest.mark.parametrize("values", [3, 200, 65536, 10**6])
@pytest.mark.parametrize("shape", [(130, 257), (1, 300), (259, 2), (128, 256)])
def test_one_pass_is_that_of_scipy(values, shape):
    image = np.random.default_rng(values).integers(0, values, shape).astype(np.float32)
    result = remove_salt_and_pepper(image, most_passes=1)
    np.testing.assert_array_equal(result.image, filtered_slowly(image, 5, 1)[0])


def smaller_and_larger(first, second):
    return np.minimum(first, second), np.maximum(first, second)


@pytest.mark.parametrize("count", range(1, 10))
def test_all_zeros_and_ones_are_sorted(count):
    values = list(np.array(list(itertools.product([0, 1], repeat=count))).T)
    ordered = module._sorted(values, smaller_and_larger)
    np.testing.assert_array_equal(ordered, np.sort(values, axis=0))


def test_sorted_zeros_and_ones_of_all_lengths_are_merged():
    for lengths in itertools.product(range(1, 12), repeat=2):
        zeros = itertools.product(*(range(length + 1) for length in lengths))
        cases = [[np.arange(n) >= zero for n, zero in zip(lengths, z, strict=True)] for z in zeros]
        first, second = (list(np.array(part).T) for part in zip(*cases, strict=True))
        merged = module._merged(first, second, smaller_and_larger)
        np.testing.assert_array_equal(merged, np.sort(first + second, axis=0))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_zeros_and_ones_have_the_median_that_most_of_the_25_have(dtype):
    # Rows are sorted first, so of a row only its count matters: 6 counts in each of 6 rows are all
    # there is for the two windows of a column, and by the zero-one principle prove the network.
    counts = np.array(list(itertools.product(range(6), repeat=6)))
    ones = np.arange(5) < counts[:, :, None]
    ones = np.random.default_rng(0).permuted(ones, axis=2)
    window = ones.transpose(1, 0, 2).reshape(6, -1).astype(dtype)
    medians = MedianOf25((2, window.shape[1] - 4), np.dtype(dtype))(window)
    expected = np.stack([counts[:, :5].sum(axis=1), counts[:, 1:].sum(axis=1)]) > 12
    np.testing.assert_array_equal(medians[:, ::5], expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_block_has_the_medians_of_its_windows_and_the_next_one_too(dtype):
    rng = np.random.default_rng(1)
    median = MedianOf25((6, 7), np.dtype(dtype))
    for most in (2, 9, 60000):
        window = rng.integers(0, most, (10, 11)).astype(dtype)
        before = window.copy()
        filtered = median(window)
        assert filtered.dtype == dtype
        for y, x in np.ndindex(6, 7):
            assert filtered[y, x] == np.median(window[y : y + 5, x : x + 5])
        np.testing.assert_array_equal(window, before)


@pytest.mark.parametrize(
    ("y", "x", "blocks"),
    [(25, 25, 1), (22, 27, 1), (21, 25, 2), (25, 21, 2), (28, 25, 2), (25, 28, 2), (28, 21, 4)],
)
def test_only_blocks_within_reach_of_a_change_are_filtered_again(monkeypatch, y, x, blocks):
    seen = []
    filtered = MedianOf25.__call__

    def recorded(self, window):
        seen.append(window.shape)
        return filtered(self, window)

    monkeypatch.setattr(module, "_BLOCK", (10, 10))
    monkeypatch.setattr(MedianOf25, "__call__", recorded)
    image = np.full((50, 50), 7, np.uint16)
    image[y, x] = 9
    assert remove_salt_and_pepper(image).passes == 2
    assert seen == [(14, 14)] * (25 + blocks)


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
