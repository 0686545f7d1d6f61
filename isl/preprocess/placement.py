"""Where a field's tiles lie: stage 6 up to the canvas, once for all planes and channels."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout import RawField
from isl.preprocess.neighbours import neighbouring
from isl.preprocess.offsets import Offset, measure_offset
from isl.preprocess.springs import Link, Placement, solve_positions
from isl.preprocess.tiles import CorrectedTiles
from isl.preprocess.workers import Workers

# Pixels of the result that neighbors share, at least: what is narrower holds too little.
LEAST_OVERLAP = 16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Where the tiles of a field lie.

    Attributes:
        nominal: float64 [n, 2], where they should, in pixels of the result.
        links: What neighbours say of each other.
        placement: Where they are.
        compared: Channel and plane whose pictures were compared.
    """

    nominal: np.ndarray
    links: tuple[Link, ...]
    placement: Placement
    compared: tuple[str, int]


def place_tiles(
    field: RawField,
    tiles: Mapping[str, CorrectedTiles],
    config: PreprocessConfig,
    workers: Workers,
) -> Placed:
    """Measures how neighbours lie to each other and finds the positions that agree best.

    Raises:
        InputError: The channel or plane to compare is not there, or no neighbours overlap.
    """
    factor = config.factor
    nominal = np.array([tile.position for tile in field.tiles], np.float64) / factor
    size = (field.size[0] // factor, field.size[1] // factor)
    channel, plane = _compared(field, config)
    search = max(2, round(config.stitching.search / factor))
    least = min(LEAST_OVERLAP, *size)
    pairs = neighbouring(nominal, size, least_overlap=least) if len(nominal) > 1 else ()
    if len(nominal) > 1 and not pairs:
        raise InputError(
            f"field '{field.name}': no tiles overlap by {least * factor} pixels where the layout "
            "puts them; check layout.overlap, or leave the stage stitching out of 'stages'"
        )
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
    return Placed(
        nominal=nominal,
        links=links,
        placement=solve_positions(len(nominal), links, nominal),
        compared=(channel, plane),
    )


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
    first, second = (scratch.load(files[tile], plane=plane) for tile in pair)
    expected = nominal[pair[1]] - nominal[pair[0]]
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
