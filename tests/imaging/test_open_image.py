import math
import os
import sys
import types

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.table import ending_of
from isl.imaging.inputs.open_image import open_images


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.ome.tif", "a.b.ome.tiff"])
def test_tiffs(tmp_path, name):
    path = tmp_path / name
    tifffile.imwrite(path, np.zeros((5, 6, 7), np.uint8), metadata=None, photometric="minisblack")
    (picture,) = open_images(path)
    assert math.prod(picture.shape) == 5 * 6 * 7
    assert picture.name == name[: name.rindex(".ome") if ".ome" in name else name.rindex(".")]
    (picture,) = open_images(path, axes="CYX")
    assert picture.shape == (1, 5, 1, 6, 7)


def test_pngs(tmp_path):
    path = tmp_path / "a.PNG"
    Image.new("L", (4, 5)).save(path)
    (picture,) = open_images(path, axes="YX")
    assert picture.shape == (1, 1, 1, 5, 4)
    with pytest.raises(InputError, match="`axes=ZYX` does not fit a PNG"):
        open_images(path, axes="ZYX")


@pytest.mark.parametrize(
    ("ending", "module", "function"),
    [
        (".nd2", "formats.nikon", "open_nd2"),
        (".czi", "formats.zeiss", "open_czi"),
        (".lif", "formats.leica", "open_lif"),
        (".zarr", "zarr.reader", "open_ome_zarr"),
        (".ome.zarr", "zarr.reader", "open_ome_zarr"),
    ],
)
def test_microscopes_formats_go_to_their_readers(tmp_path, monkeypatch, ending, module, function):
    path = tmp_path / f"a{ending}"
    reader = types.ModuleType(module)
    setattr(reader, function, lambda given: ("opened", given))
    monkeypatch.setitem(sys.modules, f"isl.imaging.{module}", reader)
    assert open_images(path) == ("opened", path)
    with pytest.raises(InputError, match="`axes=ZYX` is for TIFF files"):
        open_images(path, axes="ZYX")


def test_what_is_no_image(tmp_path):
    path = tmp_path / "a.gif"
    with pytest.raises(InputError, match="there is no such file"):
        open_images(path)
    path.touch()
    with pytest.raises(InputError, match=r"a.gif: is not a .*\.tif"):
        open_images(path)
    assert ending_of(path) is None
    assert ending_of(tmp_path / "B.OME.TIF") == ".ome.tif"


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "bmp"])
def test_photographs(tmp_path, ending, caplog):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31)).astype(np.uint8)
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if ending == "bmp" else {"exif": exif, "quality": 95}
    Image.fromarray(pixels).save(path, **options)
    (picture,) = open_images(path)
    shown = pixels if ending == "bmp" else np.rot90(pixels, -1)
    assert (picture.name, picture.dtype) == ("a", np.uint8)
    assert picture.shape == (1, 1, 1, *shown.shape)
    read = picture.read().astype(float)
    np.testing.assert_allclose(read, shown, atol=0 if ending == "bmp" else 30)
    np.testing.assert_array_equal(picture.read(rows=slice(3, 9)), read[3:9])
    (turned,) = open_images(path, axes="XY")
    np.testing.assert_array_equal(turned.read(), read.T)
    told = f"*.{ending}: JPEG changes intensities a little; where they count, save TIFF or PNG"
    assert (told in caplog.text) == (ending != "bmp")
    with pytest.raises(InputError, match="`axes=ZYX` does not fit a photograph"):
        open_images(path, axes="ZYX")


def test_photographs_of_color_or_damaged_are_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (4, 5), (200, 10, 10)).save(path)
    with pytest.raises(InputError, match=r"a.jpg: is a color image, whose red, green and blue"):
        open_images(path)
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a.jpg: cannot be read as a picture"):
        open_images(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a.jpg: is empty"):
        open_images(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "stack.tif")
    with pytest.raises(InputError, match=r"stack\.tif: is neither a file nor a folder"):
        open_images(tmp_path / "stack.tif")
