"""The band around a ROC curve: at every false positive rate the interval of the true positive rate.

It is pointwise: each rate lies in its interval as often as the level says, the whole curve less.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .bootstrap import Resampling, bootstrap
from .classification import roc

PLACES = 51


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RocBand:
    """Bounds of a ROC curve.

    Attributes:
        false_positive_rate: float64 [K], from 0 to 1.
        low: float64 [K], of the true positive rate there.
        high: float64 [K].
    """

    false_positive_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_band(
    truth: np.ndarray,
    score: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None,
    resampling: Resampling,
    *,
    places: int = PLACES,
) -> RocBand | None:
    """The pointwise band of a ROC curve, by bootstrap.

    Args:
        truth: bool [N].
        score: float [N], higher for True.
        groups: As in `bootstrap`.
        resampling: How it is drawn.
        places: At how many false positive rates.

    Returns:
        None where it is undefined: only one class is there, or there are too few groups.
    """
    at = np.linspace(0, 1, places)

    def rates(true: np.ndarray, drawn: np.ndarray) -> dict[str, float | None]:
        curve = roc(true, drawn)
        if curve is None:
            return {str(place): None for place in range(places)}
        # Of several points at one false positive rate the highest counts: the curve goes up there.
        last = np.append(np.diff(curve.false_positive_rate) > 0, True)
        found = np.interp(at, curve.false_positive_rate[last], curve.true_positive_rate[last])
        return {str(place): float(value) for place, value in enumerate(found)}

    found = bootstrap(rates, [truth, score], groups=groups, **resampling.settings).values()
    low = [interval.low for interval in found]
    high = [interval.high for interval in found]
    if None in low or None in high:
        return None
    return RocBand(
        false_positive_rate=at, low=np.array(low, np.float64), high=np.array(high, np.float64)
    )
