import numpy as np
import pytest

from isl.imaging.display import shown_range, stretched, together


def test_backgrounds_are_black_and_few_pixels_saturate():
    image = np.random.default_rng(0).uniform(0.19, 0.21, (100, 100)).astype(np.float32)
    image[:10, :10] = 0.8
    image[0, 0] = 1
    low, high = shown_range(image)
    assert (low, high) == pytest.approx(np.percentile(image, (5, 99.8)))
    shown = stretched(image, (low, high))
    assert shown[50:].mean() < 0.02
    assert shown[5, 5] == 1
    assert shown.dtype == np.float32


def test_what_hardly_varies_is_not_stretched_to_full_contrast():
    flat = np.full((20, 20), 0.3, np.float32)
    flat[:10] += 1e-6
    assert stretched(flat, shown_range(flat)).max() < 0.01
    assert shown_range(np.full((9, 9), 1000, np.uint16)) == (1000.0, 1257.0)
    assert shown_range(np.full((9, 9), np.nan)) == (0.0, 1.0)


def test_labels_together_are_never_washed_out():
    images = np.array([[[0, 1, 1]], [[0, 0, 1]]], np.float32)
    colors = np.array([[0.25, 0.4, 1.0], [0.25, 0.8, 0.25]], np.float32)
    shown = together(images, colors)
    np.testing.assert_allclose(shown[0, 0], 0)
    np.testing.assert_allclose(shown[0, 1], colors[0])
    np.testing.assert_allclose(shown[0, 2], [1 - 0.75**2, 1 - 0.6 * 0.2, 1])
