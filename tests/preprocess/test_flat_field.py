import numpy as np
import pytest
import scipy.ndimage

from isl.errors import InputError
from isl.preprocess.stages.flat_field import (
    DIVISORS,
    correct_flat_field,
    estimate_flat_field,
    fit_surface,
    smooth,
)
from isl.preprocess.stages.medians import pixelwise_median


def vignetting(shape, kind="parabola"):
    """Light off the center, 30 % less in the darkest corner than at its brightest; of mean 1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    away = (y + 0.05) ** 2 + (x - 0.1) ** 2
    # cos^4 of the angle to the optical axis is 1 / (1 + tan^2)^2.
    light = 1 - 0.3 * away / away.max() if kind == "parabola" else (1 + away * 0.084) ** -2
    light = light / light.max()
    assert light.min() == pytest.approx(0.7, abs=0.01)
    return light / light.mean()


def fluorescent_well(light, count, rng, offset=0):
    """Sparse bright cells on a dim background, with shot noise."""
    images = []
    for _ in range(count):
        image = np.full(light.shape, 100.0)
        for _ in range(light.size // 2000):
            y, x = (rng.integers(length) for length in light.shape)
            image[max(0, y - 6) : y + 6, max(0, x - 6) : x + 6] += 1000 * rng.random()
        images.append((rng.poisson(image * light) + offset).astype(np.uint16))
    return images


def transmitted_well(light, count, rng):
    """Texture everywhere, of 10 % of the light."""
    images = []
    for _ in range(count):
        texture = scipy.ndimage.gaussian_filter(rng.standard_normal(light.shape), 2)
        images.append(rng.poisson(20000 * light * (1 + 0.1 * texture / texture.std())))
    return [image.astype(np.uint16) for image in images]


@pytest.mark.parametrize("kind", ["parabola", "cosine"])
@pytest.mark.parametrize("channel", ["fluorescence", "transmitted"])
def test_vignetting_of_30_percent_is_found_within_one_percent(channel, kind):
    # Measured: fluorescence 0.25 % rms, 1.7 % at most; transmitted 0.7 % rms, 2.8 % at most, all of
    # it what 30 images leave of cells and noise. The paper's plain blur: 4 to 7 % in the corners.
    light = vignetting((192, 240), kind)
    rng = np.random.default_rng(0)
    well = {"fluorescence": fluorescent_well, "transmitted": transmitted_well}[channel]
    median = pixelwise_median(well(light, 30, rng))
    flat = estimate_flat_field(median, divisor=DIVISORS[channel])
    assert flat.dtype == np.float32
    assert flat.mean() == pytest.approx(1, abs=1e-6)
    error = flat / light - 1
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert np.abs(error).max() < 0.03


def test_a_plain_blur_is_the_papers_and_worse_at_the_border():
    light = vignetting((128, 160))
    plain = estimate_flat_field(light * 500, divisor=16, degree=None)
    blurred = scipy.ndimage.gaussian_filter(light, 128 / 16)
    np.testing.assert_allclose(plain, blurred / blurred.mean(), rtol=1e-6)
    assert np.abs(plain / light - 1).max() > 0.03
    # The surface holds a parabola exactly, whatever the blur.
    np.testing.assert_allclose(estimate_flat_field(light * 500, divisor=16), light, rtol=1e-6)


def test_a_damaged_well_is_even_again():
    light = vignetting((128, 160))
    truth = 500 + 300 * np.random.default_rng(0).random((128, 160))
    images = [truth * light + 120] * 3
    median = np.full_like(truth, 650.0) * light + 120
    flat = estimate_flat_field(median, divisor=16, sensor_offset=120)
    corrected = correct_flat_field(images[0], flat, sensor_offset=120)
    assert corrected.dtype == np.float32
    np.testing.assert_allclose(corrected, truth, rtol=1e-5)


def test_the_sensor_offset_is_no_light():
    light = vignetting((128, 160))
    images = fluorescent_well(light, 30, np.random.default_rng(1), offset=200)
    median = pixelwise_median(images)
    known = estimate_flat_field(median, divisor=16, sensor_offset=200)
    unknown = estimate_flat_field(median, divisor=16)
    assert np.abs(known / light - 1).max() < 0.03
    assert np.abs(unknown / light - 1).max() > 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_are_divided_clipped_and_left_alone(dtype):
    image = np.array([[0, 10], [100, 200]], dtype)
    flat = np.array([[0.5, 0.5], [1.0, 2.0]], np.float32)
    before = image.copy()
    np.testing.assert_array_equal(correct_flat_field(image, flat), [[0, 20], [100, 100]])
    clipped = correct_flat_field(image, flat, sensor_offset=20, most=90)
    np.testing.assert_array_equal(clipped, [[0, 0], [80, 90]])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (7, 1), (3, 40)])
def test_an_even_field_is_one_at_any_size(shape):
    flat = estimate_flat_field(np.full(shape, 37, np.uint16), divisor=16)
    np.testing.assert_allclose(flat, np.ones(shape), rtol=1e-6)


def test_a_surface_is_fitted_to_the_kept_pixels_alone():
    y, x = np.meshgrid(np.arange(9.0), np.arange(12.0), indexing="ij")
    surface = 3 + y - 0.2 * x**2 + 0.01 * y * x**2
    keep = np.random.default_rng(0).random(surface.shape) < 0.7
    damaged = np.where(keep, surface, np.nan)
    np.testing.assert_allclose(fit_surface(damaged, keep, 2), surface, atol=1e-9)
    np.testing.assert_allclose(smooth(damaged, 2.0, keep=keep), surface, atol=1e-9)


def test_masked_pixels_take_the_mean_of_those_around_them():
    # Without a surface: weights of a Gaussian, in a slow loop.
    rng = np.random.default_rng(0)
    image, keep = rng.random((24, 21)), rng.random((24, 21)) < 0.6
    blurred = smooth(image, 1.5, keep=keep, degree=None)
    y, x = np.mgrid[:24, :21]
    for at in [(12, 10), (8, 9), (14, 12)]:
        weights = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.5**2)) * keep
        assert blurred[at] == pytest.approx((weights * image).sum() / weights.sum(), rel=1e-3)


def test_far_from_any_kept_pixel_their_mean_is_taken():
    keep = np.zeros((5, 60), bool)
    keep[:, :3] = True
    image = np.where(keep, np.arange(60.0) % 3, 1e6)
    np.testing.assert_allclose(smooth(image, 1.0, keep=keep, degree=None)[:, 20:], 1.0)
    assert np.isfinite(smooth(image, 1.0, keep=~np.ones_like(keep))).all()


@pytest.mark.parametrize(
    ("median", "keywords", "says"),
    [
        (np.zeros((9, 9)), {}, "its mean is 0"),
        (np.full((9, 9), 50), {"sensor_offset": 80.0}, "its mean is -30, .* sensor offset"),
        (np.tile(np.linspace(0, 1, 90), (90, 1)), {}, "y = .*, x = 0 .* too dark"),
        (np.full((9, 9), np.nan), {}, "its mean is nan"),
        (np.ones((9, 9, 3)), {}, "shape"),
        (np.ones((9, 9)), {"divisor": 0.0}, "divisor of 0"),
    ],
)
def test_bad_fields_are_named(median, keywords, says):
    with pytest.raises(InputError, match="^plate 3, DAPI: .*" + says):
        estimate_flat_field(median, **{"divisor": 32.0, "source": "plate 3, DAPI", **keywords})


def test_dark_fields_and_other_sizes_are_refused():
    flat = np.ones((4, 5), np.float32)
    with pytest.raises(InputError, match=r"^f: .*\(4, 6\), the field \(4, 5\)"):
        correct_flat_field(np.ones((4, 6)), flat, source="f")
    for dark in (0.0, 0.04, -1.0, np.nan):
        flat[2, 3] = dark
        with pytest.raises(InputError, match=r"^f: at y = 2, x = 3 .* leave the stage out"):
            correct_flat_field(np.ones((4, 5)), flat, source="f")
    flat[2, 3] = np.inf
    with pytest.raises(InputError, match=r"^f: "):
        correct_flat_field(np.ones((4, 5)), flat, source="f")
