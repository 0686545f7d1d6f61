import json
import shutil

import numpy as np
import pytest
import zarr

from isl.errors import InputError
from isl.imaging.ome_zarr import open_ome_zarr
from isl.imaging.ome_zarr_metadata import write_plate
from isl.imaging.ome_zarr_writer import zarr_image
from isl.imaging.plates import open_plate, read_plate

FIELDS = (("B", "02", "0"), ("AA", "10", "0"), ("B", "9", "1"), ("B", "9", "0"))


def files(folder):
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def fill(path, value):
    pixels = np.full((1, 6, 5), value, np.uint8)
    with zarr_image(path, shape=(1, 6, 5), dtype="uint8", labels=["DAPI"]) as image:
        image.write(0, slice(None), slice(None), slice(None), pixels)


def test_a_plate_and_its_images(tmp_path):
    path = tmp_path / "screen.ome.zarr"
    places = write_plate(path, FIELDS)
    assert list(places) == list(FIELDS)
    assert places["AA", "10", "0"] == path / "AA" / "10" / "0"
    for value, place in enumerate(places.values()):
        fill(place, value)
    plate = read_plate(path)
    assert plate.missing == ()
    pictures = {picture.name: picture.read()[0, 0] for picture in open_plate(path)}
    assert pictures == {
        "screen_B02_0": 0, "screen_AA10_0": 1, "screen_B9_1": 2, "screen_B9_0": 3,
    }  # fmt: skip
    said = json.loads((path / "B" / "9" / "1" / "zarr.json").read_text())["attributes"]["ome"]
    assert said["multiscales"][0]["name"] == "screen_B9_1"


def test_what_a_plate_says(tmp_path):
    path = tmp_path / "screen.ome.zarr"
    write_plate(path, FIELDS, name="Screen 3")
    group = zarr.open_group(path, mode="r")
    assert group.attrs["ome"] == {
        "version": "0.5",
        "plate": {
            "version": "0.5",
            "name": "Screen 3",
            "rows": [{"name": "B"}, {"name": "AA"}],
            "columns": [{"name": "02"}, {"name": "9"}, {"name": "10"}],
            "wells": [
                {"path": "B/02", "rowIndex": 0, "columnIndex": 0},
                {"path": "B/9", "rowIndex": 0, "columnIndex": 1},
                {"path": "AA/10", "rowIndex": 1, "columnIndex": 2},
            ],
        },
    }
    well = zarr.open_group(path, path="B/9", mode="r")
    assert well.attrs["ome"] == {
        "version": "0.5",
        "well": {"images": [{"path": "0"}, {"path": "1"}]},
    }
    assert zarr.open_group(path, path="AA", mode="r").attrs.asdict() == {}


def test_images_that_are_not_there_yet_are_missing(tmp_path):
    places = write_plate(tmp_path / "a", FIELDS)
    fill(places["B", "9", "1"], 4)
    assert read_plate(tmp_path / "a").missing == ("B/02/0", "B/9/0", "AA/10/0")


def test_wells_and_fields_are_added(tmp_path):
    write_plate(tmp_path / "whole" / "a", FIELDS)
    path = tmp_path / "a"
    places = write_plate(path, FIELDS[:2])
    fill(places["B", "02", "0"], 7)
    write_plate(path, FIELDS[3:])
    assert list(write_plate(path, FIELDS[2:3])) == [FIELDS[2]]
    (picture,) = open_ome_zarr(path)
    assert picture.read()[0, 0] == 7
    shutil.rmtree(path / "B" / "02" / "0")
    assert files(path) == files(tmp_path / "whole" / "a")
    times = {file: file.stat().st_mtime_ns for file in path.rglob("zarr.json")}
    write_plate(path, FIELDS)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("zarr.json")} == times


def test_a_run_killed_while_it_adds_wells_is_gone_on_with(tmp_path):
    path = tmp_path / "a"
    write_plate(path, FIELDS[:3])
    before = (path / "zarr.json").read_text()
    write_plate(path, FIELDS)
    (path / "zarr.json").write_text(before)
    write_plate(path, FIELDS)
    write_plate(tmp_path / "whole" / "a", FIELDS)
    assert files(path) == files(tmp_path / "whole" / "a")


def test_other_plates_are_not_changed(tmp_path):
    path = tmp_path / "input.zarr"
    ome = {"version": "0.5", "plate": {"wells": [], "acquisitions": [{"id": 1}]}}
    zarr.open_group(path, mode="w").attrs["ome"] = ome
    zarr.open_group(tmp_path / "old.zarr", mode="w", zarr_format=2).attrs["plate"] = {"wells": []}
    (tmp_path / "plain").mkdir()
    before = files(tmp_path)
    for name in ("input.zarr", "old.zarr", "plain"):
        with pytest.raises(InputError, match=f"{name}: exists already and is no plate written"):
            write_plate(tmp_path / name, FIELDS)
    image = tmp_path / "image.zarr"
    fill(image, 3)
    with pytest.raises(InputError, match=r"image.zarr: is no plate"):
        write_plate(image, FIELDS)
    shutil.rmtree(image)
    assert files(tmp_path) == before


@pytest.mark.parametrize("field", [("..", "1", "0"), ("A", "1/2", "0"), ("A", "1", "")])
def test_names_that_are_no_folders(tmp_path, field):
    with pytest.raises(ValueError, match="letters and digits"):
        write_plate(tmp_path / "a", [field])
    with pytest.raises(ValueError, match="letters and digits"):
        write_plate(tmp_path / "a", [])
    assert list(tmp_path.iterdir()) == []
