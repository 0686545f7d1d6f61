"""A lattice is found where it was put, and nowhere else."""

import numpy as np
import pytest
from scipy import ndimage

from isl.errors import InputError
from isl_eval.metrics.lattice import (
    STRIDES,
    has_lattice,
    lattice_amplitude,
    lattice_ratio,
    lattice_share,
)


def cloudy(size=256, seed=0):
    """An image of structures of all sizes, as microscopes give: amplitude about 1 / frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    spectrum = np.fft.fft2(rng.normal(size=(size, size))) / np.maximum(frequency, 1 / size)
    image = np.fft.ifft2(spectrum).real
    return 0.5 + 0.1 * image / image.std()


def grid(stride, size=256):
    wave = np.cos(2 * np.pi * np.arange(size) / stride)
    return wave[:, None] + wave[None, :]


@pytest.mark.parametrize("stride", STRIDES)
def test_structures_of_all_sizes_are_no_lattice(stride):
    ratios = [lattice_ratio(cloudy(seed=seed), stride) for seed in range(8)]
    # Of two directions the larger, and few frequencies: by chance above 1.
    assert 0.6 < np.mean(ratios) < 2.5
    assert np.median(ratios) < 2


@pytest.mark.parametrize("stride", STRIDES)
def test_a_faint_lattice_stands_out_at_its_stride_alone(stride):
    image = cloudy() + 0.03 * grid(stride)
    assert lattice_ratio(image, stride) > 10
    for other in set(STRIDES) - {stride}:
        # A lattice of 8 repeats after 16 as well, but its frequencies are others.
        assert lattice_ratio(image, other) < 5, other


def test_an_image_of_nothing_has_no_lattice():
    assert lattice_ratio(np.full((256, 256), 0.3), 16) == pytest.approx(1)
    assert lattice_amplitude(np.full((256, 256), 0.3), 16) == pytest.approx(0)


@pytest.mark.parametrize("stride", [4, 8])
def test_the_amplitude_is_that_of_what_repeats(stride):
    image = 0.3 + 0.02 * grid(stride, 64)
    assert lattice_amplitude(image, stride) == pytest.approx(0.02, rel=1e-6)
    assert lattice_amplitude(image, 2 * stride) == pytest.approx(0.02, rel=1e-6)
    assert lattice_amplitude(image, stride - 1) < 0.02


def test_too_few_periods_are_refused():
    with pytest.raises(InputError, match="192 or more"):
        lattice_ratio(np.zeros((128, 128)), 16)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_share_is_that_of_the_lattice_in_the_images_deviation(stride):
    noise, lattice = np.random.default_rng(0).normal(size=(256, 256)), grid(stride)
    image = noise + 0.1 * lattice / lattice.std()
    assert lattice_share(image, stride) == pytest.approx(0.1, rel=0.1)
    assert has_lattice(image, stride)
    assert not has_lattice(noise, stride)
    assert not has_lattice(cloudy(), stride)


def test_next_to_nothing_in_a_smooth_image_is_no_lattice():
    smooth = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 80
    image = ndimage.gaussian_filter(smooth.astype(float), 6) + 1e-5 * grid(2)
    assert lattice_ratio(image, 2) > 10
    assert not has_lattice(image, 2)
    assert lattice_share(np.full((256, 256), 0.3), 2) == 0
