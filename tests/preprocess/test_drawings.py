import functools
import io
import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from isl.preprocess.correction import Estimates
from isl.preprocess.drawings import DOUBTED, TRUSTED, draw_estimates, draw_offsets
from isl.preprocess.record import FieldRecord, MeasuredLink, PlacedTile
from isl.preprocess.stages.additive_dust import AdditiveDust


def record_of(
    *,
    side,
    tile=(100, 120),
    overlap=20,
    confidence=0.6,
    residual=0.1,
    doubted=0,
    anchored=0,
    moved=0.0,
    moved_last=0.0,
    name_of=lambda row, column: f"r{row}-c{column}",
):
    """A field of side x side tiles; its first links are doubted and its last tiles anchored."""
    places = [(row, column) for row in range(side) for column in range(side)]
    nominal = np.array(places) * (np.array(tile) - overlap)
    lies = nominal + moved
    lies[-1] += moved_last
    pairs = [
        (i, j)
        for i, a in enumerate(places)
        for j, b in enumerate(places)
        if i < j and abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1
    ]
    return FieldRecord(
        name="A4-1",
        group="A4",
        inputs="",
        size=tuple(int(n) for n in lies.max(axis=0) + tile),
        tile_size=tile,
        pixel_size=None,
        z_step=None,
        planes=(0,),
        sharpness=(1.0,),
        sharpest=0,
        tiles=tuple(
            PlacedTile(
                name=name_of(*place),
                nominal=tuple(nominal[number].tolist()),
                position=tuple(lies[number].tolist()),
                anchored=number >= len(places) - anchored,
            )
            for number, place in enumerate(places)
        ),
        links=tuple(
            MeasuredLink(
                tiles=pair,
                offset=(0.0, 0.0),
                confidence=confidence,
                residual=residual,
                trusted=number >= doubted,
            )
            for number, pair in enumerate(pairs)
        ),
        covered=1.0,
        exposures={},
        gains={},
        normalization={},
        registration={},
        measures=None,
        warnings=(),
    )


def pixels(png):
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@functools.cache
def drawn(**given):
    return pixels(draw_offsets(record_of(**given)))


def near(picture, color, within=40):
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) < within


def canvas(picture):
    """The picture without its legend."""
    return picture[:-85]


@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_one_mark_a_link(side):
    picture = canvas(drawn(side=side, doubted=0))
    assert picture.shape[1] == 1087
    assert not near(picture, DOUBTED).any()
    _, marks = scipy.ndimage.label(near(picture, TRUSTED))
    assert marks == 2 * side * (side - 1)


def test_a_link_that_is_not_believed_is_orange_and_says_by_how_much():
    believed, doubted = (canvas(drawn(side=2, doubted=count)) for count in (0, 1))
    assert near(doubted, DOUBTED).sum() > 200
    assert near(doubted, TRUSTED).sum() < near(believed, TRUSTED).sum()


@pytest.mark.parametrize(("residual", "is_said"), [(0.5, False), (0.51, True), (np.nan, False)])
def test_residuals_above_half_a_pixel_are_written(residual, is_said):
    usual = drawn(side=2, residual=0.0)
    other = drawn(side=2, residual=residual)
    assert (np.abs(usual - other).max() > 100) == is_said


def test_confident_links_are_wide():
    def blue(confidence):
        return near(canvas(drawn(side=2, confidence=confidence)), TRUSTED)

    assert blue(0.9).sum() > 2 * blue(0.3).sum() > 0


def test_a_tile_that_no_neighbor_places_is_orange():
    picture = canvas(drawn(side=3, anchored=1))
    rows, columns = np.nonzero(near(picture, DOUBTED))
    # The last tile, right and below of all others.
    assert rows.min() > 0.6 * rows.max()
    assert columns.min() > 0.6 * columns.max()


def test_where_all_tiles_moved_alike_none_did():
    """The layout's origin is another than the canvas's."""
    here, there = (draw_offsets(record_of(side=2, moved=moved)) for moved in (0.0, 40.0))
    assert here == there


def test_one_tile_that_moved_is_seen_beside_where_it_should_lie():
    still, moved = (drawn(side=3, moved_last=by).astype(int) for by in (0.0, 30.0))
    assert np.abs(still[: len(moved)] - moved[: len(still)]).max() > 100


def test_names_are_no_formulas():
    draw_offsets(record_of(side=1, name_of=lambda row, column: f"$r{row}^{{$"))


@pytest.mark.parametrize("tile", [(64, 64), (20, 200), (200, 20)])
def test_tiles_of_any_shape_fit(tile):
    picture = drawn(side=3, tile=tile, overlap=5)
    assert picture.shape[1] == 1087
    assert 300 < len(picture) < 1100


def flat_field(y=30, x=40):
    ramp = np.linspace(0.8, 1.2, x, dtype=np.float32)
    return np.broadcast_to(ramp, (y, x)).copy()


def additive_dust(mask, **said):
    return AdditiveDust(
        artifact=np.where(mask, 20, 0).astype(np.float32),
        mask=mask,
        background=np.ones(mask.shape, np.float32),
        sensor_offset=100.0,
        images=9,
        **said,
    )


def test_a_flat_field_is_white_at_its_mean_red_above_and_blue_below():
    picture = pixels(draw_estimates(Estimates(flat_field=flat_field())))
    line = picture[len(picture) // 2]
    red, blue = line[:, 0] - line[:, 2] > 60, line[:, 2] - line[:, 0] > 60
    first_red, first_blue = int(red.argmax()), int(blue.argmax())
    assert first_blue < 40 < first_red
    # Left of the color bar, darker parts and brighter ones are as wide as each other.
    image = slice(0, first_red + first_red // 2)
    assert blue[image].sum() == pytest.approx(red[image].sum(), rel=0.4)


def test_the_same_deviation_looks_the_same_at_any_mean():
    """Estimates have mean 1; a picture of 1.0 is the middle whatever else there is."""
    even = pixels(draw_estimates(Estimates(flat_field=np.ones((9, 9), np.float32))))
    assert (even[len(even) // 2, 60:200] > 235).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_pictures_as_were_estimated(count):
    mask = np.zeros((60, 80), bool)
    mask[20:30, 30:40] = True
    estimates = Estimates(
        flat_field=flat_field(),
        dust=flat_field() if count > 1 else None,
        additive_dust=additive_dust(mask, noise=1.0) if count > 2 else None,
    )
    width = pixels(draw_estimates(estimates)).shape[1]
    assert width == pytest.approx({1: 545, 2: 1087, 3: 1087}[count], abs=2)


def test_dust_that_adds_light_is_outlined():
    mask = np.zeros((60, 80), bool)
    mask[20:30, 30:40] = True
    picture = pixels(draw_estimates(Estimates(additive_dust=additive_dust(mask, noise=1.0))))
    orange = near(picture, DOUBTED)
    assert 50 < orange.sum() < 0.05 * orange.size


def test_where_nothing_was_found_there_is_no_picture():
    empty = additive_dust(np.zeros((6, 8), bool), noise=1.0, note="no disks stand out")
    assert draw_estimates(Estimates()) is None
    assert draw_estimates(Estimates(additive_dust=empty)) is None


def test_matplotlib_is_imported_where_something_is_drawn_and_not_before():
    modules = "isl.preprocess.previews, isl.preprocess.report, isl.preprocess.pipeline"
    statement = f"import sys, {modules}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", statement]).returncode == 0
