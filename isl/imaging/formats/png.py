"""PNG files that are gray, 8 or 16 bits a pixel, or of 8 bits and stored in color."""

import logging
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import PngImagePlugin

from isl.errors import InputError
from isl.imaging.formats.axes import parse_axes
from isl.imaging.formats.gray import brightness_of, gray_of
from isl.imaging.formats.table import field_name
from isl.imaging.lazy import LazyPicture, window
from isl.imaging.readable import check_claim, check_readable_file, check_size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY = 0
# Types of PNG that are no plain gray: RGB, palette, gray and RGB with opacity.
_COLORS = (2, 3, 4, 6)
# Pillow's modes of grayscale images, and of those whose colors may be gray.
_TYPES = {"1": np.uint8, "L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.uint16}
_COLORED = ("RGB", "RGBA", "P", "PA", "LA")

logger = logging.getLogger(__name__)


def open_png(path: Path | str, *, axes: str | None = None, colors: bool = False) -> LazyPicture:
    """Opens a PNG that is gray; one that is stored in color is decoded to see whether it is.

    PNG has no parts that can be decoded alone: each read, of however few rows, decodes the plane.

    Args:
        path: The file.
        axes: None or "YX"; "XY" where rows and columns are swapped.
        colors: Whether color is read, as its brightness.

    Raises:
        InputError: As in `read_png`, a truncated file included; or `axes` does not fit.
    """
    path = Path(path)
    order = "YX" if axes is None else parse_axes(axes)
    if order not in ("YX", "XY"):
        raise InputError(f"{path}: `axes={axes}` does not fit a PNG, which is YX")
    size = check_readable_file(path)
    try:
        with path.open("rb") as file:
            stored, dtype, colored = _walked(file, size, path)
    except (OSError, struct.error) as error:
        raise _damaged(path, error) from error
    if colored and not colors:
        read_png(path)
        logger.warning("%s: is stored in color, and gray; its gray is read", path)
    height, width = stored if order == "YX" else stored[::-1]

    def read_plane(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        for index in (t, c, z):
            range(1)[index]
        part = window(rows, height), window(columns, width)
        plane = read_png(path, colors=colors)
        if plane.shape != stored or plane.dtype != dtype:
            raise InputError(f"{path}: has changed since it was opened")
        return np.ascontiguousarray((plane if order == "YX" else plane.T)[part])

    return LazyPicture(
        name=field_name(path),
        shape=(1, 1, 1, height, width),
        dtype=dtype,
        read_plane=read_plane,
        source=path,
    )


def read_png(path: Path, *, colors: bool = False) -> np.ndarray:
    """Reads one PNG that is gray, whether or not it is stored in color.

    Args:
        path: The file.
        colors: Whether color is read, as its brightness.

    Returns:
        uint8 or uint16 [Y, X]; a 1-bit image as 0 and 255.

    Raises:
        InputError: The file is missing, damaged, no PNG, has color, or claims more pixels than it
            holds.
    """
    stored = check_readable_file(path)
    try:
        # Opened by its own class: PIL.Image.open refuses or warns about images that are merely
        # large, and its limit is a global. What is claimed is compared with what is there instead.
        with path.open("rb") as file, PngImagePlugin.PngImageFile(file) as image:
            if image.mode not in (*_TYPES, *_COLORED):
                raise _color(path, f"mode {image.mode}")
            dtype = np.dtype(_TYPES.get(image.mode, np.uint8))
            check_size(path, (image.height, image.width), dtype, stored)
            if image.mode in _COLORED:
                stored = np.asarray(image.convert("RGBA"))
                return brightness_of(stored) if colors else gray_of(stored, path)
            pixels = np.asarray(image)
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever its parser meets in damaged bytes.
        raise _damaged(path, error) from error
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == bool else pixels.astype(dtype)


def _walked(file: BinaryIO, size: int, path: Path) -> tuple[tuple[int, int], np.dtype, bool]:
    """Y, X, type of the pixels, whether in color, after a walk from chunk to chunk to the end.

    Pillow looks at the first chunks only; a truncated file would be refused when it is read.

    Raises:
        InputError: This is no PNG, has color of 16 bits, ends before its end, or claims too many
            pixels.
    """
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise _damaged(path, "it does not begin like one")
    shape, dtype, colored = None, np.dtype(np.uint8), False
    held, position, kind = 0, len(_SIGNATURE), b""
    while kind != b"IEND":
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if position + 12 + length > size:
            raise _damaged(path, f"it is truncated after {size} bytes")
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", file.read(10))
            colored = color != _GRAY
            # Pillow would halve the bits of 16-bit colors.
            if colored and (color not in _COLORS or depth == 16):
                raise _color(path, f"PNG color type {color} of {depth} bits")
            shape, dtype = (height, width), np.dtype(np.uint16 if depth == 16 else np.uint8)
        elif kind == b"IDAT":
            held += length
        position += 12 + length
    if shape is None or not held:
        raise _damaged(path, "it holds no pixels")
    check_claim(path, shape, dtype, held)
    return shape, dtype, colored


def _color(path: Path, what: str) -> InputError:
    return InputError(f"{path}: is a color image ({what}); save it as 8- or 16-bit grayscale")


def _damaged(path: Path, why: object) -> InputError:
    return InputError(
        f"{path}: cannot be read as PNG ({why}); it is damaged or something else renamed"
    )
