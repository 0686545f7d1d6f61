"""JPEG and BMP files, as cameras and programs export them, where they are gray."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from isl.errors import InputError
from isl.imaging.formats.axes import parse_axes
from isl.imaging.formats.gray import brightness_of, gray_of
from isl.imaging.formats.table import field_name
from isl.imaging.lazy import LazyPicture, window
from isl.imaging.readable import check_claim, check_readable_file

logger = logging.getLogger(__name__)


def open_photo(path: Path | str, *, axes: str | None = None, colors: bool = False) -> LazyPicture:
    """Opens a JPEG or BMP that is gray, turned as its EXIF says; each read decodes it.

    That JPEG loses a little of the intensities is logged as a warning, which is the same for all
    files of a folder.

    Args:
        path: The file.
        axes: None or "YX"; "XY" where rows and columns are swapped.
        colors: Whether color is read, as its brightness.

    Raises:
        InputError: It is missing, damaged or of color, or `axes` does not fit.
    """
    path = Path(path)
    order = "YX" if axes is None else parse_axes(axes)
    if order not in ("YX", "XY"):
        raise InputError(f"{path}: `axes={axes}` does not fit a photograph, which is YX")
    check_readable_file(path)
    first = _gray(path, colors)
    if path.suffix.lower() != ".bmp":
        logger.warning(
            "%s: JPEG changes intensities a little; where they count, save TIFF or PNG",
            path.with_name(f"*{path.suffix}"),
        )
    height, width = first.shape if order == "YX" else first.shape[::-1]

    def read_plane(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        for index in (t, c, z):
            range(1)[index]
        part = window(rows, height), window(columns, width)
        plane = _gray(path, colors)
        if (plane.shape, plane.dtype) != (first.shape, first.dtype):
            raise InputError(f"{path}: has changed since it was opened")
        return np.ascontiguousarray((plane if order == "YX" else plane.T)[part])

    return LazyPicture(
        name=field_name(path),
        shape=(1, 1, 1, height, width),
        dtype=first.dtype,
        read_plane=read_plane,
        source=path,
    )


def stored_photo(path: Path, mode: Literal["RGB", "L"]) -> np.ndarray:
    """A JPEG, PNG or BMP turned as its EXIF says; of 16 bits uint16 [Y, X].

    Args:
        path: The file.
        mode: Of 8 bits: "RGB", uint8 [Y, X, 3], or "L", Pillow's gray, uint8 [Y, X].

    Raises:
        InputError: It cannot be read.
    """
    try:
        with Image.open(path) as stored:
            check_claim(path, stored.size[::-1], np.dtype(np.uint8), path.stat().st_size)
            turned = ImageOps.exif_transpose(stored)
            if turned.mode.startswith(("I", "F")):
                return np.clip(np.asarray(turned), 0, 65535).astype(np.uint16)
            return np.asarray(turned.convert(mode))
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever its parsers meet in damaged bytes.
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error


def _gray(path: Path, colors: bool) -> np.ndarray:
    """Pixels [Y, X] of a picture whose red, green and blue are the same, or their brightness."""
    stored = stored_photo(path, "RGB")
    if stored.ndim == 2:
        return stored
    return brightness_of(stored) if colors else gray_of(stored, path)
