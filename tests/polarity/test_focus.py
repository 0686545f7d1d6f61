"""Wavelet fusion: the rule against loops, and what it brings on stacks whose truth is known."""

from collections import Counter

import jax
import numpy as np
import pytest
from dtcwt.numpy.common import Pyramid
from dtcwt_numpy import numpy_transform
from scipy import ndimage

from isl.errors import InputError
from isl.polarity import focus
from isl.polarity.focus import choose, fuse, fuse_movie, majority


def random_stack(size=(3, 33, 40), seed=0):
    return np.random.default_rng(seed).random(size, np.float32)


def known_stack(depth_of, size=(9, 96, 96), seed=0):
    """A texture seen through planes, blurred where they lie off its depth.

    Returns:
        uint8 [Z, Y, X], the texture in focus [Y, X], and its depth in planes [Y, X].
    """
    rng = np.random.default_rng(seed)
    planes, *shape = size
    texture = sum(
        width * ndimage.gaussian_filter(rng.standard_normal(shape), width)
        for width in (0.7, 1.5, 3, 6)
    )
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    y, x = np.mgrid[: shape[0], : shape[1]]
    depth = depth_of((y + 0.5) / shape[0] - 0.5, (x + 0.5) / shape[1] - 0.5) * (planes - 1)
    blurs = np.arange(0, planes + 0.25, 0.25)
    ladder = np.stack([ndimage.gaussian_filter(texture, blur) for blur in blurs])
    stack = [
        ndimage.map_coordinates(ladder, [abs(z - depth) / 0.25, y, x], order=1)
        for z in range(planes)
    ]
    return np.rint(stack).astype(np.uint8), texture, depth


def dome(y, x):
    return 1 - np.minimum(1, 4 * (y**2 + x**2))


def ramp(y, x):
    return x + 0.5


def psnr(image, truth):
    return 10 * np.log10(255**2 / np.mean((image.astype(np.float64) - truth) ** 2))


@pytest.mark.parametrize("depth_of", [dome, ramp])
def test_fusion_is_far_better_than_any_plane(depth_of):
    stack, texture, depth = known_stack(depth_of)
    fused = fuse(stack)
    planes = [psnr(plane, texture) for plane in stack]
    assert psnr(fused.image, texture) > planes[len(planes) // 2] + 12
    assert psnr(fused.image, texture) > max(planes) + 12
    # Planes are whole numbers, so a quarter of a plane is the least.
    assert np.median(np.abs(fused.depth - depth)) < 0.5


def test_never_below_the_best_plane_even_if_that_is_all_in_focus():
    stack, texture, _ = known_stack(lambda y, x: 0.5 + 0 * x)
    assert psnr(stack[4], texture) > 50
    assert psnr(fuse(stack).image, texture) > psnr(stack[4], texture) - 0.5
    np.testing.assert_array_equal(fuse(stack[[4] * 9]).image, stack[4])


def test_the_rule_by_loops_over_the_packages_transform():
    planes = random_stack()
    transform = numpy_transform()
    # The package doubles the last row of an odd number, too, but would warn about it.
    even = np.pad(planes, ((0, 0), (0, 1), (0, 0)), mode="edge").astype(np.float64)
    pyramids = [transform.forward(plane, 5) for plane in even]
    highpasses = []
    for level in range(5):
        bands = np.stack([pyramid.highpasses[level] for pyramid in pyramids])
        choice = chosen_by_loops(np.moveaxis(bands, -1, 1))
        choice = majority_by_loops(choice) if level < 3 else choice
        rows, columns = np.indices(choice.shape)
        highpasses.append(bands[choice, rows, columns])
    lowpass = np.mean([pyramid.lowpass for pyramid in pyramids], axis=0)
    expected = transform.inverse(Pyramid(lowpass, tuple(highpasses)))[:33]
    fused = fuse(planes, reassign=False)
    clipped = expected.clip(planes.min(), planes.max())
    np.testing.assert_allclose(fused.image, clipped, atol=1e-5)
    distance = np.abs(planes - expected)
    np.testing.assert_array_equal(fused.depth, distance.argmin(axis=0))
    # The same, each pixel the nearest of its three.
    nearest = np.take_along_axis(planes, distance.argmin(axis=0)[None], axis=0)[0]
    np.testing.assert_array_equal(fuse(planes).image, nearest)


def chosen_by_loops(bands):
    """[Z, 6, y, x] to [y, x], as the specification says it."""
    choice = np.empty(bands.shape[2:], int)
    for y, x in np.ndindex(choice.shape):
        magnitude = np.abs(bands[:, :, y, x])
        plane, votes = Counter(magnitude.argmax(axis=0).tolist()).most_common(1)[0]
        strongest = np.unravel_index(magnitude.argmax(), magnitude.shape)[0]
        choice[y, x] = plane if votes >= 4 else strongest
    return choice


def majority_by_loops(choice):
    padded = np.pad(choice, 2, mode="symmetric")
    filtered = choice.copy()
    for y, x in np.ndindex(choice.shape):
        window = padded[y : y + 5, x : x + 5].ravel()
        plane, votes = Counter(window.tolist()).most_common(1)[0]
        if votes > 12:
            filtered[y, x] = plane
    return filtered


def test_four_of_six_sub_bands_overrule_the_strongest():
    bands = np.zeros((3, 6, 1, 2), np.complex64)
    bands[1, :4] = 1j
    bands[2, 4:] = 5
    # At the second position only three agree.
    bands[0, 3, 0, 1] = 2
    np.testing.assert_array_equal(jax.jit(choose)(bands), [[1, 2]])


@pytest.mark.parametrize("planes", [2, 3, 7])
def test_choices_are_those_of_loops(planes):
    rng = np.random.default_rng(planes)
    # Whole numbers would tie; few planes make agreements of 3, 4 and more.
    bands = rng.standard_normal((planes, 6, 12, 9, 2), np.float32) @ np.array([1, 1j], np.complex64)
    bands[0] *= 1.5
    np.testing.assert_array_equal(jax.jit(choose)(bands), chosen_by_loops(bands))


def test_the_majority_is_more_than_half_of_25():
    choice = np.zeros((9, 9), np.int32)
    choice[2:7, 2:7].flat[:12] = 3
    assert jax.jit(majority)(choice)[4, 4] == 0
    choice[2:7, 2:7].flat[12] = 3
    assert jax.jit(majority)(choice)[4, 4] == 3


@pytest.mark.parametrize("planes", [2, 3, 9])
def test_the_majority_filter_is_that_of_loops(planes):
    choice = np.random.default_rng(planes).integers(0, planes, (14, 11), dtype=np.int32)
    choice[3:9, 2:8] = 1
    choice[5, 5] = 0
    filtered = np.asarray(jax.jit(majority)(choice))
    np.testing.assert_array_equal(filtered, majority_by_loops(choice))
    assert (filtered != choice).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_pixel_is_one_that_the_stack_holds_at_its_depth(dtype):
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    planes = (random_stack() * scale).astype(dtype)
    fused = fuse(planes)
    assert fused.image.shape == fused.depth.shape == planes.shape[1:]
    assert fused.image.dtype == fused.depth.dtype == np.float32
    taken = np.take_along_axis(planes, fused.depth.astype(int)[None], axis=0)[0]
    np.testing.assert_array_equal(fused.image.astype(dtype), taken)


def test_of_equal_values_the_depth_is_where_the_wavelets_saw_it():
    # Two values only, so a pixel's value is the same in most planes; the pattern is in plane 2.
    planes = np.full((3, 33, 40), 100, np.uint8)
    planes[2] += np.random.default_rng(0).integers(0, 2, (33, 40), dtype=np.uint8) * 100
    fused = fuse(planes)
    np.testing.assert_array_equal(fused.image, planes[2])
    assert (fused.depth == 2).mean() > 0.95


def test_wavelets_stay_within_the_stacks_range():
    planes = random_stack()
    fused = fuse(planes, reassign=False)
    assert fused.image.min() >= planes.min()
    assert fused.image.max() <= planes.max()
    assert (fused.image != fuse(planes).image).any()


def test_a_single_plane_is_returned_as_it_is():
    plane = random_stack((1, 5, 7))
    fused = fuse(plane)
    np.testing.assert_array_equal(fused.image, plane[0])
    np.testing.assert_array_equal(fused.depth, np.zeros((5, 7)))


def test_an_empty_stack_and_a_tiny_one():
    dark = np.zeros((3, 33, 40), np.uint16)
    np.testing.assert_array_equal(fuse(dark).image, dark[0])
    tiny = random_stack((2, 1, 2))
    assert fuse(tiny).image.shape == (1, 2)


def test_movies_are_fused_frame_by_frame():
    movie = np.stack([random_stack(seed=seed) for seed in range(2)])
    images, depths = fuse_movie(movie)
    for t, planes in enumerate(movie):
        fused = fuse(planes)
        np.testing.assert_array_equal(images[t], fused.image)
        np.testing.assert_array_equal(depths[t], fused.depth)


@pytest.mark.parametrize(
    ("planes", "line"),
    [
        (np.zeros((5, 7), np.uint8), "field: a z-stack is [Z, Y, X]; this has shape (5, 7)"),
        (np.zeros((0, 5, 7), np.uint8), "this has shape (0, 5, 7)"),
        (np.zeros((2, 5, 7), bool), "pixels of type bool are no intensities"),
        (np.full((2, 5, 7), np.nan, np.float32), "field: holds pixels that are NaN or infinite"),
    ],
)
def test_what_is_no_stack_is_refused(planes, line):
    with pytest.raises(InputError) as refusal:
        fuse(planes, source="field")
    assert line in str(refusal.value)


def test_what_is_no_movie_is_refused():
    with pytest.raises(InputError, match=r"film: a movie is \[T, Z, Y, X\]"):
        fuse_movie(np.zeros((2, 5, 7), np.uint8), source="film")
    bad = np.zeros((2, 1, 5, 7), np.float32)
    bad[1, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="film: frame 1: holds pixels that are NaN or infinite"):
        fuse_movie(bad, source="film")


def test_memory_grows_with_the_stack_by_a_small_factor():
    # 13 planes of 1024 x 1024, 52 MiB as float32, take 420 MiB more (benchmarks/focus.txt).
    stack = jax.ShapeDtypeStruct((9, 96, 96), np.float32)
    memory = focus._fuse.lower(stack, levels=5).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 12 * stack.size * stack.dtype.itemsize
