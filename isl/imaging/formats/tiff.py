"""TIFF files, plain, ImageJ's and OME's: a window costs the strips or tiles that it touches.

No file stays open between reads, so that a set of thousands of files can be at hand and several
threads can read one.
"""

import dataclasses
import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.errors import InputError
from isl.imaging.formats.gray import brightness_of, gray_of
from isl.imaging.formats.table import field_name
from isl.imaging.formats.tiff_header import TiffHeader, opened_tiff, refusal
from isl.imaging.lazy import LazyPicture, window
from isl.imaging.readable import check_size

logger = logging.getLogger(__name__)

# (index of each stored axis but Y and X, rows, columns) to pixels [Y, X] of the stored type.
_Reader = Callable[[tuple[int, ...], slice, slice], np.ndarray]
_JPEG = (6, 7, 33007, 34892)


def open_tiff(path: Path | str, *, axes: str | None = None, colors: bool = False) -> LazyPicture:
    """Opens a TIFF, BigTIFF or OME-TIFF; of a pyramid, its full resolution.

    Axes come from the file where it is OME's, ImageJ's or tifffile's. A plain file with several
    pages says nothing: its pages are taken for z planes. Floats become float32.

    Args:
        path: The file.
        axes: One letter of T, C, Z, Y, X for each dimension the file stores, first to last, e.g.
            "ZYX" or "TZCYX"; it overrides what the file says.
        colors: Whether color is read, as its brightness; otherwise only gray that is stored in
            color is.

    Raises:
        InputError: The file is missing, damaged, has color that is not asked for, holds several
            images, has other pixel types than uint8, uint16 and floats, or `axes` does not fit it.
    """
    path = Path(path)
    with opened_tiff(path, axes=axes) as header:
        reader = _reader(header, path, axes, colors)
        shape, order = header.shape, header.order
        kept = np.dtype(header.series.dtype)
        calibration, shown, told_by = header.calibration, header.shown, header.told_by
        colored = header.colored
    dtype = np.dtype(np.float32) if kept.kind == "f" else kept.newbyteorder("=")
    leading = [letter for letter in order if letter not in "YX"]

    def read_plane(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        place = {"T": range(shape[0])[t], "C": range(shape[1])[c], "Z": range(shape[2])[z]}
        index = tuple(place[letter] for letter in leading)
        part = window(rows, shape[3]), window(columns, shape[4])
        try:
            pixels = reader(index, *part)
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(f"{path}: does not fit into memory; read less of it") from error
        except FileNotFoundError as error:
            raise InputError(f"{path}: is gone since it was opened") from error
        except Exception as error:  # Decoders raise whatever they meet in damaged bytes.
            raise refusal(path, error) from error
        if shown is not None:
            pixels = shown[pixels]
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(pixels, dtype)

    if colored and not colors:
        # Of all planes one is looked at now: pictures that have color are refused when opened.
        read_plane(0, 0, 0, slice(0, shape[3]), slice(0, shape[4]))
        logger.warning("%s: is stored in color, and gray; its gray is read", path)
    names, times = calibration.channel_names, calibration.times
    exposures, emitted = calibration.exposures, calibration.emitted
    return LazyPicture(
        name=field_name(path),
        shape=shape,
        dtype=dtype,
        read_plane=read_plane,
        source=path,
        channel_names=names if names is not None and len(names) == shape[1] else None,
        pixel_size=calibration.pixel_size,
        interval=calibration.interval,
        # A recording that was stopped may say when frames were to be taken that are not there.
        times=None if times is None or not 1 < shape[0] <= len(times) else times[: shape[0]],
        stage=calibration.stage,
        exposures=exposures if exposures is not None and len(exposures) == shape[1] else None,
        emitted=emitted if emitted is not None and len(emitted) == shape[1] else None,
        told_by=told_by,
    )


def _reader(header: TiffHeader, path: Path, axes: str | None, colors: bool) -> _Reader:
    series, order = header.series, header.order
    if header.colored:
        return _gray_reader(header, path, axes, colors)
    if header.pages is None:
        return _mapped(series, order, header.lengths)
    page_shape, planes = header.lengths[-2:], header.lengths[:-2]
    if (
        order.endswith("YX")
        and len(header.pages) == math.prod(planes)
        and tuple(series.keyframe.shape) == page_shape
    ):
        pages = [_Page.of(page) for page in header.pages]
        return lambda index, rows, columns: pages[
            int(np.ravel_multi_index(index, planes)) if index else 0
        ].read(rows, columns)

    # Pages that hold several planes, or Y and X in another order: rare, and small so far.
    whole = functools.cache(functools.partial(_whole, path, axes))
    to_planes = [*_leading(order), order.index("Y"), order.index("X")]
    return lambda index, rows, columns: whole().transpose(to_planes)[index][rows, columns]


def _gray_reader(header: TiffHeader, path: Path, axes: str | None, colors: bool) -> _Reader:
    """Planes stored in color, which must be gray unless it is asked for.

    The file is decoded anew for each.
    """
    planes = header.lengths[:-2]
    planar = header.series.axes.find("S") < header.series.axes.find("Y")
    or_else = "give `axes` if these are planes, or " if planar else ""
    if planar and colors and axes is None:
        logger.warning(
            "%s: its %d planes are taken for colors; give `axes` if they are none",
            path,
            header.series.shape[header.series.axes.index("S")],
        )
    single = len(header.series.pages) == math.prod(planes)

    @functools.lru_cache(maxsize=2)
    def gray(number: int) -> np.ndarray:
        with opened_tiff(path, axes=axes) as again:
            series, page = again.series, again.series.keyframe
            stored_axes, shape = (page.axes, page.shape) if single else (series.axes, series.shape)
            check_size(path, shape, np.dtype(series.dtype))
            stored = series.asarray(key=number) if single else series.asarray()
            stored = np.moveaxis(stored, stored_axes.index("S"), -1)
        return brightness_of(stored) if colors else gray_of(stored, path, or_else=or_else)

    def read(index: tuple[int, ...], rows: slice, columns: slice) -> np.ndarray:
        if not single:
            return gray(0)[index][rows, columns]
        return gray(int(np.ravel_multi_index(index, planes)) if index else 0)[rows, columns]

    return read


def _whole(path: Path, axes: str | None) -> np.ndarray:
    """All pixels, as they are stored."""
    with opened_tiff(path, axes=axes) as header:
        check_size(path, header.lengths, np.dtype(header.series.dtype))
        stored = header.series.asarray()
    if stored.shape != header.lengths:
        raise InputError(f"{path}: is damaged: {stored.shape} pixels instead of {header.lengths}")
    return stored


def _leading(order: str) -> list[int]:
    """Where the axes before Y and X are stored."""
    return [order.index(letter) for letter in order if letter not in "YX"]


def _mapped(series: tifffile.TiffPageSeries, order: str, shape: tuple[int, ...]) -> _Reader:
    """Pixels that lie in one piece: mapped anew each time, so a shorter file is noticed."""
    parent = series.keyframe.parent
    file, offset = Path(parent.filehandle.path), int(series.dataoffset or 0)
    dtype = np.dtype(series.dtype).newbyteorder(parent.byteorder)
    to_planes = [*_leading(order), order.index("Y"), order.index("X")]

    def read(index: tuple[int, ...], rows: slice, columns: slice) -> np.ndarray:
        stored = np.memmap(file, dtype, "r", offset, shape)
        return np.array(stored.transpose(to_planes)[index][rows, columns])

    return read


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Page:
    """One plane [Y, X] in strips or tiles, and what it takes to decode one of them alone.

    Attributes:
        file: Where it lies; planes of one image may lie in several files.
        keyframe: The page whose tags hold for this one.
        offsets: Of each strip or tile, row by row.
        lengths: Bytes of each.
        tables: What JPEG needs besides.
    """

    file: Path
    keyframe: tifffile.TiffPage
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    tables: dict[str, Any]

    @classmethod
    def of(cls, page: Any) -> "_Page":
        keyframe = page.keyframe
        tables = {}
        if keyframe.compression in _JPEG:
            tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        return cls(
            file=Path(page.parent.filehandle.path),
            keyframe=keyframe,
            offsets=tuple(page.dataoffsets),
            lengths=tuple(page.databytecounts),
            tables=tables,
        )

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """A window, of the type that is stored but native byte order."""
        if self.keyframe.is_final:
            return np.array(self._mapped()[rows, columns])
        height, width = self.keyframe.shape
        high, wide = self.keyframe.chunks[:2]
        high = min(high, height)
        across = math.ceil(width / wide)
        window = np.empty(
            (rows.stop - rows.start, columns.stop - columns.start), self.keyframe.dtype
        )
        if not window.size:
            return window
        with self.file.open("rb") as file:
            for row in range(rows.start // high, math.ceil(rows.stop / high)):
                for column in range(columns.start // wide, math.ceil(columns.stop / wide)):
                    piece = self._decoded(file, row * across + column)
                    _paste(piece, row * high, column * wide, window, rows, columns)
        return window

    def _mapped(self) -> np.ndarray:
        dtype = np.dtype(self.keyframe.dtype).newbyteorder(self.keyframe.parent.byteorder)
        return np.memmap(self.file, dtype, "r", self.offsets[0], self.keyframe.shape)

    def _decoded(self, file: Any, index: int) -> np.ndarray:
        """One strip or tile [y, x]; the last ones may reach beyond the image."""
        file.seek(self.offsets[index])
        stored = file.read(self.lengths[index])
        if len(stored) < self.lengths[index]:
            raise InputError(f"{self.file}: is truncated; copy or export it again")
        piece, _, _ = self.keyframe.decode(stored, index, **self.tables)
        assert piece is not None
        return piece[0, :, :, 0]


def _paste(
    piece: np.ndarray, top: int, left: int, window: np.ndarray, rows: slice, columns: slice
) -> None:
    """Copies what a piece at (top, left) of the plane holds of the window."""
    y0, y1 = max(top, rows.start), min(top + piece.shape[0], rows.stop)
    x0, x1 = max(left, columns.start), min(left + piece.shape[1], columns.stop)
    window[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = piece[
        y0 - top : y1 - top, x0 - left : x1 - left
    ]
