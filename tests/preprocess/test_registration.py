import numpy as np
import pytest
import scipy.ndimage

from isl.errors import InputError
from isl.phantom import PhantomConfig, make_phantom
from isl.preprocess.stages.registration import Shift, measure_shift, shift_image


@pytest.fixture(scope="module")
def field():
    """A phase-contrast plane in focus and the membranes of the same cells, a generous cut."""
    config = PhantomConfig(height=300, width=290, planes=1, depth=8.0, modality="PHASE_CONTRAST")
    stack, labels = make_phantom(config, 0)
    return stack.planes[0], labels.channels[1].astype(np.float32)


def inside(image):
    return image[20:-20, 20:-20]


def test_images_that_belong_together_lie_together(field):
    transmitted, label = field
    shift = measure_shift(transmitted, label)
    assert shift.known
    assert shift.length < 0.5


@pytest.mark.parametrize("moved", [(7, -12), (-3.4, 5.6), (0.5, 0.25), (-15, 15)])
def test_a_shift_is_found_to_a_fraction_of_a_pixel(field, moved):
    transmitted, label = field
    there = scipy.ndimage.shift(label, moved, order=3)
    shift = measure_shift(inside(transmitted), inside(there))
    at_rest = measure_shift(inside(transmitted), inside(label))
    assert shift.known
    assert shift.y - at_rest.y == pytest.approx(moved[0], abs=0.2)
    assert shift.x - at_rest.x == pytest.approx(moved[1], abs=0.2)


def test_brightness_and_uneven_light_do_not_matter(field):
    transmitted, label = field
    slope = np.linspace(0.5, 2, label.shape[1], dtype=np.float32)
    usual = measure_shift(transmitted, label)
    shift = measure_shift(transmitted * slope, 3 * label * slope[::-1] + 500)
    assert shift.known
    assert np.hypot(shift.y - usual.y, shift.x - usual.x) < 0.2


def test_what_does_not_belong_together_is_not_known(field):
    transmitted, label = field
    for unrelated in (label[::-1], label[:, ::-1], label[::-1, ::-1]):
        assert not measure_shift(transmitted, unrelated).known
    noise = np.random.default_rng(0).standard_normal(label.shape)
    assert not measure_shift(transmitted, noise).known


def test_of_nothing_there_is_no_confidence(field):
    transmitted, label = field
    flat = np.full(label.shape, 100, np.uint16)
    nothing = Shift(y=0.0, x=0.0, confidence=0.0)
    assert measure_shift(transmitted, flat) == nothing
    assert measure_shift(flat, label) == nothing
    assert measure_shift(transmitted, label, np.zeros(label.shape, bool)) == nothing


def test_what_is_not_covered_does_not_count(field):
    transmitted, label = (image.astype(np.float32) for image in field)
    covered = np.ones(label.shape, bool)
    covered[200:, 190:] = False
    spoiled = np.where(covered, label, 60000 * np.random.default_rng(0).random(label.shape))
    shift = measure_shift(transmitted, spoiled, covered)
    assert shift == measure_shift(transmitted, np.where(covered, label, 0), covered)
    assert shift.known
    assert shift.length < 0.5


def test_an_image_is_moved_back():
    image = np.arange(30, dtype=np.uint16).reshape(5, 6)
    moved, covered = shift_image(image, Shift(y=1, x=-2, confidence=1))
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved[:4, 2:], image[1:, :4])
    np.testing.assert_array_equal(covered[:4, 2:], True)
    assert covered.sum() == 16
    np.testing.assert_array_equal(moved[~covered], 0)


def test_half_a_pixel_is_interpolated():
    slope = np.add.outer(10.0 * np.arange(8), np.arange(9.0))
    moved, covered = shift_image(slope, Shift(y=0.5, x=-0.25, confidence=1))
    rows, columns = np.nonzero(covered)
    np.testing.assert_allclose(moved[covered], 10 * (rows + 0.5) + columns - 0.25, rtol=1e-6)
    np.testing.assert_array_equal(covered[:-1, 1:], True)
    np.testing.assert_array_equal(covered[-1], False)
    np.testing.assert_array_equal(covered[:, 0], False)


def test_measured_and_moved_back_is_where_it_was(field):
    transmitted, label = field
    there = scipy.ndimage.shift(label, (4, -6), order=1)
    back, covered = shift_image(there, Shift(y=4, x=-6, confidence=1))
    np.testing.assert_allclose(back[covered], label[covered], rtol=1e-4)
    assert measure_shift(inside(transmitted), inside(back)).length < 0.5


def test_bad_images_are_refused():
    image = np.zeros((64, 80))
    with pytest.raises(
        InputError, match=r"well A1: transmitted light has 64 x 80 pixels, fluo.*80"
    ):
        measure_shift(image, image.T, source="well A1")
    with pytest.raises(
        InputError, match="64 x 80 pixels cannot show shifts up to 32; give 1 to 16"
    ):
        measure_shift(image, image)
    with pytest.raises(InputError, match="up to 0"):
        measure_shift(image, image, max_shift=0)
