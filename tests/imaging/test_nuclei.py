import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.nuclei import segment_nuclei

SIZE = (120, 150)
CENTERS = [(20, 20), (20, 33), (60, 70), (61, 130), (95, 30), (104, 41), (95, 52)]


def field(centers=CENTERS, radius=8, noise=0.005, brightness=None):
    """Discs, blurred at the rim, on a noisy ground; the brighter hides the dimmer."""
    y, x = np.indices(SIZE)
    image = np.full(SIZE, 0.2)
    for number, (cy, cx) in enumerate(centers):
        bright = 0.4 if brightness is None else brightness[number]
        disc = 1 / (1 + np.exp(np.hypot(y - cy, x - cx) - radius))
        image = np.maximum(image, 0.2 + bright * disc)
    return image + noise * np.random.default_rng(0).standard_normal(SIZE)


def test_every_nucleus_is_found_once_though_some_touch():
    labels = segment_nuclei(field())
    found = [labels[center] for center in CENTERS]
    assert sorted(found) == list(range(1, len(CENTERS) + 1))
    assert labels.max() == len(CENTERS)
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes == pytest.approx(np.pi * 8**2, rel=0.25)


def test_bright_nuclei_do_not_hide_dim_ones():
    brightness = [0.35, 0.55, 0.35, 0.55, 0.35, 0.55, 0.35]
    labels = segment_nuclei(field(brightness=brightness))
    assert len({labels[center] for center in CENTERS} - {0}) == len(CENTERS)


def test_the_threshold_follows_the_images_own_scale():
    image = field()
    dim = 0.3 * image + 0.1
    assert segment_nuclei(dim).tolist() == segment_nuclei(image).tolist()


def test_long_nuclei_stay_whole():
    y, x = np.indices(SIZE)
    image = field(CENTERS[:3])
    image[np.hypot((y - 90) / 6, (x - 90) / 14) < 1] = 0.6
    assert segment_nuclei(image).max() == 4


def test_a_field_without_nuclei_has_none():
    noise = 0.2 + 0.02 * np.random.default_rng(0).standard_normal(SIZE)
    for image in (np.full(SIZE, 0.2), noise):
        labels = segment_nuclei(image)
        assert not labels.any()
        assert np.issubdtype(labels.dtype, np.integer)


def test_specks_are_no_nuclei():
    image = field(CENTERS[2:4])
    image[10:12, 10:12] = 0.6
    assert segment_nuclei(image).max() == 2


def test_what_the_mask_leaves_out_has_no_part():
    image, mask = field(), np.ones(SIZE, bool)
    mask[:, 100:] = False
    spoiled = np.where(mask, image, 0.0)
    labels = segment_nuclei(spoiled, mask=mask)
    assert not labels[~mask].any()
    assert labels.max() == len(CENTERS) - 1
    assert segment_nuclei(np.where(mask, image, 1.0), mask=mask).tolist() == labels.tolist()
    assert not segment_nuclei(image, mask=np.zeros(SIZE, bool)).any()


def test_a_given_diameter_parts_accordingly():
    pixel_size = PixelSize(y=0.5, x=0.5)
    right = segment_nuclei(field(), pixel_size=pixel_size, diameter=8.0)
    assert right.max() == len(CENTERS)
    # One that takes each pair for a single nucleus.
    coarse = segment_nuclei(field(CENTERS[:2]), pixel_size=pixel_size, diameter=20.0)
    assert coarse.max() == 1


def test_bad_input():
    with pytest.raises(InputError, match="diameter of 8 um needs a pixel size"):
        segment_nuclei(field(), diameter=8.0)
    with pytest.raises(InputError, match="120 x 150 pixels, its mask 150 x 120"):
        segment_nuclei(field(), mask=np.ones(SIZE[::-1], bool))
