"""How a phantom embryo develops: eight blastomeres that compact, and caps on those that polarize.

Nothing here is a picture. A development is drawn once an embryo; `blastomeres_at` says where its
cells are in one frame, in micrometres from the middle of the field.
"""

import dataclasses

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
    rotations: np.ndarray
    centers: np.ndarray

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
        """The first frame whose smallest inter-blastomere angle is over 120 degrees, or None."""
        for t in range(self.frames):
            if smallest_angle(blastomeres_at(self, t)) > COMPACTED:
                return t
        return None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Blastomeres:
    """The cells of one frame: balls that flatten against each other where they overlap.

    Attributes:
        middle: float64 [3], (z, y, x) of the embryo's middle, um, from the middle of the field.
        centers: float64 [8, 3], (z, y, x), um, likewise.
        radii: float64 [8], um.
        cap_axes: float64 [8, 3], unit vectors from a cell's center to the middle of its cap.
        cap_angles: float64 [8], half opening of the cap seen from the cell's center, radians;
            0: no cap.
        compactness: float64 in [0, 1], how far compaction has gone.
    """

    middle: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    cap_axes: np.ndarray
    cap_angles: np.ndarray
    compactness: float


def draw_development(
    frames: int, rng: np.random.Generator, *, never: float, early: float
) -> Development:
    """A random embryo, whose recording begins at a random moment of its development.

    Compaction is drawn alike whether or not the embryo polarizes, so it is a hint, not the answer.

    Args:
        frames: Number of frames.
        rng: Source of chance.
        never: Chance that no cell ever polarizes.
        early: The onset is drawn evenly from the recording and the time before it, which is this
            share of the recording; an embryo whose onset falls there is polarized from frame 0 on.
    """
    onset = rng.integers(-round(early * frames), frames)
    intervals = np.floor(rng.exponential(_CAP_INTERVAL, CELLS - 1)).cumsum()
    cap_times = rng.permutation(onset + np.concatenate([[0], intervals]))
    compaction = onset - _COMPACTION_BEFORE_ONSET + rng.normal(0, _COMPACTION_SPREAD)
    if rng.uniform() < never:
        cap_times = np.full(CELLS, np.inf)
    return Development(
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
        rotations=_turning(frames, rng),
        centers=_drifting(frames, rng),
    )


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
    # In units of the cells' mean radius, which follows from the volume.
    centers = directions * (ratio * development.distances)[:, None]
    unit = development.radius * (4 / 3 * np.pi / _volume(centers, development.sizes)) ** (1 / 3)
    axes = directions + development.cap_tilts @ development.rotations[t].T
    age = t - development.cap_times
    grown = 1 - np.exp(-np.maximum(age, 0) / _CAP_GROWTH)
    angles = np.where(age >= 0, _SMALLEST_CAP + (_WIDEST_CAP - _SMALLEST_CAP) * grown, 0.0)
    return Blastomeres(
        middle=development.centers[t],
        centers=development.centers[t] + unit * centers,
        radii=unit * development.sizes,
        cap_axes=axes / np.linalg.norm(axes, axis=-1, keepdims=True),
        cap_angles=angles,
        compactness=float(progress.mean()),
    )


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
    meeting = np.zeros((CELLS, CELLS), bool)
    for corners in scipy.spatial.ConvexHull(outward).simplices:
        meeting[np.ix_(corners, corners)] = True
    return float(angles[np.triu(meeting & (apart < _NEIGHBORS), 1)].min())
