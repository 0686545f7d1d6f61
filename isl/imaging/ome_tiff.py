"""Fluorescence images as OME-TIFF: tiled, compressed, and the same bytes for the same image."""

import hashlib
import json
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.errors import InputError
from isl.imaging.colors import label_color
from isl.imaging.files import written_whole
from isl.imaging.image import FluorescenceImage

TILE = 256
_ZLIB_LEVEL = 6
_HORIZONTAL_PREDICTOR = 2
# Classic TIFF addresses 4 GiB; some is left for headers and for tiles that do not compress.
_CLASSIC_LIMIT = 2**32 - 2**27


def write_ome_tiff(
    path: Path | str,
    image: FluorescenceImage,
    *,
    annotations: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes channels as an OME-TIFF that Fiji opens as channels named by label.

    Tiles are 256 x 256, compressed with zlib (integers after horizontal differences); no time
    stamp is written and the UUID comes from the content, so equal images give equal bytes,
    whether or not imagecodecs is installed. `image.measured` is not written.

    Args:
        path: The file to write.
        image: uint8, uint16 or float32 [C, Y, X] or [T, C, Y, X].
        annotations: Texts kept in the file as a map annotation.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written there.
        ValueError: The image has another type or shape, or not one label a channel.
    """
    _check(image)
    axes = "CYX" if image.channels.ndim == 3 else "TCYX"
    metadata = _metadata(image, axes, annotations)
    differences = image.channels.dtype.kind == "u"
    resolution: dict[str, Any] = {}
    if image.pixel_size is not None:
        pixels_per_cm = (1e4 / image.pixel_size.x, 1e4 / image.pixel_size.y)
        resolution = {"resolution": pixels_per_cm, "resolutionunit": "CENTIMETER"}
    with written_whole(path, overwrite) as temporary:
        try:
            with tifffile.TiffWriter(
                temporary, bigtiff=image.channels.nbytes > _CLASSIC_LIMIT, byteorder="<", ome=True
            ) as tiff:
                tiff.write(
                    _tiles(image.channels, differences),
                    shape=image.channels.shape,
                    dtype=image.channels.dtype,
                    tile=(TILE, TILE),
                    photometric="minisblack",
                    compression="zlib",
                    predictor=_HORIZONTAL_PREDICTOR if differences else None,
                    software="isl",
                    metadata=metadata,
                    **resolution,
                )
        except tifffile.OmeXmlError as error:
            raise InputError(f"{path}: cannot be described in OME-XML ({error})") from error


def _check(image: FluorescenceImage) -> None:
    channels = image.channels
    if channels.dtype not in (np.uint8, np.uint16, np.float32) or channels.ndim not in (3, 4):
        raise ValueError(
            f"channels are uint8, uint16 or float32 [C, Y, X] or [T, C, Y, X], "
            f"not {channels.dtype} {channels.shape}"
        )
    if channels.size == 0 or channels.shape[-3] != len(image.labels):
        raise ValueError(f"channels {channels.shape} for {len(image.labels)} labels {image.labels}")


def _tiles(channels: np.ndarray, differences: bool) -> Iterator[bytes]:
    """Compressed tiles, plane by plane, each in row-major order, padded with 0 to full size."""
    height, width = channels.shape[-2:]
    for plane in channels.reshape(-1, height, width):
        for y in range(0, height, TILE):
            for x in range(0, width, TILE):
                tile = np.zeros((TILE, TILE), channels.dtype.newbyteorder("<"))
                part = plane[y : y + TILE, x : x + TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                if differences:
                    # Unsigned differences wrap around, as the TIFF predictor wants.
                    tile[:, 1:] -= tile[:, :-1].copy()
                yield zlib.compress(tile.tobytes(), _ZLIB_LEVEL)


def _metadata(
    image: FluorescenceImage, axes: str, annotations: Mapping[str, str] | None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": axes,
        "Creator": "isl",
        "Name": image.name,
        "Channel": {
            "Name": list(image.labels),
            "Color": [_ome_color(label) for label in image.labels],
        },
    }
    if image.pixel_size is not None:
        for axis in "xyz":
            size = getattr(image.pixel_size, axis)
            if size is not None:
                metadata[f"PhysicalSize{axis.upper()}"] = size
                metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if image.interval is not None and image.channels.ndim == 4:
        metadata["TimeIncrement"] = image.interval * 60
        metadata["TimeIncrementUnit"] = "s"
    if annotations:
        metadata["MapAnnotation"] = {str(key): str(value) for key, value in annotations.items()}
    metadata["UUID"] = _content_uuid(image.channels, metadata)
    return metadata


def _content_uuid(channels: np.ndarray, metadata: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    digest.update(f"{channels.dtype.name} {channels.shape}".encode())
    for plane in channels.reshape(-1, *channels.shape[-2:]):
        digest.update(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
    return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


def _ome_color(label: str) -> int:
    """OME's color: red, green, blue and opacity as one signed 32-bit integer."""
    red, green, blue = label_color(label)
    value = red << 24 | green << 16 | blue << 8 | 255
    return value - 2**32 if value >= 2**31 else value
