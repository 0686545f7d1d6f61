"""Transmitted movies as OME-TIFF: stacks over time with their pixel size and interval."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.files.whole import written_whole
from isl.imaging.image import Movie

# Classic TIFF addresses 4 GiB; some is left for headers.
_CLASSIC_LIMIT = 2**32 - 2**27


def write_movie(path: Path | str, movie: Movie, *, overwrite: bool = False) -> None:
    """Writes a movie of z-stacks uncompressed, its modality as the channel's name.

    No time stamp is written and the UUID comes from the content: equal movies give equal bytes.

    Args:
        path: The file to write.
        movie: uint8, uint16 or float32 [T, Z, Y, X].
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written there.
        ValueError: The frames have another type or shape.
    """
    frames = movie.frames
    if frames.dtype not in (np.uint8, np.uint16, np.float32) or frames.ndim != 4 or not frames.size:
        raise ValueError(
            f"frames are uint8, uint16 or float32 [T, Z, Y, X], not {frames.dtype} {frames.shape}"
        )
    resolution: dict[str, Any] = {}
    if movie.pixel_size is not None:
        pixels_per_cm = (1e4 / movie.pixel_size.x, 1e4 / movie.pixel_size.y)
        resolution = {"resolution": pixels_per_cm, "resolutionunit": "CENTIMETER"}
    with (
        written_whole(path, overwrite) as temporary,
        tifffile.TiffWriter(
            temporary, bigtiff=frames.nbytes > _CLASSIC_LIMIT, byteorder="<", ome=True
        ) as tiff,
    ):
        tiff.write(
            frames,
            photometric="minisblack",
            software="isl",
            metadata=_metadata(movie),
            **resolution,
        )


def _metadata(movie: Movie) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TZYX", "Creator": "isl", "Name": movie.name}
    if movie.modality is not None:
        metadata["Channel"] = {"Name": movie.modality}
    if movie.pixel_size is not None:
        for axis in "xyz":
            size = getattr(movie.pixel_size, axis)
            if size is not None:
                metadata[f"PhysicalSize{axis.upper()}"] = size
                metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if movie.interval is not None:
        metadata["TimeIncrement"] = movie.interval * 60
        metadata["TimeIncrementUnit"] = "s"
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    digest.update(f"{movie.frames.dtype.name} {movie.frames.shape}".encode())
    digest.update(np.ascontiguousarray(movie.frames).data)
    metadata["UUID"] = str(uuid.UUID(bytes=digest.digest()[:16], version=5))
    return metadata
