"""Files of several images and plates, as commands take them; `make_images` stands for a reader."""

import sys
import types

import numpy as np
import pytest
import zarr

from isl.commands.inspect import describe
from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.read import find_inputs, read_fluorescence, read_picture, read_transmitted
from isl.imaging.inputs.steady import content_hash
from isl.imaging.lazy import LazyPicture


def picture(name, path, shape=(1, 1, 2, 6, 5), value=0, **more):
    def read(t, c, z, rows, columns):
        return np.full((6, 5), value + 100 * t + 10 * c + z, np.uint16)[rows, columns]

    values = {"read_plane": read, "close": lambda: None, "source": path} | more
    return LazyPicture(name=name, shape=shape, dtype=np.dtype(np.uint16), **values)


@pytest.fixture
def make_images(tmp_path, monkeypatch):
    """A .lif file that holds the given images, each (name, values of the picture)."""

    def make(*images, file="mice.lif"):
        path = tmp_path / file
        path.write_bytes(b"a file of several images")

        def open_lif(asked):
            if asked != path:
                raise InputError(f"{asked}: is damaged")
            return tuple(picture(name, path, **values) for name, values in images)

        reader = types.ModuleType("leica")
        reader.open_lif = open_lif
        monkeypatch.setitem(sys.modules, "isl.imaging.formats.leica", reader)
        return path

    return make


def test_one_image_is_read_by_its_file(make_images):
    path = make_images(("mice", {"pixel_size": PixelSize(y=0.5, x=0.5), "value": 7}))
    assert find_inputs([path]) == [("mice", path)]
    stack = read_transmitted(path)
    assert isinstance(stack, ZStack)
    assert stack.pixel_size == PixelSize(y=0.5, x=0.5)
    np.testing.assert_array_equal(stack.planes[:, 0, 0], [7, 8])
    assert read_picture(path).array.shape == (1, 1, 2, 6, 5)


def test_several_images_are_several_fields(make_images):
    path = make_images(("mice_A", {}), ("mice_B", {"value": 50}))
    assert find_inputs([path.parent]) == [("mice_A", path / "mice_A"), ("mice_B", path / "mice_B")]
    assert find_inputs([path / "mice_B"]) == [("mice_B", path / "mice_B")]
    for name in ("mice_B", "B"):
        assert read_transmitted(path / name).planes[0, 0, 0] == 50
    with pytest.raises(InputError, match=r"holds 2 images \(mice_A, mice_B\); name one, such as"):
        read_picture(path)
    with pytest.raises(InputError, match=r"unknown image 'mice_C'; did you mean"):
        read_picture(path / "mice_C")
    assert content_hash(path / "mice_A") == content_hash(path)
    assert dict(describe(str(path / "mice_A")))["stored"].startswith("1 T x 1 C x 2 Z")


def test_only_the_transmitted_channel_is_read(make_images):
    def read(t, c, z, rows, columns):
        if c != 1:
            raise InputError("the other channel has no such plane")
        return np.full((6, 5), z, np.uint16)[rows, columns]

    values = {"shape": (3, 2, 2, 6, 5), "channel_names": ("GFP", "Brigh (Brightfield)")}
    path = make_images(("mice", values | {"interval": 1.5, "read_plane": read}))
    for channel in (None, "Brigh", "brigh (brightfield)"):
        movie = read_transmitted(path, channel=channel)
        assert isinstance(movie, Movie)
        assert (movie.frames.shape, movie.modality) == ((3, 2, 6, 5), "BRIGHTFIELD")
        assert movie.interval == 1.5
    with pytest.raises(InputError, match="no such plane"):
        read_transmitted(path, channel="GFP")


def test_fluorescence(make_images):
    path = make_images(("mice", {"shape": (1, 2, 1, 6, 5), "channel_names": ("GFP", "DAPI")}))
    image = read_fluorescence(path)
    assert image.labels == ("GFP", "DAPI")
    np.testing.assert_array_equal(image.channels[:, 0, 0], [0, 10])


def test_axes_are_what_the_file_says(make_images):
    with pytest.raises(InputError, match="`axes=ZYX` is for TIFF files"):
        read_picture(make_images(("mice", {})), axes="ZYX")


def test_more_pixels_than_memory_are_refused(make_images):
    path = make_images(("mice", {"shape": (10**6, 10, 10, 6000, 5000)}))
    with pytest.raises(InputError, match="GiB"):
        read_picture(path)


def test_a_damaged_file_does_not_hide_its_neighbors(make_images):
    path = make_images(("mice", {}))
    path.with_name("rats.lif").write_bytes(b"damaged")
    assert find_inputs([path.parent]) == [("mice", path), ("rats", path.with_name("rats.lif"))]
    with pytest.raises(InputError, match=r"rats\.lif: is damaged"):
        read_transmitted(path.with_name("rats.lif"))


def write_image(group, value):
    group.create_array("0", data=np.full((2, 6, 5), value, np.uint16))
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets}], "version": "0.5"}


@pytest.fixture
def plate(tmp_path):
    """Wells B/02 and B/03 with one field each, and C/04 which is listed and missing."""
    root = zarr.open_group(tmp_path / "screen.zarr", mode="w")
    wells = ("B/02", "B/03", "C/04")
    root.attrs["ome"] = {"plate": {"wells": [{"path": well} for well in wells]}}
    for number, well in enumerate(wells[:2]):
        group = root.create_group(well)
        group.attrs["ome"] = {"well": {"images": [{"path": "0"}]}}
        write_image(group.create_group("0"), number)
    return tmp_path / "screen.zarr"


def test_a_zarr_image(tmp_path):
    path = tmp_path / "field.ome.zarr"
    write_image(zarr.open_group(path, mode="w"), 5)
    for given in (path, tmp_path):
        assert find_inputs([given]) == [("field", path)]
    assert read_transmitted(path).planes[0, 0, 0] == 5
    facts = dict(describe(str(path)))
    assert facts["transmitted"] == "ZYX 2 x 6 x 5 uint16"
    before = content_hash(path)
    zarr.open_group(path, mode="r+")["0"][...] = 6
    assert content_hash(path) != before


def test_a_plate_is_its_fields_and_missing_wells_are_named(plate):
    fields = [
        ("screen_B02_0", plate / "B" / "02" / "0"),
        ("screen_B03_0", plate / "B" / "03" / "0"),
    ]
    assert find_inputs([plate]) == [*fields, ("screen_C04", plate / "C" / "04")]
    assert read_transmitted(fields[1][1]).name == "screen_B03_0"
    with pytest.raises(InputError, match=r"C/04: there is no such file or folder"):
        read_transmitted(plate / "C" / "04")


@pytest.mark.parametrize("pattern", ["B/*/0", "B/03", "*3", "B/03/0"])
def test_fields_of_a_plate_by_pattern(plate, pattern):
    found = find_inputs([plate / pattern])
    assert ("screen_B03_0", plate / "B" / "03" / "0") in found
    assert len(found) == (2 if pattern == "B/*/0" else 1)


def test_a_row_is_all_fields_of_its_wells(plate):
    expected = [
        ("screen_B02_0", plate / "B" / "02" / "0"),
        ("screen_B03_0", plate / "B" / "03" / "0"),
    ]
    for given in (plate / "B", plate / "B" / "*"):
        assert find_inputs([given]) == expected


@pytest.mark.parametrize(("pattern", "match"), [("C04", "lists C/04"), ("D/*", "no field 'D/")])
def test_patterns_that_name_no_field(plate, pattern, match):
    with pytest.raises(InputError, match=match):
        find_inputs([plate / pattern])


def test_a_zarr_that_is_no_plate_has_no_patterns(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(InputError, match="there is no such file or folder"):
        find_inputs([tmp_path / "a.zarr" / "B" / "02"])
