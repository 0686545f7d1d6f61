"""Plates that grow field by field: laid out like another, whatever the order, and only ours."""

import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaozarrs
import zarr

from isl.errors import InputError
from isl.imaging.zarr.plate_writer import check_plate, put_into_plate
from isl.imaging.zarr.plates import open_plate, read_plate
from isl.imaging.zarr.reader import open_ome_zarr
from isl.imaging.zarr.writer import zarr_image

ROWS, COLUMNS = ("A", "B", "C"), ("02", "9", "10")
# In the plate's own order, which is that of no alphabet.
WELLS = {"B/9": ("1", "0"), "B/02": ("0",), "A/10": ("0",)}
FIELDS = tuple((*well.split("/"), field) for well, fields in WELLS.items() for field in fields)


def files(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def like(tmp_path):
    """An input plate: three rows and columns, three wells of them imaged, two acquisitions."""
    path = tmp_path / "in" / "screen.zarr"
    group = zarr.open_group(path, mode="w")
    group.attrs["ome"] = {
        "version": "0.5",
        "plate": {
            "name": "Screen 3",
            "rows": [{"name": row} for row in ROWS],
            "columns": [{"name": column} for column in COLUMNS],
            "wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in WELLS],
            "acquisitions": [{"id": 4, "name": "day 1"}, {"id": 7, "maximumfieldcount": 2}],
            "field_count": 9,
        },
    }
    for well, fields in WELLS.items():
        images = [{"path": field, "acquisition": 4 + 3 * int(field)} for field in fields]
        group.create_group(well).attrs["ome"] = {"well": {"images": images}}
    return path


def made(path, value):
    pixels = np.full((1, 6, 5), value, np.uint8)
    with zarr_image(path, shape=(1, 6, 5), dtype="uint8", labels=["DAPI"], name="x") as image:
        image.write(0, slice(None), slice(None), slice(None), pixels)
    return path


def put(plate, field, like):
    """A field whose pixels tell its place in FIELDS."""
    staged = plate.parent / f".staged-{'-'.join(field)}"
    image = made(staged / "image", FIELDS.index(field))
    put_into_plate(image, plate.joinpath(*field), like, staged / "old")
    shutil.rmtree(staged)


def plates_in(folder, like, order):
    plate = folder / "screen.ome.zarr"
    folder.mkdir()
    for field in order:
        put(plate, field, like)
    return plate


def test_a_plate_says_what_the_one_it_mirrors_says(tmp_path, like):
    plate = plates_in(tmp_path / "out", like, FIELDS[:3])
    told = zarr.open_group(plate, mode="r").attrs["ome"]
    assert told == {
        "version": "0.5",
        "plate": {
            "version": "0.5",
            "name": "Screen 3",
            "rows": [{"name": row} for row in ROWS],
            "columns": [{"name": column} for column in COLUMNS],
            "wells": [
                {"path": "B/9", "rowIndex": 1, "columnIndex": 1},
                {"path": "B/02", "rowIndex": 1, "columnIndex": 0},
            ],
            "acquisitions": [{"id": 4, "name": "day 1"}, {"id": 7, "maximumfieldcount": 2}],
        },
    }
    well = zarr.open_group(plate, path="B/9", mode="r").attrs["ome"]
    images = [{"path": "1", "acquisition": 7}, {"path": "0", "acquisition": 4}]
    assert well == {"version": "0.5", "well": {"images": images}}
    assert zarr.open_group(plate, path="B", mode="r").attrs.asdict() == {}
    # What was not made is neither listed nor there.
    assert read_plate(plate).missing == ()
    assert sorted(path.name for path in plate.iterdir()) == ["B", "zarr.json"]
    for group in [*sorted(plate.glob("B/?")), plate]:
        content = (group / "zarr.json").read_bytes()
        yaozarrs.validate_ome_json(content, yaozarrs.v05.OMEZarrGroupJSON)


def test_the_order_in_which_fields_come_does_not_show(tmp_path, like):
    whole = files(plates_in(tmp_path / "whole", like, FIELDS))
    for number, order in enumerate(itertools.islice(itertools.permutations(FIELDS), 1, 24, 5)):
        plate = plates_in(tmp_path / str(number), like, order)
        assert files(plate) == whole
    pictures = {picture.name: picture.read()[0, 0] for picture in open_plate(plate)}
    assert pictures == {
        "screen_B9_1": 0, "screen_B9_0": 1, "screen_B02_0": 2, "screen_A10_0": 3,
    }  # fmt: skip
    assert list(pictures) == [f"screen_{row}{column}_{field}" for row, column, field in FIELDS]


def test_fields_may_be_added_at_the_same_time(tmp_path, like):
    whole = files(plates_in(tmp_path / "whole", like, FIELDS))
    plate = plates_in(tmp_path / "out", like, ())
    # Each has the folder open for itself, so it waits for the others as processes do.
    with ThreadPoolExecutor(len(FIELDS)) as pool:
        list(pool.map(lambda field: put(plate, field, like), FIELDS))
    assert files(plate) == whole


def test_a_field_is_replaced_whole(tmp_path, like):
    plate = plates_in(tmp_path / "out", like, FIELDS)
    image = made(tmp_path / "again", 99)
    put_into_plate(image, plate / "B" / "02" / "0", like, tmp_path / "old")
    values = [picture.read()[0, 0] for picture in open_ome_zarr(plate)]
    assert values == [0, 1, 99, 3]
    assert not image.exists()
    assert open_ome_zarr(tmp_path / "old")[0].read()[0, 0] == 2


def test_a_run_killed_before_a_field_was_listed_is_gone_on_with(tmp_path, like):
    whole = files(plates_in(tmp_path / "whole", like, FIELDS))
    plate = plates_in(tmp_path / "out", like, FIELDS[:1])
    (plate / "zarr.json").unlink()
    (plate / ".123.partial").write_text("left by a killed run")
    check_plate(plate, like)
    for field in FIELDS:
        put(plate, field, like)
    (plate / ".123.partial").unlink()
    assert files(plate) == whole


def test_fields_that_were_removed_are_no_longer_listed(tmp_path, like):
    plate = plates_in(tmp_path / "out", like, FIELDS[:2])
    shutil.rmtree(plate / "B" / "9" / "0")
    put(plate, FIELDS[0], like)
    assert [field.field for field in read_plate(plate).fields] == ["1"]
    assert read_plate(plate).missing == ()


def test_nobody_elses_plate_is_added_to(tmp_path, like):
    with pytest.raises(InputError, match="is no plate written by isl"):
        check_plate(like, like)
    (tmp_path / "file").write_text("")
    made(tmp_path / "image", 3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.me").write_text("")
    for name in ("file", "image", "notes"):
        with pytest.raises(InputError, match=f"{name}: exists already and is no plate"):
            check_plate(tmp_path / name, like)
    check_plate(tmp_path / "absent", like)
    with pytest.raises(InputError, match="is no plate; name the folder that holds the rows"):
        check_plate(tmp_path / "absent", tmp_path / "image")


def test_a_plate_of_another_layout_is_not_mixed_in(tmp_path, like):
    plate = plates_in(tmp_path / "out", like, FIELDS[:1])
    before = files(plate)
    told = json.loads((like / "zarr.json").read_text())
    told["attributes"]["ome"]["plate"]["rows"].append({"name": "D"})
    (like / "zarr.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="is laid out otherwise"):
        check_plate(plate, like)
    image = made(tmp_path / "image", 1)
    with pytest.raises(InputError, match="is laid out otherwise"):
        put_into_plate(image, plate / "A" / "10" / "0", like, tmp_path / "old")
    assert {name: data for name, data in files(plate).items() if name in before} == before
