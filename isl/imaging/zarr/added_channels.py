"""A copy of an image with predicted channels beside the measured ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.picture import write_ome_zarr
from isl.imaging.zarr.writer import CHUNK, SHARD


def add_channels(
    path: Path | str,
    measured: LazyPicture,
    predicted: LazyPicture,
    *,
    plane: int | None = None,
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    chunk: int = CHUNK,
    shard: int = SHARD,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Copies an image to an OME-Zarr and adds the channels predicted from it, block by block.

    No value is changed: where the two differ in pixel type, the copy has the smallest type that
    holds both. A predicted channel called like another one gets " (predicted)" behind its name.

    Args:
        path: The folder to write.
        measured: The input; it is only read.
        predicted: Channels for the same rows, columns and time points, with as many planes as
            `measured` or one.
        plane: Which of several planes gets channels predicted as a single one, the others 0; None:
            all of them, so that they are seen beside any.
        name: As in `isl.imaging.zarr.writer.zarr_image`.
        annotations: As there.
        chunk: As there.
        shard: As there.
        overwrite: As there.
        resume: As there.

    Raises:
        InputError: The two do not fit one another, the copy would replace one of them or lie in
            it, they cannot be read, or it cannot be written.
        ValueError: There is no such plane.
    """
    path = Path(path)
    _check(path, measured, predicted)
    t, c, z, y, x = measured.shape
    if plane is not None and not 0 <= plane < z:
        raise ValueError(f"plane {plane} of {z}")
    dtype = np.promote_types(measured.dtype, predicted.dtype)

    def read(t: int, channel: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        own = channel - c
        if own < 0:
            values = measured.read(t=t, c=channel, z=z, rows=rows, columns=columns)
        elif predicted.shape[2] == 1 and plane not in (None, z):
            values = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        else:
            depth = z if predicted.shape[2] > 1 else 0
            values = predicted.read(t=t, c=own, z=depth, rows=rows, columns=columns)
        return values.astype(dtype)

    both = LazyPicture(
        name=measured.name,
        shape=(t, c + predicted.shape[1], z, y, x),
        dtype=dtype,
        read_plane=read,
        source=measured.source,
        channel_names=_labels(measured, predicted),
        pixel_size=measured.pixel_size or predicted.pixel_size,
        interval=predicted.interval if measured.interval is None else measured.interval,
        stage=measured.stage,
    )
    write_ome_zarr(
        path,
        both,
        name=name,
        annotations=annotations,
        chunk=chunk,
        shard=shard,
        overwrite=overwrite,
        resume=resume,
    )


def _check(path: Path, measured: LazyPicture, predicted: LazyPicture) -> None:
    copy = path.absolute().resolve()
    for source in (measured.source.absolute().resolve(), predicted.source.absolute().resolve()):
        if copy == source or copy in source.parents or source in copy.parents:
            raise InputError(f"{path}: would change {source}; give the copy another name")
    (t, _, z, *size), (own_t, _, own_z, *own_size) = measured.shape, predicted.shape
    if size != own_size or t != own_t or own_z not in (1, z):
        sizes = [" x ".join(map(str, picture.shape)) for picture in (measured, predicted)]
        raise InputError(
            f"{predicted.source}: is {sizes[1]} (T, C, Z, Y, X) and does not lie on "
            f"{measured.source}, which is {sizes[0]}; predict that image, with `border=reflect`"
        )


def _labels(measured: LazyPicture, predicted: LazyPicture) -> tuple[str, ...]:
    names = list(_names(measured, "channel"))
    for name in _names(predicted, "predicted"):
        names.append(f"{name} (predicted)" if name in names else name)
    return tuple(names)


def _names(picture: LazyPicture, kind: str) -> tuple[str, ...]:
    numbers = range(1, picture.shape[1] + 1)
    return picture.channel_names or tuple(f"{kind} {number}" for number in numbers)
