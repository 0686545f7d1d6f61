import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.imaging.agreement import PearsonSums, pearson


def images(seed=0, shape=(40, 30)):
    rng = np.random.default_rng(seed)
    a = rng.random(shape, np.float32)
    return a, (0.3 * a + 0.2 * rng.random(shape)).astype(np.float32)


def test_it_is_what_numpy_computes():
    a, b = images()
    expected = np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]
    assert pearson(a, b) == pytest.approx(expected, abs=1e-12)
    assert PearsonSums().add(a, b).pearson == pytest.approx(expected, abs=1e-10)


def test_a_line_agrees_wholly():
    a, _ = images()
    assert pearson(a, 3 * a + 1) == pytest.approx(1)
    assert pearson(a, -a) == pytest.approx(-1)
    assert pearson(a, a) <= 1.0


def test_an_offset_as_large_as_a_camera_has_does_no_harm():
    a, b = images()
    a, b = a.astype(np.float64), b.astype(np.float64)
    assert pearson(a + 1e6, b + 1e6) == pytest.approx(pearson(a, b), abs=1e-8)


def test_integers_do_not_overflow():
    a = np.array([0, 255, 255, 0, 7], np.uint8)
    b = np.array([0, 65535, 65535, 0, 1], np.uint16)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a.astype(float), b.astype(float))[0, 1])


def test_a_mask_equals_deletion():
    a, b = images()
    mask = np.random.default_rng(1).random(a.shape) < 0.4
    assert pearson(a, b, mask) == pearson(a[mask], b[mask])
    broken = np.where(mask, a, np.nan)
    assert pearson(broken, b, mask) == pearson(a, b, mask)
    assert PearsonSums().add(broken, b, mask) == PearsonSums().add(a[mask], b[mask])


@given(st.lists(st.integers(0, 40), min_size=0, max_size=4))
def test_pieces_merge_to_the_whole(cuts):
    a, b = images()
    pieces = [
        PearsonSums().add(x, y)
        for x, y in zip(np.split(a, sorted(cuts)), np.split(b, sorted(cuts)), strict=True)
    ]
    merged = functools.reduce(lambda x, y: x + y, pieces, PearsonSums())
    assert merged.count == a.size
    assert merged.pearson == pytest.approx(pearson(a, b), abs=1e-10)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
def test_a_constant_image_has_no_correlation(value):
    a, _ = images()
    constant = np.full_like(a, value)
    assert math.isnan(pearson(a, constant))
    assert math.isnan(pearson(constant, a))
    assert math.isnan(PearsonSums().add(constant, a).pearson)


def test_too_few_pixels_have_no_correlation():
    a, b = images()
    empty = np.zeros(a.shape, bool)
    assert math.isnan(pearson(a, b, empty))
    assert math.isnan(PearsonSums().pearson)
    assert math.isnan(PearsonSums().add(a[:1, :1], b[:1, :1]).pearson)


def test_shapes_must_match():
    a, b = images()
    with pytest.raises(ValueError, match="differ in shape"):
        pearson(a, b[1:])
    with pytest.raises(ValueError, match="differ in shape"):
        pearson(a, b, np.ones(3, bool))
