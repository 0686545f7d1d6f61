import base64
import contextlib
import dataclasses
import io
import signal
import subprocess
import sys
import warnings
import zlib

import numpy as np
import ome_types
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isl.errors import InputError
from isl.imaging import readable
from isl.imaging.formats import ome_tiff
from isl.imaging.formats.axes import parse_axes
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.imaging.inputs.read import read_picture
from isl.imaging.lazy import LazyPicture

RNG = np.random.default_rng(0)


def pixels(*shape, dtype=np.uint16):
    return RNG.integers(0, 250, shape).astype(dtype)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "field.tif"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32, np.float64, np.float16])
def test_a_single_plane_keeps_its_pixels(path, dtype):
    plane = pixels(5, 7, dtype=dtype)
    tifffile.imwrite(path, plane, byteorder=">" if dtype == ">u2" else "<")
    picture = read_picture(path)
    assert picture.array.shape == (1, 1, 1, 5, 7)
    expected = np.float32 if np.dtype(dtype).kind == "f" else np.dtype(dtype).newbyteorder("=")
    assert picture.array.dtype == expected
    assert picture.array.flags.c_contiguous
    np.testing.assert_array_equal(picture.array[0, 0, 0], plane)
    assert (picture.name, picture.source, picture.modality) == ("field", path, None)
    assert picture.pixel_size is picture.channel_names is picture.interval is None


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX", "TZYX", "ZCYX", "TCYX", "TZCYX", "CTZYX"])
def test_ome_axes_land_where_they_belong(path, axes):
    lengths = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
    stored = pixels(*(lengths[a] for a in axes))
    if axes == "CTZYX":  # an order that OME-TIFF allows but tifffile's writer has to be told
        tifffile.imwrite(path, stored, ome=True, metadata={"axes": axes, "DimensionOrder": "XYZTC"})
    else:
        tifffile.imwrite(path, stored, ome=True, metadata={"axes": axes})
    array = read_picture(path).array
    assert array.shape == tuple(lengths[a] if a in axes else 1 for a in "TCZYX")
    for index in np.ndindex(stored.shape):
        place = dict(zip(axes, index, strict=True))
        assert array[tuple(place.get(a, 0) for a in "TCZYX")] == stored[index]


def test_imagej_says_axes_size_interval_and_channels(path):
    stored = pixels(3, 4, 2, 8, 9)
    tifffile.imwrite(
        path,
        stored,
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 90.0},
    )
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.array, stored.transpose(0, 2, 1, 3, 4))
    assert picture.pixel_size == PixelSize(y=0.5, x=0.25, z=1.5)
    assert picture.interval == pytest.approx(1.5)
    assert picture.channel_names is None


@pytest.mark.parametrize(
    ("unit", "factor"), [("micron", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3), ("pixel", None)]
)
def test_imagej_units(path, unit, factor):
    tifffile.imwrite(
        path, pixels(4, 4), imagej=True, resolution=(1000.0, 1000.0), metadata={"unit": unit}
    )
    size = read_picture(path).pixel_size
    assert size == (None if factor is None else PixelSize(y=1e-3 * factor, x=1e-3 * factor))


def test_imagej_labels_name_channels(path):
    tifffile.imwrite(
        path, pixels(2, 4, 4), imagej=True, metadata={"axes": "CYX", "Labels": ["BF", "GFP"]}
    )
    assert read_picture(path).channel_names == ("BF", "GFP")


def test_imagej_info_names_channels(path):
    info = "Channel name #1 = BF with Disk\n Channel name #2 = C488\n"
    tifffile.imwrite(path, pixels(2, 4, 4), imagej=True, metadata={"axes": "CYX", "Info": info})
    assert read_picture(path).channel_names == ("BF with Disk", "C488")


def test_ome_says_size_interval_and_channels(path):
    metadata = {
        "axes": "TCYX",
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
        "TimeIncrement": 2.0,
        "TimeIncrementUnit": "min",
        "Channel": {"Name": ["PHASE", "DAPI & more"]},
    }
    tifffile.imwrite(path, pixels(3, 2, 8, 8), ome=True, metadata=metadata)
    picture = read_picture(path)
    assert picture.pixel_size == PixelSize(y=0.5, x=0.25, z=2.0)
    assert picture.interval == 2.0
    assert picture.channel_names == ("PHASE", "DAPI & more")


def test_tags_of_a_plain_file_are_believed_only_where_a_microscope_may_have_written_them(path):
    tifffile.imwrite(path, pixels(4, 4), resolution=(20000, 10000), resolutionunit="CENTIMETER")
    assert read_picture(path).pixel_size == PixelSize(y=1.0, x=0.5)
    for dpi in (72, 300, 600):
        tifffile.imwrite(path, pixels(4, 4), resolution=(dpi, dpi), resolutionunit="INCH")
        assert read_picture(path).pixel_size is None


def test_pages_of_a_plain_file_are_planes(path):
    stored = pixels(13, 6, 6)
    with tifffile.TiffWriter(path) as tiff:
        for plane in stored:
            tiff.write(plane, contiguous=False, metadata=None)
    np.testing.assert_array_equal(read_picture(path).array[0, 0], stored)
    tifffile.imwrite(path, stored)
    np.testing.assert_array_equal(read_picture(path).array[0, 0], stored)


def test_axes_given_override_and_are_checked(path):
    stored = pixels(3, 4, 6, 5)
    tifffile.imwrite(path, stored, photometric="minisblack")
    with pytest.raises(InputError, match=r"field.tif: does not say .*3 x 4 x 6 x 5.*`axes`"):
        read_picture(path)
    np.testing.assert_array_equal(read_picture(path, axes="tzyx").array[:, 0], stored)
    np.testing.assert_array_equal(read_picture(path, axes="CZXY").array[0], stored.swapaxes(2, 3))
    with pytest.raises(InputError, match=r"`axes=ZYX` names 3 axes.*stores 4: 3 x 4 x 6 x 5"):
        read_picture(path, axes="ZYX")


@pytest.mark.parametrize("axes", ["", "ZZYX", "ZY", "QYX", "IYX", "ZYXS"])
def test_impossible_axes(axes):
    with pytest.raises(InputError, match="`axes="):
        parse_axes(axes)


def test_color_is_refused(path):
    tifffile.imwrite(path, pixels(8, 8, 3, dtype=np.uint8), photometric="rgb")
    with pytest.raises(InputError, match="color image"):
        read_picture(path)


def test_planes_stored_as_color_are_planes_if_told(path):
    stored = pixels(3, 8, 9)
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate")
    with pytest.raises(InputError, match=r"color image.*give `axes`"):
        read_picture(path)
    np.testing.assert_array_equal(read_picture(path, axes="ZYX").array[0, 0], stored)
    tifffile.imwrite(path, pixels(8, 9, 3), photometric="rgb")
    with pytest.raises(InputError, match="color image"):
        read_picture(path, axes="ZYX")


@pytest.mark.parametrize("dtype", [bool, np.int16, np.uint32, np.complex64])
def test_other_pixel_types_are_refused(path, dtype):
    tifffile.imwrite(path, pixels(8, 8).astype(dtype))
    with pytest.raises(InputError, match="has pixels of type"):
        read_picture(path)


def test_planes_of_different_sizes_are_refused(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels(8, 8), metadata=None)
        tiff.write(pixels(8, 9), metadata=None)
    with pytest.raises(InputError, match=r"holds 2 images.*8 x 8, 8 x 9"):
        read_picture(path)


def test_reduced_copies_do_not_count(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels(32, 32), metadata=None)
        tiff.write(pixels(8, 8), subfiletype=1, metadata=None)
    assert read_picture(path).array.shape == (1, 1, 1, 32, 32)


def test_missing_empty_and_renamed_files(tmp_path, path):
    with pytest.raises(InputError, match="there is no such file"):
        read_picture(path)
    path.touch()
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        read_picture(path)
    path.write_text("well,plane\nA4,3\n")
    with pytest.raises(InputError, match="cannot be read as TIFF"):
        read_picture(path)
    with pytest.raises(InputError, match="is a folder"):
        open_tiff(tmp_path)


def test_planes_that_lie_in_a_file_that_is_not_there_are_missed(path):
    tifffile.imwrite(path, pixels(1, 8, 8), ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    here = '<TiffData IFD="0" PlaneCount="1"/>'
    elsewhere = (
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="other.tif">'
        "urn:uuid:00000000-0000-0000-0000-000000000001</UUID></TiffData>"
    )
    xml = xml.replace('SizeZ="1"', 'SizeZ="2"').replace(here, here + elsewhere)
    tifffile.tiffcomment(path, xml.encode())
    with pytest.raises(InputError, match=r"is one file of a set, of which other.tif is missing"):
        read_picture(path)


def encoded(kind):
    file = io.BytesIO()
    stack = np.random.default_rng(1).integers(0, 60000, (5, 40, 40)).astype(np.uint16)
    if kind == "plain":
        with tifffile.TiffWriter(file) as tiff:
            for plane in stack:
                tiff.write(plane, contiguous=False, metadata=None)
    elif kind == "imagej":
        tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "ome":
        tifffile.imwrite(file, stack, ome=True, metadata={"axes": "ZYX"})
    else:
        tifffile.imwrite(file, stack, compression="zlib", predictor=True, rowsperstrip=8)
    return file.getvalue()


KINDS = ("plain", "imagej", "ome", "zlib")


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_that_loses_pixels_is_refused(path, kind):
    whole = encoded(kind)
    path.write_bytes(whole)
    expected = read_picture(path).array
    refused = 0
    for length in [1, 3, 8, 17, *range(100, len(whole) - 8, 499), len(whole) - 8]:
        path.write_bytes(whole[:length])
        try:
            array = read_picture(path).array
        except InputError:
            refused += 1
        else:
            # ImageJ's files hold every page's header after all pixels and need only the first.
            np.testing.assert_array_equal(array, expected)
    assert refused > 30


@pytest.mark.parametrize("kind", ["plain", "zlib"])
def test_a_file_cut_within_a_page_header_does_not_lose_its_later_planes_in_silence(path, kind):
    path.write_bytes(whole := encoded(kind))
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
    for offset in offsets[1:]:
        for more in (0, 1):
            path.write_bytes(whole[: offset + more])
            with pytest.raises(InputError, match="damaged"):
                read_picture(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_headers_are_read_or_refused(tmp_path, kind, data):
    damaged = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tif"
    path.write_bytes(damaged)
    with warnings.catch_warnings(), contextlib.suppress(InputError):
        warnings.simplefilter("ignore")  # NumPy's, about numbers in damaged tags
        read_picture(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_gigapixel_header_is_refused_before_anything_is_allocated(path, compression):
    tifffile.imwrite(path, pixels(64, 64), compression=compression, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(100_000)
    with pytest.raises(InputError, match="damaged"):
        read_picture(path)


def test_more_than_memory_is_refused(path, monkeypatch):
    tifffile.imwrite(path, pixels(64, 64))
    monkeypatch.setattr(readable, "_physical_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"64 x 64 pixels need .* this machine has"):
        read_picture(path)


def test_tifffile_stays_silent(path, capfd):
    path.write_bytes(encoded("plain")[:-40])
    with pytest.raises(InputError):
        read_picture(path)
    assert capfd.readouterr() == ("", "")


WITHOUT_IMAGECODECS = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from isl.errors import InputError
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.inputs.read import read_picture
folder = sys.argv[1]
for dtype in (np.uint8, np.uint16, np.float32):
    channels = np.random.default_rng(3).integers(0, 255, (2, 300, 270)).astype(dtype)
    image = FluorescenceImage(name="f", channels=channels, labels=("DAPI", "NFH"))
    path = f"{folder}/{np.dtype(dtype).name}.ome.tif"
    write_ome_tiff(path, image)
    np.testing.assert_array_equal(read_picture(path).array[0, :, 0], channels)
try:
    read_picture(f"{folder}/lzw.tif")
except InputError as error:
    print(error)
"""


def test_without_imagecodecs_our_files_are_the_same_and_others_name_the_package(tmp_path):
    tifffile.imwrite(tmp_path / "lzw.tif", pixels(9, 9), compression="lzw")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMAGECODECS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lzw.tif" in done.stdout
    assert "pip install isl[formats]" in done.stdout
    assert done.stderr == ""
    for dtype in (np.uint8, np.uint16, np.float32):
        channels = np.random.default_rng(3).integers(0, 255, (2, 300, 270)).astype(dtype)
        image = FluorescenceImage(name="f", channels=channels, labels=("DAPI", "NFH"))
        write_ome_tiff(tmp_path / "here.ome.tif", image, overwrite=True)
        there = tmp_path / f"{np.dtype(dtype).name}.ome.tif"
        assert (tmp_path / "here.ome.tif").read_bytes() == there.read_bytes()


def fluorescence(*shape, dtype=np.uint16, **values):
    labels = tuple(f"LABEL_{i}" for i in range(shape[-3]))
    return FluorescenceImage(
        **{"name": "A4", "channels": pixels(*shape, dtype=dtype), "labels": labels, **values}
    )


@pytest.mark.parametrize("strips", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 256, 256), (3, 300, 520), (2, 3, 257, 31)])
def test_what_is_written_is_read_back(tmp_path, monkeypatch, dtype, shape, strips):
    monkeypatch.setattr(ome_tiff, "STRIPS_UP_TO", 2**30 if strips else 0)
    path = tmp_path / "A4.ome.tif"
    image = fluorescence(
        *shape, dtype=dtype, pixel_size=PixelSize(y=0.3, x=0.6, z=2.0), interval=15.0
    )
    write_ome_tiff(path, image)
    picture = read_picture(path)
    channels = picture.array[:, :, 0]
    np.testing.assert_array_equal(channels if len(shape) == 4 else channels[0], image.channels)
    assert channels.dtype == dtype
    assert picture.name == "A4"
    assert picture.channel_names == image.labels
    assert picture.pixel_size == image.pixel_size
    assert picture.interval == (15.0 if len(shape) == 4 else None)


@pytest.mark.parametrize("tiled", [False, True])
def test_ome_xml_is_valid_and_complete(tmp_path, monkeypatch, tiled):
    monkeypatch.setattr(ome_tiff, "STRIPS_UP_TO", 0 if tiled else 2**30)
    path = tmp_path / "A4.ome.tif"
    image = fluorescence(
        2, 3, 40, 30, labels=("DAPI <1>", "µ & Ω", "NFH"), pixel_size=PixelSize(y=0.3, x=0.6),
        interval=15.0,
    )  # fmt: skip
    write_ome_tiff(path, image, annotations={"model": "demo & <co>", "statistic": "median"})
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.is_tiled is tiled
        assert tiff.is_imagej is not tiled
        if tiled:
            assert (page.tilewidth, page.tilelength) == (256, 256)
        assert page.tags["Software"].value == "isl"
        assert "DateTime" not in page.tags
        xml = tiff.ome_metadata
    assert xml is not None
    ome = ome_types.from_xml(xml)
    read = ome.images[0].pixels
    assert (read.size_t, read.size_c, read.size_z, read.size_y, read.size_x) == (2, 3, 1, 40, 30)
    assert tuple(channel.name for channel in read.channels) == image.labels
    assert read.channels[0].color.as_rgb_tuple()[2] == 255
    assert (read.physical_size_y, read.physical_size_x) == (0.3, 0.6)
    assert (read.time_increment, read.time_increment_unit.value) == (900.0, "s")
    assert dict(ome.structured_annotations[0].value) == {
        "model": "demo & <co>",
        "statistic": "median",
    }


def test_equal_images_give_equal_bytes_and_others_another_uuid(tmp_path):
    def uuid(name, image):
        write_ome_tiff(tmp_path / name, image)
        with tifffile.TiffFile(tmp_path / name) as tiff:
            return ome_types.from_xml(tiff.ome_metadata).uuid

    image = fluorescence(2, 30, 30)
    assert uuid("a.ome.tif", image) == uuid("b.ome.tif", image)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()
    other = fluorescence(2, 30, 30, channels=image.channels + 1)
    assert uuid("c.ome.tif", other) != uuid("a2.ome.tif", image)


@pytest.mark.parametrize("shape", [(2, 300, 257), (3, 1, 20, 513)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_read_in_bands_gives_the_same_bytes(tmp_path, dtype, shape):
    channels = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    labels = tuple("ab"[: shape[-3]])
    size = PixelSize(y=0.5, x=0.25)
    image = FluorescenceImage(
        name="A4", channels=channels, labels=labels, pixel_size=size, interval=3.0
    )
    write_ome_tiff(tmp_path / "image.ome.tif", image, annotations={"model": "demo"})
    frames = channels.reshape(-1, *shape[-3:])
    tallest = []

    def read(t, c, z, rows, columns):
        band = frames[t, c, rows, columns]
        tallest.append(band.shape[0])
        return band

    picture = LazyPicture(
        name="A4",
        shape=(len(frames), len(labels), 1, *shape[-2:]),
        dtype=channels.dtype,
        read_plane=read,
        source=tmp_path,
        channel_names=labels,
        pixel_size=size,
        interval=3.0,
    )
    write_ome_tiff(tmp_path / "picture.ome.tif", picture, annotations={"model": "demo"})
    written = [(tmp_path / f"{n}.ome.tif").read_bytes() for n in ("image", "picture")]
    assert written[0] == written[1]
    assert max(tallest) <= ome_tiff.TILE
    with pytest.raises(ValueError, match="named channels"):
        write_ome_tiff(tmp_path / "x.tif", dataclasses.replace(picture, channel_names=None))


def test_large_images_become_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_tiff, "STRIPS_UP_TO", 0)
    image = fluorescence(2, 30, 30)
    for limit, big in ((image.channels.nbytes, False), (image.channels.nbytes - 1, True)):
        monkeypatch.setattr(ome_tiff, "CLASSIC_LIMIT", limit)
        write_ome_tiff(tmp_path / "A4.ome.tif", image, overwrite=True)
        with tifffile.TiffFile(tmp_path / "A4.ome.tif") as tiff:
            assert tiff.is_bigtiff is big
        np.testing.assert_array_equal(
            read_picture(tmp_path / "A4.ome.tif").array[0, :, 0], image.channels
        )


def test_a_file_that_is_there_stays(tmp_path):
    path = tmp_path / "A4.ome.tif"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already; give `overwrite`"):
        write_ome_tiff(path, fluorescence(1, 8, 8))
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "image", [fluorescence(1, 8, 8, dtype=np.float64), fluorescence(2, 8, 8, labels=("A",))]
)
def test_images_that_cannot_be_written(tmp_path, image):
    with pytest.raises(ValueError, match="channels"):
        write_ome_tiff(tmp_path / "A4.ome.tif", image)
    assert not list(tmp_path.iterdir())


# A damaged OME-TIFF whose second page leads back to the first, found by
# benchmarks/fuzz_readers.py; compressed, without its pixels.
IN_A_CIRCLE = (
    "eNrz9NRi4GBgYBBgYGBkYWAEsgyAmBHK1gBiJkZmMBuogoEZygbpYIOyQZiPkYnhLRMDwywVBgZRJHEpRlYwfQ6Ipa"
    "HsayBzkdQYAvWyAOnM4hwGW6g40CgGJ6gbQIQzEtsFyn4AxK5QdqUgA0OUEMS8UTAKRsEoGAWjYBSMglEwCkbBKBgF"
    "o2AUjIJRQFvA/4896W/9bAY+kkaUqAEa/pNnN/poFuoI1siKPQC5TxQl"
)


class Endless(BaseException):
    """It was read for longer than it may."""


def test_pages_in_a_circle_come_to_an_end(path):
    def late(*_):
        raise Endless

    path.write_bytes(zlib.decompress(base64.b64decode(IN_A_CIRCLE)))
    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, 5)
    try:
        with pytest.raises(InputError, match=r"field.tif: "):
            open_tiff(path)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
