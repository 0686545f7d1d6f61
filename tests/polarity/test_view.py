"""What classifiers see: the embryo in the middle, wherever it lies."""

import numpy as np
import pytest
from scipy import ndimage

from isl.polarity.view import locate, standardized, view

SIZE = (60, 80)


def disc(middle: tuple[float, float], radius: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return (np.hypot(y - middle[0], x - middle[1]) <= radius).astype(np.float32)


def mirrored(index: int, length: int) -> int:
    """Which pixel is seen at a place beyond the border: the border is a mirror between pixels."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def by_hand(image: np.ndarray, top: int, left: int, width: int) -> np.ndarray:
    """Pixel by pixel, for views that are neither enlarged nor made small."""
    square = np.empty((width, width), np.float32)
    for row in range(width):
        for column in range(width):
            y, x = mirrored(top + row, image.shape[0]), mirrored(left + column, image.shape[1])
            square[row, column] = image[y, x]
    return ndimage.gaussian_filter(square, 0.6)


@pytest.mark.parametrize("middle", [(30, 40), (20, 25), (0, 0), (59, 70), (31.4, 77.2)])
def test_the_embryo_is_found_wherever_it_lies(middle):
    image = disc(middle, 12)
    rows, columns = np.nonzero(image)
    found = locate(0.1 + 0.3 * image)
    assert found == pytest.approx((rows.mean(), columns.mean()), abs=0.8)


def test_of_several_bright_regions_the_largest_is_the_embryo():
    image = disc((20, 20), 10) + disc((45, 65), 5)
    assert locate(image) == pytest.approx((20, 20), abs=0.3)


def test_where_the_embryo_lies_does_not_depend_on_the_lamp():
    image = ndimage.gaussian_filter(disc((25, 50), 12), 2)
    image += np.random.default_rng(0).normal(0, 0.02, SIZE).astype(np.float32)
    assert locate(0.5 + 0.25 * image) == pytest.approx(locate(image), abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_where_nothing_stands_out_it_is_the_middle_of_the_frame(value):
    assert locate(np.full(SIZE, value, np.float32)) == (29.5, 39.5)


@pytest.mark.parametrize(("top", "left"), [(20, 30), (-7, 30), (20, -16), (50, 70), (-12, 75)])
def test_a_view_is_cut_pixel_by_pixel_and_mirrored_beyond_borders(top, left):
    image = np.random.default_rng(1).random(SIZE).astype(np.float32)
    width = 16
    middle = (top + width / 2 - 0.5, left + width / 2 - 0.5)
    seen = view(image, middle, width / max(SIZE), width)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, by_hand(image, top, left, width), atol=1e-5)


def test_a_view_may_be_wider_than_the_frame():
    image = np.random.default_rng(1).random((9, 12)).astype(np.float32)
    seen = view(image, (4.5, 5.5), 2.0, 24)
    np.testing.assert_allclose(seen, by_hand(image, -7, -6, 24), atol=1e-5)


@pytest.mark.parametrize("middle", [(30, 40), (27.3, 12.8), (8, 40), (59, 79), (0, 0)])
@pytest.mark.parametrize("size", [21, 33])
def test_what_it_is_cut_around_is_in_its_middle(middle, size):
    """At borders too, where the mirror between pixels may move it by half a pixel."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    spot = np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * 3**2))
    seen = view(spot, middle, 0.4, size)
    peak = np.array(np.unravel_index(np.argmax(seen), seen.shape))
    assert np.abs(peak - size // 2).max() <= 1


def test_distances_shrink_with_the_view():
    """A spot 8 pixels below and 4 to the left, seen at half the size."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    spot = np.exp(-((y - 38) ** 2 + (x - 36) ** 2) / (2 * 2**2))
    seen = view(spot, (30, 40), 42 / max(SIZE), 21)
    assert np.unravel_index(np.argmax(seen), seen.shape) == (10 + 4, 10 - 2)


def test_standardizing_takes_brightness_and_contrast_away():
    views = np.random.default_rng(2).random((3, 24, 24, 2)).astype(np.float32)
    seen = standardized(views)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=(1, 2)), 1, atol=1e-5)
    lit = 0.1 + np.array([200, 3], np.float32) * views
    np.testing.assert_allclose(standardized(lit), seen, atol=1e-3)


def test_a_flat_view_is_standardized_to_zero():
    assert not standardized(np.full((1, 24, 24, 1), 7.0)).any()
