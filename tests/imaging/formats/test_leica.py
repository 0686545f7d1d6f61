import struct

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats import leica, microscope_file
from isl.imaging.formats.leica import open_lif
from isl.imaging.image import PixelSize

IDS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "λ": 5, "A": 6, "M": 10}
STEPS = {"X": 0.25e-6, "Y": 0.3e-6, "Z": 1e-6, "T": 90.0, "λ": 10e-9, "M": 1.0, "A": 1.0}
ORIGINS = {"λ": 500e-9}


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Every picture that a test opens is closed after it."""
    pictures = []

    def remember(path):
        found = leica.open_lif(path)
        pictures.extend(found)
        return found

    monkeypatch.setitem(globals(), "open_lif", remember)
    yield
    for picture in pictures:
        picture.close()


def element(name, pixels, axes, channels=("Gray",), extra="", claimed=None):
    """XML of an image stored as `axes`, outermost first; "C" stands where channels lie."""
    lengths = dict(zip(axes, claimed or pixels.shape, strict=True))
    strides = dict(zip(axes, pixels.strides, strict=True))
    bits = pixels.dtype.itemsize * 8
    kind = int(pixels.dtype.kind == "f")
    described = "".join(
        f'<ChannelDescription DataType="{kind}" ChannelTag="0" Resolution="{bits}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{channel}" IsLUTInverted="0" '
        f'BytesInc="{strides.get("C", 0) * number}" BitInc="0">{extra if not number else ""}'
        "</ChannelDescription>"
        for number, channel in enumerate(channels)
    )
    dimensions = "".join(
        f'<DimensionDescription DimID="{IDS[axis]}" NumberOfElements="{lengths[axis]}" '
        f'Origin="{ORIGINS.get(axis, 0)}" Length="{STEPS[axis] * (lengths[axis] - 1)}" '
        f'Unit="m" BitInc="0" BytesInc="{strides[axis]}" />'
        for axis in reversed(axes)
        if axis != "C"
    )
    return (
        f'<Element Name="{name}" UniqueID="{name}"><Data><Image><ImageDescription>'
        f"<Channels>{described}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription>"
        '<Attachment Name="TileScanInfo"><Tile FieldX="0" FieldY="0" PosX="0.002" PosY="0.001" />'
        '<Tile FieldX="1" FieldY="0" PosX="0.003" PosY="0.001" /></Attachment></Image></Data>'
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="Block_{name}" /></Element>'
    )


def write(path, images):
    """A lif of images, each (name, pixels, axes, more for `element`)."""
    elements = "".join(element(n, p, a, **more) for n, p, a, more in images)
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    file = struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml
    for name, pixels, _, _ in images:
        block = f"Block_{name}".encode("utf-16-le")
        file += struct.pack(
            "<IIBQBI", 0x70, len(block) + 14, 0x2A, pixels.nbytes, 0x2A, len(block) // 2
        )
        file += block + pixels.tobytes()
    path.write_bytes(file)
    return path


def numbers(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    "axes", ["TZCYX", "TCZYX", "CTZYX", "CZYX", "ZYX", "YX", "YZX", "YCZX", "ZX"]
)
def test_planes_of_any_order(tmp_path, axes):
    lengths = {"T": 2, "C": 3, "Z": 4, "Y": 7, "X": 6}
    pixels = numbers(*(lengths[axis] for axis in axes))
    channels = ("Green", "Red", "Blue") if "C" in axes else ("Gray",)
    (picture,) = open_lif(write(tmp_path / "a.lif", [("s", pixels, axes, {"channels": channels})]))
    expected = tuple(lengths[axis] if axis in axes else 1 for axis in "TCZYX")
    assert (picture.name, picture.shape) == ("a", expected)
    assert picture.channel_names == channels
    order = [axis for axis in "TCZYX" if axis in axes]
    stored = pixels.transpose([axes.index(axis) for axis in order]).reshape(expected)
    for t, c, z in np.ndindex(expected[:3]):
        np.testing.assert_array_equal(picture.read(t=t, c=c, z=z), stored[t, c, z])
    window = picture.read(rows=slice(0, 5), columns=slice(2, 4))
    np.testing.assert_array_equal(window, stored[0, 0, 0, 0:5, 2:4])


def test_what_it_says_of_itself(tmp_path):
    told = (
        "<ChannelProperty><Key>DyeName</Key><Value>Empty</Value></ChannelProperty>"
        "<ChannelProperty><Key>ContrastingMethodName</Key><Value>TL-PH</Value></ChannelProperty>"
    )
    pixels = numbers(3, 2, 4, 5)
    (picture,) = open_lif(write(tmp_path / "a.lif", [("s", pixels, "TZYX", {"extra": told})]))
    assert picture.pixel_size == PixelSize(
        y=pytest.approx(0.3), x=pytest.approx(0.25), z=pytest.approx(1.0)
    )
    assert picture.interval == pytest.approx(1.5)
    assert picture.channel_names == ("Empty (Phase contrast)",)
    assert picture.modality == "PHASE_CONTRAST"
    assert picture.stage == pytest.approx((1000.0, 2000.0))


def test_series_and_tiles_are_images_of_their_own(tmp_path):
    mosaic = numbers(2, 4, 5)
    path = write(
        tmp_path / "a.lif",
        [("Mouse 1", numbers(6, 7), "YX", {}), ("mosaic", mosaic, "MYX", {})],
    )
    pictures = open_lif(path)
    assert [picture.name for picture in pictures] == ["a_Mouse-1", "a_mosaic-1", "a_mosaic-2"]
    np.testing.assert_array_equal(pictures[2].read(), mosaic[1])
    assert pictures[2].stage == pytest.approx((1000.0, 3000.0))


def test_bands_of_a_wavelength_scan_are_channels(tmp_path):
    pixels = numbers(3, 4, 5, dtype=np.uint8)
    (picture,) = open_lif(write(tmp_path / "a.lif", [("s", pixels, "λYX", {})]))
    assert picture.channel_names == ("500 nm", "510 nm", "520 nm")
    np.testing.assert_array_equal(picture.read(c=2), pixels[2])


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        open_lif(path)
    assert str(path) in str(caught.value)


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.lif"
    refused(write(path, [("s", numbers(2, 4, 5), "AYX", {})]), "has axes A, Y, X")
    refused(write(path, [("s", numbers(4, 5, dtype=np.uint32), "YX", {})]), "type uint32")
    refused(write(path, []), "holds no image")
    more = {"claimed": (4, 500)}
    refused(write(path, [("s", numbers(4, 5), "YX", more)]), "claims more pixels for s")
    whole = write(path, [("s", numbers(40, 50), "YX", {})]).read_bytes()
    path.write_bytes(whole[:-10])
    refused(path, "truncated or damaged")
    path.write_bytes(b"<?xml version='1.0'?><a/>")
    refused(path, "cannot be read as Leica lif|is Leica's")
    refused(tmp_path / "absent.lif", "there is no such file")


def test_colors_are_refused(tmp_path):
    pixels = numbers(4, 5, 3, dtype=np.uint8)
    channels = {"channels": ("Red", "Green", "Blue")}
    refused(write(tmp_path / "a.lif", [("s", pixels, "YXC", channels)]), "color image")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.lif", [("s", numbers(4, 5), "YX", {})])

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(microscope_file.importlib, "import_module", absent)
    refused(path, r"needs one more package \(liffile\): pip install isl\[formats\]")
