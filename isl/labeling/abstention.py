"""Abstention: a mask of the pixels that a model is too unsure of, by the width of their intervals.

The mask is taken from the width of the 90 % interval where results are handed on, not within the
network's program: what that width is of (a temperature, several models, turned images, another
pixel size) is done by then, and nothing behind it needs to know how a mask came about.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isl.errors import InputError

if TYPE_CHECKING:
    from isl.tiling.stream import Sink

ABSTAINED = "abstained"
"""A statistic: 1 where the 90 % interval is wider than is accepted, else 0."""
_WIDTH = "interval_90"


def check_width(width: float) -> None:
    """Refuses what is no width of an interval of intensities.

    Raises:
        InputError: It is not above 0 and at most 1.
    """
    if not 0 < width <= 1:
        raise InputError(
            f"`abstain={width:g}`: expected the widest 90 % interval that is accepted, an "
            "intensity above 0 and at most 1"
        )


def from_distributions(statistics: Sequence[str]) -> tuple[str, ...]:
    """What must be known of distributions, so that there can be these statistics."""
    return tuple(dict.fromkeys(_WIDTH if name == ABSTAINED else name for name in statistics))


def abstaining(sink: "Sink", statistics: Sequence[str], width: float | None) -> "Sink":
    """A sink for `from_distributions(statistics)` that hands these statistics on.

    Args:
        sink: Takes them.
        statistics: Their names.
        width: The widest interval that is accepted, in intensities; None: there is no mask.
    """
    if width is None:
        return sink

    def hand_on(
        statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray
    ) -> None:
        if statistic in statistics:
            sink(statistic, t, rows, columns, pixels)
        if statistic == _WIDTH:
            sink(ABSTAINED, t, rows, columns, (pixels > width).astype(np.float32))

    return hand_on
