"""TIFF files, plain, ImageJ's and OME's, as one array with known axes."""

from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.files.whole import check_size
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.tiff_header import ORDER, opened_tiff, parse_axes
from isl.imaging.image import Picture
from isl.imaging.names import field_name

__all__ = ["parse_axes", "read_tiff", "write_ome_tiff"]


def read_tiff(path: Path | str, *, axes: str | None = None) -> Picture:
    """Reads a whole TIFF.

    Axes come from the file where it is OME's, ImageJ's or tifffile's. A plain file with several
    pages says nothing: its pages are taken for z planes. Floats become float32.

    Args:
        path: The file.
        axes: One letter of T, C, Z, Y, X for each dimension the file stores, first to last, e.g.
            "ZYX" or "TZCYX"; it overrides what the file says.

    Raises:
        InputError: The file is missing, damaged, has color, holds several images, has other pixel
            types than uint8, uint16 and floats, or `axes` does not fit it.
    """
    path = Path(path)
    with opened_tiff(path, axes=axes) as header:
        series, order, calibration = header.series, header.order, header.calibration
        check_size(path, series.shape, np.dtype(series.dtype))
        stored = series.asarray()
    if stored.shape != series.shape:
        raise InputError(f"{path}: is damaged: {stored.shape} pixels instead of {series.shape}")
    array = _arranged(stored, order)
    names = calibration.channel_names
    return Picture(
        name=field_name(path),
        array=array,
        channel_names=names if names is not None and len(names) == array.shape[1] else None,
        pixel_size=calibration.pixel_size,
        interval=calibration.interval,
        source=path,
    )


def _arranged(stored: np.ndarray, order: str) -> np.ndarray:
    """[T, C, Z, Y, X] in native byte order; an axis that is not there gets length 1."""
    present = [letter for letter in ORDER if letter in order]
    array = stored.transpose([order.index(letter) for letter in present])
    lengths = dict(zip(present, array.shape, strict=True))
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        array = array.astype(dtype, copy=False)
    return np.ascontiguousarray(array.reshape([lengths.get(letter, 1) for letter in ORDER]))
