"""Formats that nothing else here opens: by bioio, with whichever plugins are installed."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.imaging import units
from isl.imaging.formats import microscope_file as common
from isl.imaging.lazy import LazyPicture
from isl.imaging.readable import check_size

_KIND = "an image by bioio"


def open_with_bioio(path: Path | str) -> tuple[LazyPicture, ...]:
    """The images of a file, one for each scene; a plane is decoded as its plugin's chunks are.

    Raises:
        InputError: The file is missing, no installed plugin of bioio opens it, it is damaged, or
            has color or other pixels than uint8, uint16 and floats.
    """
    path = Path(path)
    common.GuardedFile(path).close()
    bioio = common.library("bioio", path)
    with common.refusals(path, _KIND), common.kept_quiet("bioio"):
        try:
            scenes = tuple(bioio.BioImage(path).scenes)
        except Exception as error:
            if type(error).__name__ != "UnsupportedFileFormatError":
                raise
            raise InputError(
                f"{path}: none of bioio's installed plugins opens it; install the one for "
                f"{path.suffix} files, or save it as OME-TIFF"
            ) from error
        names = common.image_names(path.stem, scenes)
        return tuple(
            _picture(bioio, path, scene, name) for scene, name in zip(scenes, names, strict=True)
        )


def _picture(bioio: Any, path: Path, scene: str, name: str) -> LazyPicture:
    image = bioio.BioImage(path)
    image.set_scene(scene)
    if "S" in image.dims.order:
        raise InputError(f"{path}: is a color image; save its channels as grayscale")
    t, c, z, y, x = (int(getattr(image.dims, axis)) for axis in "TCZYX")
    common.check_shape(path, (t, c, z, y, x))
    dtype = common.pixel_type(image.dtype, path)
    lock = threading.Lock()

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        with common.refusals(path, _KIND), lock:
            check_size(path, (y, x), dtype)
            plane = image.get_image_dask_data("YX", T=t, C=c, Z=z)
            return common.as_pixels(np.asarray(plane[rows, columns]), dtype)

    names = common.known_names(image.channel_names or ())
    size = image.physical_pixel_sizes
    depth, height, width = (units.length(step) for step in (size.Z, size.Y, size.X))
    return LazyPicture(
        name=name,
        shape=(t, c, z, y, x),
        dtype=dtype,
        read_plane=read,
        source=path,
        channel_names=names if names is not None and len(names) == c else None,
        pixel_size=units.pixel_size(height, width, depth, z),
        modality=common.common_modality(names),
    )
