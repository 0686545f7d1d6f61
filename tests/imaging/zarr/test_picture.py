import json
from pathlib import Path

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.picture import write_ome_zarr
from isl.imaging.zarr.reader import open_ome_zarr

LABELS = ("DAPI", "MAP2", "OTHER")


def picture_of(times, depth=1, names=LABELS, dtype=np.uint16):
    values = np.random.default_rng(2).integers(0, 250, (times, len(LABELS), depth, 70, 90))
    size = PixelSize(y=0.5, x=0.25, z=2.0)
    array = values.astype(dtype)
    picture = LazyPicture(
        name="a",
        shape=array.shape,
        dtype=array.dtype,
        read_plane=lambda *place: array[place],
        source=Path("a"),
        channel_names=names,
        pixel_size=size,
        interval=3.0,
    )
    return picture, array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("times", [1, 3])
def test_a_picture_is_copied(tmp_path, times, dtype):
    picture, array = picture_of(times, dtype=dtype)
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, picture, name="b", annotations={"model": "m"}, chunk=16, shard=32)
    (copy,) = open_ome_zarr(path)
    assert copy.shape == (times, 3, 1, 70, 90)
    assert copy.dtype == dtype
    assert copy.channel_names == LABELS
    assert copy.pixel_size == PixelSize(y=0.5, x=0.25)
    assert copy.interval == (3.0 if times > 1 else None)
    for t, c in np.ndindex(times, 3):
        np.testing.assert_array_equal(copy.read(t=t, c=c), array[t, c, 0])
    told = json.loads((path / "zarr.json").read_text())["attributes"]
    assert told["isl"] == {"model": "m"}
    assert told["ome"]["multiscales"][0]["name"] == "b"
    letters = [axis["name"] for axis in told["ome"]["multiscales"][0]["axes"]]
    assert letters == (["t"] if times > 1 else []) + ["c", "y", "x"]
    shown = told["ome"]["omero"]["channels"]
    assert [(channel["label"], channel["color"]) for channel in shown] == [
        ("DAPI", "4060FF"), ("MAP2", "40E040"), ("OTHER", "FFFFFF"),
    ]  # fmt: skip


def test_planes_are_copied_too(tmp_path):
    picture, array = picture_of(2, depth=2)
    write_ome_zarr(tmp_path / "a", picture, chunk=16, shard=32)
    (copy,) = open_ome_zarr(tmp_path / "a")
    assert (copy.shape, copy.pixel_size) == (array.shape, picture.pixel_size)
    for t, c, z in np.ndindex(array.shape[:3]):
        np.testing.assert_array_equal(copy.read(t=t, c=c, z=z), array[t, c, z])


def test_what_is_no_prediction_is_refused(tmp_path):
    with pytest.raises(ValueError, match="named channels"):
        write_ome_zarr(tmp_path / "a", picture_of(1, names=None)[0])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_ome_zarr(tmp_path / "a", picture_of(1)[0])
