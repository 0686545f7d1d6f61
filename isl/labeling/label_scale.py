"""Labels stretched over the 256 bins: by percentiles of the training ground, and back.

A camera's low counts fill few bins of a 16-bit type's range, and a distribution over so few tells
nothing. A model that was trained with `label_scale` predicts in the stretched unit, in which 0 and
1 are the two percentiles; `low` and `high` bring its predictions back.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pydantic

from isl.config import Config
from isl.errors import InputError
from isl.imaging.normalize import normalize_label

INTENSITIES = ("median", "mean", "mode", "sample")
SPREADS = ("standard_deviation", "interval_90")

Percentile = Annotated[float, pydantic.Field(ge=0, le=100)]


class LabelScale(Config):
    """What a label's intensities 0 and 1 are, as shares of its images' full scale.

    Attributes:
        low: The intensity that became 0.
        high: The intensity that became 1.
    """

    low: float = pydantic.Field(allow_inf_nan=False)
    high: float = pydantic.Field(allow_inf_nan=False)

    @pydantic.model_validator(mode="after")
    def _is_a_range(self) -> "LabelScale":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def stretched(self, intensities: np.ndarray) -> np.ndarray:
        """Shares of full scale (any shape) in the model's unit: float32 in [0, 1]."""
        stretched = (intensities - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.clip(stretched, 0, 1).astype(np.float32)

    def original(self, values: np.ndarray, statistic: str) -> np.ndarray:
        """A predicted statistic (any shape) as shares of full scale; what has no unit as it is."""
        if statistic in SPREADS:
            return values * np.float32(self.high - self.low)
        if statistic not in INTENSITIES:
            return values
        return values * np.float32(self.high - self.low) + np.float32(self.low)


def scale_of_moments(
    label: str, intensities: np.ndarray, moments: tuple[float, float], source: object
) -> LabelScale:
    """The scale that brings intensities to a mean and deviation, before they are clipped.

    Args:
        label: Their label.
        intensities: Shares of full scale, any shape.
        moments: Mean and deviation, such as the paper's 0.25 and 0.125.
        source: Named in messages.

    Raises:
        InputError: They are all alike.
    """
    mean, deviation = float(intensities.mean(dtype=np.float64)), float(intensities.std())
    if not deviation > 0:
        raise InputError(
            f"{source}: label '{label}' is {mean:g} of full scale everywhere, so nothing brings it "
            "to a deviation; leave it out"
        )
    width = deviation / moments[1]
    return LabelScale(low=mean - moments[0] * width, high=mean + (1 - moments[0]) * width)


def stretch(
    targets: np.ndarray, labels: Sequence[str], scales: Mapping[str, LabelScale]
) -> np.ndarray:
    """Every label that has a scale in the model's unit: float32 [L, Y, X] to the same."""
    if not any(label in scales for label in labels):
        return targets
    return np.stack(
        [
            scales[label].stretched(target) if label in scales else target
            for label, target in zip(labels, targets, strict=True)
        ]
    )


def fit_label_scales(
    fields: Sequence[tuple[str, np.ndarray, np.ndarray]],
    labels: Sequence[str],
    percentiles: tuple[float, float] | None,
    source: object,
    *,
    moments: tuple[float, float] | None = None,
) -> dict[str, LabelScale]:
    """The scale of every label that is measured on the training ground.

    Args:
        fields: Of every training field its name, stored labels [L, Y, X], and bool [L, Y, X] where
            training may look at them.
        labels: L names.
        percentiles: Lower and upper, 0 to 100, of all fields' pixels together; None: by moments.
        source: The manifest, named in messages.
        moments: Mean and deviation that all fields' pixels together are brought to.

    Raises:
        InputError: A label has one value at both percentiles, or everywhere.
    """
    scales = {}
    for index, label in enumerate(labels):
        parts = [
            normalize_label(stored[index][where[index]], source=name)
            for name, stored, where in fields
            if where[index].any()
        ]
        if not parts:
            continue
        if percentiles is None:
            assert moments is not None
            scales[label] = scale_of_moments(label, np.concatenate(parts), moments, source)
            continue
        low, high = np.percentile(np.concatenate(parts), percentiles)
        if not low < high:
            raise InputError(
                f"{source}: label '{label}' is {low:g} of full scale at both percentiles of "
                f"label_scale, {percentiles[0]:g} and {percentiles[1]:g}; set them further apart"
            )
        scales[label] = LabelScale(low=float(low), high=float(high))
    return scales
