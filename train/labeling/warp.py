"""Smooth changes of shape, drawn for each crop: another angle, another scale, elastic bending."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from isl.tiling.plan import reflected

Look = Callable[[Any, Any], np.ndarray]
"""Gives part of an image [Y, X, ...] by its rows and columns: slices, or whole numbers."""

_KNOTS_EVERY = 32
_TINY = 1e-6
# Bending blurs a little; what is not bent shows images as they are predicted.
_CHANCE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Warp:
    """Where the pixels of a crop lie in the field, relative to the crop's centre.

    Attributes:
        matrix: float [2, 2], turns and scales offsets from the centre.
        elastic: Deviation of the bending, in pixels.
    """

    matrix: np.ndarray
    elastic: float

    def offsets(self, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where pixels at offsets `along` [N] from the centre on both axes lie: [2, N, N].

        Every call draws another bending from `rng`.
        """
        rows, columns = np.meshgrid(along, along, indexing="ij")
        moved = np.tensordot(self.matrix, np.stack([rows, columns]), axes=1)
        if not self.elastic:
            return moved
        count = len(along)
        knots = -(-count // _KNOTS_EVERY) + 3
        bending = rng.normal(0, self.elastic, (2, knots, knots))
        at = np.arange(count) / _KNOTS_EVERY + 1
        places = np.meshgrid(at, at, indexing="ij")
        return moved + np.stack([ndimage.map_coordinates(axis, places) for axis in bending])


def draw_warp(
    rng: np.random.Generator,
    *,
    turn: float,
    zoom: float,
    elastic: float,
    mirror_axis: float | None = None,
) -> Warp | None:
    """A warp, with chance 0.5 where one was asked for; see `AugmentConfig` beside."""
    asked = turn or zoom or elastic or mirror_axis is not None
    if not asked or rng.random() < _CHANCE:
        return None
    angle = np.deg2rad(rng.uniform(-turn, turn))
    scale = np.exp(rng.normal(0, zoom)) if zoom else 1.0
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    if mirror_axis is not None and rng.random() < _CHANCE:
        twice = 2 * np.deg2rad(mirror_axis)
        across = np.array([[np.cos(twice), np.sin(twice)], [np.sin(twice), -np.cos(twice)]])
        matrix = across @ matrix
    return Warp(matrix=matrix, elastic=elastic)


def sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values of float [Y, X, C] at places [2, N, M], reflected beyond its borders."""
    return _blended(lambda rows, columns: image[rows, columns], image.shape, places)


def _blended(look: Look, shape: Sequence[int], places: np.ndarray) -> np.ndarray:
    """Bilinear values of what is seen at rows and columns of an image of this shape."""
    low = np.floor(places).astype(int)
    down, right = (places - low).astype(np.float32)[..., None]
    rows, columns = (
        [reflected(low[axis] + step, shape[axis]) for step in (0, 1)] for axis in (0, 1)
    )
    above = (1 - right) * look(rows[0], columns[0]) + right * look(rows[0], columns[1])
    below = (1 - right) * look(rows[1], columns[0]) + right * look(rows[1], columns[1])
    return (1 - down) * above + down * below


def sampled_where(
    image: np.ndarray, measured: Look, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same of what was measured alone, and where the nearest pixel was.

    Args:
        image: float [Y, X, C].
        measured: Gives, by rows and columns, part of a bool [Y, X, C].
        places: float [2, N, M].

    Returns:
        float [N, M, C], of neighbours that were measured, and bool [N, M, C].
    """
    # Of neighbours alone: a field may be large, and lie in a file.
    shares = _blended(lambda *at: measured(*at).astype(np.float32), image.shape, places)
    values = _blended(
        lambda *at: np.where(measured(*at), image[at], np.float32(0)), image.shape, places
    )
    return values / np.maximum(shares, _TINY), _nearest(measured, image.shape, places)


def nearest(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A mask [Y, X, ...] at the pixels nearest to places [2, N, M], reflected beyond borders."""
    return _nearest(lambda rows, columns: mask[rows, columns], mask.shape, places)


def _nearest(look: Look, shape: Sequence[int], places: np.ndarray) -> np.ndarray:
    """What is seen there of an image of this shape."""
    rows, columns = (
        reflected(np.rint(place).astype(int), size)
        for place, size in zip(places, shape, strict=False)
    )
    return look(rows, columns)
