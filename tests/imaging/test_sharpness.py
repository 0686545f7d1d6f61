import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from isl.errors import InputError
from isl.imaging.sharpness import (
    BLOCK,
    Noise,
    estimate_noise,
    index_of_sharpest,
    sharpness,
    smoothed,
)
from isl.phantom import PhantomConfig, make_phantom


def texture(deviation=2.0, shape=(96, 101), seed=0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = scipy.ndimage.gaussian_filter(noise, deviation)
    return (1000 + 100 * smooth / smooth.std()).astype(np.float32)


@pytest.mark.parametrize("modality", ["PHASE_CONTRAST", "DIC", "BRIGHTFIELD"])
@pytest.mark.parametrize("photons", [1000, 300])
def test_the_plane_in_focus_is_the_sharpest_whatever_the_contrast(modality, photons):
    config = PhantomConfig(
        height=160,
        width=160,
        planes=7,
        z_step=3.0,
        depth=8.0,
        modality=modality,
        photons=photons,
    )
    stack, _ = make_phantom(config, 1)
    assert index_of_sharpest([sharpness(plane) for plane in stack.planes]) == 3


@pytest.mark.parametrize("shape", [(96, 101), (23, 48), (5, 7)])
def test_powers_of_cosines_are_those_of_blurred_planes(shape):
    image = texture(1.0, shape)
    narrow, middle, wide = (scipy.ndimage.gaussian_filter(image, s) for s in (1.0, 2.0, 8.0))
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    noise = 1.4826 * np.median(np.abs(scipy.ndimage.convolve(image, kernel))) / 6
    fine, coarse = (
        (first - second).var() - noise**2 * (Noise(deviation=1.0).after(*scales) ** 2)
        for first, second, scales in ((narrow, middle, (1, 2)), (middle, wide, (2, 8)))
    )
    assert sharpness(image) == pytest.approx(fine / coarse, rel=1e-4)


def test_blur_takes_sharpness_away_step_by_step():
    image = texture()
    blurred = [scipy.ndimage.gaussian_filter(image, s) for s in (0.5, 1.0, 1.5, 2.0, 3.0)]
    measured = [sharpness(plane) for plane in [image, *blurred]]
    assert measured == sorted(measured, reverse=True)
    assert measured[-1] < 0.3 * measured[0]


@settings(max_examples=15)
@given(scale=st.floats(0.01, 50), offset=st.floats(-500, 500))
def test_brightness_and_contrast_do_not_matter(scale, offset):
    image = texture(shape=(48, 53))
    assert sharpness(image * scale + offset) == pytest.approx(sharpness(image), rel=0.02)


def test_noise_is_not_taken_for_detail():
    rng = np.random.default_rng(0)
    image = texture()
    blurred = scipy.ndimage.gaussian_filter(image, 2)
    noisy = blurred + 20 * rng.standard_normal(image.shape)
    assert sharpness(noisy) == pytest.approx(sharpness(blurred), abs=0.05)
    assert sharpness(noisy) < 0.5 * sharpness(image)


def test_noise_alone_and_nothing_have_no_sharpness():
    rng = np.random.default_rng(0)
    assert sharpness(1000 + 20 * rng.standard_normal((256, 256))) == 0
    assert sharpness(np.full((32, 31), 7, np.uint16)) == 0
    assert sharpness(texture(), np.zeros((96, 101), bool)) == 0


def test_what_is_not_covered_does_not_count():
    image = texture(shape=(128, 128))
    covered = np.ones(image.shape, bool)
    covered[:40] = False
    spoiled = image.copy()
    spoiled[:40] = 60000 * np.random.default_rng(0).integers(0, 2, (40, 128))
    assert sharpness(spoiled, covered) == sharpness(image, covered)
    assert sharpness(image, covered) == pytest.approx(sharpness(image[40:]), rel=0.1)


def test_a_large_plane_is_measured_block_by_block():
    image = texture(shape=(60, BLOCK + 400))
    left, right = image[:, :BLOCK], image[:, BLOCK:]
    assert min(map(sharpness, (left, right))) <= sharpness(image)
    assert sharpness(image) <= max(map(sharpness, (left, right)))
    covered = np.zeros(image.shape, bool)
    covered[:, BLOCK:] = True
    assert sharpness(image, covered) == sharpness(right)


def test_white_noise_is_measured_on_a_smooth_ground():
    rng = np.random.default_rng(0)
    ground = 1000 + 300 * np.linspace(0, 1, 200)[:, None] * np.linspace(0, 1, 190)
    image = (ground + 12 * rng.standard_normal(ground.shape)).astype(np.float32)
    noise = estimate_noise(image)
    assert noise.deviation == pytest.approx(12, rel=0.05)
    band = scipy.ndimage.gaussian_filter(image - ground, 1) - scipy.ndimage.gaussian_filter(
        image - ground, 2
    )
    assert noise.after(1, 2) == pytest.approx(band.std(), rel=0.08)


def test_smoothing_takes_nothing_from_where_nothing_is():
    covered = np.zeros((40, 50), bool)
    covered[:, 20:] = True
    image = np.where(covered, np.float32(5), np.float32(999))
    blurred = smoothed(image, 3, covered)
    np.testing.assert_allclose(blurred[covered], 5, rtol=1e-5)
    assert blurred[0, 0] == 0


def test_the_first_of_equals_is_the_sharpest_and_none_is_refused():
    image = texture(shape=(40, 40))
    assert index_of_sharpest([sharpness(plane) for plane in (image * 0, image, image)]) == 1
    with pytest.raises(InputError, match="no plane"):
        index_of_sharpest([])
