"""PNG files opened, not read."""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from isl.errors import InputError
from isl.files.whole import check_claim, check_readable_file
from isl.imaging.formats.png import read_png
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import field_name

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY = 0


class _Header(NamedTuple):
    height: int
    width: int
    depth: int
    color: int


def open_png(path: Path | str) -> LazyPicture:
    """Opens a grayscale PNG.

    PNG has no parts that can be decoded alone: each read, of however few rows, decodes the plane.

    Raises:
        InputError: As in `read_png`; a truncated file is refused here.
    """
    path = Path(path)
    size = check_readable_file(path)
    try:
        with path.open("rb") as file:
            header, stored = _walked(file, size, path)
    except (OSError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    if header.color != _GRAY:
        raise InputError(
            f"{path}: is a color image (PNG color type {header.color}); save it as 8- or 16-bit "
            "grayscale"
        )
    dtype = np.dtype(np.uint16 if header.depth == 16 else np.uint8)
    shape = (1, 1, 1, header.height, header.width)
    check_claim(path, shape[3:], dtype, stored)

    def read_plane(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        for index in (t, c, z):
            range(1)[index]
        for part in (rows, columns):
            if part.step not in (None, 1):
                raise ValueError(f"{part}: rows and columns are read with step 1")
        plane = read_png(path)
        if plane.shape != shape[3:] or plane.dtype != dtype:
            raise InputError(f"{path}: has changed since it was opened")
        return np.ascontiguousarray(plane[rows, columns])

    return LazyPicture(
        name=field_name(path),
        shape=shape,
        dtype=dtype,
        read_plane=read_plane,
        close=_nothing_to_close,
        source=path,
    )


def _nothing_to_close() -> None:
    """No file stays open."""


def _walked(file: BinaryIO, size: int, path: Path) -> tuple[_Header, int]:
    """The header and the bytes of compressed pixels, after a walk from chunk to chunk to the end.

    Raises:
        InputError: This is no PNG, or it ends before its end.
    """
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise _damaged(path, "it does not begin like one")
    header: _Header | None = None
    stored, position, kind = 0, len(_SIGNATURE), b""
    while kind != b"IEND":
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if position + 12 + length > size:
            raise _damaged(path, f"it is truncated after {size} bytes")
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", file.read(10))
            header = _Header(height=height, width=width, depth=depth, color=color)
        elif kind == b"IDAT":
            stored += length
        position += 12 + length
    if header is None or not stored:
        raise _damaged(path, "it holds no pixels")
    return header, stored


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: cannot be read as PNG ({why}); it is damaged or something else renamed"
    )
