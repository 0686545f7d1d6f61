"""How well two images agree: Pearson's correlation, whole or gathered from pieces."""

import dataclasses
import math

import numpy as np

from isl.summed import Summed

# Variance below this part of the mean square is rounding: such an image counts as constant. Where
# the mean is taken off first, much smaller contrasts can be told from rounding.
_ROUNDING_OF_SUMS = 1e-13
_ROUNDING_CENTERED = 1e-28


def pearson(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Pearson's correlation of two images over the pixels where `mask` is True.

    Args:
        a: Any shape, any real type.
        b: As `a`.
        mask: bool, as `a`; None: every pixel.

    Returns:
        -1 to 1; nan where it is undefined (fewer than two pixels, or a constant image).
    """
    x, y = _chosen(a, b, mask)
    if x.size < 2:
        return math.nan
    mean_x, mean_y = x.mean(), y.mean()
    centered_x, centered_y = x - mean_x, y - mean_y
    return _ratio(
        (centered_x @ centered_x, centered_y @ centered_y, centered_x @ centered_y),
        (
            _ROUNDING_CENTERED * mean_x * mean_x * x.size,
            _ROUNDING_CENTERED * mean_y * mean_y * y.size,
        ),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PearsonSums(Summed):
    """The sums Pearson's correlation needs; they merge with `+`, so pieces may come in any order.

    Meant for intensities in [0, 1]: the sums lose precision when the mean is many thousand
    deviations from zero.
    """

    count: int = 0
    sum_x: float = 0.0
    sum_y: float = 0.0
    sum_xx: float = 0.0
    sum_yy: float = 0.0
    sum_xy: float = 0.0

    def add(self, a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> "PearsonSums":
        """These sums and those of `a` and `b` (any shape) where `mask` is True."""
        x, y = _chosen(a, b, mask)
        return self + PearsonSums(
            count=x.size,
            sum_x=float(x.sum()),
            sum_y=float(y.sum()),
            sum_xx=float(x @ x),
            sum_yy=float(y @ y),
            sum_xy=float(x @ y),
        )

    @property
    def pearson(self) -> float:
        """Pearson's correlation, -1 to 1; nan where it is undefined."""
        if self.count < 2:
            return math.nan
        return _ratio(
            (
                self.sum_xx - self.sum_x * self.sum_x / self.count,
                self.sum_yy - self.sum_y * self.sum_y / self.count,
                self.sum_xy - self.sum_x * self.sum_y / self.count,
            ),
            (_ROUNDING_OF_SUMS * self.sum_xx, _ROUNDING_OF_SUMS * self.sum_yy),
        )


def _chosen(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape or (mask is not None and mask.shape != a.shape):
        shapes = [a.shape, b.shape] + ([] if mask is None else [mask.shape])
        raise ValueError(f"images and mask differ in shape: {shapes}")
    if mask is not None:
        a, b = a[mask.astype(bool)], b[mask.astype(bool)]
    return a.astype(np.float64).ravel(), b.astype(np.float64).ravel()


def _ratio(central: tuple[float, float, float], rounding: tuple[float, float]) -> float:
    """Correlation from the central sums (xx, yy, xy), nan where xx or yy is only rounding."""
    xx, yy, xy = central
    if xx <= rounding[0] or yy <= rounding[1]:
        return math.nan
    return float(np.clip(xy / (math.sqrt(xx) * math.sqrt(yy)), -1.0, 1.0))
