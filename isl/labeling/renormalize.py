"""The paper's last step: predicted images brought to the training images' mean and deviation."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from isl.labeling.label_scale import INTENSITIES
from isl.labeling.model_config import LabelStatistics

_BLOCK = 1 << 22
# An image of one value deviates by no more than its sum was rounded.
_FLAT = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renormalization:
    """What was done to one label of one statistic: v -> clip(v * scale + offset, 0, 1).

    Attributes:
        statistic: One of INTENSITIES.
        label: The label.
        mean: Of the predicted image (all time points of a movie together).
        standard_deviation: Of the same.
        scale: Training deviation over predicted deviation; 1 for an image of one value.
        offset: What brings the mean to the training mean.
    """

    statistic: str
    label: str
    mean: float
    standard_deviation: float
    scale: float
    offset: float


# Reads one label of one statistic: (statistic, t, label, rows) to float32 [y, X] in [0, 1].
Reader = Callable[[str, int, int, slice], np.ndarray]


def plan_renormalization(
    read: Reader,
    shape: tuple[int, int, int, int],
    statistics: Iterable[str],
    labels: Sequence[str],
    training: Mapping[str, LabelStatistics],
) -> tuple[Renormalization, ...]:
    """What brings each label's predicted intensities to its training mean and deviation.

    Args:
        read: Called for every row twice.
        shape: T, L, Y, X of every statistic.
        statistics: Their names; those that are no intensities are left alone.
        labels: L names.
        training: For every label.
    """
    times, _, height, width = shape
    rows = max(1, _BLOCK // width)

    def plan(statistic: str, label: int) -> Renormalization:
        def blocks() -> Iterator[np.ndarray]:
            for t, top in itertools.product(range(times), range(0, height, rows)):
                yield read(statistic, t, label, slice(top, min(top + rows, height)))

        return _plan(statistic, labels[label], blocks, training[labels[label]])

    return tuple(
        plan(statistic, label)
        for statistic in statistics
        if statistic in INTENSITIES
        for label in range(len(labels))
    )


def renormalized(image: np.ndarray, plan: Renormalization) -> np.ndarray:
    """Predicted intensities (float32, any shape) mapped and clipped to [0, 1]."""
    mapped = image * np.float32(plan.scale) + np.float32(plan.offset)
    return np.clip(mapped, 0, 1, out=mapped)


def _plan(
    statistic: str,
    label: str,
    blocks: Callable[[], Iterator[np.ndarray]],
    training: LabelStatistics,
) -> Renormalization:
    total, pixels, squares = 0.0, 0, 0.0
    for block in blocks():
        total += float(block.sum(dtype=np.float64))
        pixels += block.size
    mean = total / pixels
    for block in blocks():
        centered = block.astype(np.float64) - mean
        squares += float(np.vdot(centered, centered))
    deviation = math.sqrt(squares / pixels)
    scale = training.standard_deviation / deviation if deviation > _FLAT else 1.0
    return Renormalization(
        statistic=statistic,
        label=label,
        mean=mean,
        standard_deviation=deviation,
        scale=scale,
        offset=training.mean - mean * scale,
    )
