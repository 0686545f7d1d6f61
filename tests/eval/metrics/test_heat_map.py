import io

import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl_eval.metrics.heat_map import draw_heat_map, intensity_heat_map


def test_pixels_are_counted_by_both_intensities():
    rng = np.random.default_rng(0)
    true, predicted = rng.random((2, 17, 23))
    true[0, 0] = predicted[0, 0] = 1.0
    heat_map = intensity_heat_map(true, predicted)
    expected = np.zeros((10, 10), int)
    for x, y in zip(true.ravel(), predicted.ravel(), strict=True):
        expected[min(9, int(x * 10)), min(9, int(y * 10))] += 1
    assert heat_map.counts.tolist() == expected.tolist()
    assert heat_map.edges == pytest.approx(np.arange(11) / 10)
    assert heat_map.per_thousand.sum() == pytest.approx(1000)


def test_line_and_correlation_of_the_pixels_that_count():
    true = np.arange(12).reshape(3, 4) / 12
    predicted = 0.5 * true + 0.1
    mask = true < 0.9
    predicted[~mask] = 1.0
    heat_map = intensity_heat_map(true, predicted, mask, bin_width=0.25)
    assert heat_map.counts.sum() == mask.sum()
    assert heat_map.counts.shape == (4, 4)
    assert (heat_map.slope, heat_map.intercept, heat_map.pearson) == pytest.approx((0.5, 0.1, 1))


def test_constant_images_and_empty_masks():
    flat, other = np.full((2, 2), 0.3), np.arange(4).reshape(2, 2) / 4
    heat_map = intensity_heat_map(flat, other)
    assert (heat_map.slope, heat_map.pearson, heat_map.counts.sum()) == (None, None, 4)
    nothing = intensity_heat_map(flat, other, np.zeros((2, 2), bool))
    assert not nothing.counts.any()
    assert not nothing.per_thousand.any()
    assert Image.open(io.BytesIO(draw_heat_map(nothing, "nothing"))).format == "PNG"


@pytest.mark.parametrize("width", [0, -0.1, 0.3, 2, float("nan")])
def test_bins_that_do_not_fit_are_refused(width):
    with pytest.raises(InputError, match="bin width"):
        intensity_heat_map(np.zeros((2, 2)), np.zeros((2, 2)), bin_width=width)


def test_differing_sizes_are_refused():
    with pytest.raises(InputError, match="2 x 2 pixels, the predicted image 2 x 3"):
        intensity_heat_map(np.zeros((2, 2)), np.zeros((2, 3)))


def test_the_picture_is_darkest_where_most_pixels_are():
    true = np.full((10, 10), 0.05)
    true[0, :3] = 0.95
    picture = Image.open(io.BytesIO(draw_heat_map(intensity_heat_map(true, true), "DAPI")))
    pixels = np.asarray(picture.convert("L")).astype(float)
    height, width = pixels.shape
    lower_left = pixels[height // 2 :, : width // 2].mean()
    upper_left = pixels[: height // 2, : width // 2].mean()
    assert lower_left < upper_left
