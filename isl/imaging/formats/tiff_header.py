"""What a TIFF's headers say, checked before any pixel is read: image, axes, type, calibration."""

import contextlib
import dataclasses
import logging
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.errors import InputError
from isl.imaging.formats.axes import ORDER, parse_axes
from isl.imaging.formats.calibration import (
    Calibration,
    channels_in_ome,
    from_imagej,
    from_micromanager,
    from_ome,
    from_resolution,
)
from isl.imaging.readable import check_claim, check_readable_file

# Axes that tifffile gives to pages of which the file does not say what they are.
PAGES = ("I", "Q")
_BOUNDED_COMPRESSIONS = (
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.LZW,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
)
# A page or tag beyond the end of the file is only logged, and the rest read as if it were all.
_LOST_PAGES = re.compile(r"invalid.*offset|corrupted tag list|failed to reshape")
_RESOLUTION_UNITS = {2: "inch", 3: "cm"}
# OME-XML begins within so many letters of a description.
_OME_WITHIN = 1000
# Micro-Manager's JSON of one plane.
_MICROMANAGER_TAG = 51123


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TiffHeader:
    """The one image of an open TIFF.

    Attributes:
        series: The image, as tifffile sees it.
        order: One letter of T, C, Z, Y, X for each dimension of the series.
        pages: Its pages; None in place of every one where the pixels lie in one piece.
        calibration: What the file says of sizes, names and times.
    """

    series: tifffile.TiffPageSeries
    order: str
    pages: tuple[Any, ...] | None
    calibration: Calibration

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """T, C, Z, Y, X; an axis the file lacks has length 1."""
        lengths = dict(zip(self.order, self.series.shape, strict=True))
        t, c, z, y, x = (int(lengths.get(letter, 1)) for letter in ORDER)
        return t, c, z, y, x


@contextlib.contextmanager
def opened_tiff(path: Path, *, axes: str | None = None) -> Iterator[TiffHeader]:
    """A TIFF whose headers were checked, open while the block runs.

    Args:
        path: The file.
        axes: as in `open_tiff`.

    Raises:
        InputError: as in `open_tiff`; whatever tifffile raises within the block becomes one too.
    """
    check_readable_file(path)
    wanted = parse_axes(axes) if axes is not None else None
    complaints: list[str] = []
    try:
        with messages_of_tifffile(complaints), tifffile.TiffFile(path) as tiff:
            series = only_series(tiff, path)
            if wanted is None:
                _check_description(tiff, series, path)
            order = _axes_of(series, wanted, path)
            _check_pixels(series, path)
            pages = _complete_pages(series, path, complaints)
            yield TiffHeader(
                series=series,
                order=order,
                pages=pages,
                calibration=_calibration(tiff, series, order),
            )
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory; crop it or split it") from error
    except Exception as error:  # tifffile raises whatever its parsers meet in damaged bytes.
        raise refusal(path, error) from error


class _Listener:
    """Hears what tifffile logs, each thread what its own files cause.

    One filter serves all threads and stays: logging walks its list of filters without a lock, so it
    must not change while any of them listens.
    """

    def __init__(self) -> None:
        self._heard = threading.local()

    def __call__(self, record: logging.LogRecord) -> bool:
        messages: list[str] | None = getattr(self._heard, "messages", None)
        if messages is None:
            return True
        messages.append(record.getMessage())
        return False

    @contextlib.contextmanager
    def into(self, messages: list[str]) -> Iterator[None]:
        logging.getLogger("tifffile").addFilter(self)
        before = getattr(self._heard, "messages", None)
        self._heard.messages = messages
        try:
            yield
        finally:
            self._heard.messages = before


_LISTENER = _Listener()


def messages_of_tifffile(messages: list[str]) -> contextlib.AbstractContextManager[None]:
    """Collects what tifffile would log to stderr while the block runs, in this thread."""
    return _LISTENER.into(messages)


def only_series(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """The one image of the file; reduced copies (pyramids, thumbnails) do not count."""
    series = [s for s in tiff.series if not s.keyframe.is_reduced] or list(tiff.series)
    if not series:
        raise InputError(f"{path}: holds no image")
    if len(series) > 1:
        shapes = ", ".join(" x ".join(map(str, s.shape)) for s in series[:4])
        raise InputError(
            f"{path}: holds {len(series)} images ({shapes}{', ...' if len(series) > 4 else ''}), "
            "or planes of different sizes; save each as a file of its own"
        )
    return series[0]


def _axes_of(series: tifffile.TiffPageSeries, wanted: str | None, path: Path) -> str:
    """One letter of TCZYX for each dimension of the series."""
    shape = " x ".join(map(str, series.shape))
    # Three or four planes are sometimes stored as one color image, plane after plane; if `axes`
    # says so, they are planes. Interleaved colors never are.
    planar = series.axes.find("S") < series.axes.find("Y")
    if "S" in series.axes and not (planar and wanted is not None):
        remedy = "give `axes` if these are planes, or save" if planar else "save"
        raise InputError(
            f"{path}: is a color image (axes {series.axes}, {shape}); {remedy} its channels as "
            "grayscale"
        )
    if wanted is not None:
        if len(wanted) != len(series.shape):
            raise InputError(
                f"{path}: `axes={wanted}` names {len(wanted)} axes, but the file stores "
                f"{len(series.shape)}: {shape}"
            )
        return wanted
    pages = [letter for letter in series.axes if letter not in ORDER]
    if not pages:
        return series.axes
    if len(pages) == 1 and pages[0] in PAGES and "Z" not in series.axes:
        return series.axes.replace(pages[0], "Z")
    raise InputError(
        f"{path}: does not say what its {len(series.shape)} dimensions are ({shape}); give `axes`, "
        "e.g. `axes=TZYX`"
    )


def _check_description(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> None:
    """Refuses OME-XML that is damaged, or says something else than the pages.

    Planes would be taken for channels, or left out, without anyone noticing.
    """
    problem = None
    if series.kind != "ome":
        if len(series.shape) > 2 and "<OME" in tiff.pages.first.description[:_OME_WITHIN]:
            problem = "is damaged, or contradicts its pages"
    elif tiff.ome_metadata and (said := channels_in_ome(tiff.ome_metadata)) is not None:
        described, size = said
        if described != size:
            problem = f"describes {described} channels, and says that there are {size}"
    if problem is None and series.kind == "ome":
        named = {page.index for page in series.pages if page and page.parent is tiff}
        unnamed = [p for p in range(len(tiff.pages)) if p not in named]
        whole = [p for p in unnamed if not _page(tiff, p).is_reduced]
        if whole:
            problem = f"names {len(named)} of its {len(named) + len(whole)} planes"
    if problem is not None:
        raise InputError(
            f"{path}: its OME-XML {problem}; export it again, or give `axes`, e.g. `axes=ZYX`"
        )


def _page(tiff: tifffile.TiffFile, index: int) -> tifffile.TiffPage:
    """A page with its tags, which tifffile leaves out of all but the first."""
    page = tiff.pages[index]
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def _check_pixels(series: tifffile.TiffPageSeries, path: Path) -> None:
    dtype = series.dtype
    if dtype is None or not (dtype in (np.uint8, np.uint16) or dtype.kind == "f"):
        raise InputError(
            f"{path}: has pixels of type {dtype}; save it as 8-bit, 16-bit or 32-bit float"
        )


def _complete_pages(
    series: tifffile.TiffPageSeries, path: Path, complaints: list[str]
) -> tuple[Any, ...] | None:
    """The pages, after comparing what the headers claim with what the file holds.

    None where the pixels lie in one piece, which has no need of its pages.
    """
    dtype = np.dtype(series.dtype)
    needed = math.prod(int(length) for length in series.shape) * dtype.itemsize
    truncated = InputError(f"{path}: is truncated or damaged; copy or export it again")
    if any(map(_LOST_PAGES.search, complaints)):
        raise truncated
    if series.dataoffset is not None:
        if series.dataoffset + needed > series.keyframe.parent.filehandle.size:
            raise truncated
        return None
    held = 0
    pages = tuple(series.pages)
    for page in pages:
        if page is None:
            raise InputError(f"{path}: lacks planes that its description names; export it again")
        end = page.parent.filehandle.size
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if not segments or any(n <= 0 or start + n > end for start, n in segments):
            raise truncated
        held += sum(page.databytecounts)
    if series.keyframe.compression in _BOUNDED_COMPRESSIONS:
        check_claim(path, series.shape, dtype, held)
    if series.keyframe.compression == tifffile.COMPRESSION.NONE and held * 8 < _packed_bits(series):
        raise truncated
    return pages


def _packed_bits(series: tifffile.TiffPageSeries) -> int:
    """Bits of uncompressed pixels, which may be packed (12 bits a pixel, say)."""
    return math.prod(int(n) for n in series.shape) * int(series.keyframe.bitspersample)


def _calibration(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, order: str
) -> Calibration:
    page = series.keyframe
    resolution = _resolution(page)
    said = from_resolution(resolution, _RESOLUTION_UNITS.get(int(page.resolutionunit), ""))
    if series.kind == "ome" and tiff.ome_metadata:
        said = from_ome(tiff.ome_metadata)
    elif tiff.imagej_metadata:
        channels = series.shape[order.index("C")] if "C" in order else 1
        said = from_imagej(tiff.imagej_metadata, resolution, channels)
    tag = page.tags.get(_MICROMANAGER_TAG)
    return said if tag is None else from_micromanager(tag.value, said)


def _resolution(page: Any) -> tuple[float, float] | None:
    """Pixels a unit along (Y, X), from the tags; None where they are absent or zero."""
    values = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        if tag is None or not isinstance(tag.value, tuple) or 0 in tag.value:
            return None
        values.append(tag.value[0] / tag.value[1])
    return values[0], values[1]


def refusal(path: Path, error: Exception) -> InputError:
    """What tifffile or a decoder raised, as one line."""
    text = str(error)
    if "imagecodecs" in text:
        return InputError(
            f"{path}: is compressed in a way that needs one more package ({text}): "
            "pip install isl[formats]"
        )
    return InputError(
        f"{path}: cannot be read as TIFF ({text or type(error).__name__}); it is damaged or "
        "something else renamed"
    )
