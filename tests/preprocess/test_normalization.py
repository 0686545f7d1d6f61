import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isl.errors import InputError
from isl.preprocess.stages import normalization as module
from isl.preprocess.stages.normalization import (
    TARGETS,
    Moments,
    apply,
    count_clipped,
    plan_normalization,
    to_raw,
)

IMAGES = arrays.arrays(
    np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 65535)
)


def same(left, right):
    """Whether two sets of moments are one, up to rounding."""
    ours, theirs = dataclasses.astuple(left), dataclasses.astuple(right)
    return ours[0] == theirs[0] and np.allclose(ours, theirs, rtol=1e-9, atol=1e-3)


@given(IMAGES, st.data())
def test_moments_are_those_of_the_pixels_that_count(image, data):
    mask = data.draw(arrays.arrays(bool, image.shape))
    moments = Moments.of(image, mask)
    values = image[mask].astype(np.float64)
    assert moments.count == values.size
    if not values.size:
        assert moments == Moments()
        assert math.isnan(moments.mean)
        assert math.isnan(moments.deviation)
        return
    assert moments.sum == values.sum()
    assert moments.mean == pytest.approx(values.mean())
    assert moments.deviation == pytest.approx(values.std(), abs=1e-6)
    assert (moments.lowest, moments.highest) == (values.min(), values.max())


@given(st.lists(IMAGES, max_size=4))
def test_moments_merge_in_any_order(images):
    pixels = [image.reshape(1, -1) for image in images]
    whole = Moments.of(np.concatenate([np.zeros((1, 0), np.uint16), *pixels], axis=1))
    forth, back = Moments(), Moments()
    for image in images:
        forth += Moments.of(image)
        back = Moments.of(image) + back
    assert same(forth, whole)
    assert same(back, whole)


def test_blocks_of_rows_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    image, mask = rng.random((37, 11), np.float32), rng.random((37, 11)) < 0.5
    whole = Moments.of(image, mask)
    plan = plan_normalization(whole, mean=0.5, deviation=0.125)
    applied = apply(image, plan)
    monkeypatch.setattr(module, "_BLOCK", 25)
    np.testing.assert_allclose(
        dataclasses.astuple(Moments.of(image, mask)), dataclasses.astuple(whole), rtol=1e-12
    )
    np.testing.assert_array_equal(apply(image, plan), applied)


def test_a_small_contrast_on_a_large_background_is_not_lost():
    pattern = np.tile([[-1.0, 1.0], [1.0, -1.0]], (50, 50))
    moments = Moments()
    for _ in range(20):
        moments += Moments.of(1e9 + pattern)
    assert moments.deviation == pytest.approx(1.0, rel=1e-9)
    assert moments.mean == pytest.approx(1e9, rel=1e-15)


@pytest.mark.parametrize("channel", sorted(TARGETS))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_field_is_mapped_to_the_papers_mean_and_deviation(channel, dtype):
    image = np.random.default_rng(0).integers(90, 111, (40, 50)).astype(dtype)
    before = image.copy()
    mean, deviation = TARGETS[channel]
    plan = plan_normalization(Moments.of(image), mean=mean, deviation=deviation)
    values = apply(image, plan)
    assert values.dtype == np.float32
    assert count_clipped(image, plan) == 0
    assert values.mean() == pytest.approx(mean, rel=1e-6)
    assert values.std() == pytest.approx(deviation, rel=1e-6)
    assert (plan.mean, plan.deviation) == (
        pytest.approx(image.mean()),
        pytest.approx(image.std()),
    )
    np.testing.assert_allclose(values, image * plan.scale + plan.offset, atol=1e-6)
    np.testing.assert_array_equal(image, before)


def test_the_papers_targets():
    assert dict(TARGETS) == {"transmitted": (0.5, 0.125), "fluorescence": (0.25, 0.125)}


def test_what_leaves_the_range_is_clipped_and_counted():
    image = np.full((20, 20), 100.0)
    image[::2] = 102
    image[0, 0], image[5, 5] = -300, 500
    mask = np.ones(image.shape, bool)
    mask[0, 0] = mask[5, 5] = False
    plan = plan_normalization(Moments.of(image, mask), mean=0.5, deviation=0.125)
    values = apply(image, plan)
    assert (values[0, 0], values[5, 5]) == (0, 1)
    assert count_clipped(image, plan) == 2
    assert count_clipped(image, plan, mask) == 0
    counted = dataclasses.replace(plan, clipped=2 / image.size)
    assert (plan.clipped, counted.clipped) == (None, 0.005)


@given(
    arrays.arrays(np.float32, (6, 7), elements=st.floats(0, 60000, width=32)),
    st.sampled_from(sorted(TARGETS)),
)
def test_counts_come_back_where_nothing_was_clipped(image, channel):
    moments = Moments.of(image)
    if moments.deviation < 1e-3:
        return
    mean, deviation = TARGETS[channel]
    plan = plan_normalization(moments, mean=mean, deviation=deviation)
    values = apply(image, plan)
    inside = (values > 0) & (values < 1)
    back = to_raw(values, plan)
    assert back.dtype == np.float32
    # float32 at 1 is spaced by 1.2e-7, counts by 60000 times that at the most.
    tolerance = 1.2e-7 / plan.scale + 1.2e-7 * 60000
    np.testing.assert_allclose(back[inside], image[inside], rtol=0, atol=tolerance)


def test_integer_counts_come_back_exactly():
    image = np.arange(900, 1156, dtype=np.uint16).reshape(16, 16)
    plan = plan_normalization(Moments.of(image), mean=0.5, deviation=0.125)
    np.testing.assert_array_equal(np.rint(to_raw(apply(image, plan), plan)), image)


def test_any_shape_is_mapped():
    plan = plan_normalization(Moments.of(np.eye(3)), mean=0.5, deviation=0.125)
    for shape in ((), (4,), (2, 3, 4), (2, 0), (0,)):
        assert apply(np.ones(shape), plan).shape == shape
        assert to_raw(np.ones(shape, np.float32), plan).shape == shape


@pytest.mark.parametrize("value", [0, 37, 65535, 0.1])
def test_a_constant_field_is_refused(value):
    # 0.1 has no exact sum; its deviation may come out as more than 0.
    moments = Moments.of(np.full((7, 9), value)) + Moments.of(np.full((3, 5), value))
    with pytest.raises(InputError, match=f"^well-A1: every pixel is {value:g}, .* leave it out"):
        plan_normalization(moments, mean=0.5, deviation=0.125, source="well-A1")


def test_a_field_without_pixels_is_refused():
    moments = Moments.of(np.ones((3, 3)), np.zeros((3, 3), bool))
    with pytest.raises(InputError, match=r"^well-A1: no pixel"):
        plan_normalization(moments, mean=0.5, deviation=0.125, source="well-A1")


@pytest.mark.parametrize(
    ("mean", "deviation"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 0), (0.5, 1), (math.nan, 0.1)]
)
def test_a_target_that_cannot_be_had_is_named(mean, deviation):
    with pytest.raises(InputError, match=f"mean = {mean:g}, deviation = {deviation:g}"):
        plan_normalization(Moments.of(np.eye(3)), mean=mean, deviation=deviation)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_where_it_counts(bad):
    image = np.ones((4, 4))
    image[1, 2] = bad
    with pytest.raises(InputError, match=r"^well-A1: some pixels are NaN or infinite"):
        Moments.of(image, source="well-A1")
    mask = np.isfinite(image)
    assert Moments.of(image, mask).count == 15


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"^well-A1: .*\(4, 4\), its mask \(4, 5\)"):
        Moments.of(np.ones((4, 4)), np.ones((4, 5), bool), source="well-A1")
