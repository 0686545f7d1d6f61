"""A picture as an OME-Zarr, copied block by block."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.writer import CHUNK, SHARD, zarr_image


def write_ome_zarr(
    path: Path | str,
    picture: LazyPicture,
    *,
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    chunk: int = CHUNK,
    shard: int = SHARD,
) -> None:
    """Writes channels as an OME-Zarr 0.5 [C, Y, X], or [T, C, Y, X] where there are several times.

    A block (see `isl.imaging.zarr.writer`) is in memory at a time. There is no z axis: viewers
    show such an image beside any plane of the z-stack that it belongs to.

    Args:
        path: The folder to write; it must not exist.
        picture: Of one z plane with named channels; every pixel is read once.
        name: As in `isl.imaging.zarr.writer.zarr_image`.
        annotations: As there.
        chunk: As there.
        shard: As there.

    Raises:
        InputError: The folder exists, the picture cannot be read, or it cannot be written there.
        ValueError: The picture has several planes, or channels without names.
    """
    times, channels, depth, height, width = picture.shape
    if depth != 1 or picture.channel_names is None:
        raise ValueError(f"a picture of one z plane with named channels, not {picture.shape}")
    size = (channels, height, width)
    with zarr_image(
        path,
        shape=(times, *size) if times > 1 else size,
        dtype=picture.dtype,
        labels=picture.channel_names,
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        stage=picture.stage,
        name=name,
        annotations=annotations,
        chunk=chunk,
        shard=shard,
    ) as image:
        for time, channel in np.ndindex(times, channels):
            for rows, columns in image.blocks():
                values = picture.read(t=time, c=channel, rows=rows, columns=columns)
                image.write(time, slice(channel, channel + 1), rows, columns, values[None])
