"""Sizes of the nuclei of living and dead cells (paper, Live versus dead cell nuclear size)."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

from isl.data.points import Points
from isl.imaging.image import PixelSize

from .object_matching import SizeTest, compare_sizes

REACH = 4.5
"""Micrometres from a nucleus' centre within which a marked point makes it a dead one's."""
State = Literal["live", "dead"]
STATES: tuple[State, ...] = ("live", "dead")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LiveDead:
    """Nuclei of one image, or of several together, by state.

    Attributes:
        live: float64 [N], radii of a circle of the same area, micrometres.
        dead: float64 [M], as `live`.
        test: Kolmogorov-Smirnov, live against dead.
        points: How many points were marked.
        met: How many of these lie within reach of a nucleus' centre.
    """

    live: np.ndarray
    dead: np.ndarray
    test: SizeTest
    points: int
    met: int


def live_and_dead(
    labels: np.ndarray,
    marked: Points,
    pixel_size: PixelSize,
    *,
    state: State = "dead",
    reach: float = REACH,
) -> LiveDead:
    """Divides nuclei by points marked as dead cells, or as live ones.

    Run it with the nuclei of the true image and with those of the predicted one, with the same
    points; `compare_sizes` of the radii says whether prediction changes them.

    Args:
        labels: int [Y, X], 0 background.
        marked: Where cells were marked, pixels.
        pixel_size: Micrometres.
        state: What the marked cells are; all others are the other.
        reach: Of a marked point, micrometres.
    """
    table = regionprops_table(labels, properties=("centroid", "area"))
    scale = np.array([pixel_size.y, pixel_size.x])
    centers = np.stack([table["centroid-0"], table["centroid-1"]], axis=1) * scale
    radii = np.sqrt(table["area"] * pixel_size.y * pixel_size.x / np.pi)
    places = marked.yx * scale
    near = _within(reach, centers, places)
    of_state = {"live": radii[near if state == "live" else ~near]}
    of_state["dead"] = radii[near if state == "dead" else ~near]
    return _tested(**of_state, points=len(places), met=int(_within(reach, places, centers).sum()))


def together(parts: Sequence[LiveDead]) -> LiveDead:
    """The nuclei of several images as one sample."""
    live, dead = (np.concatenate([getattr(part, state) for part in parts]) for state in STATES)
    points, met = (sum(getattr(part, name) for part in parts) for name in ("points", "met"))
    return _tested(live=live, dead=dead, points=points, met=met)


def _tested(*, live: np.ndarray, dead: np.ndarray, points: int, met: int) -> LiveDead:
    return LiveDead(live=live, dead=dead, test=compare_sizes(live, dead), points=points, met=met)


def _within(reach: float, places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of N places [N, 2] have one of M others within reach, bool [N]."""
    if not len(others) or not len(places):
        return np.zeros(len(places), bool)
    return KDTree(others).query(places)[0] <= reach
