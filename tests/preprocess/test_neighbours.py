"""Pairs of tiles that overlap by their nominal positions."""

import itertools

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.neighbours import neighbouring


def grid(rows, columns, pitch):
    return np.array([(pitch[0] * r, pitch[1] * c) for r in range(rows) for c in range(columns)])


def test_a_grid_has_the_pairs_of_its_edges():
    pairs = neighbouring(grid(3, 4, (17, 13)), (20, 16), least_overlap=3)
    across = {(4 * r + c, 4 * r + c + 1) for r in range(3) for c in range(3)}
    down = {(4 * r + c, 4 * r + c + 4) for r in range(2) for c in range(4)}
    assert set(pairs) == across | down
    assert pairs == tuple(sorted(pairs))


def test_corners_count_where_asked():
    positions = grid(2, 2, (17, 13))
    assert neighbouring(positions, (20, 16), least_overlap=3) == ((0, 1), (0, 2), (1, 3), (2, 3))
    every = tuple(itertools.combinations(range(4), 2))
    assert neighbouring(positions, (20, 16), least_overlap=3, diagonal=True) == every


def test_corners_do_not_count_where_tiles_overlap_by_more_than_half():
    assert neighbouring(grid(2, 2, (8, 7)), (20, 16), least_overlap=3) == (
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 3),
    )


def test_the_order_of_tiles_and_missing_ones_change_nothing_else():
    positions = grid(3, 3, (17, 17))[[8, 3, 0, 5, 4]]
    assert neighbouring(positions, (20, 20), least_overlap=2) == ((0, 3), (1, 2), (1, 4), (3, 4))


@pytest.mark.parametrize(("least", "found"), [(4, ((0, 1),)), (5, ())])
def test_overlap_is_counted_to_the_pixel(least, found):
    assert neighbouring(np.array([(0, 0), (3, 16)]), (20, 20), least_overlap=least) == found


@pytest.mark.parametrize("count", [0, 1])
def test_few_tiles_have_no_neighbors(count):
    assert neighbouring(np.zeros((count, 2)), (8, 8), least_overlap=1) == ()


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        np.float64, st.tuples(st.integers(0, 7), st.just(2)), elements=st.floats(-40, 40)
    ),
    st.integers(1, 12),
    st.booleans(),
)
def test_as_the_comparison_of_all_pairs(positions, least, diagonal):
    expected = []
    for i, j in itertools.combinations(range(len(positions)), 2):
        down = abs(positions[i, 0] - positions[j, 0])
        right = abs(positions[i, 1] - positions[j, 1])
        edge = 2 * down / 15 <= right / 12 or 2 * right / 12 <= down / 15
        if down <= 15 - least and right <= 12 - least and (edge or diagonal):
            expected.append((i, j))
    assert neighbouring(positions, (15, 12), least_overlap=least, diagonal=diagonal) == tuple(
        expected
    )


@pytest.mark.parametrize("least", [0, 13])
def test_a_least_overlap_outside_the_tile_is_refused(least):
    with pytest.raises(InputError, match=f"least overlap of {least} pixels is not within tiles"):
        neighbouring(np.zeros((2, 2)), (20, 12), least_overlap=least)
