"""The dual-tree transform: undone by its inverse, and equal to the dtcwt package's own."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from dtcwt.numpy.common import Pyramid as PackagePyramid
from dtcwt_numpy import numpy_transform

from isl.polarity.wavelet import Pyramid, forward, inverse

# Even; odd; several blocks, no multiple of 4 on any level, and shorter than the filters; one pixel.
SIZES = [(64, 64), (65, 51), (270, 7), (1, 1)]


def image_of(size, seed=0):
    return np.random.default_rng(seed).random(size, np.float32)


def made_even(image):
    """What the package makes of an odd length, done here as it would warn about it."""
    return np.pad(image, [(0, length % 2) for length in image.shape], mode="edge")


@pytest.mark.parametrize("size", SIZES)
def test_coefficients_are_those_of_the_package(size):
    image = image_of(size)
    ours = forward(image, 5)
    theirs = numpy_transform().forward(made_even(image).astype(np.float64), 5)
    assert ours.lowpass.dtype == np.float32
    np.testing.assert_allclose(ours.lowpass, theirs.lowpass, atol=2e-5)
    assert len(ours.highpasses) == 5
    for one, other in zip(ours.highpasses, theirs.highpasses, strict=True):
        assert one.dtype == np.complex64
        # Rounding of float32: far below 1e-4 of the image's range, which is 1.
        np.testing.assert_allclose(np.moveaxis(one, 0, -1), other, atol=5e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_inverse_gives_the_image_back(size):
    image = image_of(size)
    pyramid = forward(image, 5)
    again = inverse(pyramid)
    assert again.shape == size
    np.testing.assert_allclose(again, image, atol=2e-6)
    # The package's inverse reads our coefficients, too.
    bands = tuple(np.moveaxis(np.asarray(band), 0, -1) for band in pyramid.highpasses)
    theirs = numpy_transform().inverse(PackagePyramid(np.asarray(pyramid.lowpass), bands))
    np.testing.assert_allclose(theirs[: size[0], : size[1]], image, atol=5e-6)


def test_the_inverse_of_any_coefficients_is_that_of_the_package():
    # A fused pyramid is no image's transform, so its inverse depends on more than reconstruction.
    noise = image_of((2, 64, 64))
    one, other = forward(noise[0], 5), forward(noise[1], 5)
    mixed = Pyramid(
        lowpass=other.lowpass,
        highpasses=tuple(
            np.where(np.arange(6)[:, None, None] % 2, a, b)
            for a, b in zip(one.highpasses, other.highpasses, strict=True)
        ),
        size=(64, 64),
    )
    bands = tuple(np.moveaxis(band, 0, -1).astype(complex) for band in mixed.highpasses)
    theirs = numpy_transform().inverse(PackagePyramid(np.float64(mixed.lowpass), bands))
    assert np.abs(theirs - noise[0]).max() > 0.1
    np.testing.assert_allclose(inverse(mixed), theirs, atol=5e-6)


def test_one_level():
    image = image_of((64, 64))
    pyramid = forward(image, 1)
    assert len(pyramid.highpasses) == 1
    assert pyramid.lowpass.shape == (64, 64)
    np.testing.assert_allclose(inverse(pyramid), image, atol=2e-6)
    with pytest.raises(ValueError, match="levels 0: expected at least 1"):
        forward(image, 0)


def test_images_are_transformed_side_by_side():
    images = image_of((2, 3, 64, 64))
    together = forward(images, 5)
    assert together.highpasses[0].shape == (2, 3, 6, 32, 32)
    alone = forward(images[1, 2], 5)
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one[1, 2], other, atol=1e-5)
    np.testing.assert_allclose(inverse(together), images, atol=2e-6)


def test_a_constant_is_all_lowpass():
    # Low filters of the first level add up to 1, all others to the root of 2, along both axes.
    pyramid = forward(np.full((64, 64), 0.5, np.float32), 5)
    np.testing.assert_allclose(pyramid.lowpass, 0.5 * 2**4, rtol=1e-5)
    for highpass in pyramid.highpasses:
        np.testing.assert_allclose(highpass, 0, atol=1e-4)


def test_stripes_are_strong_in_the_sub_band_across_them():
    y, x = np.mgrid[:64, :64]

    def strengths(phase):
        stripes = np.cos(2 * np.pi * phase / 6).astype(np.float32)
        return np.abs(forward(stripes, 5).highpasses[1][:, 4:-4, 4:-4]).mean(axis=(1, 2))

    assert set(np.argsort(strengths(y))[-2:]) == {0, 5}
    assert set(np.argsort(strengths(x))[-2:]) == {2, 3}
    # Real wavelets cannot tell the two diagonals apart.
    rising, falling = strengths(y - x), strengths(y + x)
    assert {np.argmax(rising), np.argmax(falling)} == {1, 4}
    np.testing.assert_allclose(rising, falling[::-1], rtol=0.05)
    assert rising.max() > 20 * min(rising[1], rising[4])


def test_the_package_still_needs_to_be_mended():
    # When this fails, dtcwt works with NumPy 2 by itself: tests/polarity/dtcwt_numpy.py can go, and
    # tests and benchmarks can call dtcwt.Transform2d.
    unmended = "import dtcwt, numpy; dtcwt.Transform2d().forward(numpy.ones((8, 8)))"
    done = subprocess.run([sys.executable, "-c", unmended], capture_output=True, text=True)
    assert done.returncode != 0
    assert "AttributeError" in done.stderr
    assert "asfarray" in done.stderr
