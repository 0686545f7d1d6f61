"""What is gained by abstaining where a prediction is unsure."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """The error of what is kept, when the least certain pixels are left out.

    Attributes:
        coverage: float64 [P], shares of the pixels that are kept, rising to 1.
        risk: float64 [P], mean error of those.
        width: float64 [P], the widest of those: what is wider is left out.
        area: Under the curve (the mean risk over all shares); lower is better. As large as the
            risk at coverage 1 if widths say nothing about errors. None: there are no pixels.
    """

    coverage: np.ndarray
    risk: np.ndarray
    width: np.ndarray
    area: float | None


def risk_coverage(width: np.ndarray, error: np.ndarray, *, points: int = 50) -> RiskCoverage:
    """Keeps pixels from the narrowest interval up (El-Yaniv and Wiener 2010).

    Pixels of one width cannot be distinguished, so they count as kept in random order: each has the
    mean error of all of them.

    Args:
        width: float [N], how unsure each pixel is.
        error: float [N], not negative, how wrong.
        points: P, how many points of the curve are returned.

    Raises:
        ValueError: Shapes differ, values are not finite, or there are no points.
    """
    if width.ndim != 1 or width.shape != error.shape or points < 1:
        raise ValueError(
            f"width {width.shape}, error {error.shape}, points {points}; give [N] twice, and 1 "
            "point at least"
        )
    if not (np.all(np.isfinite(width)) and np.all(np.isfinite(error))):
        raise ValueError("widths and errors must be finite")
    if not width.size:
        nothing = np.zeros(0)
        return RiskCoverage(coverage=nothing, risk=nothing, width=nothing, area=None)
    widths, group, counts = np.unique(width, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=error) / counts
    risks = np.cumsum(np.repeat(means, counts)) / np.arange(1, width.size + 1)
    kept = np.unique(np.ceil(np.linspace(0, width.size, points + 1)[1:]).astype(int))
    return RiskCoverage(
        coverage=kept / width.size,
        risk=risks[kept - 1],
        width=np.repeat(widths, counts)[kept - 1].astype(np.float64),
        area=float(risks.mean()),
    )
