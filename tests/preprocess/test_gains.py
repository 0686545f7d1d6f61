"""Gains of tiles: known ones come back, and what a flat field leaves does not pile up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.preprocess.stages.gains import Ratio, overlap_ratio, solve_gains

SIZE, STEP = 40, 28


def cut(gains, *, rows=3, columns=3, light=None, seed=0):
    """Tiles of one picture, their origins and the pairs of neighbors."""
    rng = np.random.default_rng(seed)
    whole = rng.uniform(50, 150, ((rows - 1) * STEP + SIZE, (columns - 1) * STEP + SIZE))
    origins = [(r * STEP, c * STEP) for r in range(rows) for c in range(columns)]
    shade = 1.0 if light is None else light
    tiles = [
        whole[y : y + SIZE, x : x + SIZE] * gain * shade
        for (y, x), gain in zip(origins, gains, strict=True)
    ]
    pairs = [
        (a, b)
        for a in range(len(tiles))
        for b in range(a + 1, len(tiles))
        if sum(abs(np.subtract(origins[b], origins[a]))) == STEP
    ]
    return tiles, origins, pairs


def ratios_of(tiles, origins, pairs, *, fluorescence=False):
    return [
        overlap_ratio(
            tiles[a],
            tiles[b],
            tuple(np.subtract(origins[b], origins[a])),
            pair=(a, b),
            fluorescence=fluorescence,
        )
        for a, b in pairs
    ]


def test_known_gains_come_back():
    gains = np.random.default_rng(1).uniform(0.8, 1.2, 9)
    found = solve_gains(9, ratios_of(*cut(gains)))
    logs = np.log(gains)
    y, x = np.divmod(np.arange(9), 3)
    assert np.std(np.log(found) - logs) < np.std(logs) / 3
    # What is left is a slope over the field, which a flat field's error would be, too.
    rest = np.log(found) - logs
    fit = np.linalg.lstsq(np.stack([np.ones(9), y, x], axis=1), rest, rcond=None)[0]
    np.testing.assert_allclose(rest, np.stack([np.ones(9), y, x], axis=1) @ fit, atol=2e-3)


def test_one_bright_tile():
    gains = np.ones(9)
    gains[4] = 1.3
    found = solve_gains(9, ratios_of(*cut(gains)))
    np.testing.assert_allclose(found / found[0], gains, rtol=5e-3)


def test_what_a_flat_field_leaves_is_no_gain():
    slope = 1 + 0.2 * np.linspace(-1, 1, SIZE)
    tiles, origins, pairs = cut(np.ones(30), rows=5, columns=6, light=slope)
    np.testing.assert_allclose(solve_gains(30, ratios_of(tiles, origins, pairs)), 1, atol=0.02)


@given(y=st.integers(-SIZE, SIZE), x=st.integers(-SIZE, SIZE), seed=st.integers(0, 9))
def test_a_ratio_is_that_of_the_pixels_shared(y, x, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(1, 2, (2, SIZE, SIZE))
    found = overlap_ratio(first, second, (y, x), pair=(0, 1), fluorescence=False)
    shared = [
        (first[r, c], second[r - y, c - x])
        for r in range(SIZE)
        for c in range(SIZE)
        if 0 <= r - y < SIZE and 0 <= c - x < SIZE
    ]
    assert found.pixels == len(shared)
    if shared:
        a, b = np.array(shared).mean(axis=0)
        assert found.log == pytest.approx(np.log(b / a))


@pytest.mark.parametrize("value", [0.0, -5.0, 100.0])
def test_dark_or_other_pictures_say_nothing(value):
    other = np.full((4, 4), value)
    found = overlap_ratio(np.ones((4, 4)), other, (0, 1), pair=(0, 1), fluorescence=False)
    assert (found.pixels, found.log) == (0, 0.0)


def test_without_overlaps_every_gain_is_one():
    np.testing.assert_array_equal(solve_gains(3, []), np.ones(3))
    nothing = Ratio(i=0, j=1, log=0.0, pixels=0, direction=0)
    np.testing.assert_array_equal(solve_gains(3, [nothing]), np.ones(3))


def test_tiles_that_nothing_ties_keep_theirs():
    tied = [Ratio(i=0, j=1, log=0.2, pixels=10, direction=0)]
    more = [Ratio(i=2, j=3, log=0.0, pixels=10, direction=0)] * 3
    found = solve_gains(5, tied + more)
    assert found[1] / found[0] == pytest.approx(np.exp(0.2), rel=1e-2)
    assert found[4] == pytest.approx(1, rel=1e-2)


def test_contrast_is_not_misled_by_what_is_added():
    gains = np.ones(9)
    gains[4] = 1.3
    tiles, origins, pairs = cut(gains)
    tiles = [tile + 40 * number for number, tile in enumerate(tiles)]
    found = solve_gains(9, ratios_of(tiles, origins, pairs, fluorescence=True))
    np.testing.assert_allclose(found / found[0], gains, rtol=5e-3)


def test_fluorescence_of_other_cells_says_nothing():
    first, second = np.random.default_rng(0).uniform(1, 2, (2, 20, 20))
    found = overlap_ratio(first, second, (0, 10), pair=(0, 1), fluorescence=True)
    assert found.pixels == 0
    flat = overlap_ratio(first, np.ones((20, 20)), (0, 10), pair=(0, 1), fluorescence=True)
    assert flat.pixels == 0
