"""Tiles cut out of one picture at known places, put where they were cut."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from isl.config import parse
from isl.errors import InputError
from isl.imaging.sharpness import Noise
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.field import _anchored_warnings, _direction_warnings, _exchange_warnings
from isl.preprocess.layout.config import LayoutConfig
from isl.preprocess.layout.fields import PlaneSource, RawField, Tile
from isl.preprocess.mosaic import covered_by_tiles
from isl.preprocess.placement import check_placing, place_tiles, scaled_size
from isl.preprocess.stages.canvas import plan_canvas
from isl.preprocess.stages.orientation import ALL, STATED
from isl.preprocess.tiles import CorrectedTiles
from isl.workers import Workers

SIZE = 80
NOMINAL = [(0, 0), (0, 50), (50, 0), (50, 50)]
TRUE = [(2, 1), (0, 52), (53, 0), (51, 49)]


def settings(**changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}}
    return parse(given | changed, PreprocessConfig, source="test")


def field_of(positions, planes=None, size=(2 * SIZE, 2 * SIZE)):
    """Raw tiles, twice as large as what they are corrected to."""
    planes = planes or {"phase": 2}
    return RawField(
        name="A1",
        group="A1",
        tiles=tuple(
            Tile(
                name=f"t{number}",
                row=None,
                column=None,
                position=(2.0 * y, 2.0 * x),
                images={
                    (channel, z): (PlaneSource(file=Path(f"{number}.tif"), z=z),)
                    for channel, depth in planes.items()
                    for z in range(depth)
                },
            )
            for number, (y, x) in enumerate(positions)
        ),
        size=size,
        dtype=np.dtype(np.uint16),
        planes=planes,
        pixel_size=0.3,
        z_step=None,
        warnings=(),
    )


def tiles_of(folder, where=TRUE, empty=(), fill=None):
    """Corrected tiles of two planes, of which the second shows the picture."""
    rng = np.random.default_rng(2)
    picture = scipy.ndimage.gaussian_filter(rng.normal(size=(180, 180)), 1.5)
    files = []
    for number, (y, x) in enumerate(where):
        cut = picture[10 + y : 10 + y + SIZE, 10 + x : 10 + x + SIZE]
        if number in empty:
            cut = rng.normal(size=cut.shape) if fill is None else np.full(cut.shape, fill)
        stack = np.stack([rng.normal(size=cut.shape), cut]).astype(np.float32)
        files.append(folder / f"{number}.npy")
        scratch.save(files[-1], stack)
    return {
        "phase": CorrectedTiles(
            files=tuple(files), saturated=0, exposures=1, full=65535, noise=Noise(deviation=0)
        )
    }


def placed(field, tiles, config):
    with Workers(1) as workers:
        return place_tiles(field, tiles, config, workers)


def test_tiles_go_where_they_were_cut(tmp_path):
    field = field_of(NOMINAL)
    found = placed(field, tiles_of(tmp_path), settings(stitching={"search": 16}))
    np.testing.assert_allclose(found.placement.positions, TRUE, atol=0.1)
    assert found.placement.trusted.all()
    tiles = found.tiles(field)
    assert [tile.name for tile in tiles] == ["t0", "t1", "t2", "t3"]
    assert tiles[3].nominal == (50, 50)
    assert tiles[3].position == pytest.approx((51, 49), abs=0.1)
    assert not any(tile.anchored for tile in tiles)
    links = {link.tiles: link for link in found.measured_links()}
    assert set(links) == {(0, 1), (0, 2), (1, 3), (2, 3)}
    assert links[0, 1].offset == pytest.approx((-2, 51), abs=0.1)
    assert all(link.trusted and link.residual < 0.1 for link in links.values())


def test_the_plane_that_is_asked_for_is_compared(tmp_path):
    config = settings(stitching={"search": 16, "plane": 0})
    found = placed(field_of(NOMINAL), tiles_of(tmp_path), config)
    # Noise: nothing says otherwise than the stage.
    assert not found.placement.trusted.any()
    np.testing.assert_allclose(found.placement.positions, NOMINAL, atol=1e-9)


@pytest.mark.parametrize("fill", [None, 0, 65535])
def test_what_a_tile_without_content_says_is_not_believed(tmp_path, fill):
    """Noise, a blank tile, a saturated one."""
    tiles = tiles_of(tmp_path, empty=[3], fill=fill)
    found = placed(field_of(NOMINAL), tiles, settings(stitching={"search": 16}))
    canvas = plan_canvas(found.placement.positions, (SIZE, SIZE))
    # It stays on the canvas, where the stage says relative to the others.
    y, x = canvas.origins[3]
    assert (y, x) == pytest.approx((51, 51), abs=3)
    assert covered_by_tiles(canvas)[y : y + SIZE, x : x + SIZE].all()
    (warning,) = _anchored_warnings(field_of(NOMINAL), found)
    assert warning.startswith("tile t3 fits no neighbour")
    trusted = {link.tiles for link in found.measured_links() if link.trusted}
    assert trusted == {(0, 1), (0, 2)}
    assert [tile.anchored for tile in found.tiles(field_of(NOMINAL))] == [False] * 3 + [True]
    np.testing.assert_allclose(found.placement.positions[:3], TRUE[:3], atol=0.1)


def test_tiles_in_each_others_places_are_told(tmp_path):
    """Numbers run along all rows from the left, and are said to turn at the end of each."""
    grid = [(40 * row, 40 * column) for row in range(3) for column in range(3)]
    snake = [*grid[:3], *grid[5:2:-1], *grid[6:]]
    tiles, config = tiles_of(tmp_path, where=grid), settings(stitching={"search": 10})
    assert placed(field_of(grid), tiles, config).exchanged is None
    field = field_of(snake)
    found = placed(field, tiles, config)
    assert found.exchanged == (3, 5)
    (warning,) = _exchange_warnings(field, found)
    assert warning.startswith("tile t3 fits no neighbour where it is said to lie, and all where ")


@pytest.mark.parametrize("orientation", ALL)
def test_the_orientation_that_tiles_fit_in_is_found(tmp_path, orientation):
    stated = orientation.applied(np.array(NOMINAL))
    tiles, config = tiles_of(tmp_path), settings(stitching={"search": 16})
    found = placed(field_of(stated - stated.min(axis=0)), tiles, config)
    if orientation == STATED:
        assert found.fitting is None
        return
    assert found.fitting is not None
    assert found.fitting.after(orientation) == STATED
    np.testing.assert_array_equal(found.fitting.applied(stated), NOMINAL)
    (warning,) = _direction_warnings(
        found.fitting, None, LayoutConfig(pattern="{well}.tif", positions="stage")
    )
    right = found.fitting
    assert f"stage_direction = [{right.direction[0]}, {right.direction[1]}]" in warning
    assert f"stage_swapped = {str(right.swapped).lower()}" in warning


def test_orientations_follow_each_other():
    places = np.array([[1.0, 20.0], [300.0, 4000.0]])
    for first in ALL:
        for second in ALL:
            both = second.after(first).applied(places)
            np.testing.assert_array_equal(both, second.applied(first.applied(places)))


def test_offsets_below_the_confidence_asked_for_do_not_count(tmp_path):
    config = settings(stitching={"search": 16, "least_confidence": 1.0})
    found = placed(field_of(NOMINAL), tiles_of(tmp_path), config)
    assert {link.confidence for link in found.measured_links()} == {0.0}
    np.testing.assert_allclose(found.placement.positions, NOMINAL, atol=1e-9)


def test_one_tile_has_no_neighbours():
    field = field_of([(0, 0)])
    check_placing(field, settings(stitching={"channel": "none"}))
    found = placed(field, {}, settings())
    np.testing.assert_array_equal(found.placement.positions, [[0, 0]])
    assert found.measured_links() == ()


def test_sizes_follow_the_downscaling():
    field = field_of([(0, 0)], size=(161, 160))
    assert scaled_size(field, settings()) == (80, 80)
    assert scaled_size(field, settings(downscale=3)) == (53, 53)
    assert scaled_size(field, settings(stages=["stitching"])) == (161, 160)


@pytest.mark.parametrize(
    ("positions", "stitching", "message"),
    [
        ([(0, 0), (0, 70)], {}, "no tiles overlap by 32 pixels where the layout puts them"),
        ([(0, 0), (0, 50)], {"channel": "dic"}, "has no channel 'dic' to compare tiles by"),
        ([(0, 0), (0, 50)], {"plane": 2}, "stitching.plane is 2, but 'phase' has 2 planes"),
    ],
)
def test_what_cannot_be_placed_is_known_before(positions, stitching, message):
    with pytest.raises(InputError, match=message):
        check_placing(field_of(positions), settings(stitching=stitching))
