"""Several embryos in one field: found, numbered, followed, and each cut out as its own recording.

Networks learned from frames that are some two embryos wide, with one embryo in each. So in a wider
field, whose pixel size says how large an embryo is, every embryo gets a square of two diameters
that moves along with it, and is assessed as if it had been recorded alone.

Embryos are told by granularity (`isl.polarity.presence`) at the size at which that was measured.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from isl.errors import InputError
from isl.imaging.inputs.containers import is_container
from isl.imaging.inputs.read import open_transmitted
from isl.polarity.finding import frames_in
from isl.polarity.presence import fainter_pieces, granular_pieces, granularity
from isl.report.plots import bare, color, panel, png

# Micrometres across a mouse embryo of eight cells, without its zona.
DIAMETER = 75.0
# A field of fewer diameters along its longer side shows one embryo.
_WIDEST = 3.0
# Side of an embryo's square, in diameters; that of the frames that networks learned from.
_ROOM = 2.0
# Pixels across an embryo while looking; what `presence` measured has as many.
_ACROSS = 128
# Area of an embryo, in discs of the diameter: 0.74 to 1.17 in eleven mouse embryos, at most 0.15 in
# what else is granular. What is larger is parted, as embryos that touch are.
_SMALLEST, _LARGEST = 0.5, 1.6
# An embryo fills the place within this of its middle, in diameters; what is seen there is no other.
_AROUND = 0.75
# Middles of embryos that touch are at least so far apart, in diameters.
_APART = 0.35
# Parts of an outline that are smaller than this, in pixels while looking, say nothing of middles.
_ROUNDED = 4.0
# From frame to frame an embryo moves less than this, in diameters.
_STEP = 0.5
# Share of frames in which it is found.
_OFTEN = 0.6
_SMOOTHED = 5
# Percentiles of a picture that become black and white, and its width.
_SHOWN_RANGE = (0.5, 99.5)
_INCHES = 7.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """The square that moves along with one embryo.

    Attributes:
        number: Of the embryo, from 1, in the order of rows and then columns.
        corners: int [T, 2], row and column of the square's first pixel in every frame of the file.
        side: Its rows and columns, in pixels.
        beside: Numbers of other embryos, of which the square shows parts in some frames.
    """

    number: int
    corners: np.ndarray
    side: int
    beside: tuple[int, ...] = ()

    def place(self, t: int) -> tuple[slice, slice]:
        """Rows and columns of the square in frame `t` of the file."""
        row, column = (int(corner) for corner in self.corners[t])
        return slice(row, row + self.side), slice(column, column + self.side)


def find_windows(
    path: Path,
    *,
    diameter: float | None = None,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
) -> tuple[Window, ...]:
    """A window for every embryo of a field that is wide enough for several.

    Args:
        path: A movie, or a folder of frames.
        diameter: Of an embryo, micrometres; None: the usual one, where a pixel's size is known.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where a file has several.
        pixel_size: Micrometres, whatever the file says.

    Returns:
        None where the field shows one embryo, or nobody says how large its pixels are.

    Raises:
        InputError: A file cannot be read, a wide field shows no embryo, or a diameter is given
            where nobody knows how large pixels are.
    """
    field = _open_field(path, axes, channel, pixel_size)
    if field is None and diameter is not None:
        raise InputError(
            f"{path}: does not say how large a pixel is, which `embryo_diameter={diameter:g}` "
            "needs; give `pixel_size=UM`, or leave the diameter out"
        )
    if field is None:
        return ()
    diameter = DIAMETER if diameter is None else diameter
    pixels = diameter / field.micrometres
    if max(field.size) <= _WIDEST * pixels:
        return ()
    seen = [_places(frame, pixels) for frame in field.frames()]
    tracks = _linked(seen, _STEP * pixels)
    often = [track for track in tracks if len(track) >= _OFTEN * len(seen)]
    if not often:
        raise InputError(
            f"{path}: no embryo of about {pixels:.0f} pixels ({diameter:g} um) was found in this "
            f"field of {field.size[0]} x {field.size[1]} pixels; check the file's pixel "
            "size and `embryo_diameter`"
        )
    side = min(round(_ROOM * pixels), *field.size)
    ways = [_smooth(track, len(seen)) for track in often]
    ways.sort(key=lambda middles: tuple(np.median(middles, axis=0) // side))
    limits = np.array(field.size) - side
    corners = [np.clip(np.rint(middles - side / 2), 0, limits).astype(int) for middles in ways]
    return tuple(
        Window(
            number=number,
            corners=own,
            side=side,
            beside=tuple(
                other
                for other, others in enumerate(ways, start=1)
                if other != number and _nearest(own + side / 2, others) < (side + pixels) / 2
            ),
        )
        for number, own in enumerate(corners, start=1)
    )


def draw_field(
    path: Path,
    windows: Sequence[Window],
    *,
    axes: str | None = None,
    channel: str | None = None,
) -> bytes:
    """The first frame of a field with the squares of its embryos and their numbers: a PNG.

    Args:
        path: As in `find_windows`.
        windows: What that found.
        axes: As there.
        channel: As there.
    """
    picture, index = open_transmitted(_files_of(path)[0], axes=axes, channel=channel)
    with picture:
        frame = picture.read(c=index, z=picture.shape[2] // 2).astype(np.float32)
    low, high = np.percentile(frame, _SHOWN_RANGE)
    frame = np.clip((frame - low) / max(float(high - low), 1e-6), 0, 1)
    figure, axis = panel(width=_INCHES, height=_INCHES * frame.shape[0] / frame.shape[1])
    bare(axis).imshow(frame, cmap="gray", vmin=0, vmax=1)
    for window in windows:
        row, column = window.corners[0]
        edge = color(window.number - 1)
        axis.add_patch(
            Rectangle(
                (column, row), window.side, window.side, fill=False, edgecolor=edge, linewidth=2
            )
        )
        axis.annotate(
            str(window.number),
            (column + 0.05 * window.side, row + 0.1 * window.side),
            color=edge,
            weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "boxstyle": "circle"},
        )
    return png(figure)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Field:
    """A time-lapse of which one plane a time point is looked at.

    Attributes:
        files: Where it lies: one movie, or a file a time point.
        size: Rows and columns.
        micrometres: Of a pixel.
    """

    files: tuple[Path, ...]
    axes: str | None
    channel: str | None
    size: tuple[int, int]
    micrometres: float

    def frames(self) -> Iterator[np.ndarray]:
        """The middle plane of every time point, float32 [Y, X]."""
        for file in self.files:
            picture, index = open_transmitted(file, axes=self.axes, channel=self.channel)
            with picture:
                times, _, planes = picture.shape[:3]
                for t in range(times):
                    yield picture.read(t=t, c=index, z=planes // 2).astype(np.float32)


def _files_of(path: Path) -> tuple[Path, ...]:
    """A movie, which may be a folder as an OME-Zarr is, or the frames of a folder."""
    return tuple(frames_in(path)) if path.is_dir() and not is_container(path) else (path,)


def _open_field(
    path: Path, axes: str | None, channel: str | None, pixel_size: float | None
) -> _Field | None:
    """None where nobody says how large pixels are."""
    files = _files_of(path)
    if not files:
        return None
    picture, _ = open_transmitted(files[0], axes=axes, channel=channel)
    with picture:
        size = picture.pixel_size
        micrometres = pixel_size or (None if size is None else size.side)
        if micrometres is None:
            return None
        rows, columns = picture.shape[3:]
        return _Field(
            files=files,
            axes=axes,
            channel=channel,
            size=(rows, columns),
            micrometres=micrometres,
        )


def _places(frame: np.ndarray, pixels: float) -> np.ndarray:
    """The middles of all embryos in a frame, float [N, 2]; `pixels` is the width of one."""
    scale = pixels / _ACROSS
    grain = granularity(frame, side=round(max(frame.shape) / scale))
    found = _middles(_parted(granular_pieces(grain)))
    # The one threshold for all passes over an embryo that is less granular than the others.
    away = _distance(grain.shape, found) / _ACROSS
    fainter = fainter_pieces(grain, away < 0.5, away > _AROUND)
    found = np.concatenate([found, _middles(_parted(fainter))])
    return (found + 0.5) * scale - 0.5


def _middles(pieces: np.ndarray) -> np.ndarray:
    """Of those as large as an embryo, float [N, 2]."""
    numbers = np.arange(1, pieces.max() + 1)
    areas = np.bincount(pieces.ravel(), minlength=len(numbers) + 1)[1:]
    shares = areas / (np.pi * (_ACROSS / 2) ** 2)
    whole = (shares >= _SMALLEST) & (shares <= _LARGEST)
    found = ndimage.center_of_mass(np.ones_like(pieces), pieces, numbers[whole])
    return np.array(found).reshape(-1, 2)


def _parted(pieces: np.ndarray) -> np.ndarray:
    """Pieces too large for one embryo, cut where they are narrow; the others as they are."""
    sizes = np.bincount(pieces.ravel())
    large = np.isin(pieces, 1 + np.flatnonzero(sizes[1:] > _LARGEST * np.pi * (_ACROSS / 2) ** 2))
    if not large.any():
        return pieces
    # Holes within are no borders.
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(large))
    depth = ndimage.gaussian_filter(np.asarray(depth, np.float32), _ROUNDED)
    middles = peak_local_max(depth, min_distance=round(_APART * _ACROSS), labels=large.astype(int))
    seeds = np.zeros(pieces.shape, int)
    seeds[tuple(middles.T)] = 1 + np.arange(len(middles))
    parts = watershed(-depth, seeds, mask=large)
    return np.where(large, parts + len(sizes), pieces)


def _distance(shape: tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """From every pixel to the nearest of the places, float [y, x]; infinite where there is none."""
    away = np.full(shape, np.inf)
    for place in places:
        rows, columns = (np.arange(n) - at for n, at in zip(shape, place, strict=True))
        away = np.minimum(away, np.hypot(rows[:, None], columns))
    return away


def _nearest(middles: np.ndarray, others: np.ndarray) -> float:
    """How near two places come along both axes, in pixels."""
    return float(np.abs(middles - others).max(axis=1).min())


def _linked(seen: Sequence[np.ndarray], reach: float) -> list[dict[int, np.ndarray]]:
    """Places of one embryo by frame: each goes on with the nearest of the frames before."""
    tracks: list[dict[int, np.ndarray]] = []
    for t, places in enumerate(seen):
        last = [track[max(track)] for track in tracks]
        near = sorted(
            (float(np.hypot(*(place - other))), number, which)
            for (which, place), (number, other) in itertools.product(
                enumerate(places), enumerate(last)
            )
        )
        taken: set[int] = set()
        for away, number, which in near:
            if away <= reach and which not in taken and t not in tracks[number]:
                tracks[number][t] = places[which]
                taken.add(which)
        tracks += [{t: place} for which, place in enumerate(places) if which not in taken]
    return tracks


def _smooth(track: dict[int, np.ndarray], frames: int) -> np.ndarray:
    """Where an embryo is in every frame, float [T, 2]: in between by line, and then the median."""
    times = sorted(track)
    known = np.array([track[t] for t in times])
    every = np.stack([np.interp(np.arange(frames), times, known[:, axis]) for axis in (0, 1)], 1)
    return ndimage.median_filter(every, size=(_SMOOTHED, 1), mode="nearest")
