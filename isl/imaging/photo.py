"""Pictures as cameras and incubators export them, JPEG, PNG and BMP, in colour or grey, as grey."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.read import natural_order

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def read_photo(path: Path) -> np.ndarray:
    """A JPEG, PNG or BMP as grey, float32 [Y, X] in [0, 1], turned as its EXIF says.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with Image.open(path) as stored:
            turned = ImageOps.exif_transpose(stored)
            if turned.mode.startswith(("I", "F")):
                return as_grey(np.asarray(turned), np.dtype(np.uint16))
            return as_grey(np.asarray(turned.convert("RGB")), np.dtype(np.uint8))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error


def as_grey(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """float32 [Y, X] in [0, 1] from [Y, X] or [Y, X, 3] of a stored type."""
    values = values.astype(np.float32)
    grey = values @ _LUMA if values.ndim == 3 else values
    if np.issubdtype(dtype, np.integer):
        return np.clip(grey / np.iinfo(dtype).max, 0, 1)
    return np.clip(grey, 0, 1)


def photos_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names.

    Hidden ones and what isl wrote there are left out.
    """
    results = results_in(folder)
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTOS
        and not path.name.startswith(".")
        and path.name not in results
    ]
    return sorted(found, key=lambda path: natural_order(path.name))
