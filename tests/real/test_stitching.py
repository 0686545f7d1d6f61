"""The real field cut into overlapping tiles and put together again.

Three rows of three tiles, moved by several pixels against a regular grid that is all the stitching
is told; every tile has a gain of its own, light that falls off by a fifth towards the corners, and
noise.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from isl.imaging.formats.published import read_published
from isl.preprocess.stages.canvas import blend_rows, plan_canvas
from isl.preprocess.stages.neighbours import neighbouring
from isl.preprocess.stages.offsets import measure_offset
from isl.preprocess.stages.springs import Link, Placement, solve_positions

MARGIN = 8
# The blind block of the labels begins here, in rows and columns.
BLIND = 629


@pytest.fixture(scope="module")
def field():
    return read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")


def cut(
    plane: np.ndarray, overlap: int, seed: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Nine uint16 tiles of a plane, their nominal and their true positions."""
    rng = np.random.default_rng(seed)
    size = (plane.shape[0] - 2 * MARGIN + 2 * overlap) // 3
    steps = np.arange(3) * (size - overlap)
    nominal = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(9, 2)
    true = nominal + MARGIN + rng.integers(1 - MARGIN, MARGIN, (9, 2))
    ramp = np.square(np.linspace(-1, 1, size))
    light = 1 - 0.2 * (ramp[:, None] + ramp) / 2
    tiles = []
    for y, x in true:
        tile = plane[y : y + size, x : x + size] * light * rng.uniform(0.9, 1.1)
        tile += rng.normal(0, 0.03 * plane.mean(), tile.shape)
        tiles.append(np.clip(np.rint(tile), 0, 65535).astype(np.uint16))
    return tiles, nominal.astype(float), true


def stitch(tiles: list[np.ndarray], nominal: np.ndarray, pairs: list[tuple[int, int]]) -> Placement:
    links = []
    for i, j in pairs:
        expected = tuple(nominal[j] - nominal[i])
        found = measure_offset(tiles[i], tiles[j], expected, search=20)
        links.append(Link(i=i, j=j, offset=(found.y, found.x), confidence=found.confidence))
    return solve_positions(len(tiles), links, nominal)


def errors(placement: Placement, true: np.ndarray) -> np.ndarray:
    """Distance of every tile from its true place, the whole being shifted to fit best."""
    apart = placement.positions - true
    return np.hypot(*(apart - apart.mean(axis=0)).T)


@pytest.mark.parametrize(("overlap", "within"), [(300, 0.05), (150, 0.05), (80, 0.1), (40, 0.2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_phase_contrast(field, overlap, within, seed):
    tiles, nominal, true = cut(field[0].planes[6].astype(float), overlap, seed)
    pairs = neighbouring(nominal, tiles[0].shape, least_overlap=overlap // 2)
    assert len(pairs) == 12
    placement = stitch(tiles, nominal, list(pairs))
    assert placement.trusted.all()
    assert errors(placement, true).max() < within


@pytest.mark.parametrize(("overlap", "within"), [(300, 0.2), (150, 0.3)])
def test_sparse_nuclei(field, overlap, within):
    """DAPI, where it was measured: tiles whose overlap holds blind pixels are not compared."""
    dapi = field[1].channels[field[1].labels.index("DAPI_CONFOCAL")]
    tiles, nominal, true = cut(dapi.astype(float), overlap, 0)
    size = tiles[0].shape
    seen = [
        (i, j)
        for i, j in neighbouring(nominal, size, least_overlap=overlap // 2)
        if (np.minimum(true[i], true[j]) + size <= BLIND).any()
    ]
    placement = stitch(tiles, nominal, seen)
    assert placement.anchored == (8,)
    held = np.arange(8)
    apart = (placement.positions - true)[held]
    assert np.hypot(*(apart - apart.mean(axis=0)).T).max() < within


def test_the_picture_is_the_field_again(field):
    """Tiles without damage: every pixel of the canvas is one of the field."""
    plane = field[0].planes[6]
    tiles, nominal, true = cut(plane.astype(float), 300, 2)
    pairs = neighbouring(nominal, tiles[0].shape, least_overlap=150)
    placement = stitch(tiles, nominal, list(pairs))
    canvas = plan_canvas(placement.positions, tiles[0].shape)
    rows, columns = canvas.size
    top, left = true.min(axis=0)
    whole = tiles[0].shape[0]
    clean = [plane[y : y + whole, x : x + whole] for y, x in true]
    values, covered = blend_rows(canvas, slice(0, rows), lambda tile, part: clean[tile][part])
    original = plane[top : top + rows, left : left + columns]
    np.testing.assert_array_equal(values[covered], original[covered])
    assert covered.mean() > 0.97
