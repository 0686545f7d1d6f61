"""Pictures as cameras and incubators export them, JPEG, PNG and BMP, in colour or grey, as grey."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.formats.gray import LUMA
from isl.imaging.formats.photo import stored_photo
from isl.imaging.inputs.read import natural_order
from isl.imaging.normalize import largest_in_use

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp")


def read_photos(paths: Sequence[Path]) -> list[np.ndarray]:
    """JPEG, PNG or BMP files as grey, float32 [Y, X] in [0, 1], turned as their EXIF says.

    Args:
        paths: Of one recording: of 16-bit pictures the largest number of the fewest bits that hold
            all of them becomes 1.

    Raises:
        InputError: One cannot be read, or they are of different types.
    """
    stored = [stored_photo(path, "RGB") for path in paths]
    for path, pixels in zip(paths, stored, strict=True):
        if pixels.dtype != stored[0].dtype:
            raise InputError(
                f"{path}: has pixels of type {pixels.dtype}, and {paths[0].name} of "
                f"{stored[0].dtype}; save the frames of one recording alike"
            )
    return _as_grey(stored)


def read_photo(path: Path) -> np.ndarray:
    """As `read_photos`, of one file."""
    return read_photos([path])[0]


def _as_grey(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures of one recording as grey, float32 [Y, X] in [0, 1].

    Args:
        pictures: uint8 or uint16 [Y, X] or [Y, X, 3].
    """
    highest = max((float(picture.max(initial=0)) for picture in pictures), default=0.0)
    top = largest_in_use(highest, pictures[0].dtype) if len(pictures) else 1.0
    found = []
    for picture in pictures:
        values = picture.astype(np.float32)
        grey = values @ np.array(LUMA, np.float32) if values.ndim == 3 else values
        found.append(np.clip(grey / np.float32(top), 0, 1))
    return found


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
