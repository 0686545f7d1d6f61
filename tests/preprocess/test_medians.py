import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.preprocess.stages.medians import pixelwise_median, sample_of


def median_slowly(images):
    median = np.empty(images[0].shape)
    for y, x in np.ndindex(median.shape):
        values = sorted(float(image[y, x]) for image in images)
        middle = len(values) // 2
        median[y, x] = (values[middle] + values[~middle]) / 2
    return median


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", [3, 4, 9])
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_it_is_the_median_of_each_pixel_whatever_the_bands(dtype, count, rows):
    images = np.random.default_rng(0).integers(0, 256, (count, 11, 5)).astype(dtype)
    before = images.copy()
    median = pixelwise_median(list(images), rows=rows)
    assert median.dtype == np.float32
    np.testing.assert_array_equal(median, median_slowly(images))
    np.testing.assert_array_equal(pixelwise_median(images, rows=rows), median)
    np.testing.assert_array_equal(images, before)


def test_full_counts_do_not_overflow():
    images = [np.full((2, 2), 65535, np.uint16)] * 4
    assert (pixelwise_median(images) == 65535).all()


def test_a_memory_map_is_read(tmp_path):
    images = np.random.default_rng(1).integers(0, 9, (5, 7, 6)).astype(np.uint16)
    np.save(tmp_path / "set.npy", images)
    mapped = np.load(tmp_path / "set.npy", mmap_mode="r")
    np.testing.assert_array_equal(pixelwise_median(mapped, rows=3), median_slowly(images))


def test_what_fewer_than_half_show_is_gone():
    shared = np.arange(30.0).reshape(5, 6)
    images = [shared.copy() for _ in range(7)]
    for image in images[:3]:
        image[2, 2] = 1000
    np.testing.assert_array_equal(pixelwise_median(images), shared)


@pytest.mark.parametrize(
    ("images", "keywords", "says"),
    [
        ([np.zeros((2, 2))] * 2, {}, "over 2 images .* it takes 3 or more"),
        ([np.zeros((2, 2))] * 8, {"least": 9}, "over 8 images .* it takes 9 or more"),
        ([], {}, "over 0 images"),
        ([np.zeros((2, 2)), np.zeros((2, 3)), np.zeros((2, 2))], {}, r"image 1 .*\(2, 3\)"),
        ([np.zeros((2, 2, 3))] * 3, {}, r"\[Y, X\]"),
        ([np.zeros((2, 2))] * 2 + [np.full((2, 2), np.nan)], {}, "NaN"),
        ([np.zeros((2, 2))] * 2 + [np.full((2, 2), np.inf)], {}, "infinite"),
    ],
)
def test_bad_sets_are_named(images, keywords, says):
    with pytest.raises(InputError, match="^DAPI: .*" + says):
        pixelwise_median(images, source="DAPI", **keywords)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_a_sample_is_evenly_spread_and_in_order(count, most, seed):
    sample = sample_of(range(count), most, seed)
    assert sample == sample_of(range(count), most, seed)
    assert len(sample) == min(count, most)
    assert list(sample) == sorted(set(sample))
    if count > most:
        # One out of each of `most` runs that differ in length by one at most.
        runs = [set(range(i * count // most, (i + 1) * count // most)) for i in range(most)]
        assert all(item in run for item, run in zip(sample, runs, strict=True))


def test_seeds_choose_differently_and_reach_every_item():
    samples = {sample_of("abcdefghij", 3, seed) for seed in range(200)}
    assert len(samples) > 10
    assert set("".join("".join(sample) for sample in samples)) == set("abcdefghij")


def test_an_empty_sample_is_refused():
    with pytest.raises(InputError, match="sample of 0"):
        sample_of("abc", 0, 1)
