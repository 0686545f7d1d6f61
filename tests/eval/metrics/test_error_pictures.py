import numpy as np
import pytest

from isl.errors import InputError
from isl_eval.metrics.error_pictures import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    error_picture,
    fluorescence_picture,
    normalized,
)

rng = np.random.default_rng(0)
IMAGE = rng.random((9, 14))


def test_normalized_has_the_papers_mean_and_deviation_where_it_counts():
    mask = rng.random(IMAGE.shape) < 0.5
    found = normalized(IMAGE, mask)[mask]
    assert (found.mean(), found.std()) == pytest.approx((0.25, 0.125))


def test_fluorescence_is_black_at_the_noise_floor_and_white_at_four_fifths():
    picture = fluorescence_picture(IMAGE)
    values = normalized(IMAGE)
    assert not picture[values <= 0.2].any()
    assert (values <= 0.2).any()
    middle = (values > 0.2) & (values < 0.8)
    assert picture[middle] == pytest.approx((values[middle] - 0.2) / 0.6)
    bright = np.zeros((10, 10))
    bright[0, 0] = 1.0
    assert fluorescence_picture(bright)[0, 0] == 1.0


def test_too_bright_is_magenta_and_too_dim_is_teal():
    true, predicted = np.zeros((2, 20, 20))
    true[3:5, 3:5] = 1.0
    predicted[10:12, 10:12] = 1.0
    picture = error_picture(true, predicted)
    assert picture.dtype == np.uint8
    # A deviation of 0.125 puts the squares above white, and the rest at about 0.237 of 0.8.
    rest = normalized(true)[0, 0] / 0.8
    assert picture[10, 10] == pytest.approx((1 - rest) * np.array(FALSE_POSITIVE), abs=1)
    assert picture[3, 3] == pytest.approx((1 - rest) * np.array(FALSE_NEGATIVE), abs=1)
    assert not picture[0].any()


def test_errors_below_the_noise_floor_show():
    true = np.full((30, 30), 0.5)
    true[:8] = 1.0
    true[15] = 0.42
    predicted = np.full((30, 30), 0.5)
    predicted[:8] = 1.0
    assert not fluorescence_picture(true)[15].any()
    assert not fluorescence_picture(predicted)[15].any()
    # What should have been darker is too bright.
    red, green, blue = error_picture(true, predicted)[15, 5]
    assert red == blue > 5
    assert green == 0


def test_brightness_and_contrast_alone_are_no_error():
    assert not error_picture(IMAGE, 0.4 * IMAGE + 0.2).any()


def test_constant_images_and_masks():
    flat = np.full(IMAGE.shape, 0.7)
    assert normalized(flat).tolist() == np.full(IMAGE.shape, 0.25).tolist()
    assert not error_picture(flat, flat).any()
    mask = np.zeros(IMAGE.shape, bool)
    grey = error_picture(IMAGE, flat, mask)
    assert len(np.unique(grey.reshape(-1, 3), axis=0)) == 1
    mask[2:5] = True
    spoiled = np.where(mask, IMAGE, np.nan)
    picture = error_picture(spoiled, flat, mask)
    assert picture[mask].tolist() == error_picture(IMAGE[2:5], flat[2:5]).reshape(-1, 3).tolist()
    assert (picture[~mask] == grey[~mask]).all()


def test_differing_sizes_are_refused():
    with pytest.raises(InputError, match="9 x 14 pixels, the predicted image 14 x 9"):
        error_picture(IMAGE, IMAGE.T)
