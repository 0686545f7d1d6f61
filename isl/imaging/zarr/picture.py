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
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Writes channels as an OME-Zarr 0.5: [C, Y, X], [T, C, Y, X] or [T, C, Z, Y, X].

    A block (see `isl.imaging.zarr.writer`) is in memory at a time. Without a z axis viewers show
    an image beside any plane of the z-stack that it belongs to, so one plane has none.

    Args:
        path: The folder to write.
        picture: Channels with names; every pixel is read once.
        name: As in `isl.imaging.zarr.writer.zarr_image`.
        annotations: As there.
        chunk: As there.
        shard: As there.
        overwrite: As there.
        resume: As there.

    Raises:
        InputError: The folder exists, the picture cannot be read, or it cannot be written there.
        ValueError: The picture has channels without names.
    """
    t, c, z, y, x = picture.shape
    if picture.channel_names is None:
        raise ValueError(f"a picture with named channels, not {picture.shape}")
    with zarr_image(
        path,
        shape=picture.shape if z > 1 else (t, c, y, x) if t > 1 else (c, y, x),
        dtype=picture.dtype,
        labels=picture.channel_names,
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        times=picture.times,
        stage=picture.stage,
        name=name,
        annotations=annotations,
        chunk=chunk,
        shard=shard,
        overwrite=overwrite,
        resume=resume,
    ) as image:
        for rows, columns in image.blocks():
            for time, channel, plane in np.ndindex(t, c, z):
                place = (time, slice(channel, channel + 1), rows, columns)
                if not image.is_written(*place, z=plane):
                    values = picture.read(t=time, c=channel, z=plane, rows=rows, columns=columns)
                    image.write(*place, values[None], z=plane)
