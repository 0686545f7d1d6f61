import json
import shutil

import numpy as np
import pytest
import zarr

from isl.errors import InputError
from isl.imaging.zarr.plates import choose_fields, open_plate, read_plate, split_plate_path
from isl.imaging.zarr.reader import open_ome_zarr

WELLS = ("A/01", "B/02", "B/10", "B/03")


def value_of(well, field):
    return 10 * WELLS.index(well) + field


@pytest.fixture(params=["0.4", "0.5"])
def plate(tmp_path, request):
    return write_plate(tmp_path / "screen.ome.zarr", request.param)


def write_plate(path, version="0.5"):
    """A plate of four wells with two fields each, of constant pixels (see `value_of`)."""

    def put(group, ome):
        group.attrs.update(ome if version == "0.4" else {"ome": ome | {"version": version}})

    root = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    put(root, {"plate": {"wells": [{"path": well} for well in WELLS], "version": version}})
    for well in WELLS:
        folder = root.create_group(well)
        put(folder, {"well": {"images": [{"path": "0"}, {"path": "1"}], "version": version}})
        for field in (0, 1):
            image = folder.create_group(str(field))
            pixels = np.full((3, 6, 5), value_of(well, field), np.uint16)
            image.create_array("0", data=pixels)
            axes = [{"name": name, "type": "space"} for name in "zyx"]
            scale = [{"type": "scale", "scale": [1, 1, 1]}]
            datasets = [{"path": "0", "coordinateTransformations": scale}]
            put(image, {"multiscales": [{"axes": axes, "datasets": datasets}]})
    return path


def names(fields):
    return [field.name.removeprefix("screen_") for field in fields]


def test_every_field_in_the_order_of_the_plate(plate):
    found = read_plate(plate)
    assert found.missing == ()
    expected = [f"{well.replace('/', '')}_{field}" for well in WELLS for field in (0, 1)]
    assert names(choose_fields(found)) == expected
    pictures = open_plate(plate)
    assert [picture.name for picture in pictures] == [f"screen_{name}" for name in expected]
    assert [picture.read(z=2)[5, 4] for picture in pictures] == [
        value_of(well, field) for well in WELLS for field in (0, 1)
    ]
    assert [picture.name for picture in open_ome_zarr(plate)] == [f"screen_{n}" for n in expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("B/02/0", ["B02_0"]),
        ("b/2/0", ["B02_0"]),
        ("B02", ["B02_0", "B02_1"]),
        ("B2/1", ["B02_1"]),
        ("B/02", ["B02_0", "B02_1"]),
        ("B/*/0", ["B02_0", "B10_0", "B03_0"]),
        ("*/0", ["A01_0", "B02_0", "B10_0", "B03_0"]),
        ("?/0?/1", ["A01_1", "B02_1", "B03_1"]),
        ("*10", ["B10_0", "B10_1"]),
        ("/B/10/", ["B10_0", "B10_1"]),
    ],
)
def test_patterns(tmp_path, pattern, expected):
    plate = read_plate(write_plate(tmp_path / "screen.zarr"))
    assert names(choose_fields(plate, pattern)) == expected


@pytest.mark.parametrize("pattern", ["C/01", "B/02/7", "B", "B/02/0/0", "0", ""])
def test_patterns_that_name_nothing(tmp_path, pattern):
    plate = read_plate(write_plate(tmp_path / "screen.zarr"))
    with pytest.raises(InputError, match=r"has no field '.*' \(wells: A/01, B/02, B/10, B/03\)"):
        choose_fields(plate, pattern)


def test_wells_and_fields_that_are_missing(plate):
    shutil.rmtree(plate / "B" / "02")
    shutil.rmtree(plate / "B" / "10" / "1")
    found = read_plate(plate)
    assert found.missing == ("B/02", "B/10/1")
    assert names(choose_fields(found, "B/*")) == ["B10_0", "B03_0", "B03_1"]
    with pytest.raises(InputError, match=r"lists B/02, but that is not there"):
        choose_fields(found, "B02/0")
    with pytest.raises(InputError, match=r"lists B/10/1, but that is not there"):
        choose_fields(found, "B/10/1")
    for well in WELLS:
        shutil.rmtree(plate / well, ignore_errors=True)
    with pytest.raises(InputError, match=r"holds no field; it lists 4 that are not there"):
        open_plate(plate)


def test_a_well_and_a_field_by_their_folders(plate):
    assert [p.name for p in open_ome_zarr(plate / "B" / "10")] == ["screen_B10_0", "screen_B10_1"]
    (picture,) = open_ome_zarr(plate / "B" / "10" / "1")
    assert picture.name == "screen_B10_1"
    assert picture.read()[0, 0] == value_of("B/10", 1)


def test_paths_that_lead_into_a_plate(plate, monkeypatch):
    assert split_plate_path(plate / "B" / "*" / "0") == (plate, "B/*/0")
    assert split_plate_path(plate / "B02") == (plate, "B02")
    assert split_plate_path(plate.parent / "other" / "B02") is None
    monkeypatch.chdir(plate.parent)
    relative = plate.relative_to(plate.parent)
    assert split_plate_path(relative / "B" / "*") == (relative, "B/*")


def put(folder, version_05, key, value):
    file = folder / ("zarr.json" if version_05 else ".zattrs")
    stored = json.loads(file.read_text())
    (stored["attributes"]["ome"] if version_05 else stored)[key] = value
    file.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("plate", {"wells": [{"path": "../../etc"}]}, "lists wells that are not row/column"),
        ("plate", {"wells": [{"name": "B"}]}, "cannot be read as OME-Zarr"),
        ("plate", {}, "cannot be read as OME-Zarr"),
        ("plate", 3, "cannot be read as OME-Zarr"),
    ],
)
def test_damaged_plates(plate, key, value, match):
    put(plate, (plate / "zarr.json").exists(), key, value)
    with pytest.raises(InputError, match=match):
        read_plate(plate)


def test_damaged_wells(plate):
    put(
        plate / "B" / "02",
        (plate / "zarr.json").exists(),
        "well",
        {"images": [{"path": "../../A"}]},
    )
    with pytest.raises(InputError, match=r"B/02: lists fields that are no folders of it"):
        read_plate(plate)


def test_what_is_no_plate(plate):
    with pytest.raises(InputError, match="is no plate"):
        read_plate(plate / "B" / "02")
    with pytest.raises(InputError, match="there is no such folder"):
        read_plate(plate.parent / "absent.zarr")
