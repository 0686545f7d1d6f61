"""Detail is told from shade: an outline, however right, shows none."""

import numpy as np
import pytest
from scipy import ndimage

from isl_eval.metrics.detail import band_correlation, border_f1, detail_correlation, ridges


@pytest.fixture(scope="module")
def cells():
    """A disc with bright contacts between four cells, the disc alone, and its mask."""
    y, x = np.mgrid[:160, :160] - 79.5
    mask = np.hypot(y, x) < 60
    contacts = np.exp(-((y / 2.5) ** 2) / 2) + np.exp(-((x / 2.5) ** 2) / 2)
    image = np.where(mask, 0.3 + 0.5 * np.clip(contacts, 0, 1), 0.02)
    return image, ndimage.gaussian_filter(mask.astype(float), 4), mask


def test_an_image_agrees_with_itself_whatever_its_shade(cells):
    image, _, mask = cells
    shaded = 0.7 * image + np.linspace(0, 0.5, 160)
    assert detail_correlation(image, image, mask) == pytest.approx(1)
    assert detail_correlation(image, shaded, mask) > 0.99
    assert band_correlation(image, image, mask) == pytest.approx(1)
    assert border_f1(image, 0.5 * image + 0.1, mask) == pytest.approx(1)


def test_a_filled_outline_shows_no_detail(cells):
    image, outline, mask = cells
    inside = ndimage.binary_erosion(mask, iterations=12)
    assert abs(detail_correlation(image, outline, inside) or 0) < 0.2
    assert abs(band_correlation(image, outline, inside) or 0) < 0.2
    assert border_f1(image, outline, inside) < 0.5


def test_moved_contacts_are_found_out(cells):
    image, _, mask = cells
    moved = np.roll(image, 12, axis=(0, 1))
    assert (detail_correlation(image, moved, mask) or 0) < 0.3
    assert border_f1(image, moved, mask) < 0.5


def test_a_flat_prediction_is_undefined_and_has_no_border(cells):
    image, _, mask = cells
    flat = np.full_like(image, 0.2)
    assert detail_correlation(image, flat, mask) is None
    assert border_f1(image, flat, mask) == 0


def test_ridges_are_thin_and_lie_on_the_contacts(cells):
    image, _, mask = cells
    inside = ndimage.binary_erosion(mask, iterations=8)
    lines = ridges(image, inside)
    y, x = np.nonzero(lines)
    near = np.minimum(np.abs(y - 79.5), np.abs(x - 79.5))
    assert 150 < lines.sum() < 450
    assert np.median(near) <= 1
