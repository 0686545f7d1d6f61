"""Where a field's tiles lie: stage 6 up to the canvas, once for all planes and channels."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout.fields import RawField
from isl.preprocess.record import MeasuredLink, PlacedTile
from isl.preprocess.stages.neighbours import neighbouring
from isl.preprocess.stages.offsets import Offset, measure_offset
from isl.preprocess.stages.orientation import Orientation, fitting_orientation
from isl.preprocess.stages.springs import Link, Placement, solve_positions
from isl.preprocess.tiles import CorrectedTiles
from isl.workers import Workers

# Pixels of the result that neighbors share, at least: what is narrower holds too little.
LEAST_OVERLAP = 16
# Of a field of whose links fewer can be trusted the other orientations of the stage are tried.
_WELL_PLACED = 0.75
# Tiles are tried in so many other tiles' places.
_MOST_TRIED = 200


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Where the tiles of a field lie.

    Attributes:
        nominal: float64 [n, 2], where they should, in pixels of the result.
        links: What neighbours say of each other.
        placement: Where they are.
        fitting: The orientation of the stage that they fit in, where it is not the stated one.
        exchanged: A tile that fits no neighbour but those of another such tile, and that one.
    """

    nominal: np.ndarray
    links: tuple[Link, ...]
    placement: Placement
    fitting: Orientation | None = None
    exchanged: tuple[int, int] | None = None

    def tiles(self, field: RawField) -> tuple[PlacedTile, ...]:
        """For the field's record."""
        nominal = self.nominal - self.nominal.min(axis=0)
        return tuple(
            PlacedTile(
                name=tile.name,
                nominal=_pair(nominal[number]),
                position=_pair(self.placement.positions[number]),
                anchored=number in self.placement.anchored,
            )
            for number, tile in enumerate(field.tiles)
        )

    def doubted_direction(self) -> str | None:
        """Rows or columns whose tiles fit none of their neighbours, though those across do.

        That is what a stage that runs against the image looks like; None where there is none.
        """
        steps = np.array([self.nominal[link.j] - self.nominal[link.i] for link in self.links])
        if not len(steps):
            return None
        along_rows = np.abs(steps[:, 1]) > np.abs(steps[:, 0])
        trusted = self.placement.trusted
        for name, there in (("rows", ~along_rows), ("columns", along_rows)):
            if there.sum() > 1 and not trusted[there].any() and trusted[~there].any():
                return name
        return None

    def measured_links(self) -> tuple[MeasuredLink, ...]:
        """For the field's record."""
        found = zip(self.links, self.placement.residuals, self.placement.trusted, strict=True)
        return tuple(
            MeasuredLink(
                tiles=(link.i, link.j),
                offset=_pair(link.offset),
                confidence=float(link.confidence),
                residual=float(residual),
                trusted=bool(trusted),
            )
            for link, residual, trusted in found
        )


def _pair(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def check_placing(field: RawField, config: PreprocessConfig) -> None:
    """What can be known of a field's placing before any pixel is read.

    Raises:
        InputError: The channel or plane to compare is not there, or no tiles overlap.
    """
    if len(field.tiles) > 1:
        _compared(field, config)
        _pairs(field, config)


def place_tiles(
    field: RawField,
    tiles: Mapping[str, CorrectedTiles],
    config: PreprocessConfig,
    workers: Workers,
) -> Placed:
    """Measures how neighbours lie to each other and finds the positions that agree best.

    Raises:
        InputError: The channel or plane to compare is not there, or no tiles overlap.
    """
    nominal = _nominal(field, config)
    if len(field.tiles) == 1:
        return Placed(nominal=nominal, links=(), placement=solve_positions(1, (), nominal))
    channel, plane = _compared(field, config)
    pairs = _pairs(field, config)
    search = max(2, round(config.stitching.search / config.factor))
    one = functools.partial(
        _measure,
        files=tiles[channel].files,
        plane=plane,
        nominal=nominal,
        search=search,
    )
    links = tuple(
        Link(i=i, j=j, offset=(offset.y, offset.x), confidence=_believed(offset, config))
        for (i, j), offset in zip(pairs, workers.map(one, pairs), strict=True)
    )
    placement = solve_positions(len(nominal), links, nominal)
    fitting = exchanged = None
    if placement.trusted.mean() < _WELL_PLACED:

        def fits(pair: tuple[int, int], offset: np.ndarray) -> bool:
            files = tiles[channel].files
            found = _offset(pair, offset, files=files, plane=plane, search=search)
            return _believed(found, config) > 0

        fitting = fitting_orientation(
            nominal,
            scaled_size(field, config),
            fits,
            least_overlap=min(LEAST_OVERLAP, *scaled_size(field, config)),
        )
        if fitting is None:
            exchanged = _exchanged(placement.anchored, pairs, nominal, fits)
    return Placed(
        nominal=nominal, links=links, placement=placement, fitting=fitting, exchanged=exchanged
    )


def _exchanged(
    anchored: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    nominal: np.ndarray,
    fits: Callable[[tuple[int, int], np.ndarray], bool],
) -> tuple[int, int] | None:
    """A tile that fits no neighbour where it lies, and another whose neighbours it all fits.

    That is what tiles look like whose numbers run over the grid in another order than is said.
    """
    for tile, place in itertools.islice(itertools.permutations(anchored, 2), _MOST_TRIED):
        around = [i + j - place for i, j in pairs if place in (i, j)]
        known = [other for other in around if other not in anchored]
        if known and all(fits((other, tile), nominal[place] - nominal[other]) for other in known):
            return tile, place
    return None


def _nominal(field: RawField, config: PreprocessConfig) -> np.ndarray:
    return np.array([tile.position for tile in field.tiles], np.float64) / config.factor


def _pairs(field: RawField, config: PreprocessConfig) -> tuple[tuple[int, int], ...]:
    """Neighbours, which overlap by enough to be compared."""
    size = scaled_size(field, config)
    least = min(LEAST_OVERLAP, *size)
    pairs = neighbouring(_nominal(field, config), size, least_overlap=least)
    if not pairs:
        raise InputError(
            f"field '{field.name}': no tiles overlap by {least * config.factor} pixels where the "
            "layout puts them; check layout.overlap, or leave the stage stitching out of 'stages'"
        )
    return pairs


def scaled_size(field: RawField, config: PreprocessConfig) -> tuple[int, int]:
    """Y, X of a tile after stage 3."""
    return field.size[0] // config.factor, field.size[1] // config.factor


def _compared(field: RawField, config: PreprocessConfig) -> tuple[str, int]:
    channel = config.stitching.channel or config.transmitted
    if channel not in field.planes:
        raise InputError(
            f"field '{field.name}': has no channel '{channel}' to compare tiles by; set "
            "stitching.channel"
        )
    planes = field.planes[channel]
    plane = planes // 2 if config.stitching.plane is None else config.stitching.plane
    if plane >= planes:
        raise InputError(
            f"field '{field.name}': stitching.plane is {plane}, but '{channel}' has {planes} "
            "planes, counted from 0"
        )
    return channel, plane


def _measure(
    pair: tuple[int, int],
    *,
    files: Sequence[Path],
    plane: int,
    nominal: np.ndarray,
    search: int,
) -> Offset:
    expected = nominal[pair[1]] - nominal[pair[0]]
    return _offset(pair, expected, files=files, plane=plane, search=search)


def _offset(
    pair: tuple[int, int], expected: np.ndarray, *, files: Sequence[Path], plane: int, search: int
) -> Offset:
    first, second = (scratch.load(files[tile], plane=plane) for tile in pair)
    return measure_offset(
        first,
        second,
        (float(expected[0]), float(expected[1])),
        search=search,
        least_overlap=LEAST_OVERLAP,
    )


def _believed(offset: Offset, config: PreprocessConfig) -> float:
    believed = offset.confidence >= config.stitching.least_confidence
    return offset.confidence if believed else 0.0
