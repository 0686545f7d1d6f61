"""How a phantom embryo develops: eight blastomeres that compact, and caps on those that polarize.

A recording may begin before the last of the eight cells are there, and go on until they divide.

Nothing here is a picture. A development is drawn once an embryo; `blastomeres_at` says where its
cells are in one frame, in micrometres from the middle of the field.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.spatial

CELLS = 8
COMPACTED = 120.0
"""Smallest inter-blastomere angle, in degrees, over which an embryo counts as compacted (Shen et
al., Sci Rep 12:2404, 2022, supplementary figure 4)."""

# Spread between the moment an embryo compacts and the one it polarizes, and their usual distance.
_COMPACTION_BEFORE_ONSET, _COMPACTION_SPREAD = 1.0, 5.0
_CAP_INTERVAL = 2.0
_SMALLEST_CAP, _WIDEST_CAP, _CAP_GROWTH = 0.35, 0.75, 3.0
# Cells further apart than this, seen from the embryo's middle, do not meet on its outline.
_NEIGHBORS = np.deg2rad(95)
# Two by two the eight cells are sisters: their mothers form something like a tetrahedron.
_SISTERS = ((0, 2), (4, 6), (1, 3), (5, 7))
_DIVISION_INTERVAL = 1.0
_EARLIEST_STAGE, _LATEST_STAGE = 0.25, 0.75
# Distance of two daughters, in radii of their mother.
_APART = 1.1
_DRIFT, _FARTHEST = 0.7, 8.0
_TURN = np.deg2rad(2)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Development:
    """What will happen to one embryo; times are in frames of its recording, from 0.

    Attributes:
        frames: Number of frames T.
        cap_times: float64 [8], when each cell's cap appears, in whole frames; below 0: before the
            recording begins; inf: it never does.
        compaction_times: float64 [8], when each cell is half way in.
        compaction_pace: Scale of the logistic course of compaction, frames.
        looseness: Distance of the cells from the embryo's middle as a share of their radius,
            before compaction and after it.
        radius: Of the sphere that holds the cells' volume, um.
        directions: float64 [8, 3], unit vectors (z, y, x) from the embryo's middle to the cells'.
        distances: float64 [8], relative distances from the middle, about 1.
        sizes: float64 [8], relative radii, about 1.
        cap_tilts: float64 [8, 3], how far the middle of each cap lies off the outward direction.
        births: float64 [8], the first frame with each cell, whose mother is there before it; below
            0: it is there when the recording begins.
        divisions: float64 [8], the first frame with each cell's two daughters; inf: it never
            divides.
        rotations: float64 [T, 3, 3], the embryo's turning.
        centers: float64 [T, 3], (z, y, x) of the embryo's middle, um.
    """

    frames: int
    cap_times: np.ndarray
    compaction_times: np.ndarray
    compaction_pace: float
    looseness: tuple[float, float]
    radius: float
    directions: np.ndarray
    distances: np.ndarray
    sizes: np.ndarray
    cap_tilts: np.ndarray
    births: np.ndarray
    divisions: np.ndarray
    rotations: np.ndarray
    centers: np.ndarray

    @property
    def stage(self) -> range:
        """The frames in which the embryo has eight cells."""
        first, last = max(0, self.births.max()), min(self.frames, self.divisions.min())
        return range(int(first), int(last))

    @property
    def onset(self) -> int | None:
        """The first frame that shows a cap; None: no frame does."""
        first = self.cap_times.min()
        return max(0, int(first)) if first < self.frames else None

    @property
    def polarized_before(self) -> bool:
        """Whether the first cap appeared before the recording began."""
        return bool(self.cap_times.min() < 0)

    @property
    def cap_onsets(self) -> tuple[int | None, ...]:
        """For each cell the first frame that shows its cap; None: no frame does."""
        return tuple(max(0, int(t)) if t < self.frames else None for t in self.cap_times)

    @property
    def compaction(self) -> int | None:
        """The first frame of the stage whose smallest angle between cells is over 120 degrees."""
        for t in self.stage:
            if smallest_angle(blastomeres_at(self, t)) > COMPACTED:
                return t
        return None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Blastomeres:
    """The N cells of one frame: balls that flatten against each other where they overlap.

    Attributes:
        middle: float64 [3], (z, y, x) of the embryo's middle, um, from the middle of the field.
        centers: float64 [N, 3], (z, y, x), um, likewise.
        radii: float64 [N], um.
        lineage: intp [N], which of the eight each cell is, or is a daughter or the mother of.
        cap_axes: float64 [N, 3], unit vectors from a cell's center to the middle of its cap.
        cap_angles: float64 [N], half opening of the cap seen from the cell's center, radians;
            0: no cap.
        compactness: float64 in [0, 1], how far compaction has gone.
    """

    middle: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    lineage: np.ndarray
    cap_axes: np.ndarray
    cap_angles: np.ndarray
    compactness: float


def draw_development(
    frames: int, rng: np.random.Generator, *, never: float, early: float, divisions: float
) -> Development:
    """A random embryo, whose recording begins at a random moment of its development.

    Compaction is drawn alike whether or not the embryo polarizes, so it is a hint, not the answer.

    Args:
        frames: Number of frames.
        rng: Source of chance.
        never: Chance that no cell ever polarizes.
        early: The onset is drawn evenly from the recording and the time before it, which is this
            share of the recording; an embryo whose onset falls there is polarized from frame 0 on.
        divisions: Chance that the recording shows how the eight cells came to be, and as much that
            it shows how they divide.
    """
    onset = rng.integers(-round(early * frames), frames)
    intervals = np.floor(rng.exponential(_CAP_INTERVAL, CELLS - 1)).cumsum()
    cap_times = rng.permutation(onset + np.concatenate([[0], intervals]))
    compaction = onset - _COMPACTION_BEFORE_ONSET + rng.normal(0, _COMPACTION_SPREAD)
    if rng.uniform() < never:
        cap_times = np.full(CELLS, np.inf)
    drawn = Development(
        frames=frames,
        cap_times=cap_times,
        compaction_times=compaction + rng.normal(0, 0.7, CELLS),
        compaction_pace=float(rng.uniform(0.6, 1.6)),
        looseness=(float(rng.uniform(1.3, 1.45)), float(rng.uniform(0.4, 0.55))),
        radius=float(rng.uniform(32, 36)),
        directions=_arrangement(rng),
        distances=rng.normal(1, 0.05, CELLS),
        sizes=rng.normal(1, 0.05, CELLS),
        cap_tilts=rng.normal(0, 0.12, (CELLS, 3)),
        births=np.full(CELLS, -np.inf),
        divisions=np.full(CELLS, np.inf),
        rotations=_turning(frames, rng),
        centers=_drifting(frames, rng),
    )
    return dataclasses.replace(
        drawn,
        births=_births(drawn, divisions, rng),
        divisions=_divisions(drawn, divisions, rng),
    )


def _births(drawn: Development, chance: float, rng: np.random.Generator) -> np.ndarray:
    """When cells come to be, float64 [8]: in the first quarter, and before the first cap."""
    latest = int(min(_EARLIEST_STAGE * drawn.frames, drawn.cap_times.min() - 1))
    if rng.uniform() >= chance or latest < 1:
        return drawn.births
    earlier = np.floor(rng.exponential(_DIVISION_INTERVAL, len(_SISTERS)))
    earlier[rng.integers(len(_SISTERS))] = 0
    births = np.empty(CELLS)
    births[np.array(_SISTERS)] = (rng.integers(1, latest + 1) - earlier)[:, None]
    return births


def _divisions(drawn: Development, chance: float, rng: np.random.Generator) -> np.ndarray:
    """When cells divide, float64 [8]: in the last quarter, and after the first cap."""
    first = rng.integers(int(_LATEST_STAGE * drawn.frames), drawn.frames + 1)
    if drawn.onset is not None:
        first = max(first, drawn.onset + 1)
    later = np.floor(rng.exponential(_DIVISION_INTERVAL, CELLS))
    return first + later if rng.uniform() < chance else drawn.divisions


def _arrangement(rng: np.random.Generator) -> np.ndarray:
    """Two squares of cells, one above the other and turned by 45 degrees, none quite in place."""
    turn = np.arange(CELLS) * np.pi / 4
    height = np.where(np.arange(CELLS) % 2, 1, -1) * np.sqrt(0.2612)
    lateral = np.sqrt(1 - height**2)
    places = np.stack([height, lateral * np.sin(turn), lateral * np.cos(turn)], axis=-1)
    places += rng.normal(0, 0.12, places.shape)
    return places / np.linalg.norm(places, axis=-1, keepdims=True)


def _turning(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Any orientation at first, then small turns, float64 [T, 3, 3]."""
    first = scipy.spatial.transform.Rotation.from_quat(rng.standard_normal(4))
    steps = rng.normal(0, _TURN, (frames, 3))
    return (scipy.spatial.transform.Rotation.from_rotvec(steps.cumsum(axis=0)) * first).as_matrix()


def _drifting(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A walk about the middle of the field, float64 [T, 3]; little of it along the axis."""
    steps = rng.normal(0, _DRIFT, (frames, 3))
    steps[0] = rng.uniform(-_FARTHEST, _FARTHEST, 3)
    places = np.clip(steps.cumsum(axis=0), -_FARTHEST, _FARTHEST)
    return places * [0.4, 1, 1]


def blastomeres_at(development: Development, t: int) -> Blastomeres:
    """The cells in frame `t`; their volume together is the same in every frame."""
    progress = 1 / (1 + np.exp((development.compaction_times - t) / development.compaction_pace))
    loose, tight = development.looseness
    ratio = loose + (tight - loose) * progress
    directions = development.directions @ development.rotations[t].T
    axes = directions + development.cap_tilts @ development.rotations[t].T
    age = t - development.cap_times
    grown = 1 - np.exp(-np.maximum(age, 0) / _CAP_GROWTH)
    angles = np.where(age >= 0, _SMALLEST_CAP + (_WIDEST_CAP - _SMALLEST_CAP) * grown, 0.0)
    eight = _Cells(
        # In units of the cells' mean radius, which follows from the volume.
        centers=directions * (ratio * development.distances)[:, None],
        sizes=development.sizes,
        lineage=np.arange(CELLS),
        axes=axes / np.linalg.norm(axes, axis=-1, keepdims=True),
        angles=angles,
    )
    there = _divided(_joined(eight, development.births > t), development.divisions <= t)
    unit = development.radius * (4 / 3 * np.pi / _volume(there.centers, there.sizes)) ** (1 / 3)
    return Blastomeres(
        middle=development.centers[t],
        centers=development.centers[t] + unit * there.centers,
        radii=unit * there.sizes,
        lineage=there.lineage,
        cap_axes=there.axes,
        cap_angles=there.angles,
        compactness=float(progress.mean()),
    )


class _Cells(NamedTuple):
    """Cells as in `Blastomeres`, in units of the eight cells' mean radius."""

    centers: np.ndarray
    sizes: np.ndarray
    lineage: np.ndarray
    axes: np.ndarray
    angles: np.ndarray

    def only(self, which: np.ndarray) -> "_Cells":
        """Some of them, by a mask or by index."""
        return _Cells(*(each[which] for each in self))

    def and_also(self, others: "_Cells") -> "_Cells":
        """These and others."""
        return _Cells(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


def _joined(eight: _Cells, unborn: np.ndarray) -> _Cells:
    """The mother in place of each two sisters that are `unborn`, bool [8]: their volume."""
    centers, sizes = eight.centers.copy(), eight.sizes.copy()
    kept = np.ones(CELLS, bool)
    for one, other in _SISTERS:
        if unborn[one]:
            between = centers[one] + centers[other]
            away = np.linalg.norm(centers[[one, other]], axis=-1).mean()
            centers[one] = away * between / np.linalg.norm(between)
            sizes[one] = (sizes[one] ** 3 + sizes[other] ** 3) ** (1 / 3)
            kept[other] = False
    return eight._replace(centers=centers, sizes=sizes).only(kept)


def _divided(cells: _Cells, ripe: np.ndarray) -> _Cells:
    """Two daughters, side by side, in place of each cell of those `ripe`, bool [8].

    The first inherits the cap.
    """
    dividing = ripe[cells.lineage]
    if not dividing.any():
        return cells
    mothers = cells.only(dividing)
    # Any direction along the surface; that of the next axis is as good as another.
    along = np.cross(mothers.axes, np.roll(mothers.axes, 1, axis=-1))
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    step = along * (_APART / 2 * mothers.sizes)[:, None]
    sizes = mothers.sizes / 2 ** (1 / 3)
    first = mothers._replace(centers=mothers.centers + step, sizes=sizes)
    second = mothers._replace(
        centers=mothers.centers - step, sizes=sizes, angles=np.zeros(len(sizes))
    )
    return cells.only(~dividing).and_also(first).and_also(second)


def _volume(centers: np.ndarray, radii: np.ndarray, points: int = 32) -> float:
    """Volume of the union of balls, counted on a grid of points^3."""
    reach = float((np.linalg.norm(centers, axis=-1) + radii).max())
    line = (np.arange(points) + 0.5) * (2 * reach / points) - reach
    inside = np.zeros((points,) * 3, bool)
    for center, radius in zip(centers, radii, strict=True):
        z, y, x = ((line - c) ** 2 for c in center)
        inside |= z[:, None, None] + y[:, None] + x < radius**2
    return inside.mean() * (2 * reach) ** 3


def smallest_angle(cells: Blastomeres) -> float:
    """The smallest angle, in degrees, that the outlines of two neighbors make where they meet.

    It is measured outside: 0 where two balls just touch, towards 180 when they become one.
    """
    outward = cells.centers - cells.middle
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    apart = np.arccos(np.clip(outward @ outward.T, -1, 1))
    distances = np.linalg.norm(cells.centers[:, None] - cells.centers, axis=-1)
    squares = cells.radii**2
    cosine = (distances**2 - squares[:, None] - squares) / (2 * np.outer(cells.radii, cells.radii))
    angles = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    meeting = np.zeros(angles.shape, bool)
    for corners in scipy.spatial.ConvexHull(outward).simplices:
        meeting[np.ix_(corners, corners)] = True
    return float(angles[np.triu(meeting & (apart < _NEIGHBORS), 1)].min())
