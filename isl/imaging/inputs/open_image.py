"""Any image file opened by its ending, none of its pixels read."""

from pathlib import Path

from isl.errors import InputError
from isl.imaging.formats.table import format_of, not_an_image
from isl.imaging.lazy import LazyPicture


def open_images(
    path: Path | str, *, axes: str | None = None, colors: bool = False
) -> tuple[LazyPicture, ...]:
    """The images of a file: one of a TIFF or PNG, one or more of a microscope's own format.

    Args:
        path: The file, or a folder where the format is one (.zarr).
        axes: What the dimensions of a TIFF are, e.g. "ZYX"; see `formats.tiff.open_tiff`.
        colors: Whether color is read, as its brightness, where a file is one image; otherwise only
            gray that is stored in color is.

    Raises:
        InputError: The file is missing, of another kind, damaged, or `axes` does not fit.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Whoever opens a pipe waits until somebody writes into it.
        raise InputError(f"{path}: is neither a file nor a folder; name an image file")
    found = format_of(path)
    if found is None:
        raise not_an_image(path)
    if not found.container:
        return (found.load()(path, axes=axes, colors=colors),)
    if axes is not None:
        raise InputError(f"{path}: `axes={axes}` is for TIFF files; this file says its own axes")
    return found.load()(path)
