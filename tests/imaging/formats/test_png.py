import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.png import read_png


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
        + chunk(b"IDAT", zlib.compress(rows))
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
def test_color_is_refused(path, mode):
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(InputError, match=r"plane.png: is a color image \(mode"):
        read_png(path)


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
