"""The paper's last step: predicted images brought to the training images' mean and deviation."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from isl.labeling.model import LabelStatistics

# The other statistics are no intensities, so a label's brightness says nothing about them.
INTENSITIES = ("median", "mean", "mode")


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


def renormalize_images(
    values: Mapping[str, np.ndarray],
    labels: Sequence[str],
    training: Mapping[str, LabelStatistics],
) -> tuple[dict[str, np.ndarray], tuple[Renormalization, ...]]:
    """Maps each label's predicted intensities to its training mean and standard deviation.

    Args:
        values: float32 [T, L, Y, X] in [0, 1] for every statistic.
        labels: L names.
        training: For every label.

    Returns:
        The same images, intensities mapped and clipped to [0, 1], and what was done.
    """
    records = tuple(
        _plan(statistic, label, values[statistic][:, index], training[label])
        for statistic in values
        if statistic in INTENSITIES
        for index, label in enumerate(labels)
    )
    mapped = {
        name: value.copy() if name in INTENSITIES else value for name, value in values.items()
    }
    for record in records:
        image = mapped[record.statistic][:, labels.index(record.label)]
        np.clip(image * np.float32(record.scale) + np.float32(record.offset), 0, 1, out=image)
    return mapped, records


def _plan(
    statistic: str, label: str, image: np.ndarray, training: LabelStatistics
) -> Renormalization:
    mean, deviation = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    scale = training.standard_deviation / deviation if deviation > 0 else 1.0
    return Renormalization(
        statistic=statistic,
        label=label,
        mean=mean,
        standard_deviation=deviation,
        scale=scale,
        offset=training.mean - mean * scale,
    )
