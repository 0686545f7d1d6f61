"""What is measured of every object of one image: place, shape, intensities, neighbours, certainty.

A predicted pixel is a distribution. Where its mean and deviation are known, a pixel is foreground
with the probability that a normal distribution of these lies above the threshold by which objects
were found; from that follow each object's certainty and the range of its area.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy.spatial import KDTree
from scipy.special import ndtr
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels

from isl.imaging.nuclei import ForegroundLevel, foreground_level

# A pixel counts towards the least area from the first probability on, the greatest from the second.
_SURELY, _PERHAPS = 0.95, 0.05
# Two centres are neighbours within this many typical diameters, where no reach is given.
_NEIGHBOUR_DIAMETERS = 2.5

_SHAPE = {
    "label": "cell",
    "centroid-0": "y",
    "centroid-1": "x",
    "bbox-0": "top",
    "bbox-1": "left",
    "bbox-2": "bottom",
    "bbox-3": "right",
    "area": "area",
    "equivalent_diameter_area": "diameter",
    "perimeter": "perimeter",
    "axis_major_length": "major_axis",
    "axis_minor_length": "minor_axis",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "orientation": "orientation",
}
_PROPERTIES = tuple(dict.fromkeys(name.split("-")[0] for name in _SHAPE))

Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One image in which objects are measured.

    Attributes:
        intensities: By label, float32 [Y, X] in [0, 1].
        deviations: By label, the predicted deviation of every pixel; {} where it is not known.
        further: By (label, statistic), other predicted images, such as the entropy.
    """

    intensities: Mapping[str, np.ndarray]
    deviations: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    further: Mapping[tuple[str, str], np.ndarray] = dataclasses.field(default_factory=dict)


def measure_objects(
    labels: np.ndarray,
    frame: Frame,
    *,
    nuclei: str,
    dead: str | None = None,
    ring: int = 0,
    reach: float | None = None,
) -> Columns:
    """Measures every object; lengths are in pixels.

    Args:
        labels: int [Y, X], 0 background.
        frame: Images of that size.
        nuclei: The label by which objects were found, whose foreground says how certain they are.
        dead: The label that marks dead cells, if there is one.
        ring: Width of a ring around each object in which labels are measured too; 0: none.
        reach: Centres within so many pixels are neighbours; None: 2.5 median diameters.

    Returns:
        Columns [N], an entry an object, in the order of their numbers. `border` is whether an
        object touches the image's edge, `touching` how many others it touches; `LABEL` is the mean
        intensity, `LABEL_spread` its deviation over the object's pixels, `LABEL_uncertainty` the
        mean predicted deviation: what the mean errs by where pixels err alike. `certainty` is the
        share of the object's pixels that is expected to be foreground; `area_low` and `area_high`
        the area of what is foreground with 95 % and 5 % probability, in the object and beside it.
    """
    columns = _shapes(labels)
    numbers = columns["cell"]
    columns["border"] = (
        (columns["top"] == 0)
        | (columns["left"] == 0)
        | (columns["bottom"] == labels.shape[0])
        | (columns["right"] == labels.shape[1])
    )
    columns |= _neighbours(labels, columns, reach)
    pixels = _Pixels(labels, numbers)
    around = None
    if ring:
        around = _Pixels(np.where(labels > 0, 0, expand_labels(labels, ring)), numbers)
    for label, image in frame.intensities.items():
        columns[label] = pixels.mean(image)
        columns[f"{label}_spread"] = pixels.deviation(image)
        if around is not None:
            columns[f"{label}_ring"] = around.mean(image)
        if label in frame.deviations:
            columns[f"{label}_uncertainty"] = pixels.mean(frame.deviations[label])
    for (label, statistic), image in frame.further.items():
        columns[f"{label}_{statistic}"] = pixels.mean(image)
    columns |= _certainty(labels, frame, pixels, nuclei, columns["diameter"])
    if dead is not None:
        columns |= _state(frame, pixels, dead)
    return columns


def foreground_probability(
    level: ForegroundLevel, deviation: np.ndarray, threshold: float | None = None
) -> np.ndarray:
    """How likely each pixel lies above a threshold, float64 [Y, X].

    Args:
        level: Of the predicted intensities.
        deviation: Predicted, of every pixel.
        threshold: None: the level's own.
    """
    above = level.smooth - (level.threshold if threshold is None else threshold)
    return ndtr(above / np.maximum(deviation, 1e-6))


class _Pixels:
    """Sums over the pixels of every object."""

    def __init__(self, labels: np.ndarray, numbers: np.ndarray) -> None:
        self._flat = labels.ravel()
        self._numbers = numbers
        self._length = int(numbers.max(initial=0)) + 1
        self.counts = self._summed(None)

    def _summed(self, weights: np.ndarray | None) -> np.ndarray:
        flat = None if weights is None else weights.ravel()
        return np.bincount(self._flat, flat, minlength=self._length)[self._numbers]

    def sum(self, image: np.ndarray) -> np.ndarray:
        return self._summed(image)

    def mean(self, image: np.ndarray) -> np.ndarray:
        """Nan where an object has no pixel, such as a ring within a clump."""
        sums = self._summed(image)
        return np.divide(sums, self.counts, out=np.full(len(sums), np.nan), where=self.counts > 0)

    def deviation(self, image: np.ndarray) -> np.ndarray:
        image = image.astype(np.float64)
        return np.sqrt(np.maximum(self.mean(image**2) - self.mean(image) ** 2, 0))


def _shapes(labels: np.ndarray) -> Columns:
    if not labels.any():
        return {
            name: np.zeros(0, int if name in ("cell", "top", "left", "bottom", "right") else float)
            for name in _SHAPE.values()
        }
    found = regionprops_table(labels, properties=_PROPERTIES)
    return {name: np.asarray(found[key]) for key, name in _SHAPE.items()}


def _neighbours(labels: np.ndarray, columns: Columns, reach: float | None) -> Columns:
    count = len(columns["cell"])
    nearest, near = np.full(count, np.nan), np.zeros(count, int)
    if count > 1:
        centers = np.stack([columns["y"], columns["x"]], axis=1)
        tree = KDTree(centers)
        nearest = tree.query(centers, k=2)[0][:, 1]
        within = reach or _NEIGHBOUR_DIAMETERS * float(np.median(columns["diameter"]))
        near = np.asarray(tree.query_ball_point(centers, within, return_length=True)) - 1
    return {"nearest": nearest, "neighbours": near, "touching": _touching(labels, columns["cell"])}


def _touching(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """How many other objects each shares an edge of a pixel with."""
    pairs = []
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        meet = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.sort(np.stack([one[meet], other[meet]], axis=1), axis=1))
    unique = np.unique(np.concatenate(pairs), axis=0)
    length = int(numbers.max(initial=0)) + 1
    return np.bincount(unique.ravel(), minlength=length)[numbers]


def _certainty(
    labels: np.ndarray, frame: Frame, pixels: _Pixels, nuclei: str, diameters: np.ndarray
) -> Columns:
    """Nothing where the prediction has no deviation, or nothing stands out of it."""
    if nuclei not in frame.deviations:
        return {}
    empty = np.full(len(pixels.counts), np.nan)
    level = foreground_level(frame.intensities[nuclei])
    if level is None or not len(diameters):
        return {"certainty": empty, "area_low": empty, "area_high": empty}
    likely = foreground_probability(level, frame.deviations[nuclei])
    near = expand_labels(labels, round(float(np.median(diameters)) / 2))
    zones = _Pixels(near, np.unique(labels[labels > 0]))
    return {
        "certainty": pixels.mean(likely),
        "area_low": zones.sum(likely >= _SURELY),
        "area_high": zones.sum(likely >= _PERHAPS),
    }


def _state(frame: Frame, pixels: _Pixels, dead: str) -> Columns:
    """Dead where the label for it lies above its own threshold in half of the object or more."""
    image = frame.intensities[dead]
    level = foreground_level(image)
    if level is None:
        share = np.zeros(len(pixels.counts))
        columns = {"dead": share > 0, "dead_share": share}
        return columns
    share = pixels.mean(level.smooth > level.threshold)
    columns = {"dead": share >= 0.5, "dead_share": share}
    if dead in frame.deviations:
        likely = foreground_probability(level, frame.deviations[dead])
        columns["dead_probability"] = pixels.mean(likely)
    return columns
