"""Ground to judge on."""

import dataclasses

import numpy as np

from .crops import Box


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ValidationField:
    """Ground to judge on; in memory, unless it is kept in files.

    Attributes:
        name: Name of the field.
        transmitted: float32 [Z, Y, X] in [0, 1], the whole field.
        region: Rows and columns around the measured ground: ((y0, y1), (x0, x1)).
        targets: float32 [L, y, x] in [0, 1], of the region.
        measured: bool [L, y, x], of the region.
    """

    name: str
    transmitted: np.ndarray
    region: Box
    targets: np.ndarray
    measured: np.ndarray
