import dataclasses
import itertools
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isl import config
from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.inputs.open_image import open_images
from isl.imaging.lazy import LazyPicture
from isl.preprocess.layout import files as layout_files
from isl.preprocess.layout.fields import Found, LayoutConfig, PlaneSource, find_fields
from isl.preprocess.layout.pattern import parse_pattern

SIZE = (6, 8)


def write(root, *names, size=SIZE, dtype=np.uint8, **options):
    """One-plane images at these paths below the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.fromarray(np.zeros(size, dtype)).save(path)
        else:
            tifffile.imwrite(path, np.zeros(size, dtype), metadata=None, **options)


def layout(**keys):
    return config.parse(keys, LayoutConfig, source="set.toml")


def found(folder, **keys) -> Found:
    return find_fields(layout(**keys), folder)


def only(folder, **keys):
    result = found(folder, **keys)
    assert result.failed == ()
    (field,) = result.fields
    return field


def positions(field):
    return {tile.name: tile.position for tile in field.tiles}


def places(field):
    return {tile.name: (tile.row, tile.column) for tile in field.tiles}


def test_a_set_with_everything_in_its_names(tmp_path):
    names = [
        f"{well}/f{number}_{row}_{col}_z{z}_{channel}.tif"
        for well, number, row, col in itertools.product(("B10", "B9"), (1, 2), range(2), range(3))
        for z, channel in [*((z, "w1") for z in (0, 5, 10)), (0, "w2")]
    ]
    write(tmp_path, *names, "B10/notes.tif.txt", "B10/.f1_0_0_z0_w1.tif", "B10/thumb.tif")
    result = found(
        tmp_path,
        pattern="{well}/f{site}_{row}_{col}_z{z}_{channel}.tif",
        channels={"w1": "PHASE_CONTRAST", "w2": "DAPI"},
        overlap=0.25,
    )
    assert result.failed == ()
    assert [field.name for field in result.fields] == ["B9-1", "B9-2", "B10-1", "B10-2"]
    assert [field.group for field in result.fields] == ["B9", "B9", "B10", "B10"]
    field = result.fields[2]
    assert (field.size, field.dtype, field.warnings) == (SIZE, np.uint8, ())
    assert field.planes == {"DAPI": 1, "PHASE_CONTRAST": 3}
    assert [tile.name for tile in field.tiles] == [f"r{r}-c{c}" for r in range(2) for c in range(3)]
    assert places(field)["r1-c2"] == (1, 2)
    assert positions(field)["r1-c2"] == (1 * 6 * 0.75, 2 * 8 * 0.75)
    assert field.tiles[5].images == {
        ("DAPI", 0): (PlaneSource(file=tmp_path / "B10/f1_1_2_z0_w2.tif"),),
        **{
            ("PHASE_CONTRAST", index): (PlaneSource(file=tmp_path / f"B10/f1_1_2_z{z}_w1.tif"),)
            for index, z in enumerate((0, 5, 10))
        },
    }


def test_fields_of_one_tile_and_several_patterns(tmp_path):
    heights = ("1362.00", "1327.60", "1341.95")
    write(tmp_path, *(f"set1/bf_z{z}.png" for z in heights), "set1/dapi.png")
    field = only(tmp_path, pattern=["{field}/{channel}_z{z}.png", "{field}/{channel}.png"])
    assert (field.name, field.group, field.planes) == ("set1", "set1", {"bf": 3, "dapi": 1})
    (tile,) = field.tiles
    assert (tile.name, tile.row, tile.column, tile.position) == ("tile", 0, 0, (0, 0))
    files = [tile.images["bf", index][0].file.name for index in range(3)]
    assert files == ["bf_z1327.60.png", "bf_z1341.95.png", "bf_z1362.00.png"]
    assert field.z_step is None
    assert field.warnings == ("planes of bf are not evenly spaced: z 1327.6, 1341.95, 1362",)


@pytest.mark.parametrize(
    ("heights", "unit", "step"),
    [
        (("-1.5", "0.0", "1.5"), None, 1.5),
        (("10.1", "10.4", "10.7", "11.0"), None, 0.3),
        (("0", "1", "2"), None, None),
        (("0", "2", "4"), "um", 2.0),
        (("0.0", "1.0"), "plane", None),
        (("3.5",), None, None),
    ],
)
def test_spacing_that_names_tell(tmp_path, heights, unit, step):
    write(tmp_path, *(f"a_z{z}.png" for z in heights))
    keys = {} if unit is None else {"z_unit": unit}
    field = only(tmp_path, pattern="{field}_z{z}.png", **keys)
    assert field.z_step == (None if step is None else pytest.approx(step))
    assert field.warnings == ()
    given = find_fields(layout(pattern="{field}_z{z}.png", **keys), tmp_path, z_step=7.0)
    assert given.fields[0].z_step == 7.0


def test_planes_and_channels_within_files(tmp_path):
    for name in ("A1_0", "A1_1"):
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif",
            np.zeros((3, 4, *SIZE), np.uint16),
            ome=True,
            metadata={
                "axes": "CZYX",
                "PhysicalSizeX": 0.5,
                "PhysicalSizeY": 0.5,
                "PhysicalSizeZ": 2.0,
                "Channel": {"Name": ["Phase", "405", "488"]},
            },
        )
    keys = {"pattern": "{well}_{col}.ome.tif", "overlap": 2}
    field = only(tmp_path, **keys)
    assert field.planes == {"Phase": 4, "405": 4, "488": 4}
    assert (field.pixel_size, field.z_step, field.dtype) == (0.5, 2.0, np.uint16)
    assert positions(field) == {"c0": (0, 0), "c1": (0, 6)}
    assert places(field) == {"c0": (0, 0), "c1": (0, 1)}
    field = only(tmp_path, channels={"Phase": "BF", "2": "GFP"}, **keys)
    assert field.planes == {"BF": 4, "GFP": 4}
    assert field.tiles[1].images["GFP", 3] == (
        PlaneSource(file=tmp_path / "A1_1.ome.tif", c=2, z=3),
    )
    with pytest.raises(InputError, match=r"unknown channel 'Fase'; did you mean 'Phase'"):
        found(tmp_path, channels={"Fase": "BF"}, **keys)


def test_axes_that_files_do_not_say(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, *SIZE), np.uint8), metadata=None)
    assert only(tmp_path, pattern="{field}.tif").planes == {"channel_1": 5}
    field = only(tmp_path, pattern="{field}.tif", axes="cyx")
    assert field.planes == {f"channel_{number}": 1 for number in range(1, 6)}
    assert field.tiles[0].images["channel_3", 0] == (
        PlaneSource(file=tmp_path / "a.tif", c=2, axes="CYX"),
    )


def test_axes_are_for_tiffs_only(tmp_path):
    tifffile.imwrite(tmp_path / "a_bf.tif", np.zeros((5, *SIZE), np.uint8), metadata=None)
    write(tmp_path, "a_dapi.png")
    field = only(tmp_path, pattern=["{field}_{channel}.tif", "{field}_{channel}.png"], axes="ZYX")
    assert field.planes == {"bf": 5, "dapi": 1}
    assert field.tiles[0].images["dapi", 0][0].axes is None


def test_time_points_are_fields(tmp_path):
    tifffile.imwrite(
        tmp_path / "A1.tif", np.zeros((2, 3, *SIZE), np.uint8), imagej=True,
        metadata={"axes": "TZYX"},
    )  # fmt: skip
    fields = found(tmp_path, pattern="{well}.tif").fields
    assert [(field.name, field.group) for field in fields] == [("A1-t0", "A1"), ("A1-t1", "A1")]
    assert fields[1].tiles[0].images["channel_1", 2][0] == PlaneSource(
        file=tmp_path / "A1.tif", t=1, z=2
    )


@pytest.fixture
def microscope(tmp_path, monkeypatch):
    """A file of four images, whose format has a reader of its own."""

    def opened(path):
        return tuple(
            LazyPicture(
                name=f"{path.stem}-{number}",
                shape=(1, 1, 2, *SIZE),
                dtype=np.dtype(np.uint16),
                read_plane=lambda *place: np.zeros(SIZE, np.uint16),
                close=lambda: closed.append(path),
                source=path,
                pixel_size=PixelSize(y=0.5, x=0.5, z=3.0),
                stage=(2.0 * (number // 2), 3.0 * (number % 2)),
            )
            for number in range(4)
        )

    closed = []
    reader = types.ModuleType("nikon")
    reader.open_nd2 = opened
    monkeypatch.setitem(sys.modules, "isl.imaging.formats.nikon", reader)
    (tmp_path / "A1.nd2").touch()
    return closed


def test_several_images_of_a_file_are_tiles(tmp_path, microscope):
    field = only(tmp_path, pattern="{well}.nd2", positions="stage")
    assert len(microscope) == 4
    assert positions(field) == {"0": (0, 0), "1": (0, 6), "2": (4, 0), "3": (4, 6)}
    assert (field.name, field.group, field.z_step) == ("A1", "A1", 3.0)
    assert field.tiles[3].images["channel_1", 1] == (
        PlaneSource(file=tmp_path / "A1.nd2", image=3, z=1),
    )
    field = only(tmp_path, pattern="{well}.nd2", order="snake_row", columns=2, overlap=0.5)
    assert positions(field) == {"0": (0, 0), "1": (0, 4), "2": (3, 4), "3": (3, 0)}
    with pytest.raises(InputError, match="tiles have numbers; give order"):
        found(tmp_path, pattern="{well}.nd2")
    with pytest.raises(InputError, match="overlap is missing"):
        found(tmp_path, pattern="{well}.nd2", order="row", columns=2)


def test_several_images_of_a_file_are_fields(tmp_path, microscope):
    fields = found(tmp_path, pattern="{well}.nd2", images="fields").fields
    assert [(field.name, field.group) for field in fields] == [
        (f"A1-{number}", "A1") for number in range(4)
    ]
    assert fields[2].tiles[0].images["channel_1", 0][0].image == 2
    assert fields[2].tiles[0].position == (0, 0)


def test_several_images_where_the_name_says_one_tile(tmp_path, microscope):
    with pytest.raises(InputError, match=r"A1.nd2: holds 4 images, but its name says one tile"):
        found(tmp_path, pattern="A{tile}.nd2", positions="stage")


def test_every_file_is_opened_once_and_never_read(tmp_path, monkeypatch):
    write(tmp_path, *(f"f_{col}_z{z}.tif" for col in range(4) for z in range(3)))
    opened = []

    def open_once(path, *, axes):
        opened.append(path)

        def refuse(*place):
            raise AssertionError("pixels were read")

        pictures = open_images(path, axes=axes)
        return tuple(dataclasses.replace(picture, read_plane=refuse) for picture in pictures)

    monkeypatch.setattr(layout_files, "open_images", open_once)
    only(tmp_path, pattern="{field}_{col}_z{z}.tif", overlap=0)
    assert len(opened) == len(set(opened)) == 12


def test_exposures_in_order_of_their_numbers(tmp_path):
    write(tmp_path, *(f"a_{e}.tif" for e in (10, 9, 100)))
    field = only(tmp_path, pattern="{field}_{exposure}.tif")
    (sources,) = field.tiles[0].images.values()
    assert [source.file.name for source in sources] == ["a_9.tif", "a_10.tif", "a_100.tif"]


def test_field_and_group_by_other_parts(tmp_path):
    write(tmp_path, "p1/A1_s1.tif", "p1/A1_s2.tif", "p2/A1_s1.tif")
    keys = {"pattern": "{plate}/{well}_s{site}.tif"}
    fields = found(tmp_path, group=["plate", "well"], **keys).fields
    assert [field.group for field in fields] == ["p1-A1", "p1-A1", "p2-A1"]
    assert [field.name for field in fields] == ["p1-A1-1", "p1-A1-2", "p2-A1-1"]
    assert {field.group for field in found(tmp_path, group="plate", **keys).fields} == {"p1", "p2"}
    field = only(tmp_path / "p1", pattern="A1_s{col}.tif", overlap=0)
    assert (field.name, field.group, len(field.tiles)) == ("p1", "p1", 2)


def test_the_part_condition_says_what_was_done(tmp_path):
    write(tmp_path, "drug/B2_bf.tif", "control/B3_bf.tif")
    fields = found(tmp_path, pattern="{condition}/{well}_{channel}.tif").fields
    said = {field.name: (field.group, field.condition) for field in fields}
    assert said == {"control-B3": ("B3", "control"), "drug-B2": ("B2", "drug")}


def test_names_that_would_collide(tmp_path):
    write(tmp_path, "a-b_c.tif", "a_b-c.tif")
    with pytest.raises(InputError, match="a-b / c and a / b-c would both be named 'a-b-c'"):
        found(tmp_path, pattern="{x}_{y}.tif")


def test_letters_are_rows(tmp_path):
    write(tmp_path, *(f"f_{row}_{col}.tif" for row in "BCD" for col in (1, 2)))
    field = only(tmp_path, pattern="{field}_{row}_{col}.tif", overlap=[1, 2])
    assert positions(field)["r3-c2"] == (10, 6)
    assert places(field)["r3-c2"] == (2, 1)


@pytest.mark.parametrize(
    ("start", "place"),
    [
        ("top_left", (0, 1)),
        ("top_right", (0, 1)),
        ("bottom_left", (1, 1)),
        ("bottom_right", (1, 1)),
    ],
)
def test_start_corner_of_rows_and_columns(tmp_path, start, place):
    write(tmp_path, *(f"f_{row}_{col}.tif" for row in (0, 1) for col in (0, 1, 2)))
    field = only(tmp_path, pattern="{field}_{row}_{col}.tif", overlap=0, start=start)
    assert places(field)["r0-c1"] == place
    assert positions(field)["r0-c1"] == (place[0] * 6, place[1] * 8)
    right = {"r0-c0": 2 if start.endswith("right") else 0}
    assert places(field)["r0-c0"][1] == right["r0-c0"]


ORDERS = {
    "row": [[0, 1, 2], [3, 4, 5]],
    "column": [[0, 2, 4], [1, 3, 5]],
    "snake_row": [[0, 1, 2], [5, 4, 3]],
    "snake_column": [[0, 3, 4], [1, 2, 5]],
}


@pytest.mark.parametrize("start", ["top_left", "top_right", "bottom_left", "bottom_right"])
@pytest.mark.parametrize("said", [{"rows": 2}, {"columns": 3}, {"rows": 2, "columns": 3}])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_orders_of_numbered_tiles(tmp_path, order, first, said, start):
    write(tmp_path, *(f"f_{number + first}.png" for number in range(6)))
    field = only(
        tmp_path, pattern="{field}_{tile}.png", order=order, overlap=0.5, start=start, **said
    )
    grid = np.array(ORDERS[order])
    grid = grid[::-1] if start.startswith("bottom") else grid
    grid = grid[:, ::-1] if start.endswith("right") else grid
    expected = {str(grid[r, c] + first): (r, c) for r in range(2) for c in range(3)}
    assert places(field) == expected
    assert positions(field) == {name: (r * 3, c * 4) for name, (r, c) in expected.items()}


def test_tiles_sort_as_numbers(tmp_path):
    write(tmp_path, *(f"f_{number}.png" for number in range(1, 13)))
    field = only(tmp_path, pattern="{field}_{tile}.png", order="row", columns=4, overlap=0)
    assert [tile.name for tile in field.tiles] == [str(number) for number in range(1, 13)]


def test_missing_tiles_are_named(tmp_path):
    everywhere = [f"{f}_{row}_{col}.tif" for f in "ab" for row in (0, 1) for col in (0, 1)]
    write(tmp_path, *(name for name in everywhere if name not in ("a_0_0.tif", "a_1_0.tif")))
    keys = {"pattern": "{field}_{row}_{col}.tif", "overlap": 0}
    first, second = found(tmp_path, **keys).fields
    assert first.warnings == ("lacks tiles r0-c0, r1-c0",)
    assert positions(first) == {"r0-c1": (0, 0), "r1-c1": (6, 0)}
    assert places(first) == {"r0-c1": (0, 1), "r1-c1": (1, 1)}
    assert second.warnings == ()
    first, _ = found(tmp_path, rows=3, **keys).fields
    assert first.warnings == ("lacks tiles r0-c0, r1-c0, r2-c0, r2-c1",)


def test_missing_numbered_tiles(tmp_path):
    write(tmp_path, *(f"f_{number:02}.tif" for number in (1, 2, 4, 5)))
    keys = {"pattern": "{field}_{tile}.tif", "order": "row", "overlap": 0, "columns": 3}
    assert only(tmp_path, **keys).warnings == ("lacks tile 3",)
    assert only(tmp_path, rows=2, **keys).warnings == ("lacks tiles 3, 6",)
    assert only(tmp_path, first_tile=0, **keys).warnings == ("lacks tiles 0, 3",)
    with pytest.raises(InputError, match="numbered 1 to 5, but the grid has 1 rows and 3 columns"):
        found(tmp_path, rows=1, **keys)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("f_1_z2_w1.tif", "tile 1 is left out: it lacks w1 z 2"),
        ("f_1_z0_w2.tif", "tile 1 is left out: it lacks w2 z 0 and 2 more"),
    ],
)
def test_a_tile_that_lacks_a_plane_is_left_out(tmp_path, lost, said):
    names = [f"f_{t}_z{z}_{c}.tif" for t in range(3) for z in range(3) for c in ("w1", "w2")]
    gone = [n for n in names if n.startswith("f_1_") and n.endswith("_w2.tif")]
    write(tmp_path, *(n for n in names if n not in ([lost] if "w1" in lost else gone)))
    field = only(tmp_path, pattern="{field}_{col}_z{z}_{channel}.tif", overlap=0)
    assert [tile.name for tile in field.tiles] == ["c0", "c2"]
    assert field.warnings == (said.replace("tile 1", "tile c1"),)
    assert positions(field) == {"c0": (0, 0), "c2": (0, 16)}


def test_a_plane_that_only_one_tile_has_is_left_out(tmp_path):
    write(tmp_path, *(f"f_{t}_z{z}.tif" for t in range(3) for z in range(2)), "f_0_z7.tif")
    field = only(tmp_path, pattern="{field}_{col}_z{z}.tif", overlap=0)
    assert len(field.tiles) == 3
    assert field.planes == {"channel_1": 2}
    assert field.warnings == ("channel_1 z 7 is left out: most tiles lack it",)


def test_no_tile_is_whole(tmp_path):
    write(tmp_path, "f_0_z0.tif", "f_1_z1.tif")
    with pytest.raises(InputError, match="field 'f': no tile has every plane: tile c0 is left out"):
        found(tmp_path, pattern="{field}_{col}_z{z}.tif", overlap=0)


def test_a_field_unlike_the_others_is_marked(tmp_path):
    write(tmp_path, *(f"{f}_z{z}.tif" for f in "abc" for z in range(3) if (f, z) != ("b", 1)))
    a, b, _ = found(tmp_path, pattern="{field}_z{z}.tif").fields
    assert a.warnings == ()
    assert b.warnings == ("has 2 planes of channel_1; most fields have 3",)


def test_nothing_matches(tmp_path):
    with pytest.raises(InputError, match=r"holds no files; layout\.pattern"):
        found(tmp_path, pattern="{field}.tif")
    write(tmp_path, "deep/er/b.png", "a.png")
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        InputError,
        match=r"layout.pattern '\{field\}.tif' matches none of its 3 files, e.g. 'a.png'",
    ):
        found(tmp_path, pattern="{field}.tif")
    with pytest.raises(InputError, match=r"there is no such folder \(layout.root\)"):
        found(tmp_path, root="elsewhere", pattern="{field}.tif")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("a_1_x.tif", "a_1_y.tif"), "{field}_{col}_*.tif"),
        (("a_1_x.tif", "a_01_x.tif"), "{field}_{col}_x.tif"),
        (("a_z1_x.tif", "a_z1.0_x.tif"), "{field}_z{z}_x.tif"),
        (("a_1_x.tif", "a_1_y.tif"), "{field}_{exposure}_?.tif"),
    ],
)
def test_two_files_for_one_plane_are_both_named(tmp_path, names, pattern):
    write(tmp_path, *names)
    with pytest.raises(InputError, match="are the same plane: tile") as error:
        found(tmp_path, pattern=pattern, overlap=0)
    assert all(name in str(error.value) for name in names)


def test_two_channels_of_one_name(tmp_path):
    write(tmp_path, "a_x.tif", "a_y.tif")
    with pytest.raises(InputError, match=r"a_x.tif and a_y.tif are the same plane"):
        found(tmp_path, pattern="{field}_{channel}.tif", channels={"x": "DAPI", "y": "DAPI"})


def test_two_channels_of_a_file_with_one_name(tmp_path):
    tifffile.imwrite(
        tmp_path / "b.tif",
        np.zeros((2, *SIZE), np.uint8),
        imagej=True,
        metadata={"axes": "CYX"},
    )
    with pytest.raises(InputError, match=r"b.tif: 2 of its channels are 'DAPI'"):
        found(tmp_path, pattern="{field}.tif", channels={"0": "DAPI", "1": "DAPI"})


def test_channels_that_are_not_named_are_left_out(tmp_path):
    write(tmp_path, "a_x.tif", "a_y.tif")
    field = only(tmp_path, pattern="{field}_{channel}.tif", channels={"y": "DAPI"})
    assert field.planes == {"DAPI": 1}


def test_broken_fields_are_reported_and_the_others_found(tmp_path):
    write(tmp_path, *(f"{f}_{col}.tif" for f in "abcd" for col in range(3)))
    write(tmp_path, "a_1.tif", size=(6, 9))
    write(tmp_path, "b_2.tif", dtype=np.uint16)
    whole = (tmp_path / "c_0.tif").read_bytes()
    (tmp_path / "c_0.tif").write_bytes(whole[: len(whole) - 5])
    result = found(tmp_path, pattern="{field}_{col}.tif", overlap=0)
    assert [field.name for field in result.fields] == ["d"]
    reasons = dict(result.failed)
    assert sorted(reasons) == ["a", "b", "c"]
    assert reasons["a"] == (
        "a_1.tif is 6 x 9 uint8, but a_0.tif is 6 x 8 uint8; tiles of a field must agree"
    )
    assert reasons["b"] == (
        "b_2.tif is 6 x 8 uint16, but b_0.tif is 6 x 8 uint8; tiles of a field must agree"
    )
    assert "c_0.tif: is truncated" in reasons["c"]
    write(tmp_path, "d_0.tif", size=(7, 8))
    with pytest.raises(InputError, match=r"none of the 4 fields can be used; the first, 'c'"):
        found(tmp_path, pattern="{field}_{col}.tif", overlap=0)


@pytest.mark.parametrize("size", [(6, 9), (5, 8)])
def test_a_single_field_that_is_broken_is_refused(tmp_path, size):
    write(tmp_path, "a_0.png", "a_1.png")
    write(tmp_path, "a_2.png", size=size)
    with pytest.raises(InputError, match=r"field 'a': a_2.png is .*tiles of a field must agree"):
        found(tmp_path, pattern="{field}_{col}.png", overlap=0)


def test_channels_may_have_types_of_their_own(tmp_path):
    write(tmp_path, "a_bf.tif")
    write(tmp_path, "a_dapi.tif", dtype=np.uint16)
    assert only(tmp_path, pattern="{field}_{channel}.tif").dtype == np.uint16


def test_files_that_hold_more_than_their_names_say(tmp_path):
    tifffile.imwrite(tmp_path / "a_z1_w1.tif", np.zeros((5, *SIZE), np.uint8), metadata=None)
    with pytest.raises(InputError, match="holds 5 z planes, but its name says one z"):
        found(tmp_path, pattern="{field}_z{z}_w1.tif")
    with pytest.raises(InputError, match="holds 5 channels, but its name says one"):
        found(tmp_path, pattern="{field}_z1_{channel}.tif", axes="CYX")


def test_a_channel_with_and_without_z(tmp_path):
    write(tmp_path, "a_z1_w1.tif", "a_w1.tif")
    with pytest.raises(InputError, match=r"a_w1.tif says no z, but a_z1_w1.tif"):
        found(tmp_path, pattern=["{field}_z{z}_{channel}.tif", "{field}_{channel}.tif"])


def test_parts_that_should_be_numbers(tmp_path):
    write(tmp_path, "a_top_x.tif")
    with pytest.raises(InputError, match="z 'top' is no number"):
        found(tmp_path, pattern="{field}_{z}_x.tif")
    with pytest.raises(InputError, match="row 'top' is neither a number nor letters"):
        found(tmp_path, pattern="{field}_{row}_x.tif", overlap=0)
    with pytest.raises(InputError, match="tile 'top' is no number; say where tiles lie"):
        found(tmp_path, pattern="{field}_{tile}_x.tif", order="row", columns=2, overlap=0)


@pytest.mark.parametrize("overlap", [6, 7.5, [0, 8]])
def test_overlap_of_all_of_a_tile(tmp_path, overlap):
    write(tmp_path, "a_0.tif", "a_1.tif")
    with pytest.raises(InputError, match=r"layout.overlap: .* is all of a tile \(6 x 8\)"):
        found(tmp_path, pattern="{field}_{col}.tif", overlap=overlap)


def staged(path, y, x, **metadata):
    plane = {"PositionX": [x], "PositionY": [y]}
    tifffile.imwrite(
        path,
        np.zeros(SIZE, np.uint8),
        ome=True,
        metadata={"axes": "YX", "Plane": plane, **metadata},
    )


SCALE = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}


def test_positions_of_the_stage(tmp_path):
    for number, (y, x) in enumerate([(100.0, -50.0), (100.0, -48.5), (97.5, -50.25)]):
        staged(tmp_path / f"f_{number}.ome.tif", y, x, **SCALE)
    keys = {"pattern": "{field}_{tile}.ome.tif", "positions": "stage"}
    field = only(tmp_path, **keys)
    assert positions(field) == {"0": (5, 1), "1": (5, 7), "2": (0, 0)}
    assert places(field) == dict.fromkeys("012", (None, None))
    assert field.pixel_size == 0.5
    assert "pixels of 0.25 to 0.5 micrometres" in field.warnings[0]
    field = only(tmp_path, stage_direction=[-1, 1], **keys)
    assert positions(field) == {"0": (0, 1), "1": (0, 7), "2": (5, 0)}
    field = find_fields(layout(**keys), tmp_path, pixel_size=0.125).fields[0]
    assert positions(field) == {"0": (20, 2), "1": (20, 14), "2": (0, 0)}
    assert (field.pixel_size, field.warnings) == (0.125, ())


def test_a_tables_numbers_run_as_the_stages(tmp_path):
    write(tmp_path, "f_0.tif", "f_1.tif")
    (tmp_path / "at.csv").write_text("tile,y_px,x_px\n0,0,10\n1,4,0\n")
    keys = {"pattern": "{field}_{tile}.tif", "positions": "at.csv"}
    assert positions(only(tmp_path, **keys)) == {"0": (0, 10), "1": (4, 0)}
    turned = only(tmp_path, stage_direction=[-1, 1], **keys)
    assert positions(turned) == {"0": (4, 10), "1": (0, 0)}
    swapped = only(tmp_path, stage_swapped=True, **keys)
    assert positions(swapped) == {"0": (10, 0), "1": (0, 4)}


def test_a_stage_that_is_not_known(tmp_path):
    write(tmp_path, "f_0.tif", "f_1.tif")
    keys = {"pattern": "{field}_{tile}.tif", "positions": "stage"}
    with pytest.raises(InputError, match=r"f_0.tif: does not say where the stage stood"):
        found(tmp_path, **keys)
    for number in range(2):
        staged(tmp_path / f"f_{number}.tif", 0.0, 0.0)
    with pytest.raises(InputError, match=r"f_0.tif: does not say how large a pixel is"):
        found(tmp_path, **keys)


def table(root, *lines):
    (root / "positions.csv").write_text("\n".join(lines) + "\n")


def test_positions_from_a_table(tmp_path):
    write(tmp_path, *(f"{f}_{tile:02}.tif" for f in "ab" for tile in (1, 2)))
    keys = {"pattern": "{field}_{tile}.tif", "positions": "positions.csv"}
    table(tmp_path, "tile, y_px, x_px, note", "1, 10, 4.5, ok", "2, 10, -2, ok")
    for field in found(tmp_path, **keys).fields:
        assert positions(field) == {"1": (0, 6.5), "2": (0, 0)}
    table(tmp_path, "field,tile,y_px,x_px", "a,1,0,0", "a,2,0,7", "b,1,0,0", "b,2,5,0")
    first, second = found(tmp_path, **keys).fields
    assert positions(first)["2"] == (0, 7)
    assert positions(second)["2"] == (5, 0)
    table(tmp_path, "file,y_um,x_um", "a_01.tif,0,0", "./a_02.tif,1,3.5", "b_01.tif,0,0")
    with pytest.raises(InputError, match="does not say how large a pixel is"):
        found(tmp_path, **keys)
    result = find_fields(layout(**keys), tmp_path, pixel_size=0.5)
    assert positions(result.fields[0])["2"] == (2, 7)
    ((name, reason),) = result.failed
    assert name == "b"
    assert reason.endswith("positions.csv: has no line for tile 2 (b_02.tif)")


def test_a_table_by_row_and_column(tmp_path):
    write(tmp_path, "a_A_1.tif", "a_B_1.tif")
    table(tmp_path, "row,col,y_px,x_px", "A,1,0,3", "B,1,5,0")
    field = only(tmp_path, pattern="{field}_{row}_{col}.tif", positions="positions.csv")
    assert positions(field) == {"r0-c1": (0, 3), "r1-c1": (5, 0)}
    assert places(field) == {"r0-c1": (0, 0), "r1-c1": (1, 0)}


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("tile,y,x", "1,0,0"), r"lacks the columns y_px and x_px, or y_um and x_um \(it has tile"),
        (("y_px,x_px", "0,0"), "lacks a column that names tiles"),
        (("tile,y_px,x_px", "1,0,0", "01,0,0"), "line 3 says again where a tile lies"),
        (("tile,y_px,x_px", "1,zero,0"), "line 2: could not convert"),
        (("tile,y_px,x_px", "1,0"), "line 2: could not convert"),
        (("tile,y_px,x_px", "1,0,nan"), "line 2: a position is not finite"),
        (("",), r"it has none"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, lines, complaint):
    write(tmp_path, "a_1.tif")
    table(tmp_path, *lines)
    with pytest.raises(InputError, match=rf"positions.csv: .*{complaint}"):
        found(tmp_path, pattern="{field}_{tile}.tif", positions="positions.csv")


def test_a_table_that_is_missing(tmp_path):
    write(tmp_path, "a_1.tif")
    with pytest.raises(InputError, match=r"where.csv: there is no such file \(layout.positions\)"):
        found(tmp_path, pattern="{field}_{tile}.tif", positions="where.csv")


def test_a_file_of_a_tile_with_two_positions(tmp_path):
    write(tmp_path, "a_1_x.tif", "a_1_y.tif")
    table(tmp_path, "file,y_px,x_px", "a_1_x.tif,0,0", "a_1_y.tif,0,1")
    with pytest.raises(InputError, match="has several positions for the files of one tile"):
        found(tmp_path, pattern="{field}_{tile}_{channel}.tif", positions="positions.csv")


def test_root_with_an_environment_variable(tmp_path, monkeypatch):
    write(tmp_path, "plate/a.tif")
    monkeypatch.setenv("SOME_PLATES", str(tmp_path))
    keys = {"root": "${SOME_PLATES}/plate", "pattern": "{field}.tif"}
    assert only(Path("elsewhere"), **keys).name == "a"
    monkeypatch.delenv("SOME_PLATES")
    with pytest.raises(InputError, match="needs the environment variable SOME_PLATES"):
        found(tmp_path, **keys)
    assert only(tmp_path, root="plate", pattern="{field}.tif").name == "a"


def test_characters_that_mean_something_in_expressions(tmp_path):
    write(tmp_path, "a+(b)[1]^.tif", "ab1.tif")
    assert only(tmp_path, pattern="a+({field})[1]^.tif").name == "b"


def test_a_part_that_appears_twice(tmp_path):
    write(tmp_path, "A1/A1_0.tif", "A1/A2_0.tif", "A2/A2_0.tif")
    fields = found(tmp_path, pattern="{well}/{well}_{col}.tif", overlap=0).fields
    assert [field.tiles[0].images["channel_1", 0][0].file.parent.name for field in fields] == [
        "A1",
        "A2",
    ]


@given(
    st.lists(
        st.text("abcXYZ0129.-", min_size=1, max_size=6).filter(lambda text: "_" not in text),
        min_size=3,
        max_size=3,
    )
)
def test_patterns_read_what_was_written_with_them(values):
    pattern = parse_pattern("{a}/{b}_x{c}_.tif")
    match = pattern.expression.fullmatch("{}/{}_x{}_.tif".format(*values))
    assert match is not None
    assert [match[part] for part in "abc"] == values
    assert pattern.parts == ("a", "b", "c")
    assert pattern.depth == 1


GOOD = {"pattern": "{field}_{row}_{col}.tif", "overlap": 0.1}


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"pattern": "{a}{b}.tif"}, r"pattern: '\{a\}\{b\}': nothing says where 'a' ends"),
        ({"pattern": "{a}*.tif"}, r"pattern: '\{a\}\*': nothing says where"),
        ({"pattern": "{a.tif"}, "pattern: has a brace without its other half"),
        ({"pattern": "{a b}.tif"}, r"pattern: '\{a b\}' is no name"),
        ({"pattern": "../{a}.tif"}, "must stay below 'root'"),
        ({"pattern": []}, "pattern: is empty"),
        ({"pattern": ["{field}_{col}.tif", "{col}.png"]}, r"'\{col\}.png' lacks \{field\}"),
        ({"pattern": ["{field}_{col}.tif", "{field}.png"]}, "row, col and tile must stand in all"),
        ({"field": ["site"]}, r"lacks \{site\}, which names the field"),
        ({"field": []}, "part 'field' of the pattern is not among 'field'"),
        ({"group": "well"}, "group: 'well' is no part that names the field"),
        ({"axes": "ZZ"}, "axes: ZZ: give each of"),
        ({"positions": "table.txt"}, 'positions: is neither "grid" nor "stage" nor a .csv'),
        ({"pattern": "{field}_{tile}.tif"}, "order is missing"),
        ({"pattern": "{field}_{tile}.tif", "order": "row"}, r"columns \(or rows\) is missing"),
        ({"pattern": "{field}_{tile}_{row}.tif"}, r"has \{tile\} beside row or col"),
        ({"order": "row"}, r'order "row" is for patterns with \{tile\}'),
        ({"overlap": -1}, "overlap"),
        ({"stage_direction": [1, 2]}, "stage_direction"),
        ({"colums": 3}, r"unknown key 'colums'; did you mean 'columns'"),
    ],
)
def test_layouts_that_make_no_sense(keys, complaint):
    with pytest.raises(InputError, match=complaint):
        layout(**{**GOOD, **keys})


def test_overlap_must_be_said():
    with pytest.raises(InputError, match=r"set.toml: .*overlap is missing"):
        layout(pattern="{field}_{row}_{col}.tif")


def test_a_layout_survives_toml():
    given = layout(**GOOD, channels={"w1": "DAPI"}, group="field", stage_direction=[-1, 1])
    assert layout(**tomllib.loads(config.to_toml(given))) == given
