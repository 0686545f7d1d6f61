"""ImageJ's TIFF, and what makes another TIFF open in ImageJ as channels with colors and scale.

ImageJ 1.x reads strips, plain or compressed with zlib; no tiles, no differences of pixels with zlib
(it shows wrong intensities without a word) and no BigTIFF.
"""

import dataclasses
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.errors import InputError
from isl.files.whole import written_whole
from isl.imaging.colors import label_color
from isl.imaging.display import shown_range
from isl.imaging.image import PixelSize, ZStack
from isl.imaging.lazy import LazyPicture

# Classic TIFF addresses 4 GiB; some is left for headers.
CLASSIC_LIMIT = 2**32 - 2**27
_DESCRIPTION = 270
_ASCII = 2
_TYPES = (np.uint8, np.uint16, np.float32)
_ROWS_AT_ONCE = 256
_THINNED = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channels:
    """What ImageJ is told of an image of channels.

    Attributes:
        times: Number of time points.
        labels: C names.
        size: Y, X.
        ranges: C pairs of the intensities shown as black and as full brightness, as stored.
        pixel_size: Micrometres, or None.
        interval: Minutes between frames, or None.
    """

    times: int
    labels: tuple[str, ...]
    size: tuple[int, int]
    ranges: tuple[tuple[float, float], ...]
    pixel_size: PixelSize | None = None
    interval: float | None = None

    def metadata(self, *, slice_labels: bool) -> dict[str, Any]:
        """In tifffile's words."""
        low, high = self.ranges[0]
        found: dict[str, Any] = {
            "mode": "composite" if len(self.labels) > 1 else "grayscale",
            "min": low,
            "max": high,
            "Info": "".join(
                f"Channel name #{number} = {label}\n" for number, label in enumerate(self.labels, 1)
            ),
            "Ranges": tuple(float(end) for shown in self.ranges for end in shown),
            "LUTs": [_lut(label) for label in self.labels],
        }
        if slice_labels:
            found["Labels"] = list(self.labels) * self.times
        if self.pixel_size is not None:
            found["unit"] = "um"
            if self.pixel_size.z is not None:
                found["spacing"] = self.pixel_size.z
        if self.interval is not None and self.times > 1:
            found |= {"finterval": self.interval * 60, "tunit": "sec"}
        return found


def write_imagej(
    path: Path | str,
    picture: LazyPicture,
    *,
    annotations: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a composite hyperstack: uncompressed, every slice with its label's name.

    Args:
        path: The file to write.
        picture: One z plane with named channels; read twice, in bands of rows.
        annotations: Texts that ImageJ shows by Image > Show Info.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: It is larger than ImageJ's TIFF may be, or the file exists or cannot be written.
    """
    times, count, depth, *size = picture.shape
    if depth != 1 or picture.channel_names is None:
        raise ValueError(f"a picture of one z plane with named channels, not {picture.shape}")
    check_fits_imagej(path, picture.shape, picture.dtype)
    told = Channels(
        times=times,
        labels=picture.channel_names,
        size=(size[0], size[1]),
        ranges=tuple(
            shown_range(
                np.concatenate([some for _, some in with_sample(_bands(picture, 0, channel), size)])
            )
            for channel in range(count)
        ),
        pixel_size=picture.pixel_size,
        interval=picture.interval,
    )
    metadata = told.metadata(slice_labels=True)
    metadata["Info"] += "".join(f"{key} = {value}\n" for key, value in (annotations or {}).items())
    little = picture.dtype.newbyteorder("<")
    rows = (
        np.ascontiguousarray(part, little).tobytes()
        for t in range(times)
        for channel in range(count)
        for part in _bands(picture, t, channel)
    )
    with written_whole(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            rows,
            shape=(times, 1, count, *size),
            dtype=picture.dtype,
            imagej=True,
            byteorder="<",
            photometric="minisblack",
            metadata={"axes": "TZCYX", **metadata},
            **resolution_in_imagej(picture.pixel_size),
        )


def check_fits_imagej(path: Path | str, shape: Sequence[int], dtype: np.dtype | str) -> None:
    """Refuses what is larger than a file of ImageJ's may be.

    Raises:
        InputError: Says how large it would be.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > CLASSIC_LIMIT:
        raise InputError(
            f"{path}: would take {size / 2**30:.1f} GiB, and ImageJ's TIFF ends at 4; take "
            "`format=ome-tiff` or `format=ome-zarr`"
        )


def with_sample(
    bands: Iterable[np.ndarray], size: Sequence[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Bands [y, X] of an image from top to bottom, each with some pixels of it, evenly apart.

    All samples together are enough for percentiles.
    """
    step = -(-max(size) // _THINNED)
    top = 0
    for band in bands:
        yield band, band[-top % step :: step, ::step].reshape(-1).copy()
        top += band.shape[0]


def add_imagej_description(path: Path, told: Channels) -> None:
    """Adds what ImageJ reads to a TIFF that has a description in other words, such as OME's.

    ImageJ takes the last description of the first page, and OME's readers, like libtiff, the first.

    Args:
        path: A classic little-endian TIFF with one page a plane, in strips.
        told: What it holds.
    """
    metadata = told.metadata(slice_labels=False)
    described = {key: value for key, value in metadata.items() if key[0].islower()}
    shape = (told.times, 1, len(told.labels), *told.size, 1)
    text = tifffile.imagej_description(shape, axes="TZCYXS", **described)
    # With their number, ImageJ would take the planes for one uncompressed block.
    lines = [line for line in text.splitlines() if not line.startswith("images=")]
    text = "\n".join((*lines, "\0"))
    kept = {key: metadata[key] for key in ("Info", "Ranges", "LUTs")}
    _add_tags(
        path,
        [
            (_DESCRIPTION, _ASCII, len(text), text.encode("ascii")),
            *(
                (code, kind, count, value)
                for code, kind, count, value, _ in tifffile.imagej_metadata_tag(kept, "<")
            ),
        ],
    )


def _add_tags(path: Path, tags: Sequence[tuple[int, int, int, bytes]]) -> None:
    """Adds tags to the first page: its directory is written anew at the end.

    Args:
        path: A classic little-endian TIFF.
        tags: Code, type, number of values, more than 4 bytes of data.
    """
    with path.open("r+b") as file:
        start, first = struct.unpack("<4sI", file.read(8))
        if start != b"II*\0":
            raise ValueError(f"{path}: is no classic little-endian TIFF")
        file.seek(first)
        (count,) = struct.unpack("<H", file.read(2))
        entries = [file.read(12) for _ in range(count)]
        following = file.read(4)
        file.seek(0, 2)
        for code, kind, number, data in tags:
            place = _aligned(file)
            file.write(data)
            codes = [struct.unpack("<H", entry[:2])[0] for entry in entries]
            after = sum(other <= code for other in codes)
            entries.insert(after, struct.pack("<HHII", code, kind, number, place))
        place = _aligned(file)
        file.write(struct.pack("<H", len(entries)) + b"".join(entries) + following)
        file.seek(4)
        file.write(struct.pack("<I", place))


def _aligned(file: Any) -> int:
    """The end of the file, made even."""
    if file.tell() % 2:
        file.write(b"\0")
    return file.tell()


def resolution_in_imagej(size: PixelSize | None) -> dict[str, Any]:
    """Pixels a micrometre; ImageJ's description says what the unit is."""
    if size is None:
        return {}
    return {"resolution": (1 / size.x, 1 / size.y), "resolutionunit": "NONE"}


def _bands(picture: LazyPicture, t: int, channel: int) -> Iterator[np.ndarray]:
    height = picture.shape[3]
    for top in range(0, height, _ROWS_AT_ONCE):
        yield picture.read(t=t, c=channel, rows=slice(top, min(top + _ROWS_AT_ONCE, height)))


def _lut(label: str) -> np.ndarray:
    """uint8 [3, 256]: from black to the label's color."""
    ramp = np.arange(256)[None]
    return (ramp * np.array(label_color(label))[:, None] // 255).astype(np.uint8)


def write_stack(path: Path | str, stack: ZStack, *, overwrite: bool = False) -> None:
    """Writes a z-stack uncompressed, its modality as the channel's name.

    Args:
        path: The file to write.
        stack: uint8, uint16 or float32 [Z, Y, X].
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written there.
        ValueError: The planes have another type or shape.
    """
    planes = stack.planes
    if planes.dtype not in _TYPES or planes.ndim != 3:
        raise ValueError(
            f"planes are uint8, uint16 or float32 [Z, Y, X], not {planes.dtype} {planes.shape}"
        )
    metadata: dict[str, Any] = {"axes": "ZYX"}
    if stack.modality is not None:
        metadata["Info"] = f"Channel name #1 = {stack.modality}\n"
    if stack.pixel_size is not None:
        metadata["unit"] = "um"
        if stack.pixel_size.z is not None:
            metadata["spacing"] = stack.pixel_size.z
    with written_whole(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            planes,
            imagej=True,
            photometric="minisblack",
            metadata=metadata,
            **resolution_in_imagej(stack.pixel_size),
        )
