import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.png import open_png, read_png


def png_of(width, height, depth, rows=b"", color=0):
    """The bytes of a PNG whose header claims what it is told."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (b"" if rows is None else chunk(b"IDAT", zlib.compress(rows)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plane.png"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_pixels_are_kept(path, dtype):
    top = np.iinfo(dtype).max
    pixels = np.array([[0, 1, 255], [top - 1, top, top // 2]], dtype)
    Image.fromarray(pixels).save(path)
    read = read_png(path)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)


def test_sixteen_bits_are_big_endian_as_the_format_says(path):
    path.write_bytes(png_of(2, 1, 16, b"\x00" + b"\x12\x34\xff\xfe"))
    np.testing.assert_array_equal(read_png(path), np.array([[0x1234, 0xFFFE]], np.uint16))


def test_one_bit_is_black_and_white(path):
    Image.fromarray(np.array([[True, False, True]])).save(path)
    np.testing.assert_array_equal(read_png(path), np.array([[255, 0, 255]], np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_gray_that_is_stored_in_color_is_read_as_gray(path, caplog, mode):
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(gray).convert(mode).save(path)
    np.testing.assert_array_equal(open_png(path).read(), gray)
    assert "plane.png: is stored in color, and gray" in caplog.text


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_color_is_refused(path, mode):
    Image.new("RGB", (4, 4), (9, 9, 8)).convert(mode).save(path)
    with pytest.raises(InputError, match=r"plane.png: is a color image, whose red, green and blue"):
        read_png(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_pixels_that_are_not_opaque_are_refused(path, mode):
    Image.new("RGBA", (4, 4), (9, 9, 9, 128)).convert(mode).save(path)
    with pytest.raises(InputError, match=r"plane.png: is a color image with pixels that are not"):
        read_png(path)


def test_colors_of_16_bits_are_refused(path):
    path.write_bytes(png_of(1, 1, 16, b"\x00" + b"\x12\x34" * 3, color=2))
    with pytest.raises(InputError, match=r"plane.png: is a color image \(PNG color type 2 of 16"):
        open_png(path)


def test_damaged_files_are_refused(path):
    with pytest.raises(InputError, match="no such file"):
        read_png(path)
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        read_png(path)
    path.write_text("z,intensity\n")
    with pytest.raises(InputError, match="cannot be read as PNG"):
        read_png(path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 65535, (60, 60)).astype(np.uint16)).save(path)
    whole = path.read_bytes()
    for length in range(1, len(whole) - 16, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cannot be read as PNG"):
            read_png(path)


def test_a_gigapixel_header_is_refused_at_once(path):
    path.write_bytes(png_of(100_000, 100_000, 16, b"\x00" * 500))
    with pytest.raises(InputError, match="claims 100000 x 100000 pixels but holds only"):
        read_png(path)


def test_large_images_are_not_taken_for_attacks(path, monkeypatch):
    # Pillow's limit (179 million pixels) is no limit for a stitched field.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    pixels = np.arange(900, dtype=np.uint16).reshape(30, 30)
    path.write_bytes(
        png_of(30, 30, 16, b"".join(b"\x00" + row.tobytes() for row in pixels.astype(">u2")))
    )
    np.testing.assert_array_equal(read_png(path), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_a_plane_and_its_windows(path, dtype):
    pixels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 250, (9, 7))
    Image.fromarray(pixels.astype(dtype)).save(path)
    expected = read_png(path)
    with open_png(path) as picture:
        assert picture.shape == (1, 1, 1, 9, 7)
        assert picture.dtype == expected.dtype
        np.testing.assert_array_equal(picture.read(), expected)
        window = picture.read(rows=slice(2, -1), columns=slice(3, 20))
        np.testing.assert_array_equal(window, expected[2:-1, 3:20])
        assert window.dtype == expected.dtype
        assert (picture.name, picture.source) == ("plane", path)
        with pytest.raises(IndexError):
            picture.read(z=1)
        with pytest.raises(ValueError, match="step 1"):
            picture.read(columns=slice(None, None, -1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_color_is_refused_at_opening(path, mode):
    Image.new("RGB", (4, 4), (250, 20, 30)).convert(mode).save(path)
    with pytest.raises(InputError, match=r"plane.png: is a color image"):
        open_png(path)


def test_every_truncation_is_refused_at_opening(path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 65535, (30, 30)).astype(np.uint16)).save(path)
    whole = path.read_bytes()
    for length in range(1, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"plane.png: cannot be read as PNG"):
            open_png(path)


def test_damage_within_is_refused_when_read(path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 65535, (30, 30)).astype(np.uint16)).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[200:300] = bytes(100)
    path.write_bytes(damaged)
    picture = open_png(path)
    with pytest.raises(InputError, match=r"plane.png: cannot be read as PNG"):
        picture.read()


def test_what_is_no_png(path):
    with pytest.raises(InputError, match="no such file"):
        open_png(path)
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        open_png(path)
    path.write_text("z,intensity\n1,2\n3,4\n")
    with pytest.raises(InputError, match="does not begin like one"):
        open_png(path)


def test_a_header_without_pixels_and_one_that_claims_too_many(path):
    path.write_bytes(png_of(100_000, 100_000, 16, None))
    with pytest.raises(InputError, match="holds no pixels"):
        open_png(path)
    path.write_bytes(png_of(100_000, 100_000, 16, bytes(500)))
    with pytest.raises(InputError, match="claims 100000 x 100000 pixels but holds only"):
        open_png(path)


def test_a_file_that_was_replaced(path):
    Image.new("L", (5, 4)).save(path)
    picture = open_png(path)
    Image.new("L", (4, 4)).save(path)
    with pytest.raises(InputError, match="has changed since it was opened"):
        picture.read()
