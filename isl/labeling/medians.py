"""Which median an image shows: interpolated within a bin, or the published code's whole bins.

The published median is the number of bins below one half, so an image has at most 256 intensities
and steps where it should be smooth. The interpolated one takes probability to be spread evenly over
a bin's width. Networks are asked for one or the other, and both are called `median` from there on.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from isl.errors import unknown
from isl.labeling.bins import INTERPOLATED_MEDIAN
from isl.tiling.plan import Stitch
from isl.tiling.stream import Sink

MedianKind = Literal["interpolated", "published"]
_MEDIAN = "median"


def median_kind(asked: str | None, stitch: Stitch) -> MedianKind:
    """The kind asked for; else what the published code gives where its patches are asked for.

    Raises:
        InputError: There is no such kind.
    """
    if asked is None:
        return "published" if stitch == "exact" else "interpolated"
    for kind in get_args(MedianKind):
        if asked == kind:
            return kind
    raise unknown("median", asked, get_args(MedianKind))


def with_median(statistics: Sequence[str], kind: MedianKind) -> tuple[str, ...]:
    """Statistics by the names that a network knows them by."""
    own = INTERPOLATED_MEDIAN if kind == "interpolated" else _MEDIAN
    return tuple(own if name == _MEDIAN else name for name in statistics)


def named_median(sink: Sink) -> Sink:
    """A sink for a network's statistics that hands them on by the names they were asked for by."""

    def hand_on(
        statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray
    ) -> None:
        name = _MEDIAN if statistic == INTERPOLATED_MEDIAN else statistic
        sink(name, t, rows, columns, pixels)

    return hand_on
