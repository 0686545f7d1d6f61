"""Single-channel PNG files, 8 or 16 bits a pixel."""

from pathlib import Path

import numpy as np
from PIL import PngImagePlugin

from isl.errors import InputError
from isl.files.whole import check_readable_file, check_size

_TYPES = {
    "1": np.dtype(np.uint8),
    "L": np.dtype(np.uint8),
    "I;16": np.dtype(np.uint16),
    "I;16B": np.dtype(np.uint16),
    "I": np.dtype(np.uint16),
}


def read_png(path: Path) -> np.ndarray:
    """Reads one grayscale PNG.

    Args:
        path: The file.

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
            if image.mode not in _TYPES:
                raise InputError(
                    f"{path}: is a color image (mode {image.mode}); save it as 8- or 16-bit "
                    "grayscale"
                )
            dtype = _TYPES[image.mode]
            check_size(path, (image.height, image.width), dtype, stored)
            pixels = np.asarray(image)
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever its parser meets in damaged bytes.
        raise InputError(
            f"{path}: cannot be read as PNG ({error}); it is damaged or something else renamed"
        ) from error
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(dtype)
