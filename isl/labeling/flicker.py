"""Flicker: how much a predicted movie changes from frame to frame, beside what its input does.

Of a movie with frames F[t], t = 0 .. T-1, flicker is the mean over all pixels and all t < T-1 of
|F[t+1] - F[t]|, divided by the standard deviation of all pixels of all frames. It has no unit, and
does not change where all intensities are multiplied or shifted: 0 is a still picture; frames of
independent Gaussian noise have 2 / sqrt(pi) = 1.13. Cells that move make it larger in the input
and in the prediction, so the two together tell: a prediction that flickers much more than its input
is not consistent in time.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from isl.imaging.normalize import PlaneNormalization
from isl.labeling.source import TransmittedField, normalized

DEFINITION = (
    "mean absolute difference of consecutive frames over the standard deviation of all frames"
)
# Pixels of a frame that are in memory at a time, twice, as float64.
_BLOCK = 1 << 20
# Values that deviate by no more than their sums were rounded do not change at all.
_FLAT = 1e-9

# (t, rows) to pixels [y, X] of that frame, of any type.
Frames = Callable[[int, slice], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flicker:
    """Of one movie and what was predicted from it; None stands for frames of one value.

    Attributes:
        statistic: Which one of the prediction.
        plane: Which of the input's planes, normalized as the network sees it.
        input: Of that plane.
        labels: Of every predicted label.
    """

    statistic: str
    plane: float
    input: float | None
    labels: dict[str, float | None]


def flicker(frames: Frames, times: int, size: tuple[int, int]) -> float | None:
    """See above; a band of rows of two frames is in memory at a time, and every pixel read once.

    Args:
        frames: Where they come from.
        times: How many there are, at least 2.
        size: Y, X.

    Returns:
        None where all pixels have one value.
    """
    height, width = size
    band = max(1, _BLOCK // width)
    change, mean, squares, count = 0.0, 0.0, 0.0, 0
    for top in range(0, height, band):
        rows = slice(top, min(top + band, height))
        before = None
        for t in range(times):
            frame = frames(t, rows).astype(np.float64)
            if before is not None:
                change += float(np.abs(frame - before).sum())
            before = frame
            # Sums of squares about each block's own mean, put together (Chan et al., 1979).
            own, distance = float(frame.mean()), float(frame.mean()) - mean
            together = count + frame.size
            squares += float(np.square(frame - own).sum())
            squares += distance**2 * count * frame.size / together
            mean += distance * frame.size / together
            count = together
    deviation = math.sqrt(squares / count)
    if deviation <= _FLAT * max(1.0, abs(mean)):
        return None
    return change / (count * (times - 1) / times) / deviation


def flicker_of_input(
    field: TransmittedField,
    normalization: Sequence[Sequence[PlaneNormalization]],
    offset: int,
    size: tuple[int, int],
) -> float | None:
    """That of the middle one of the planes used, normalized as the network sees it.

    Args:
        field: A movie.
        normalization: For every time point, what is done to each plane.
        offset: First row and column that the prediction covers.
        size: Y, X of what it covers.
    """
    middle = len(normalization[0]) // 2
    columns = (offset, offset + size[1])

    def frames(t: int, rows: slice) -> np.ndarray:
        window = ((offset + rows.start, offset + rows.stop), columns)
        return normalized(field, t, (normalization[t][middle],), window)[0]

    return flicker(frames, field.shape[0], size)
