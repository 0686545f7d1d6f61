"""Labels stretched over the 256 bins: by percentiles of the training ground, and back.

A camera's low counts fill few bins of a 16-bit type's range, and a distribution over so few tells
nothing. A model that was trained with `label_scale` predicts in the stretched unit, in which 0 and
1 are the two percentiles; `low` and `high` bring its predictions back.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pydantic

from isl.config import Config
from isl.data.computed import Computed
from isl.errors import InputError
from isl.imaging.normalize import normalize_label

INTENSITIES = ("median", "mean", "mode", "sample")
SPREADS = ("standard_deviation", "interval_90")

# Bits of a float32's lower half, and what the half can be.
_SHIFT = 16
_HALF = 1 << _SHIFT

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
    label: str, intensities: Sequence[np.ndarray], moments: tuple[float, float], source: object
) -> LabelScale:
    """The scale that brings intensities to a mean and deviation, before they are clipped.

    Args:
        label: Their label.
        intensities: Shares of full scale, float32 [N], field by field; gone through twice.
        moments: Mean and deviation, such as the paper's 0.25 and 0.125.
        source: Named in messages.

    Raises:
        InputError: They are all alike.
    """
    total, count = 0.0, 0
    for part in intensities:
        total, count = total + float(part.sum(dtype=np.float64)), count + part.size
    mean = total / count
    squares = sum(float(np.square(part - mean, dtype=np.float64).sum()) for part in intensities)
    deviation = math.sqrt(squares / count)
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
            training may look at them; gone through several times, one at a time.
        labels: L names.
        percentiles: Lower and upper, 0 to 100, of all fields' pixels together; None: by moments.
        source: The manifest, named in messages.
        moments: Mean and deviation that all fields' pixels together are brought to.

    Raises:
        InputError: A label has one value at both percentiles, or everywhere.
    """
    scales = {}
    for index, label in enumerate(labels):
        parts = Computed(functools.partial(_intensities, fields, index), len(fields))
        if not any(part.size for part in parts):
            continue
        if percentiles is None:
            assert moments is not None
            scales[label] = scale_of_moments(label, parts, moments, source)
            continue
        low, high = percentiles_of(parts, percentiles)
        if not low < high:
            raise InputError(
                f"{source}: label '{label}' is {low:g} of full scale at both percentiles of "
                f"label_scale, {percentiles[0]:g} and {percentiles[1]:g}; set them further apart"
            )
        scales[label] = LabelScale(low=low, high=high)
    return scales


def _intensities(
    fields: Sequence[tuple[str, np.ndarray, np.ndarray]], index: int, field: int
) -> np.ndarray:
    """Of a label, where a field's training may look at it: float32 [N] in [0, 1]."""
    name, stored, where = fields[field]
    if not where[index].any():
        return np.zeros(0, np.float32)
    return normalize_label(stored[index][where[index]], source=name)


def percentiles_of(
    parts: Sequence[np.ndarray], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Percentiles of all parts together, as `np.percentile` has them, without joining the parts.

    Floats that are not negative are ordered as their bits are, read as whole numbers. A first pass
    counts the upper half of these, a second the lower half where the wanted ranks lie.

    Args:
        parts: float32 [N] in [0, 1], some of which hold something; gone through twice.
        percentiles: Lower and upper, 0 to 100.
    """
    upper = np.zeros(_HALF, np.int64)
    for part in parts:
        upper += np.bincount(_bits(part) >> _SHIFT, minlength=_HALF)
    ends = np.cumsum(upper)
    places = (int(ends[-1]) - 1) * np.true_divide(np.array(percentiles, np.float64), 100)
    below = np.floor(places).astype(np.int64)
    ranks = np.minimum(np.stack([below, below + 1]), ends[-1] - 1)
    first = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(_HALF, np.int64) for half in first.flat}
    for part in parts:
        bits = _bits(part)
        for half, counts in lower.items():
            within = bits[bits >> _SHIFT == half] & (_HALF - 1)
            counts += np.bincount(within, minlength=_HALF)
    found = np.zeros(ranks.shape, np.uint32)
    for place, half in np.ndenumerate(first):
        rank = ranks[place] - (ends[half] - upper[half])
        rest = np.searchsorted(np.cumsum(lower[int(half)]), rank, side="right")
        found[place] = (int(half) << _SHIFT) + rest
    values = found.view(np.float32)
    low, high = (
        float(np.quantile(values[:, i], np.array([places[i] - below[i]]))[0]) for i in range(2)
    )
    return low, high


def _bits(part: np.ndarray) -> np.ndarray:
    """Of float32 [N], none below 0, as int64 [N] in the same order; -0 is 0."""
    return (part + np.float32(0)).view(np.uint32).astype(np.int64)
