"""A copy of an image with predicted channels beside the measured ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.writer import CHUNK, SHARD, zarr_image


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
    channels = c + predicted.shape[1]
    shape = (t, channels, z, y, x) if z > 1 else (t, channels, y, x) if t > 1 else (channels, y, x)
    dtype = np.promote_types(measured.dtype, predicted.dtype)
    with zarr_image(
        path,
        shape=shape,
        dtype=dtype,
        labels=_labels(measured, predicted),
        pixel_size=_pixel_size(measured, predicted),
        interval=predicted.interval if measured.interval is None else measured.interval,
        stage=measured.stage,
        name=name,
        annotations=annotations,
        chunk=chunk,
        shard=shard,
        overwrite=overwrite,
        resume=resume,
    ) as image:
        for rows, columns in image.blocks():
            for time, channel, depth in np.ndindex(t, channels, z):
                place = (time, slice(channel, channel + 1), rows, columns)
                if image.is_written(*place, z=depth):
                    continue
                values = _read(measured, predicted, (time, channel, depth), rows, columns, plane)
                image.write(*place, values.astype(dtype)[None], z=depth)


def _read(
    measured: LazyPicture,
    predicted: LazyPicture,
    index: tuple[int, int, int],
    rows: slice,
    columns: slice,
    plane: int | None,
) -> np.ndarray:
    """Pixels [y, x] of the copy's time point, channel and plane."""
    t, c, z = index
    own = c - measured.shape[1]
    if own < 0:
        return measured.read(t=t, c=c, z=z, rows=rows, columns=columns)
    if predicted.shape[2] > 1:
        return predicted.read(t=t, c=own, z=z, rows=rows, columns=columns)
    if plane not in (None, z):
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), predicted.dtype)
    return predicted.read(t=t, c=own, rows=rows, columns=columns)


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


def _labels(measured: LazyPicture, predicted: LazyPicture) -> list[str]:
    taken = list(_names(measured.channel_names, measured.shape[1], "channel"))
    for name in _names(predicted.channel_names, predicted.shape[1], "predicted"):
        taken.append(f"{name} (predicted)" if name in taken else name)
    return taken


def _names(names: Sequence[str] | None, count: int, kind: str) -> Sequence[str]:
    return [f"{kind} {number + 1}" for number in range(count)] if names is None else names


def _pixel_size(measured: LazyPicture, predicted: LazyPicture) -> PixelSize | None:
    return predicted.pixel_size if measured.pixel_size is None else measured.pixel_size
