"""Images as OME-Zarr 0.5, written block by block: sharded, with smaller resolutions."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from isl.errors import InputError
from isl.files.folders import emptied, folder_written_whole
from isl.imaging.image import PixelSize
from isl.imaging.zarr.image import image_name, read_attributes
from isl.imaging.zarr.metadata import AXES, VERSION, multiscale, put_group, shown_channels

CHUNK = 256
SHARD = 2048
# Resolutions are added until the longer side is at most this.
_SMALLEST = 256
_ZSTD_LEVEL = 3
# Shown range of a channel: shares of the pixels below and above it.
_DARKEST, _BRIGHTEST = 0.1, 99.9
_UNFINISHED = "unfinished"


class _WholeFiles(LocalStore):
    """A folder in which every file appears whole, and has reached the disk when it does.

    The file, not its name: a name that a power cut takes away is that of a block not yet written.
    """

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        # The folder of an image that was given up must not come into being again.
        _check_there(self.root)
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(6)}.partial")
        try:
            with temporary.open("xb") as file:
                file.write(value.as_numpy_array().data)
                if self.lasting(key):
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @staticmethod
    def lasting(key: str) -> bool:
        """Whether a run goes on with what another has written: not with smaller resolutions."""
        return key.startswith("0/")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ZarrImage:
    """An unfinished image whose blocks are written in any order, by several threads or processes.

    It holds no open file and may be pickled. Its block is a shard: one file, which appears whole.

    Attributes:
        folder: The hidden folder in which it grows.
        shape: C, Y, X; or T, C, Y, X; or T, C, Z, Y, X.
        dtype: uint8, uint16 or float32.
        chunk: Y, X of the parts that are compressed one by one.
        block: Y, X of the parts that are written whole; those at the far edges are smaller.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, int]
    block: tuple[int, int]

    @property
    def axes(self) -> str:
        """The letters of `shape`, e.g. "tcyx"."""
        return AXES[len(self.shape)]

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of every block of a plane."""
        rows, columns = (
            _cuts(n, block) for n, block in zip(self.shape[-2:], self.block, strict=True)
        )
        return itertools.product(rows, columns)

    def write(
        self,
        t: int,
        channels: slice,
        rows: slice,
        columns: slice,
        values: np.ndarray,
        *,
        z: int = 0,
    ) -> None:
        """Writes one or more whole blocks; what was written there before is replaced.

        Args:
            t: Time point; 0 where the image has no such axis.
            channels: Any of them, in their order.
            rows: Begins at a multiple of the block's rows, and ends at one or at the far edge.
            columns: As `rows`.
            values: [c, y, x] of those channels, rows and columns, in the image's dtype.
            z: Plane; 0 where the image has no such axis.

        Raises:
            InputError: It cannot be written: the disk is full, the folder gone.
            ValueError: The place is not one of whole blocks of the image, or the values do not fit.
        """
        place = self._place(t, channels, rows, columns, z)
        shape = tuple(part.stop - part.start for part in place if isinstance(part, slice))
        if values.shape != shape or values.dtype != self.dtype:
            raise ValueError(
                f"values are {values.dtype} {values.shape}, but {self.dtype} {shape} belong there"
            )
        try:
            # Otherwise zarr would read what is there, which may be damaged, to put the new into it.
            for file in self._files(place):
                file.unlink(missing_ok=True)
            _array(self.folder, 0)[place] = values
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror or error})"
            ) from error

    def is_written(
        self, t: int, channels: slice, rows: slice, columns: slice, *, z: int = 0
    ) -> bool:
        """Whether all blocks of a place are there, from this run or the one it goes on with.

        Args and errors are those of `write`.
        """
        return all(
            file.is_file() for file in self._files(self._place(t, channels, rows, columns, z))
        )

    def missing(self) -> int:
        """How many blocks (of one channel of one plane each) are not yet written."""
        everything = (slice(0, n) for n in self.shape)
        return sum(not file.is_file() for file in self._files(tuple(everything)))

    def _place(
        self, t: int, channels: slice, rows: slice, columns: slice, z: int
    ) -> tuple[int | slice, ...]:
        """An index into the array, checked."""
        lengths = dict(zip(self.axes, self.shape, strict=True))
        for letter, index in (("t", t), ("z", z)):
            if not 0 <= index < lengths.get(letter, 1):
                raise ValueError(f"{letter} = {index} of {lengths.get(letter, 1)}")
        parts = {
            "t": t,
            "c": _part(channels, lengths["c"], 1),
            "z": z,
            "y": _part(rows, lengths["y"], self.block[0]),
            "x": _part(columns, lengths["x"], self.block[1]),
        }
        return tuple(parts[letter] for letter in self.axes)

    def _files(self, place: tuple[int | slice, ...]) -> Iterator[Path]:
        sizes = (*[1] * (len(self.shape) - 2), *self.block)
        ranges = [
            range(part.start // size, -(-part.stop // size))
            if isinstance(part, slice)
            else range(part, part + 1)
            for part, size in zip(place, sizes, strict=True)
        ]
        for index in itertools.product(*ranges):
            yield self.folder.joinpath("0", "c", *map(str, index))


@contextlib.contextmanager
def zarr_image(
    path: Path | str,
    *,
    shape: Sequence[int],
    dtype: Any,
    labels: Sequence[str],
    pixel_size: PixelSize | None = None,
    interval: float | None = None,
    times: Sequence[float] | None = None,
    stage: tuple[float, float] | None = None,
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    chunk: int = CHUNK,
    shard: int = SHARD,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[ZarrImage]:
    """An image to write block by block; when the `with` block succeeds it appears under its name.

    Then smaller resolutions are made, each of means of 2 x 2 pixels of the one before, and the
    metadata written; memory is bounded by a few shards throughout. Equal images give equal bytes.
    Blocks are not gathered: a caller whose tiles do not fit the shards puts them together first,
    and may choose the shard.

    Args:
        path: The folder to write, e.g. a.ome.zarr.
        shape: C, Y, X; or T, C, Y, X; or T, C, Z, Y, X.
        dtype: uint8, uint16 or float32.
        labels: Names of the channels.
        pixel_size: Micrometres, or None where nothing says.
        interval: Minutes between time points, or None.
        times: Minutes of each time point since the first, or None where none has one of its own.
        stage: Position of the image's middle on the stage (y, x), micrometres, or None.
        name: The image's own name; None: the folder's.
        annotations: Texts kept in the attributes under "isl", e.g. the hash of the model.
        chunk: Rows and columns of what is compressed and read at once.
        shard: Rows and columns of a file, a multiple of `chunk`; smaller for small images.
        overwrite: Whether an OME-Zarr image already there may be replaced.
        resume: Whether to resume an image that a failed or killed run left unfinished, if all
            of the above are the same (else it is begun anew), and to leave it if this one fails.

    Yields:
        The image, empty or with the blocks that `is_written` tells.

    Raises:
        InputError: The folder exists, another run is writing it, or it cannot be written there.
        ValueError: The arguments contradict one another, or blocks are missing at the end.
    """
    path = Path(path)
    shape, dtype = tuple(int(n) for n in shape), np.dtype(dtype)
    _check(shape, dtype, labels, chunk, shard)
    description = {
        "name": image_name(path) if name is None else name,
        "shape": shape,
        "dtype": dtype.name,
        "labels": list(labels),
        "pixel_size": None if pixel_size is None else dataclasses.astuple(pixel_size),
        "interval": interval,
        "times": None if times is None else list(times),
        "stage": stage,
        "annotations": dict(annotations or {}),
        "chunk": chunk,
        "shard": shard,
    }
    with folder_written_whole(
        path, replaceable=is_image if overwrite else None, keep=resume
    ) as folder:
        small, large = _sizes(shape, chunk, shard)
        image = ZarrImage(folder=folder, shape=shape, dtype=dtype, chunk=small, block=large)
        told = json.dumps(description, sort_keys=True)
        if not resume or _told(folder) != told:
            emptied(folder)
            _create(folder, 0, shape, dtype, chunk, shard)
            # Written last: whoever goes on can rely on the array.
            put_group(folder, {"isl": {_UNFINISHED: told}})
        yield image
        missing = image.missing()
        if missing:
            raise ValueError(f"{path}: {missing} blocks were not written")
        levels = _add_levels(image, chunk, shard)
        planes = shape[2] if "z" in image.axes else 1
        attributes: dict[str, Any] = {
            "ome": {
                "version": VERSION,
                "multiscales": [
                    multiscale(
                        description["name"], shape, levels, pixel_size, interval, stage, times
                    )
                ],
                "omero": shown_channels(labels, _ranges(image, levels), planes),
            }
        }
        if annotations:
            attributes["isl"] = {str(key): str(value) for key, value in annotations.items()}
        put_group(folder, attributes)


def is_image(path: Path) -> bool:
    """Whether a folder is an OME-Zarr image (no plate, well or anything else)."""
    try:
        return "multiscales" in read_attributes(path)
    except InputError:
        return False


def _told(folder: Path) -> str | None:
    """The description that an unfinished image was begun with."""
    try:
        group = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        return group["attributes"]["isl"][_UNFINISHED]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _check(
    shape: tuple[int, ...],
    dtype: np.dtype,
    labels: Sequence[str],
    chunk: int,
    shard: int,
) -> None:
    if dtype not in (np.uint8, np.uint16, np.float32) or len(shape) not in AXES or min(shape) < 1:
        raise ValueError(
            "an image is uint8, uint16 or float32 and [C, Y, X], [T, C, Y, X] or [T, C, Z, Y, X], "
            f"not {dtype} {shape}"
        )
    channels = shape[AXES[len(shape)].index("c")]
    if len(labels) != channels:
        raise ValueError(f"{channels} channels, labels {labels}")
    if chunk < 1 or shard < chunk or shard % chunk:
        raise ValueError(f"shards of {shard} do not consist of chunks of {chunk}")


def _check_there(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder}: is gone; the image was given up, write it again")


def _sizes(shape: Sequence[int], chunk: int, shard: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Y, X of the chunks and of the shards of an array, which may be smaller than they."""
    chunks, shards = [], []
    for length in shape[-2:]:
        chunks.append(min(chunk, length))
        shards.append(length if length <= chunk else min(shard, -(-length // chunk) * chunk))
    return (chunks[0], chunks[1]), (shards[0], shards[1])


def _create(
    folder: Path, level: int, shape: tuple[int, ...], dtype: np.dtype, chunk: int, shard: int
) -> None:
    """An array without pixels."""
    chunks, shards = _sizes(shape, chunk, shard)
    planes = (1,) * (len(shape) - 2)
    zarr.create_array(
        _WholeFiles(folder),
        name=str(level),
        shape=shape,
        dtype=dtype,
        chunks=planes + chunks,
        shards=planes + shards,
        filters=None,
        compressors=ZstdCodec(level=_ZSTD_LEVEL, checksum=True),
        fill_value=0,
        dimension_names=list(AXES[len(shape)]),
        overwrite=True,
    )


def _array(folder: Path, level: int) -> zarr.Array:
    _check_there(folder)
    array = zarr.open_array(_WholeFiles(folder), path=str(level), mode="r+")
    # Otherwise shards of nothing but zeros would have no file, and seem not to be written.
    return array.with_config({"write_empty_chunks": True})


def _cuts(length: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that make up `length`."""
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _part(asked: slice, length: int, size: int) -> slice:
    """A slice with numbers, made of whole blocks of `size`."""
    start, stop, step = asked.indices(length)
    beyond = any(end is not None and not 0 <= end <= length for end in (asked.start, asked.stop))
    whole = start % size == 0 and (stop % size == 0 or stop == length)
    if beyond or step != 1 or stop <= start or not whole:
        raise ValueError(f"{asked} of {length} is not made of whole blocks of {size}")
    return slice(start, stop)


def _add_levels(image: ZarrImage, chunk: int, shard: int) -> int:
    """Adds smaller resolutions, each from the one before, and returns how many there are in all."""
    shape, levels = image.shape, 1
    while max(shape[-2:]) > _SMALLEST:
        shape = (*shape[:-2], *(-(-length // 2) for length in shape[-2:]))
        _create(image.folder, levels, shape, image.dtype, chunk, shard)
        source, target = (_array(image.folder, level) for level in (levels - 1, levels))
        for plane in np.ndindex(shape[:-2]):
            _halve_plane(source, target, plane)
        levels += 1
    return levels


def _halve_plane(source: zarr.Array, target: zarr.Array, plane: tuple[int, ...]) -> None:
    """Fills a plane shard by shard, each from one strip of the source after the other."""
    # Two chunks of rows and a shard's width at a time: no chunk is read twice.
    reads = (source.chunks[-2], max((source.shards or source.shape)[-1] // 2, 1))
    blocks = (target.shards or target.shape)[-2:]
    for place in itertools.product(*map(_cuts, target.shape[-2:], blocks)):
        values = np.empty([part.stop - part.start for part in place], target.dtype)
        for within in itertools.product(*map(_cuts, values.shape, reads)):
            rows, columns = (
                slice(2 * (part.start + cut.start), 2 * (part.start + cut.stop))
                for part, cut in zip(place, within, strict=True)
            )
            values[within] = halved(np.asarray(source[(*plane, rows, columns)]))
        target[(*plane, *place)] = values


def halved(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; of 2 or 1 at the far edges of an odd number.

    Args:
        pixels: uint8, uint16 or float32 [y, x]; means of integers are rounded, halves up.
    """
    height, width = pixels.shape
    whole = pixels.dtype.kind == "u"
    rows = pixels[::2].astype(np.uint32 if whole else np.float32)
    rows[: height // 2] += pixels[1::2]
    total = rows[:, ::2].copy()
    total[:, : width // 2] += rows[:, 1::2]
    count = np.minimum(2, height - np.arange(0, height, 2))[:, None]
    count = (count * np.minimum(2, width - np.arange(0, width, 2))).astype(total.dtype)
    means = (total + count // 2) // count if whole else total / count
    return means.astype(pixels.dtype)


def _ranges(image: ZarrImage, levels: int) -> list[tuple[float, float, float, float]]:
    """Smallest and largest value of every channel, and those to be shown dark and bright."""
    smallest = _array(image.folder, levels - 1)
    found = []
    for channel in range(image.shape[image.axes.index("c")]):
        least, most, dark, bright = _range(smallest, image.axes, channel)
        if image.dtype.kind == "u":
            least, most = 0.0, float(np.iinfo(image.dtype).max)
        found.append((least, most, dark, bright))
    return found


def _range(array: zarr.Array, axes: str, channel: int) -> tuple[float, float, float, float]:
    ranges = [
        [channel] if letter == "c" else range(length)
        for letter, length in zip(axes[:-2], array.shape, strict=False)
    ]
    found = []
    for plane in itertools.product(*ranges):
        pixels = np.asarray(array[plane])
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            found.append(np.percentile(pixels, [0, 100, _DARKEST, _BRIGHTEST]))
    if not found:
        return 0.0, 1.0, 0.0, 1.0
    least, most, dark, bright = np.transpose(found)
    low, high = float(dark.min()), float(bright.max())
    return float(least.min()), float(most.max()), low, high if high > low else low + 1.0
