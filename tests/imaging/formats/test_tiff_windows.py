import logging
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isl.errors import InputError
from isl.imaging import readable
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.image import PixelSize
from isl.imaging.inputs.read import read_picture

RNG = np.random.default_rng(0)


def pixels(*shape, dtype=np.uint16):
    return RNG.integers(0, 250, shape).astype(dtype)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tile.tif"


def whole(path, axes="ZYX"):
    """[T, C, Z, Y, X] as tifffile reads it at once."""
    stored = tifffile.imread(path)
    stored = stored.transpose([axes.index(letter) for letter in "TCZYX" if letter in axes])
    lengths = dict(zip([letter for letter in "TCZYX" if letter in axes], stored.shape, strict=True))
    stored = stored.reshape([lengths.get(letter, 1) for letter in "TCZYX"])
    floats = stored.dtype.kind == "f"
    return stored.astype(np.float32 if floats else stored.dtype.newbyteorder("="))


def every_window(picture, expected):
    """Whole planes and some windows of each equal the array that reading everything gives."""
    assert picture.shape == expected.shape
    assert picture.dtype == expected.dtype
    height, width = expected.shape[3:]
    for t, c, z in np.ndindex(expected.shape[:3]):
        plane = picture.read(t=t, c=c, z=z)
        np.testing.assert_array_equal(plane, expected[t, c, z])
        assert plane.dtype == expected.dtype
        assert plane.flags.c_contiguous
        assert plane.flags.writeable
        assert type(plane) is np.ndarray
        rows, columns = slice(height // 3, -1), slice(1, width // 2)
        np.testing.assert_array_equal(
            picture.read(t=t, c=c, z=z, rows=rows, columns=columns),
            expected[t, c, z, rows, columns],
        )


LAYOUTS = {
    "strips": {"rowsperstrip": 7},
    "one strip": {"rowsperstrip": 61},
    "tiles": {"tile": (16, 32)},
    "zlib strips": {"rowsperstrip": 7, "compression": "zlib"},
    "zlib tiles, predicted": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd tiles": {"tile": (16, 16), "compression": "zstd"},
    "bigtiff": {"bigtiff": True, "tile": (16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_of_every_layout(path, layout, dtype, big_endian):
    options = dict(LAYOUTS[layout])
    big = options.pop("bigtiff", False)
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=">" if big_endian else "<") as tiff:
        for plane in pixels(3, 61, 47, dtype=dtype):
            tiff.write(plane, contiguous=False, metadata=None, **options)
    expected = whole(path)
    assert expected.shape == (1, 1, 3, 61, 47)
    np.testing.assert_array_equal(read_picture(path).array, expected)
    with open_tiff(path) as picture:
        every_window(picture, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(path, dtype):
    tifffile.imwrite(path, pixels(9, 8, dtype=dtype))
    every_window(open_tiff(path), whole(path, "YX"))


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiled") / "tile.ome.tif"
    stored = pixels(2, 3, 75, 61)
    tifffile.imwrite(
        path, stored, ome=True, metadata={"axes": "CZYX"}, tile=(16, 32), compression="zlib"
    )
    return open_tiff(path), whole(path, "CZYX")


@given(st.data())
def test_any_window_equals_the_array(tiled, data):
    picture, expected = tiled
    place = [data.draw(st.integers(0, n - 1)) for n in expected.shape[:3]]
    ends = st.none() | st.integers(-90, 90)
    rows, columns = (slice(data.draw(ends), data.draw(ends)) for _ in "YX")
    t, c, z = place
    np.testing.assert_array_equal(
        picture.read(t=t, c=c, z=z, rows=rows, columns=columns), expected[t, c, z, rows, columns]
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZCYX", "TCZYX", "CTZYX"])
def test_ome_orders(path, axes, compression):
    lengths = {"T": 2, "C": 3, "Z": 4, "Y": 9, "X": 8}
    metadata = {"axes": axes}
    if axes == "CTZYX":
        metadata["DimensionOrder"] = "XYZTC"
    stored = pixels(*(lengths[a] for a in axes))
    tifffile.imwrite(path, stored, ome=True, metadata=metadata, compression=compression)
    expected = whole(path, axes)
    assert expected.shape == tuple(lengths[a] if a in axes else 1 for a in "TCZYX")
    every_window(open_tiff(path), expected)


def test_imagej_stacks_lie_in_one_piece(path):
    stored = pixels(2, 3, 2, 9, 8)
    tifffile.imwrite(
        path,
        stored,
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 60.0},
    )
    picture = open_tiff(path)
    every_window(picture, stored.transpose(0, 2, 1, 3, 4))
    assert picture.pixel_size == PixelSize(y=0.5, x=0.25, z=1.5)
    assert picture.interval == pytest.approx(1.0)
    assert (picture.name, picture.source, picture.stage) == ("tile", path, None)


@pytest.mark.parametrize("axes", ["ZYX", "XYZ", "YZX", "CXY", "TYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_axes_that_a_person_gives(path, axes, compression):
    tifffile.imwrite(path, pixels(5, 6, 7), compression=compression, metadata=None)
    every_window(open_tiff(path, axes=axes), whole(path, axes))


def test_planes_stored_as_color_are_planes_if_told(path):
    tifffile.imwrite(
        path, pixels(3, 8, 9), photometric="rgb", planarconfig="separate", compression="zlib"
    )
    every_window(open_tiff(path, axes="CYX"), whole(path, "CYX"))


def test_of_a_pyramid_the_full_resolution(path):
    stored = pixels(2, 64, 48)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        options = {"tile": (16, 16), "compression": "zlib"}
        tiff.write(stored, subifds=2, metadata={"axes": "CYX"}, **options)
        tiff.write(stored[:, ::2, ::2], subfiletype=1, **options)
        tiff.write(stored[:, ::4, ::4], subfiletype=1, **options)
    every_window(open_tiff(path), stored[None, :, None])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_one_image_in_several_files(tmp_path, compression):
    stored = pixels(2, 20, 16)
    names = ["c0.ome.tif", "c1.ome.tif"]
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in range(2)]
    blocks = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{names[i]}">{uuids[i]}'
        "</UUID></TiffData>"
        for i in range(2)
    )
    for i, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYCZT" Type="uint16" SizeX="16" SizeY="20" SizeC="2" SizeZ="1" '
            f'SizeT="1"><Channel ID="Channel:0:0" Name="BF"/><Channel ID="Channel:0:1" '
            f'Name="DAPI"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / name, stored[i], description=xml, compression=compression, metadata=None
        )
    picture = open_tiff(tmp_path / names[0])
    assert picture.channel_names == ("BF", "DAPI")
    every_window(picture, stored[None, :, None])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.tif"
    tifffile.imwrite(path, pixels(2048, 2048), tile=(64, 64), compression="zlib", metadata=None)
    return path


def test_a_window_costs_the_tiles_that_it_touches(large):
    picture = open_tiff(large)
    picture.read(rows=slice(0, 1))
    tracemalloc.start()
    try:
        window = picture.read(rows=slice(1000, 1064), columns=slice(500, 600))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert window.shape == (64, 100)
    assert peak < 2048 * 2048 * 2 / 50


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"rowsperstrip": 16}])
def test_only_what_is_touched_is_decoded(path, options):
    stored = pixels(48, 48)
    tifffile.imwrite(path, stored, compression="zlib", metadata=None, **options)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        offset, length = page.dataoffsets[-1], page.databytecounts[-1]
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + length] = bytes(length)
    path.write_bytes(damaged)
    picture = open_tiff(path)
    np.testing.assert_array_equal(picture.read(rows=slice(0, 32)), stored[:32])
    if "tile" in options:
        np.testing.assert_array_equal(picture.read(columns=slice(0, 32)), stored[:, :32])
    with pytest.raises(InputError, match=r"tile.tif: cannot be read as TIFF"):
        picture.read(rows=slice(30, 33))


def test_more_than_memory_can_be_opened(large, monkeypatch):
    monkeypatch.setattr(readable, "_physical_memory", lambda: 1000)
    with pytest.raises(InputError, match="memory"):
        read_picture(large)
    assert open_tiff(large).read(rows=slice(0, 2)).shape == (2, 2048)


def test_several_threads_read_one_picture(large):
    picture = open_tiff(large)
    expected = tifffile.imread(large)
    wrong = []

    def read(start):
        for row in range(start, 2048, 512):
            part = slice(row, row + 70)
            if not np.array_equal(picture.read(rows=part), expected[part]):
                wrong.append(row)

    threads = [threading.Thread(target=read, args=(64 * i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_that_open_files_hear_of_their_own_only(tmp_path):
    for number in range(40):
        path = tmp_path / f"{number}.tif"
        with tifffile.TiffWriter(path) as tiff:
            for plane in pixels(3, 20, 20):
                tiff.write(plane, contiguous=False, metadata=None)
        if number % 2:
            # The last page's header lies beyond the end; tifffile says so in its log alone.
            with tifffile.TiffFile(path) as tiff:
                end = tiff.pages[2].offset
            path.write_bytes(path.read_bytes()[: end + 1])

    def refused(number):
        try:
            open_tiff(tmp_path / f"{number}.tif")
        except InputError:
            return True
        return False

    numbers = list(range(40)) * 3
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(refused, numbers)) == [number % 2 == 1 for number in numbers]
    assert len(logging.getLogger("tifffile").filters) == 1


def test_planes_and_steps_that_do_not_exist(path):
    tifffile.imwrite(path, pixels(3, 8, 8), imagej=True, metadata={"axes": "ZYX"})
    picture = open_tiff(path)
    with pytest.raises(IndexError):
        picture.read(z=3)
    with pytest.raises(IndexError):
        picture.read(c=1)
    with pytest.raises(ValueError, match="step 1"):
        picture.read(rows=slice(0, 8, 2))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zlib"}])
def test_truncated_and_lost_files(path, options):
    tifffile.imwrite(path, pixels(40, 40), metadata=None, **options)
    content = path.read_bytes()
    picture = open_tiff(path)
    with tifffile.TiffFile(path) as tiff:
        cut = tiff.pages.first.dataoffsets[-1] + 3
    path.write_bytes(content[:cut])
    with pytest.raises(InputError, match=r"tile\.tif"):
        open_tiff(path)
    with pytest.raises(InputError, match=r"tile\.tif"):
        picture.read()
    path.unlink()
    with pytest.raises(InputError, match="is gone"):
        picture.read()
    with pytest.raises(InputError, match="no such file"):
        open_tiff(path)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_a_file_cut_anywhere_is_refused_or_read_whole(path, described, big):
    with tifffile.TiffWriter(path, bigtiff=big) as tiff:
        options = {"compression": "zlib", "rowsperstrip": 8}
        if described:
            tiff.write(pixels(5, 18, 16), **options)
        else:
            for plane in pixels(5, 18, 16):
                tiff.write(plane, contiguous=False, metadata=None, **options)
    with tifffile.TiffFile(path) as tiff:
        ends = [page.offset + more for page in tiff.pages for more in (0, 1, 2, 9)]
    content, expected = path.read_bytes(), whole(path)
    refused = 0
    for length in sorted({*range(1, len(content), 101), *ends}):
        path.write_bytes(content[:length])
        try:
            every_window(open_tiff(path), expected)
        except InputError:
            refused += 1
    assert refused > 20


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_headers_are_read_or_refused(path, data):
    tifffile.imwrite(path, pixels(2, 20, 20), compression="zlib")
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, min(300, len(damaged) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(damaged)
    with np.errstate(all="ignore"):
        try:
            picture = open_tiff(path)
            window = picture.read(rows=slice(0, 2), columns=slice(0, 2))
        except InputError as error:
            assert "tile.tif" in str(error)  # noqa: PT017
        else:
            assert window.ndim == 2


def test_color_and_other_types_are_refused(path):
    tifffile.imwrite(path, pixels(8, 8, 3, dtype=np.uint8), photometric="rgb")
    with pytest.raises(InputError, match="color image"):
        open_tiff(path)
    tifffile.imwrite(path, pixels(8, 8).astype(np.int32))
    with pytest.raises(InputError, match="has pixels of type int32"):
        open_tiff(path)


@pytest.mark.parametrize(
    ("unit", "stage"),
    [({}, (-20.5, 1500.0)), ("mm", (-20500.0, 1.5e6)), ("reference frame", None)],
)
def test_stage_of_ome(path, unit, stage):
    plane = {"PositionX": [1500.0] * 2, "PositionY": [-20.5] * 2}
    if unit:
        plane |= {"PositionXUnit": [unit] * 2, "PositionYUnit": [unit] * 2}
    tifffile.imwrite(path, pixels(2, 8, 8), ome=True, metadata={"axes": "CYX", "Plane": plane})
    assert open_tiff(path).stage == stage


def test_stage_of_micromanager(path):
    said = b'{"XPositionUm": -12.25, "YPositionUm": 7.5, "PixelSizeUm": 0.65}'
    tags = [(51123, "s", 0, said, True)]
    tifffile.imwrite(path, pixels(8, 8), metadata=None, extratags=tags)
    picture = open_tiff(path)
    assert picture.stage == (7.5, -12.25)
    assert picture.pixel_size == PixelSize(y=0.65, x=0.65)


@pytest.mark.parametrize(
    "info", ['{"YPositionUm": 7.5, "XPositionUm": "-1e3"}', "XPositionUm = -1000\nYPositionUm: 7.5"]
)
def test_stage_in_the_notes_of_imagej(path, info):
    tifffile.imwrite(path, pixels(8, 8), imagej=True, metadata={"Info": info})
    assert open_tiff(path).stage == (7.5, -1000.0)
