"""What a TIFF's headers say, checked before any pixel is read: image, axes, type, calibration."""

import contextlib
import dataclasses
import logging
import math
import re
from collections.abc import Iterator, Sequence
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
    type_in_ome,
    with_micromanager_planes,
)
from isl.imaging.formats.ome_set import missing_files, read_ome_set
from isl.imaging.formats.tifffile_log import messages_of_tifffile
from isl.imaging.readable import check_claim, check_readable_file

logger = logging.getLogger(__name__)

# Axes that tifffile gives to pages of which the file does not say what they are.
PAGES = ("I", "Q")
# What tifffile would look for in a file to learn its axes.
_DESCRIBED = ("is_ome", "is_imagej", "is_shaped", "is_mmstack", "is_ndtiff")
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
_TELLERS = {
    "ome": "its OME-XML says",
    "imagej": "its ImageJ description says",
    "shaped": "its description says",
    "mmstack": "Micro-Manager says",
}
# OME-XML begins within so many letters of a description.
_OME_WITHIN = 1000
# Micro-Manager's JSON of one plane.
_MICROMANAGER_TAG = 51123


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TiffHeader:
    """The one image of an open TIFF.

    Attributes:
        series: The image, as tifffile sees it.
        order: One letter of T, C, Z, Y, X for each stored dimension.
        lengths: Of the stored dimensions.
        colored: Whether every pixel is stored as red, green and blue, beside these dimensions.
        teller: Who says what the dimensions are, in words; None: nobody does.
        pages: Its pages; None in place of every one where the pixels lie in one piece.
        shown: uint8 or uint16 [2 ** bits], the gray shown for every number stored; None: the same.
        calibration: What the file says of sizes, names and times.
    """

    series: tifffile.TiffPageSeries
    order: str
    lengths: tuple[int, ...]
    colored: bool
    teller: str | None
    pages: tuple[Any, ...] | None
    shown: np.ndarray | None
    calibration: Calibration

    @property
    def told_by(self) -> str:
        """Who says what the dimensions are, in words."""
        if self.teller is None:
            return f"{self.order}: nothing says what its pages are, they are taken for z planes"
        return f"{self.order}, as {self.teller}"

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """T, C, Z, Y, X; an axis the file lacks has length 1."""
        lengths = dict(zip(self.order, self.lengths, strict=True))
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
        plain = wanted is not None and not _holds(path)
        with messages_of_tifffile(complaints), _opened(path, plain=plain) as tiff:
            series = only_series(tiff, path)
            if wanted is None:
                _check_description(tiff, series, path)
            order = _axes_of(series, wanted, path)
            lengths = tuple(int(length) for length in series.shape)
            teller = _teller(series) if wanted is None else "was said"
            if wanted is None and (counted := _counted(tiff, series, path)) is not None:
                order, lengths = counted
                teller = _TELLERS["imagej"]
            _check_pixels(series, path)
            lengths, pages = _complete_pages(tiff, series, order, lengths, path, complaints)
            colored = len(order) < len(lengths)
            if colored:
                sample = series.axes.index("S")
                lengths = (*lengths[:sample], *lengths[sample + 1 :])
            yield TiffHeader(
                series=series,
                order=order,
                lengths=lengths,
                colored=colored,
                teller=teller,
                pages=pages,
                shown=_shown(series.keyframe, path),
                calibration=_calibration(tiff, series, order, lengths),
            )
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory; crop it or split it") from error
    except Exception as error:  # tifffile raises whatever its parsers meet in damaged bytes.
        raise refusal(path, error) from error


@contextlib.contextmanager
def _opened(path: Path, *, plain: bool) -> Iterator[tifffile.TiffFile]:
    """A TIFF with the description that is meant for it; `plain`: with none, only its pages."""
    given: dict[str, Any] = dict.fromkeys(_DESCRIBED, False)
    if not plain:
        described = read_ome_set(path)
        if described is not None and described.missing:
            raise missing_files(path, described.missing)
        given = {"omexml": None if described is None else described.xml}
    with tifffile.TiffFile(path, **given) as tiff:
        # Pages that follow each other in a circle are noticed where they are counted, and would be
        # read without end where they are not.
        len(tiff.pages)
        yield tiff


def _holds(path: Path) -> bool:
    """Whether a file's description holds for its pages."""
    try:
        with messages_of_tifffile([]), _opened(path, plain=False) as tiff:
            series = only_series(tiff, path)
            _check_description(tiff, series, path)
            _counted(tiff, series, path)
            return None not in tuple(series.pages)
    except InputError:
        return False


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
    """One letter of TCZYX for each dimension of the series but that of red, green and blue."""
    shape = " x ".join(map(str, series.shape))
    axes, stored = series.axes, len(series.shape)
    # Three or four planes are sometimes stored as one color image, plane after plane; if `axes`
    # says so, they are planes. Interleaved colors never are.
    planar = series.axes.find("S") < series.axes.find("Y")
    if _has_colors(series) and (wanted is None or len(wanted) < stored):
        axes, stored = axes.replace("S", ""), stored - 1
    if "S" in axes and not (planar and wanted is not None):
        remedy = "give `axes` if these are planes, or save" if planar else "save"
        raise InputError(
            f"{path}: is a color image (axes {series.axes}, {shape}); {remedy} its channels as "
            "grayscale"
        )
    if wanted is not None:
        if len(wanted) != stored:
            raise InputError(
                f"{path}: `axes={wanted}` names {len(wanted)} axes, but the file stores "
                f"{stored}: {shape}"
            )
        return wanted
    pages = [letter for letter in axes if letter not in ORDER]
    if not pages:
        return axes
    if series.kind == "ndtiff":
        raise InputError(
            f"{path}: is part of a data set of Micro-Manager with several positions; name its "
            f"folder, {path.parent}"
        )
    if len(pages) == 1 and pages[0] in PAGES and "Z" not in axes:
        return axes.replace(pages[0], "Z")
    raise InputError(
        f"{path}: does not say what its {len(series.shape)} dimensions are ({shape}); give `axes`, "
        "e.g. `axes=TZYX`"
    )


def _teller(series: tifffile.TiffPageSeries) -> str | None:
    """Who says what the dimensions are, in words; None where the file does not."""
    if set(series.axes) & set(PAGES):
        return None
    return _TELLERS.get(series.kind, "the file says")


def _has_colors(series: tifffile.TiffPageSeries) -> bool:
    """Whether a series is of red, green and blue, with or without opacity."""
    return (
        "S" in series.axes
        and series.keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
        and series.shape[series.axes.index("S")] in (3, 4)
        and series.axes.replace("S", "").endswith("YX")
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
    if problem is None and series.kind == "ome" and np.dtype(series.dtype).kind == "u":
        # Some writers leave the tag out that says so, and -1 would be read as 65535.
        if (told := type_in_ome(tiff.ome_metadata or "")).startswith("int"):
            problem = f"says that its pixels are {told}, and they are stored as {series.dtype}"
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


def _shown(page: Any, path: Path) -> np.ndarray | None:
    """The gray that is shown for every number stored; None where it is the number.

    Files may say that 0 is white, or have a palette. A palette of colors that grow brighter is a
    look-up table for display, and the number is what was measured.
    """
    turned = page.tags.get("Orientation")
    if turned is not None and turned.value not in (0, 1):
        # As microscopes' programs do: rows and columns are those of the camera.
        logger.warning(
            "%s: says that it is to be turned (orientation %s); it is read as it is stored",
            path,
            turned.value,
        )
    dtype = np.dtype(page.dtype)
    if dtype.kind != "u":
        return None
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        logger.warning("%s: says that 0 is white; it is read as it is shown, inverted", path)
        return np.arange(2 ** int(page.bitspersample) - 1, -1, -1).astype(dtype)
    if page.photometric != tifffile.PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    palette = np.asarray(page.colormap, np.float64)
    brightness = np.diff(palette.mean(axis=0))
    if (brightness >= 0).all() and brightness.any():
        return None
    if (palette != palette[0]).any():
        raise InputError(
            f"{path}: is colored by a palette that is no scale of brightness; save it as grayscale"
        )
    logger.warning("%s: has a palette that turns its grays; it is read as it is shown", path)
    return np.rint(palette[0] * (np.iinfo(dtype).max / 65535)).astype(dtype)


def _counted(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> tuple[str, tuple[int, ...]] | None:
    """Axes and lengths where ImageJ's description counts other images than there are pages.

    A recording that was stopped holds fewer: its complete time points are read, of a z-stack the
    planes that are there. None where both agree, or the description counts nothing.
    """
    said = tiff.imagej_metadata
    if series.kind == "ome" or not said or "S" in series.axes:
        return None
    order = "".join(reversed(str(said.get("order", "czt")).upper()))
    order = order if sorted(order) == ["C", "T", "Z"] else "TZC"
    named = {"T": "frames", "Z": "slices", "C": "channels"}
    counts = {letter: int(said.get(key, 1)) for letter, key in named.items()}
    told, there = math.prod(counts.values()), len(tiff.pages)
    if there == 1 and told > 1:
        # The planes follow one after the other behind the only page.
        if series.kind != "imagej":
            raise InputError(f"{path}: is truncated or damaged; copy or export it again")
        return None
    if told in (1, there):
        return None
    several = [letter for letter in order if counts[letter] > 1]
    outer, inner = several[0], told // counts[several[0]]
    if there > told or outer == "C" or there < inner or int(said.get("images", told)) != told:
        words = " x ".join(f"{counts[letter]} {named[letter]}" for letter in several)
        raise InputError(
            f"{path}: its ImageJ description says {words}, and it holds {there} images; export it "
            "again, or give `axes`, e.g. `axes=ZYX`, to read its images as they lie"
        )
    _warn_of_rest(path, outer, counts[outer], there / inner)
    counts[outer] = there // inner
    height, width = (int(length) for length in series.shape[-2:])
    return f"{order}YX", (*(counts[letter] for letter in order), height, width)


def _warn_of_rest(path: Path, axis: str, told: int, there: float) -> None:
    what = {"T": "time points", "Z": "planes"}[axis]
    logger.warning(
        "%s: of %d %s that its description names %d are there whole, and are read (was the "
        "acquisition stopped?)",
        path,
        told,
        what,
        math.floor(there),
    )


def _complete_pages(
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    order: str,
    lengths: tuple[int, ...],
    path: Path,
    complaints: list[str],
) -> tuple[tuple[int, ...], tuple[Any, ...] | None]:
    """Lengths and pages, after comparing what the headers claim with what the file holds.

    No pages where the pixels lie in one piece, which has no need of them.
    """
    dtype = np.dtype(series.dtype)
    truncated = InputError(f"{path}: is truncated or damaged; copy or export it again")
    if any(map(_LOST_PAGES.search, complaints)):
        raise truncated
    if series.dataoffset is not None:
        needed = math.prod(lengths) * dtype.itemsize
        if series.dataoffset + needed > series.keyframe.parent.filehandle.size:
            raise truncated
        return lengths, None
    pages: tuple[Any, ...] = tuple(series.pages)
    if None in pages:
        if len(order) < len(lengths):
            raise truncated
        lengths = _begun(pages, order, lengths, path)
    if order.endswith("YX") and len(pages) > math.prod(lengths[:-2]):
        pages = pages[: math.prod(lengths[:-2])]
    held = 0
    for page in pages:
        end = page.parent.filehandle.size
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if not segments or any(n <= 0 or start + n > end for start, n in segments):
            raise truncated
        held += sum(page.databytecounts)
    if series.keyframe.compression in _BOUNDED_COMPRESSIONS:
        check_claim(path, lengths, dtype, held)
    bits = math.prod(lengths) * int(series.keyframe.bitspersample)
    if series.keyframe.compression == tifffile.COMPRESSION.NONE and held * 8 < bits:
        raise truncated
    return lengths, pages


def _begun(
    pages: Sequence[Any], order: str, lengths: tuple[int, ...], path: Path
) -> tuple[int, ...]:
    """Lengths of the complete time points, or planes, before the end of a stopped acquisition."""
    first = pages.index(None)
    inner = math.prod(lengths[1:-2])
    complete, gaps = first // inner, any(page is not None for page in pages[first:])
    if order[0] not in "TZ" or not complete or (gaps and any(pages[(complete + 1) * inner :])):
        place = np.unravel_index(first, lengths[:-2])
        where = ", ".join(f"{a} {int(n)}" for a, n in zip(order, place, strict=False))
        raise InputError(
            f"{path}: lacks planes that its description names (first {where}); export it again, or "
            "give `axes`, e.g. `axes=ZYX`, to read the planes that are there"
        )
    _warn_of_rest(path, order[0], lengths[0], complete)
    return (complete, *lengths[1:])


def _calibration(
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    order: str,
    lengths: tuple[int, ...],
) -> Calibration:
    page = series.keyframe
    resolution = _resolution(page)
    said = from_resolution(resolution, _RESOLUTION_UNITS.get(int(page.resolutionunit), ""))
    if series.kind == "ome" and tiff.ome_metadata:
        said = from_ome(tiff.ome_metadata, tiff.filehandle.path)
    elif tiff.imagej_metadata:
        channels = lengths[order.index("C")] if "C" in order else 1
        found = from_imagej(tiff.imagej_metadata, resolution, channels)
        # Without a unit of ImageJ's own, the tags' unit holds.
        size = found.pixel_size if "unit" in tiff.imagej_metadata else said.pixel_size
        said = dataclasses.replace(found, pixel_size=size)
    tag = page.tags.get(_MICROMANAGER_TAG)
    if tag is None:
        return said
    said = from_micromanager(tag.value, said)
    times, channels = (_first_pages(series, order, lengths, axis) for axis in "TC")
    return with_micromanager_planes(
        said,
        [_micromanager_notes(page) for page in times] if said.times is None else [],
        [_micromanager_notes(page) for page in channels] if said.exposures is None else [],
        tiff.filehandle.path,
    )


def _first_pages(
    series: tifffile.TiffPageSeries, order: str, lengths: tuple[int, ...], axis: str
) -> list[Any]:
    """The first page of each index of T or C; empty where pages are not one plane each."""
    planes, pages = lengths[:-2], series.pages
    if not order.endswith("YX") or len(pages) < math.prod(planes):
        return []
    count = planes[order.index(axis)] if axis in order else 1
    places = [[index if letter == axis else 0 for letter in order[:-2]] for index in range(count)]
    return [pages[int(np.ravel_multi_index(at, planes)) if at else 0] for at in places]


def _micromanager_notes(page: Any) -> Any:
    """What Micro-Manager notes of one plane; None where it does not."""
    if page is None:
        return None
    own = page if isinstance(page, tifffile.TiffPage) else page.aspage()
    tag = own.tags.get(_MICROMANAGER_TAG)
    return None if tag is None else tag.value


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
