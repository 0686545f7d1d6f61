"""Tiles blended into one picture."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.canvas import blend_rows, plan_canvas

SIZE = (7, 9)


def random_tiles(count, planes=None, seed=0, dtype=np.uint16):
    shape = (count, *([planes] if planes else []), *SIZE)
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(dtype)


def reader(tiles):
    return lambda tile, rows: tiles[tile][..., rows, :]


def whole(canvas, tiles):
    return blend_rows(canvas, slice(0, canvas.size[0]), reader(tiles))


def slow_blend(canvas, tiles):
    """One pixel at a time, in float64."""
    values, weights = np.zeros(canvas.size), np.zeros(canvas.size)
    for tile, (top, left) in zip(tiles, canvas.origins, strict=True):
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                weight = min(y + 1, SIZE[0] - y, x + 1, SIZE[1] - x)
                values[top + y, left + x] += weight * float(tile[y, x])
                weights[top + y, left + x] += weight
    covered = weights > 0
    values[covered] /= weights[covered]
    return values, covered


def test_positions_are_rounded_and_begin_at_zero():
    canvas = plan_canvas(np.array([(-3.4, 10.0), (1.4, 3.7), (0.0, 20.6)]), SIZE)
    assert canvas.origins.tolist() == [[0, 6], [5, 0], [3, 17]]
    assert canvas.size == (12, 26)
    assert canvas.tile == SIZE


def test_as_a_loop_over_pixels():
    tiles = random_tiles(4)
    canvas = plan_canvas(np.array([(0, 0), (1, 6), (5, 2), (4, 7.2)]), SIZE)
    values, covered = whole(canvas, tiles)
    expected, where = slow_blend(canvas, tiles)
    np.testing.assert_array_equal(covered, where)
    np.testing.assert_allclose(values, expected, rtol=1e-7)
    assert values.dtype == np.float32


@hypothesis.given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=5), st.data()
)
def test_bands_of_any_height_give_the_same_bits(positions, data):
    tiles = random_tiles(len(positions))
    canvas = plan_canvas(np.array(positions), SIZE)
    values, covered = whole(canvas, tiles)
    rows = canvas.size[0]
    cuts = sorted(data.draw(st.sets(st.integers(1, rows), max_size=4)) | {0, rows})
    bands = [blend_rows(canvas, slice(a, b), reader(tiles)) for a, b in itertools.pairwise(cuts)]
    assert np.concatenate([band for band, _ in bands]).tobytes() == values.tobytes()
    np.testing.assert_array_equal(np.concatenate([band for _, band in bands]), covered)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_single_tile_comes_back_exactly(dtype):
    tiles = random_tiles(1, dtype=dtype)
    values, covered = whole(plan_canvas(np.array([(12.3, -4.0)]), SIZE), tiles)
    np.testing.assert_array_equal(values, tiles[0].astype(np.float32))
    assert covered.all()


def test_where_one_tile_lies_its_pixels_are_kept():
    tiles = np.random.default_rng(3).normal(1e4, 3e3, (2, *SIZE)).astype(np.float32)
    values, _ = whole(plan_canvas(np.array([(0, 0), (2, 5)]), SIZE), tiles)
    np.testing.assert_array_equal(values[:7, :5], tiles[0][:, :5])
    np.testing.assert_array_equal(values[:2, 5:9], tiles[0][:2, 5:])
    np.testing.assert_array_equal(values[2:, 9:], tiles[1][:, 4:])
    np.testing.assert_array_equal(values[7:, 5:9], tiles[1][5:, :4])


@pytest.mark.parametrize("level", [0.1, 1 / 3, 12345.678])
def test_equal_tiles_give_what_they_hold(level):
    tiles = np.full((4, *SIZE), level, np.float32)
    canvas = plan_canvas(np.array([(0, 0), (1, 5), (4, 1), (5, 4)]), SIZE)
    values, covered = whole(canvas, tiles)
    assert set(np.unique(values[covered])) == {np.float32(level)}


def test_a_tile_fades_in_from_its_edge():
    tiles = np.stack([np.zeros((7, 9)), np.ones((7, 9))])
    values, _ = whole(plan_canvas(np.array([(0, 0), (0, 5)]), SIZE), tiles)
    # Distances to the nearest edge in the middle row: 4 3 2 1 of the first, 1 2 3 4 of the second.
    np.testing.assert_allclose(values[3, 4:10], [0, 1 / 5, 2 / 5, 3 / 5, 4 / 5, 1], rtol=1e-6)


def test_stacks_are_blended_plane_by_plane():
    tiles = random_tiles(3, planes=4)
    canvas = plan_canvas(np.array([(0, 0), (1, 6), (5, 2)]), SIZE)
    values, covered = whole(canvas, tiles)
    assert values.shape == (4, *canvas.size)
    for plane in range(4):
        single, where = whole(canvas, tiles[:, plane])
        np.testing.assert_array_equal(values[plane], single)
        np.testing.assert_array_equal(covered, where)


def test_gaps_are_zero_and_not_covered():
    tiles = random_tiles(2) | 1
    canvas = plan_canvas(np.array([(0, 0), (20, 12)]), SIZE)
    values, covered = whole(canvas, tiles)
    expected = np.zeros(canvas.size, bool)
    expected[:7, :9] = expected[20:, 12:] = True
    np.testing.assert_array_equal(covered, expected)
    np.testing.assert_array_equal(values > 0, expected)


@pytest.mark.parametrize(("planes", "shape"), [(None, (5, 21)), (3, (3, 5, 21))])
def test_a_band_without_tiles_has_the_shape_of_the_others(planes, shape):
    canvas = plan_canvas(np.array([(0, 0), (20, 12)]), SIZE)
    values, covered = blend_rows(canvas, slice(10, 15), reader(random_tiles(2, planes)))
    assert (values.shape, values.dtype) == (shape, np.float32)
    assert not values.any()
    assert not covered.any()


def test_only_rows_that_are_needed_are_read():
    tiles, asked = random_tiles(3), []

    def read(tile, rows):
        asked.append((tile, rows.start, rows.stop))
        return tiles[tile][rows]

    blend_rows(plan_canvas(np.array([(0, 0), (4, 0), (8, 3)]), SIZE), slice(5, 9), read)
    assert asked == [(0, 5, 7), (1, 1, 5), (2, 0, 1)]


def test_no_tile_is_refused():
    with pytest.raises(InputError, match="at least one tile"):
        plan_canvas(np.zeros((0, 2)), SIZE)


def test_a_position_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="position of tile 1 is not finite"):
        plan_canvas(np.array([(0, 0), (np.nan, 3)]), SIZE)


@pytest.mark.parametrize("shape", [(7, 8), (6, 9), (9,), (1, 1, 7, 9)])
def test_a_tile_of_another_size_is_refused(shape):
    canvas = plan_canvas(np.zeros((1, 2)), SIZE)
    with pytest.raises(InputError, match=r"tile 0 gave pixels of shape .* where 7 x 9 belong"):
        blend_rows(canvas, slice(0, 7), lambda tile, rows: np.zeros(shape))
