"""OME-Zarr, versions 0.4 and 0.5: an image, a series of images, a well or a plate."""

from pathlib import Path

from isl.errors import InputError
from isl.imaging.formats.table import is_zarr
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.image import image_name, open_zarr_image, read_attributes
from isl.imaging.zarr.plates import open_plate


def open_ome_zarr(path: Path | str) -> tuple[LazyPicture, ...]:
    """The images of an OME-Zarr: an image, a series of images, a well or a plate.

    Labels are left out. A chunk that is not stored holds the array's fill value, as Zarr has it.

    Args:
        path: The folder of the image (or of an image, well or plate within a larger one).

    Raises:
        InputError: It is missing, damaged, of another kind, or has axes other than t, c, z, y, x
            or pixels other than uint8, uint16 and floats.
    """
    path = Path(path)
    attributes = read_attributes(path)
    if "multiscales" in attributes:
        return (open_zarr_image(path, image_name(path)),)
    if "plate" in attributes or "well" in attributes:
        return open_plate(path)
    series = sorted(
        (folder for folder in path.iterdir() if folder.name.isdecimal() and is_zarr(folder)),
        key=lambda folder: int(folder.name),
    )
    if not series:
        raise InputError(f"{path}: is a Zarr without OME's multiscales; name an OME-Zarr image")
    stem = image_name(path)
    names = [stem if len(series) == 1 else f"{stem}_{folder.name}" for folder in series]
    return tuple(open_zarr_image(folder, name) for folder, name in zip(series, names, strict=True))
