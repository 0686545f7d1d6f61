"""Sizes of the nuclei of living and dead cells (paper, Live versus dead cell nuclear size)."""

import dataclasses

import numpy as np
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

from isl.imaging.image import PixelSize

from .object_matching import SizeTest, compare_sizes
from .points import Points

REACH = 4.5
"""Micrometres from a nucleus' centre within which a marked point makes it a dead one's."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LiveDead:
    """Nuclei of one image, parted.

    Attributes:
        live: float64 [N], radii of a circle of the same area, micrometres.
        dead: float64 [M], as `live`.
        test: Kolmogorov-Smirnov, live against dead.
    """

    live: np.ndarray
    dead: np.ndarray
    test: SizeTest


def live_and_dead(
    labels: np.ndarray, dead: Points, pixel_size: PixelSize, *, reach: float = REACH
) -> LiveDead:
    """Parts nuclei by points marked as dead cells.

    Run it with the nuclei of the true image and with those of the predicted one, with the same
    points; `compare_sizes` of the radii tells whether prediction changes them.

    Args:
        labels: int [Y, X], 0 background.
        dead: Where dead cells were marked, pixels.
        pixel_size: Micrometres.
        reach: Of a marked point, micrometres.
    """
    table = regionprops_table(labels, properties=("centroid", "area"))
    scale = np.array([pixel_size.y, pixel_size.x])
    centers = np.stack([table["centroid-0"], table["centroid-1"]], axis=1) * scale
    radii = np.sqrt(table["area"] * pixel_size.y * pixel_size.x / np.pi)
    is_dead = np.zeros(radii.size, bool)
    if len(dead.yx) and radii.size:
        distance, _ = KDTree(dead.yx * scale).query(centers)
        is_dead = distance <= reach
    live_radii, dead_radii = radii[~is_dead], radii[is_dead]
    return LiveDead(live=live_radii, dead=dead_radii, test=compare_sizes(live_radii, dead_radii))
