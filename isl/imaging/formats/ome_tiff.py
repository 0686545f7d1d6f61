"""Images and movies as OME-TIFF, the same bytes for the same pixels.

No time stamp is written and the UUID comes from the content.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.errors import InputError
from isl.files.whole import written_whole
from isl.imaging.colors import label_color
from isl.imaging.display import shown_range
from isl.imaging.formats.imagej_tiff import (
    CLASSIC_LIMIT,
    Channels,
    add_imagej_description,
    resolution_in_imagej,
    with_sample,
)
from isl.imaging.image import FluorescenceImage, Movie, PixelSize
from isl.imaging.lazy import LazyPicture

TILE = 256
STRIPS_UP_TO = 2**30
"""Bytes of pixels: what ImageJ opens on any machine; parts of larger images are wanted alone."""
_STRIP = 2**18
_ZLIB_LEVEL = 6
_HORIZONTAL_PREDICTOR = 2


def write_ome_tiff(
    path: Path | str,
    image: FluorescenceImage | LazyPicture,
    *,
    annotations: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes channels as an OME-TIFF, named by label.

    Up to a GiB of pixels, rows are compressed in strips, and ImageJ's own description stands beside
    OME's, so that ImageJ 1.x and Fiji open it by drag and drop: colored channels, calibrated, the
    range shown from 5 to 99.8 % of the pixels (`isl.imaging.display`). Beyond, tiles are 256 x 256,
    for readers that know OME-TIFF (Bio-Formats in Fiji). Compression is zlib's (integers in tiles
    after horizontal differences), to the same bytes whether or not imagecodecs is installed.
    `image.measured` is not written.

    Args:
        path: The file to write.
        image: uint8, uint16 or float32 [C, Y, X] or [T, C, Y, X]; or a picture of one z plane with
            named channels, which is read twice, in bands of rows, and need not fit into memory.
        annotations: Texts kept in the file as a map annotation.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written there.
        ValueError: The image has another type or shape, or not one label a channel.
    """
    planes = _of_picture(image) if isinstance(image, LazyPicture) else _of_image(image)
    _check(planes)
    movie = len(planes.shape) == 4
    metadata = _described(image, "TCYX" if movie else "CYX", planes.shape[:-2])
    colors = [_ome_color(label) for label in planes.labels]
    metadata["Channel"] = {"Name": list(planes.labels), "Color": colors}
    if annotations:
        metadata["MapAnnotation"] = {str(key): str(value) for key, value in annotations.items()}
    size = math.prod(planes.shape) * planes.dtype.itemsize
    layout = _Layout.of(planes, strips=size <= STRIPS_UP_TO)
    samples: list[np.ndarray] = []
    metadata["UUID"] = _uuid(
        metadata, planes.dtype, planes.shape, _sampled(planes, layout.height, samples)
    )
    with written_whole(path, overwrite) as temporary:
        with _writer(path, temporary, size) as tiff:
            tiff.write(
                _pieces(planes, layout),
                shape=planes.shape,
                dtype=planes.dtype,
                tile=None if layout.strips else (layout.height, layout.width),
                rowsperstrip=layout.height if layout.strips else None,
                photometric="minisblack",
                compression="zlib",
                predictor=_HORIZONTAL_PREDICTOR if layout.differences else None,
                software="isl",
                metadata=metadata,
                **(resolution_in_imagej if layout.strips else _resolution)(image.pixel_size),
            )
        if layout.strips:
            told = Channels(
                times=planes.shape[0] if movie else 1,
                labels=planes.labels,
                size=(planes.shape[-2], planes.shape[-1]),
                ranges=tuple(shown_range(sample) for sample in samples),
                pixel_size=image.pixel_size,
                interval=image.interval,
            )
            add_imagej_description(temporary, told)


def write_movie(path: Path | str, movie: Movie, *, overwrite: bool = False) -> None:
    """Writes a movie of z-stacks uncompressed, its modality as the channel's name.

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
    metadata = _described(movie, "TZYX", frames.shape[:2])
    if movie.modality is not None:
        metadata["Channel"] = {"Name": movie.modality}
    metadata["UUID"] = _uuid(metadata, frames.dtype, frames.shape, frames)
    with (
        written_whole(path, overwrite) as temporary,
        _writer(path, temporary, frames.nbytes) as tiff,
    ):
        tiff.write(
            frames,
            photometric="minisblack",
            software="isl",
            metadata=metadata,
            **_resolution(movie.pixel_size),
        )


@contextlib.contextmanager
def _writer(path: Path | str, temporary: Path, size: int) -> Iterator[tifffile.TiffWriter]:
    try:
        with tifffile.TiffWriter(
            temporary, bigtiff=size > CLASSIC_LIMIT, byteorder="<", ome=True
        ) as tiff:
            yield tiff
    except tifffile.OmeXmlError as error:
        raise InputError(f"{path}: cannot be described in OME-XML ({error})") from error


def _described(
    image: FluorescenceImage | LazyPicture | Movie, axes: str, planes: tuple[int, ...]
) -> dict[str, Any]:
    """Name, lengths and times in OME's words; `planes` are the lengths of all axes but Y and X."""
    metadata: dict[str, Any] = {"axes": axes, "Creator": "isl", "Name": image.name}
    for axis in "xyz" if image.pixel_size is not None else "":
        size = getattr(image.pixel_size, axis)
        if size is not None:
            metadata[f"PhysicalSize{axis.upper()}"] = size
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if not axes.startswith("T"):
        return metadata
    if image.interval is not None:
        metadata |= {"TimeIncrement": image.interval * 60, "TimeIncrementUnit": "s"}
    if image.times is not None:
        seconds = [time * 60 for time in image.times for _ in range(planes[1])]
        metadata["Plane"] = {"DeltaT": seconds, "DeltaTUnit": ["s"] * len(seconds)}
    return metadata


def _resolution(size: PixelSize | None) -> dict[str, Any]:
    if size is None:
        return {}
    return {"resolution": (1e4 / size.x, 1e4 / size.y), "resolutionunit": "CENTIMETER"}


def _uuid(
    metadata: Mapping[str, Any],
    dtype: np.dtype,
    shape: tuple[int, ...],
    parts: Iterable[np.ndarray],
) -> str:
    """From what is written; the parts are all pixels, in the order of the file."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    digest.update(f"{dtype.name} {shape}".encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part, dtype.newbyteorder("<")).data)
    return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Planes:
    """Channels wherever they are.

    Attributes:
        shape: C, Y, X, or T, C, Y, X.
        dtype: Of the pixels.
        labels: C names.
        read: (plane, of T * C; rows) to pixels [y, X].
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    labels: tuple[str, ...]
    read: Callable[[int, slice], np.ndarray]

    def bands(self, height: int) -> Iterator[np.ndarray]:
        """All planes from top to bottom, one after the other, `height` rows [y, X] at a time."""
        for plane in range(math.prod(self.shape[:-2])):
            for top in range(0, self.shape[-2], height):
                yield self.read(plane, slice(top, min(top + height, self.shape[-2])))


def _of_image(image: FluorescenceImage) -> _Planes:
    planes = image.channels.reshape(-1, *image.channels.shape[-2:])
    return _Planes(
        shape=image.channels.shape,
        dtype=image.channels.dtype,
        labels=image.labels,
        read=lambda plane, rows: planes[plane, rows],
    )


def _of_picture(picture: LazyPicture) -> _Planes:
    times, channels, depth, height, width = picture.shape
    if depth != 1 or picture.channel_names is None:
        raise ValueError(f"a picture of one z plane with named channels, not {picture.shape}")
    shape = (channels, height, width)
    return _Planes(
        shape=(times, *shape) if times > 1 else shape,
        dtype=picture.dtype,
        labels=picture.channel_names,
        read=lambda plane, rows: picture.read(t=plane // channels, c=plane % channels, rows=rows),
    )


def _check(planes: _Planes) -> None:
    if planes.dtype not in (np.uint8, np.uint16, np.float32) or len(planes.shape) not in (3, 4):
        raise ValueError(
            f"channels are uint8, uint16 or float32 [C, Y, X] or [T, C, Y, X], "
            f"not {planes.dtype} {planes.shape}"
        )
    if math.prod(planes.shape) == 0 or planes.shape[-3] != len(planes.labels):
        raise ValueError(f"channels {planes.shape} for {len(planes.labels)} labels {planes.labels}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layout:
    """How each plane is cut into pieces that are compressed one by one.

    Attributes:
        strips: Whether pieces are as wide as the image, the last one of what rows are left; or
            tiles, padded with 0 to full size.
        height: Rows of a piece.
        width: Columns of a piece.
        differences: Whether pixels are stored as differences from their left neighbours.
    """

    strips: bool
    height: int
    width: int
    differences: bool = False

    @classmethod
    def of(cls, planes: _Planes, *, strips: bool) -> "_Layout":
        if not strips:
            return cls(strips=False, height=TILE, width=TILE, differences=planes.dtype.kind == "u")
        height, width = planes.shape[-2:]
        rows = max(1, min(height, TILE, _STRIP // (width * planes.dtype.itemsize)))
        return cls(strips=True, height=rows, width=width)


def _sampled(planes: _Planes, height: int, samples: list[np.ndarray]) -> Iterator[np.ndarray]:
    """`planes.bands`; of the first time point, some pixels of each channel are put aside."""
    size = planes.shape[-2:]
    bands = planes.bands(height)
    for _ in planes.labels:
        kept: list[np.ndarray] = []
        for band, sample in with_sample(itertools.islice(bands, -(-size[0] // height)), size):
            kept.append(sample)
            yield band
        samples.append(np.concatenate(kept))
    yield from bands


def _pieces(planes: _Planes, layout: _Layout) -> Iterator[bytes]:
    """Compressed pieces, plane by plane, each in row-major order."""
    for band in planes.bands(layout.height):
        for x in range(0, band.shape[1], layout.width):
            part = band[:, x : x + layout.width]
            rows = part.shape[0] if layout.strips else layout.height
            piece = np.zeros((rows, layout.width), planes.dtype.newbyteorder("<"))
            piece[: part.shape[0], : part.shape[1]] = part
            if layout.differences:
                # Unsigned differences wrap around, as the TIFF predictor wants.
                piece[:, 1:] -= piece[:, :-1].copy()
            yield zlib.compress(piece.tobytes(), _ZLIB_LEVEL)


def _ome_color(label: str) -> int:
    """OME's color: red, green, blue and opacity as one signed 32-bit integer."""
    red, green, blue = label_color(label)
    value = red << 24 | green << 16 | blue << 8 | 255
    return value - 2**32 if value >= 2**31 else value
