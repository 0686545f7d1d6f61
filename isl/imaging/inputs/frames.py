"""A time-lapse kept as single pictures, one file a frame."""

import dataclasses
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.inputs.containers import open_picture
from isl.imaging.inputs.folder import images_among, not_searched, tell_photos_left_out
from isl.imaging.inputs.frame_numbers import check_named_alike, frame_steps, warn_of_gaps
from isl.imaging.inputs.read import natural_order, transmitted_channel
from isl.imaging.lazy import LazyPicture


def frames_in(folder: Path) -> list[Path]:
    """The image files of a folder in natural order of their names, but results that isl wrote.

    JPEG and BMP files are images where there are no others; else they are left out, with a warning.

    Raises:
        InputError: There is none, or the folder cannot be read.
    """
    try:
        results = results_in(folder)
        files = images_among(
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name not in results
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
    if not files:
        raise InputError(
            f"{folder}: holds no frame{not_searched(folder)}; expected one image file a time point"
        )
    tell_photos_left_out(folder, files)
    return sorted(files, key=lambda path: natural_order(path.name))


def steps_in(folder: Path) -> tuple[float, ...]:
    """When the frames of a folder were taken, in intervals since the first.

    Numbers in their names say it (`isl.imaging.inputs.frame_numbers`); what is missing or uneven is
    logged as a warning.

    Raises:
        InputError: As `frames_in`, or a name is unlike the others or counts more than time points.
    """
    names = [file.name for file in frames_in(folder)]
    check_named_alike(names, folder)
    steps = frame_steps(names, folder)
    warn_of_gaps(names, steps, folder)
    return steps


def open_frames(folder: Path, *, axes: str | None = None) -> LazyPicture:
    """The frames of a folder as one time-lapse; a file is open while it is read.

    Args:
        folder: Holds one image file a time point; names say the order (t2 comes before t10).
        axes: What the dimensions of a TIFF are, where the files do not say.

    Raises:
        InputError: A file cannot be opened, has several time points, or is unlike the first one in
            size, channels, type or size of a pixel.
    """
    files = frames_in(folder)
    with open_picture(files[0], axes=axes) as first:
        known = _like(first)
    for file in files:
        with open_picture(file, axes=axes) as frame:
            if frame.shape[0] > 1:
                raise InputError(
                    f"{file}: holds {frame.shape[0]} time points; a folder of frames has one a file"
                )
            for what, value in _like(frame).items():
                if value != known[what]:
                    raise InputError(
                        f"{file}: its {what} is {value}, and {files[0].name} has {known[what]}; "
                        "frames of one time-lapse are alike"
                    )

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        with open_picture(files[t], axes=axes) as frame:
            return frame.read(c=c, z=z, rows=rows, columns=columns)

    return dataclasses.replace(
        first,
        name=folder.name,
        shape=(len(files), *first.shape[1:]),
        read_plane=read,
        close=lambda: None,
        interval=None,
        times=None,
        stage=None,
        source=folder,
    )


def open_transmitted_frames(
    folder: Path, *, axes: str | None = None, channel: str | None = None
) -> tuple[LazyPicture, int]:
    """`open_frames`, and which channel is the transmitted one; see `isl.imaging.inputs.read`."""
    picture = open_frames(folder, axes=axes)
    return picture, transmitted_channel(picture, folder, channel)


def _like(picture: LazyPicture) -> dict[str, object]:
    size = picture.pixel_size
    return {
        "shape (C, Z, Y, X)": picture.shape[1:],
        "type of pixels": str(picture.dtype),
        "channels": picture.channel_names,
        "size of a pixel in um": None if size is None else (round(size.y, 6), round(size.x, 6)),
    }
