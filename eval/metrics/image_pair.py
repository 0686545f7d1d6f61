"""A true and a predicted image of one field, checked to be comparable."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from isl.errors import InputError
from isl.imaging.agreement import pearson
from isl.imaging.masks import checked_mask, is_constant, size_text


class Pair(NamedTuple):
    """Two images that lie on the same pixels.

    Attributes:
        true: float64 [Y, X].
        predicted: float64 [Y, X].
        mask: bool [Y, X], True where a pixel counts.
    """

    true: np.ndarray
    predicted: np.ndarray
    mask: np.ndarray

    @property
    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """The true and the predicted pixels that count, float64 [N] each."""
        return self.true[self.mask], self.predicted[self.mask]


def checked_pair(true: np.ndarray, predicted: np.ndarray, mask: np.ndarray | None = None) -> Pair:
    """The two images and the mask, once it is sure that they can be compared pixel by pixel.

    Args:
        true: Real [Y, X].
        predicted: Real [Y, X].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.

    Raises:
        InputError: Sizes differ, or a pixel that counts holds no finite number.
    """
    check_sizes(true, predicted)
    counts = checked_mask(true, mask)
    pair = Pair(true.astype(np.float64), predicted.astype(np.float64), counts)
    for name, pixels in zip(("true", "predicted"), pair.chosen, strict=True):
        if not np.isfinite(pixels).all():
            missing = int((~np.isfinite(pixels)).sum())
            raise InputError(
                f"the {name} image holds no finite number at {missing} of {pixels.size} pixels; "
                "mask them"
            )
    return pair


def check_sizes(true: np.ndarray, predicted: np.ndarray) -> None:
    """Refuses images of differing sizes.

    Raises:
        InputError: They differ; names both sizes.
    """
    if true.shape != predicted.shape:
        raise InputError(
            f"the true image is {size_text(true)} pixels, the predicted image "
            f"{size_text(predicted)}; give the same field in the same frame and scale"
        )


def constancy(true: np.ndarray, predicted: np.ndarray) -> tuple[str, ...]:
    """In words, why correlations of pixels that count are undefined; () where they are not."""
    if not true.size:
        return ("no pixel counts: nothing is defined",)
    return tuple(
        f"the {name} image is constant where it counts: its correlation is undefined"
        for name, pixels in (("true", true), ("predicted", predicted))
        if is_constant(pixels)
    )


def correlation(true: np.ndarray, predicted: np.ndarray) -> float | None:
    """Pearson's correlation of pixels; None where it is undefined."""
    if is_constant(true) or is_constant(predicted):
        return None
    value = pearson(true, predicted)
    return value if math.isfinite(value) else None


class Line(NamedTuple):
    """predicted = slope * true + intercept."""

    slope: float
    intercept: float


def regression_line(true: np.ndarray, predicted: np.ndarray) -> Line | None:
    """The line of least squares through pixels; None where the true ones are constant."""
    if is_constant(true):
        return None
    found: Any = stats.linregress(true, predicted)
    return Line(slope=float(found.slope), intercept=float(found.intercept))
