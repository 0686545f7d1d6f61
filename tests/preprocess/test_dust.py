import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.flat_field import correct_flat_field, estimate_dust
from isl.preprocess.stages.medians import pixelwise_median


def specks(shape, rng):
    """Share of the light that passes: sharp specks that take up to half of it; of mean 1."""
    passes = np.ones(shape)
    for _ in range(shape[0] * shape[1] // 200):
        y, x = (rng.integers(length) for length in shape)
        passes[y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] *= 1 - 0.5 * rng.random()
    return passes / passes.mean()


def test_dust_over_empty_medium_is_undone_exactly():
    field = specks((40, 50), np.random.default_rng(0))
    median = pixelwise_median([field * light for light in (900.0, 1000.0, 1300.0)])
    found = estimate_dust(median)
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, field, rtol=1e-6)
    truth = 1000 * (1 + 0.1 * np.random.default_rng(1).standard_normal((40, 50)))
    np.testing.assert_allclose(correct_flat_field(truth * field, found), truth, rtol=1e-6)


def test_dust_over_cells_is_undone_within_the_medians_noise():
    rng = np.random.default_rng(2)
    field = specks((60, 70), rng)
    contrast, count = 0.05, 64
    truths = [10000 * (1 + contrast * rng.standard_normal(field.shape)) for _ in range(count)]
    images = [(truth * field).astype(np.uint16) for truth in truths]
    found = estimate_dust(pixelwise_median(images))
    # A median of n normal values has the standard error sqrt(pi / 2 / n) of one.
    expected = contrast * np.sqrt(np.pi / 2 / count)
    error = found / field - 1
    assert error.std() == pytest.approx(expected, rel=0.05)
    restored = correct_flat_field(images[0], found)
    damage = np.std(images[0] / truths[0] - 1)
    assert np.std(restored / truths[0] - 1) < damage / 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_are_divided_clipped_and_left_alone(dtype):
    image = np.array([[0, 10], [100, 200]], dtype)
    field = np.array([[0.5, 0.5], [1.0, 2.0]], np.float32)
    before = image.copy()
    clean = correct_flat_field(image, field)
    assert clean.dtype == np.float32
    np.testing.assert_array_equal(clean, [[0, 20], [100, 100]])
    np.testing.assert_array_equal(correct_flat_field(image, field, most=50), [[0, 20], [50, 50]])
    np.testing.assert_array_equal(image, before)
    before = field.copy()
    estimate_dust(field)
    np.testing.assert_array_equal(field, before)


@pytest.mark.parametrize(
    ("median", "says"),
    [
        (np.zeros((4, 4)), "its mean is 0"),
        (np.array([[1.0, 1.0], [1.0, 0.001]]), "y = 1, x = 1 .* too dark to divide by"),
        (np.zeros((4, 4, 2)), r"shape \(4, 4, 2\)"),
    ],
)
def test_bad_fields_are_named(median, says):
    with pytest.raises(InputError, match="^plate 3: .*" + says):
        estimate_dust(median, source="plate 3")


def test_another_size_is_refused():
    with pytest.raises(InputError, match=r"^plate 3: .*\(3, 4\), the field \(4, 4\)"):
        correct_flat_field(np.ones((3, 4)), np.ones((4, 4)), source="plate 3")
