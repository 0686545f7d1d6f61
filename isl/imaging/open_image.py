"""Any image file opened by its ending, none of its pixels read."""

import importlib
from pathlib import Path

from isl.errors import InputError
from isl.imaging.formats.lazy_png import open_png
from isl.imaging.formats.lazy_tiff import open_tiff
from isl.imaging.formats.tiff_header import parse_axes
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import IMAGE_ENDINGS

# Endings of formats with a reader of their own, (path) -> images. Readers are imported when a file
# of theirs is opened, for some need packages that not everyone has.
_READERS = {
    ".nd2": "isl.imaging.formats.nikon:open_nd2",
    ".czi": "isl.imaging.formats.zeiss:open_czi",
    ".lif": "isl.imaging.formats.leica:open_lif",
    ".zarr": "isl.imaging.zarr.reader:open_ome_zarr",
}
ENDINGS = (*IMAGE_ENDINGS, *_READERS)


def ending_of(path: Path) -> str | None:
    """The ending by which a file or folder is opened, in lower case; None where there is none."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def open_images(path: Path | str, *, axes: str | None = None) -> tuple[LazyPicture, ...]:
    """The images of a file: one of a TIFF or PNG, one or more of a microscope's own format.

    Args:
        path: The file, or a folder where the format is one (.zarr).
        axes: As in `read_tiff`; only for TIFF.

    Raises:
        InputError: The file is missing, of another kind, damaged, or `axes` does not fit.
    """
    path = Path(path)
    ending = ending_of(path)
    if ending is None:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        raise InputError(f"{path}: is no image that can be opened ({', '.join(ENDINGS)})")
    if ending in IMAGE_ENDINGS and ending != ".png":
        return (open_tiff(path, axes=axes),)
    if axes is not None and parse_axes(axes) != "YX":
        raise InputError(f"{path}: `axes={axes}` is for TIFF files; this file says its own")
    if ending == ".png":
        return (open_png(path),)
    module, _, function = _READERS[ending].partition(":")
    return getattr(importlib.import_module(module), function)(path)
