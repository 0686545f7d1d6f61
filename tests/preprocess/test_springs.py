"""Positions of all tiles from offsets of neighbors."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.springs import Link, solve_positions


def field(rows, columns, *, seed=0, pitch=(170, 180), jitter=4.0):
    """Nominal positions, true ones that begin at 0, and the pairs of a grid's edges."""
    rng = np.random.default_rng(seed)
    nominal = np.array([(pitch[0] * r, pitch[1] * c) for r in range(rows) for c in range(columns)])
    true = nominal + rng.uniform(-jitter, jitter, nominal.shape)
    across = [
        (columns * r + c, columns * r + c + 1) for r in range(rows) for c in range(columns - 1)
    ]
    down = [
        (columns * r + c, columns * (r + 1) + c) for r in range(rows - 1) for c in range(columns)
    ]
    return nominal.astype(float), true - true.min(axis=0), across + down


def measured(true, pairs, error=None, confidence=0.7):
    error = np.zeros((len(pairs), 2)) if error is None else error
    confidence = np.broadcast_to(confidence, len(pairs))
    return [
        Link(i=i, j=j, offset=tuple(true[j] - true[i] + e), confidence=float(c))
        for (i, j), e, c in zip(pairs, error, confidence, strict=True)
    ]


def dense_solution(count, links):
    """The weighted least squares of the springs, by dense numpy, with tile 0 at the origin."""
    rows = np.zeros((len(links) + 1, count))
    rows[0, 0] = 1
    targets = np.zeros((len(links) + 1, 2))
    for row, link in enumerate(links, 1):
        weight = np.sqrt(link.confidence)
        rows[row, link.i], rows[row, link.j] = -weight, weight
        targets[row] = weight * np.array(link.offset)
    positions = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return positions - positions.min(axis=0)


def test_exact_offsets_give_the_true_positions():
    nominal, true, pairs = field(3, 4)
    placement = solve_positions(12, measured(true, pairs), nominal)
    np.testing.assert_allclose(placement.positions, true, atol=1e-4)
    np.testing.assert_allclose(placement.residuals, 0, atol=1e-4)
    assert placement.trusted.all()
    assert placement.anchored == ()
    np.testing.assert_array_equal(placement.positions.min(axis=0), 0)


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.integers(1, 4), st.integers(2, 4), st.integers(0, 1000))
def test_loops_that_contradict_each_other_as_dense_least_squares(rows, columns, seed):
    nominal, true, pairs = field(rows, columns, seed=seed)
    rng = np.random.default_rng(seed)
    links = measured(
        true, pairs, rng.uniform(-0.4, 0.4, (len(pairs), 2)), rng.uniform(0.1, 1, len(pairs))
    )
    placement = solve_positions(rows * columns, links, nominal)
    expected = dense_solution(rows * columns, links)
    assert placement.trusted.all()
    np.testing.assert_allclose(placement.positions, expected, atol=1e-3)
    for link, residual in zip(links, placement.residuals, strict=True):
        gap = expected[link.j] - expected[link.i] - link.offset
        assert abs(residual - np.hypot(*gap)) < 1e-3


def test_the_error_of_a_loop_is_shared_by_confidence():
    """Springs in series: each gives way in proportion to its softness."""
    nominal = np.array([(0, 0), (0, 100), (100, 100), (100, 0)], float)
    confidence = np.array([1, 0.5, 0.5, 1])
    pairs = [(0, 1), (1, 2), (3, 2), (0, 3)]
    error = np.array([(0, 1.2), (0, 0), (0, 0), (0, 0)])
    placement = solve_positions(4, measured(nominal, pairs, error, confidence), nominal)
    np.testing.assert_allclose(placement.residuals, [0.2, 0.4, 0.4, 0.2], atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_one_in_five_offsets_wrong(seed):
    """Wherever enough right ones are left to tell: each tile keeps at least two right links."""
    nominal, true, pairs = field(5, 6, seed=seed)
    rng = np.random.default_rng(seed)
    right = np.ones(len(pairs), bool)
    for link in rng.permutation(len(pairs)):
        kept = right & (np.arange(len(pairs)) != link)
        degrees = np.bincount(np.array(pairs)[kept].ravel(), minlength=30)
        if degrees.min() >= 2 and (~right).sum() < 0.2 * len(pairs):
            right = kept
    assert (~right).sum() >= 0.18 * len(pairs)
    error = rng.normal(0, 0.1, (len(pairs), 2))
    angle = rng.uniform(0, 2 * np.pi, len(pairs))
    wrong = rng.uniform(30, 60, len(pairs))[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
    error[~right] = wrong[~right]
    links = measured(true, pairs, error, rng.uniform(0.2, 0.9, len(pairs)))
    placement = solve_positions(30, links, nominal)
    np.testing.assert_array_equal(placement.trusted, right)
    assert placement.anchored == ()
    shift = (placement.positions - true).mean(axis=0)
    assert np.abs(placement.positions - true - shift).max() < 0.4
    assert placement.residuals[~right].min() > 25


def test_a_wrong_offset_of_high_confidence_leaves_no_trace():
    nominal, true, pairs = field(3, 3)
    links = measured(true, pairs, confidence=0.3)
    spoiled = links[4]
    links[4] = Link(i=spoiled.i, j=spoiled.j, offset=(50.0, 60.0), confidence=1.0)
    placement = solve_positions(9, links, nominal)
    np.testing.assert_allclose(placement.positions, true, atol=1e-3)
    assert np.flatnonzero(~placement.trusted).tolist() == [4]


@pytest.mark.parametrize("turn", [0.0, np.deg2rad(1), np.deg2rad(-2)])
@pytest.mark.parametrize("stretch", [0.98, 1.0, 1.03])
def test_a_stage_that_errs_everywhere_does_not_pull(turn, stretch):
    nominal, true, pairs = field(4, 4, pitch=(1700, 1750), jitter=3)
    matrix = stretch * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    true = true @ matrix.T
    true -= true.min(axis=0)
    links = measured(true, pairs)
    # Tile 5 lies in empty agarose.
    links = [
        Link(i=a.i, j=a.j, offset=(9.0, 9.0), confidence=0.0) if 5 in (a.i, a.j) else a
        for a in links
    ]
    placement = solve_positions(16, links, nominal)
    others = np.arange(16) != 5
    np.testing.assert_allclose(placement.positions[others], true[others], atol=1e-2)
    assert placement.anchored == (5,)
    # Within the stage's random error, though it is wrong by up to 60 pixels a tile.
    assert np.abs(placement.positions[5] - true[5]).max() < 8
    np.testing.assert_allclose(placement.stage, matrix, atol=5e-3)


def test_a_tile_without_offsets_lies_as_its_neighbors_say():
    """Not where its own nominal position is: its neighbors have drifted away from theirs."""
    nominal, _, pairs = field(1, 6)
    true = nominal + np.outer(np.arange(6), (1.5, 2.0))
    links = measured(true, pairs)
    links[4] = Link(i=4, j=5, offset=(0.0, 0.0), confidence=0.0)
    placement = solve_positions(6, links, nominal)
    np.testing.assert_allclose(placement.positions[:5], true[:5], atol=1e-3)
    # Nominally it is 10 columns away.
    np.testing.assert_allclose(placement.positions[5], true[5], atol=1)
    assert placement.anchored == (5,)
    assert placement.trusted.tolist() == [True] * 4 + [False]


def test_groups_without_links_between_them_keep_their_shapes():
    nominal, true, pairs = field(3, 4)
    links = measured(true, pairs)
    # The last column is cut off.
    links = [
        Link(i=a.i, j=a.j, offset=a.offset, confidence=0.0)
        if a.i % 4 == 2 and a.j == a.i + 1
        else a
        for a in links
    ]
    placement = solve_positions(12, links, nominal)
    assert placement.anchored == (3, 7, 11)
    for group in ([0, 1, 2, 4, 5, 6, 8, 9, 10], [3, 7, 11]):
        moved = placement.positions[group] - true[group]
        np.testing.assert_allclose(moved - moved[0], 0, atol=1e-3)
    assert np.abs(placement.positions - true).max() < 8


def test_without_any_link_the_stage_is_believed():
    nominal = np.array([(5.0, 7.0), (5.0, 40.0), (37.5, 8.0)])
    for links in ([], [Link(i=0, j=1, offset=(3.0, 3.0), confidence=0.0)]):
        placement = solve_positions(3, links, nominal)
        np.testing.assert_allclose(placement.positions, [(0, 0), (0, 33), (32.5, 1)], atol=1e-9)
        assert placement.anchored == (0, 1, 2)
        np.testing.assert_array_equal(placement.stage, np.eye(2))


def test_one_tile():
    placement = solve_positions(1, [], np.array([(123.0, -7.0)]))
    np.testing.assert_array_equal(placement.positions, [(0, 0)])
    assert placement.anchored == ()
    assert placement.residuals.shape == placement.trusted.shape == (0,)


def test_two_tiles():
    links = [Link(i=0, j=1, offset=(3.5, 81.25), confidence=0.2)]
    placement = solve_positions(2, links, np.array([(0.0, 0.0), (0.0, 85.0)]))
    np.testing.assert_allclose(placement.positions, [(0, 0), (3.5, 81.25)], atol=1e-4)
    assert placement.trusted.all()


def test_a_lonely_offset_far_from_the_stage_is_not_trusted():
    """The end of a row: nothing else can tell."""
    nominal, true, pairs = field(1, 6)
    links = measured(true, pairs)
    links[4] = Link(i=4, j=5, offset=(60.0, 140.0), confidence=0.9)
    placement = solve_positions(6, links, nominal)
    assert placement.trusted.tolist() == [True] * 4 + [False]
    assert placement.anchored == (5,)
    assert np.abs(placement.positions[5] - true[5]).max() < 10


def test_a_tile_that_the_stage_lost_is_found_where_its_neighbors_agree():
    nominal, true, pairs = field(4, 4)
    true[5] += (40, -30)
    placement = solve_positions(16, measured(true, pairs), nominal)
    np.testing.assert_allclose(placement.positions, true, atol=1e-3)
    assert placement.trusted.all()


def test_the_direction_of_a_link_does_not_matter():
    nominal, true, pairs = field(3, 3)
    error = np.random.default_rng(1).normal(0, 0.3, (len(pairs), 2))
    links = measured(true, pairs, error)
    turned = [
        Link(i=a.j, j=a.i, offset=(-a.offset[0], -a.offset[1]), confidence=a.confidence)
        for a in links
    ]
    one, other = (solve_positions(9, chosen, nominal) for chosen in (links, turned))
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)


NOMINAL = np.array([(0.0, 0.0), (0.0, 50.0)])


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ((0, 2, (0.0, 1.0), 0.5), "link 0 to 2: give two different tiles of 0 to 1"),
        ((-1, 1, (0.0, 1.0), 0.5), "link -1 to 1: give two different tiles"),
        ((1, 1, (0.0, 1.0), 0.5), "link 1 to 1: give two different tiles"),
        ((0, 1, (0.0, 1.0), 1.5), "link 0 to 1: confidence 1.5 is not within 0 to 1"),
        ((0, 1, (0.0, 1.0), np.nan), "link 0 to 1: confidence nan is not within 0 to 1"),
        ((0, 1, (np.nan, 1.0), 0.5), "link 0 to 1: offset .* is not finite"),
    ],
)
def test_bad_links_are_refused(link, message):
    i, j, offset, confidence = link
    with pytest.raises(InputError, match=message):
        solve_positions(2, [Link(i=i, j=j, offset=offset, confidence=confidence)], NOMINAL)


def test_no_tile_is_refused():
    with pytest.raises(InputError, match="a field of 0 tiles"):
        solve_positions(0, [], np.zeros((0, 2)))


@pytest.mark.parametrize("nominal", [NOMINAL[:1], NOMINAL * np.nan])
def test_bad_nominal_positions_are_refused(nominal):
    with pytest.raises(InputError, match="row and column of each of 2 tiles"):
        solve_positions(2, [], nominal)
