"""Tiles cover once, read what np.pad would give, and never change a value."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isl.errors import InputError
from isl.tiling.geometry import Geometry
from isl.tiling.plan import plan_tiles, reflected

TOWERS = Geometry(margin=121, step=16, smallest=250)
UNET = Geometry(margin=4, step=2, smallest=10)
# A small relative of the towers: blocks of 2 pixels on a step of 6.
BLOCKS = Geometry(margin=5, step=6, smallest=12)

geometries = st.sampled_from([TOWERS, UNET, BLOCKS])


def pass_over(geometry: Geometry, patch: np.ndarray) -> np.ndarray:
    """A stand-in for a network: [y, x, Z] to [y, x, 1], exact under shifts by `step` only.

    Each output pixel is a sum over the whole smallest input that its group of `step` pixels reads,
    weighted by where in the group the pixel lies, so wrong reads and wrong phases both show.
    """
    size_y, size_x = (geometry.output_size(n) for n in patch.shape[:2])
    out = np.zeros((size_y, size_x, 1))
    for y in range(size_y):
        for x in range(size_x):
            y0, x0 = y // geometry.step * geometry.step, x // geometry.step * geometry.step
            window = patch[y0 : y0 + 2 * geometry.margin + 1, x0 : x0 + 2 * geometry.margin + 1, 0]
            out[y, x, 0] = window.sum() + 100 * (y - y0) + (x - x0) + patch[y, x, 0]
    return out


def cover(geometry: Geometry, image: np.ndarray, **options) -> np.ndarray:
    """The output of the stand-in network over a whole image [Y, X], tile by tile."""
    plan = plan_tiles(geometry, image.shape, **options)
    output = np.full((1, *plan.output_size), np.nan)
    for tile in plan.tiles():
        patch = plan.read(image[None], tile)
        assert patch.shape == (*plan.tile_size, 1)
        plan.write(output, tile, pass_over(geometry, patch))
    assert not np.isnan(output).any()
    return output[0]


@given(
    geometry=geometries,
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    tile=st.integers(24, 600),
)
@settings(max_examples=60, deadline=None)
def test_every_output_pixel_is_written_exactly_once(geometry, size, tile):
    plan = plan_tiles(geometry, size, tile=tile)
    for strips, length, width in zip((plan.rows, plan.columns), size, plan.tile_size, strict=True):
        lands = np.concatenate([strip.lands for strip in strips])
        np.testing.assert_array_equal(np.sort(lands), np.arange(length))
        assert geometry.is_valid(width)
        assert geometry.output_size(width) <= max(tile, geometry.smallest)
        for strip in strips:
            assert strip.kept.max() < geometry.output_size(width)
            # Where a pixel lands and where it is read differ by the margin, in every tile.
            np.testing.assert_array_equal(strip.lands - strip.kept, strip.read + geometry.margin)


@given(
    geometry=geometries,
    length=st.integers(1, 700),
    tile=st.integers(24, 600),
)
@settings(max_examples=40, deadline=None)
def test_tiles_lie_on_the_grid(geometry, length, tile):
    plan = plan_tiles(geometry, (length, 1), tile=tile)
    assert all((strip.read + geometry.margin) % geometry.step == 0 for strip in plan.rows)


@given(
    geometry=geometries,
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    tile=st.integers(24, 300),
    at_most=st.one_of(st.none(), st.integers(1, 500_000)),
)
@settings(max_examples=40, deadline=None)
def test_blocks_are_windows_that_hold_what_their_tiles_read(geometry, size, tile, at_most):
    plan = plan_tiles(geometry, size, tile=tile)
    image = np.arange(size[0] * size[1], dtype=np.float32).reshape(1, *size)
    blocks = list(plan.blocks(at_most))
    assert [tile for block in blocks for tile in block.tiles] == list(plan.tiles())
    assert at_most is not None or len(blocks) == 1
    for block in blocks:
        (top, bottom), (left, right) = block.window
        window = image[:, top:bottom, left:right]
        assert len(block.tiles) == 1 or at_most is None or window.size <= at_most
        for one in block.tiles[:: max(1, len(block.tiles) - 1)]:
            np.testing.assert_array_equal(
                plan.read(window, one, block.corner), plan.read(image, one)
            )


@given(
    geometry=st.sampled_from([UNET, BLOCKS]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.integers(8, 40),
)
@settings(max_examples=25, deadline=None)
def test_tile_size_never_changes_a_value(geometry, size, tile):
    image = np.random.default_rng(0).random(size)
    tiled = cover(geometry, image, tile=tile)
    whole = cover(geometry, image, tile=10_000)
    assert tiled.shape == size
    np.testing.assert_allclose(tiled, whole, rtol=1e-12)


@given(size=st.integers(1, 20), before=st.integers(0, 90), after=st.integers(0, 90))
def test_reflection_is_that_of_numpy(size, before, after):
    values = np.arange(size)
    expected = np.pad(values, (before, after), mode="reflect")
    indices = np.arange(-before, size + after)
    np.testing.assert_array_equal(values[reflected(indices, size)], expected)


def test_valid_border_is_the_inside_of_the_image():
    image = np.random.default_rng(2).random((32, 30))
    valid = cover(UNET, image, tile=16, border="valid")
    assert valid.shape == (24, 22)
    np.testing.assert_allclose(valid, pass_over(UNET, image[..., None])[..., 0], rtol=1e-12)


def test_valid_border_needs_a_large_enough_image():
    with pytest.raises(InputError, match=r"250 x 242 pixels has no valid area.*`border=reflect`"):
        plan_tiles(TOWERS, (250, 242), tile=512, border="valid")


def test_a_tile_narrower_than_the_grid_is_refused():
    with pytest.raises(InputError, match=r"`tile=23`: .* at least 24 wide"):
        plan_tiles(TOWERS, (300, 300), tile=23)


@pytest.mark.parametrize(("length", "tile"), [(1024, 512), (1100, 512), (530, 512), (7, 512)])
def test_tiles_are_evened_out(length, tile):
    plan = plan_tiles(UNET, (length, length), tile=tile)
    assert len(plan.rows) == math.ceil(length / tile)
    waste = len(plan.rows) * UNET.output_size(plan.tile_size[0]) - length
    assert waste <= len(plan.rows) * UNET.step
