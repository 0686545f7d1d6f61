import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl_eval.metrics.spectral import (
    largest_rectangle,
    ring_correlations,
    spectral_correlation,
    spectral_sums,
)

rng = np.random.default_rng(0)
IMAGE = rng.random((37, 48))


def wave(frequency, shape=(64, 80)):
    return 0.5 + 0.2 * np.cos(2 * np.pi * frequency * np.arange(shape[1]) + np.zeros((shape[0], 1)))


@pytest.mark.parametrize("shape", [(37, 48), (36, 47), (9, 20)])
def test_rings_as_by_the_whole_transform(shape):
    true, predicted = rng.random(shape), rng.random(shape)
    windows = [np.sin(np.pi * np.arange(1, length + 1) / (length + 1)) ** 2 for length in shape]
    taper = np.outer(*windows)
    spectra = [
        np.fft.fft2((each - (each * taper).sum() / taper.sum()) * taper)
        for each in (true, predicted)
    ]
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    for band in spectral_correlation(true, predicted, bands=5):
        ring = (frequency > band.low) & (frequency <= band.high)
        a, b = (each[ring] for each in spectra)
        by_hand = (a * b.conj()).sum().real / np.sqrt((abs(a) ** 2).sum() * (abs(b) ** 2).sum())
        assert band.correlation == pytest.approx(by_hand)


@pytest.mark.parametrize("shape", [(37, 48), (36, 47), (2, 2)])
def test_sums_of_parts_make_the_correlation_of_the_whole(shape):
    true, predicted = rng.random((2, *shape))
    mask = np.ones(shape, bool)
    mask[-1, -1] = False
    parts = np.arange(true.size).reshape(shape) // 7
    sums = spectral_sums(true, predicted, mask, parts)
    assert sums.shape == (parts.max() + 1, 9, 3)
    found = ring_correlations(sums.sum(axis=0))
    for band, (value, note) in zip(spectral_correlation(true, predicted, mask), found, strict=True):
        assert value == pytest.approx(band.correlation)
        assert (note == "") == (value is not None)


def test_fields_are_pooled_as_one_computation_over_all_of_them():
    true, predicted = rng.random((2, 3, 40, 33))
    predicted += np.array([0, 1, 4])[:, None, None] * true
    mask, parts = np.ones(true.shape[1:], bool), np.zeros(true.shape[1:], int)
    pooled = sum(spectral_sums(a, b, mask, parts)[0] for a, b in zip(true, predicted, strict=True))
    windows = [np.sin(np.pi * np.arange(1, n + 1) / (n + 1)) ** 2 for n in true.shape[1:]]
    taper = np.outer(*windows)
    a, b = (
        np.fft.fft2((stack - (stack * taper).sum((1, 2), keepdims=True) / taper.sum()) * taper)
        for stack in (true, predicted)
    )
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in mask.shape), indexing="ij"))
    for number, (value, _) in enumerate(ring_correlations(pooled)):
        ring = (frequency > number / 16) & (frequency <= (number + 1) / 16)
        x, y = a[:, ring], b[:, ring]
        by_hand = (x * y.conj()).sum().real / np.sqrt((abs(x) ** 2).sum() * (abs(y) ** 2).sum())
        assert value == pytest.approx(by_hand)


def test_a_constant_image_gives_no_correlation_to_a_sum():
    mask, parts = np.ones(IMAGE.shape, bool), np.zeros(IMAGE.shape, int)
    flat = np.full(IMAGE.shape, 0.3)
    for true, predicted in ((IMAGE, flat), (flat, IMAGE), (flat, flat)):
        found = ring_correlations(spectral_sums(true, predicted, mask, parts)[0])
        assert all(value is None and "no detail" in note for value, note in found)
    nothing = spectral_sums(IMAGE, IMAGE, np.zeros(IMAGE.shape, bool), parts)
    assert not nothing.any()


def test_only_the_ring_that_differs_suffers():
    coarse, fine = wave(0.05), wave(0.4)
    bands = spectral_correlation(coarse + fine, coarse - fine + 1, bands=4)
    assert bands[0].correlation == pytest.approx(1, abs=1e-3)
    assert bands[3].correlation == pytest.approx(-1, abs=1e-3)


def test_brightness_and_contrast_do_not_matter():
    for band in spectral_correlation(IMAGE, 0.3 * IMAGE + 0.2):
        assert band.correlation == pytest.approx(1)


def test_limits_of_bands():
    bands = spectral_correlation(IMAGE, IMAGE, bands=2, pixel_size=PixelSize(y=0.5, x=0.5))
    assert [(b.low, b.high, b.low_per_um, b.high_per_um) for b in bands] == [
        (0, 0.25, 0, 0.5),
        (0.25, 0.5, 0.5, 1.0),
    ]
    for pixel_size in (None, PixelSize(y=0.5, x=0.4)):
        band = spectral_correlation(IMAGE, IMAGE, pixel_size=pixel_size)[0]
        assert (band.low_per_um, band.high_per_um) == (None, None)


def test_a_mask_means_its_largest_rectangle():
    mask = np.ones(IMAGE.shape, bool)
    mask[20:, 30:] = False
    other = rng.random(IMAGE.shape)
    assert largest_rectangle(mask) == (0, 37, 0, 30)
    assert spectral_correlation(IMAGE, other, mask) == spectral_correlation(
        IMAGE[:, :30], other[:, :30]
    )


@settings(max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_the_largest_rectangle_is_the_largest(mask):
    top, bottom, left, right = largest_rectangle(mask)
    assert mask[top:bottom, left:right].all()
    height, width = mask.shape
    largest = max(
        (b - t) * (r - l)
        for t in range(height)
        for b in range(t, height + 1)
        for l in range(width)  # noqa: E741
        for r in range(l, width + 1)
        if mask[t:b, l:r].all()
    )
    assert (bottom - top) * (right - left) == largest


def test_constant_images_and_empty_masks_have_reasons():
    flat = np.full(IMAGE.shape, 0.5)
    for band in spectral_correlation(IMAGE, flat):
        assert band.correlation is None
        assert "predicted image is constant" in band.note
    for band in spectral_correlation(IMAGE, IMAGE, np.zeros(IMAGE.shape, bool)):
        assert band.correlation is None
        assert "no pixel counts" in band.note


def test_a_ring_without_detail_has_a_reason():
    # Of one pixel's width and even length there is no frequency between 0 and a quarter.
    bands = spectral_correlation(IMAGE[:2, :2], IMAGE[1:3, 1:3], bands=4)
    assert [band.correlation is None for band in bands] == [True, True, True, False]
    assert "no detail" in bands[0].note


def test_differing_sizes_are_refused():
    with pytest.raises(InputError, match="37 x 48 pixels, the predicted image 37 x 47"):
        spectral_correlation(IMAGE, IMAGE[:, 1:])
