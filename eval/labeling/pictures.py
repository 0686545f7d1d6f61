"""Fields to look at: the best, the median and the worst, true beside predicted, and the errors."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..metrics.error_pictures import error_picture, fluorescence_picture
from ..metrics.image_pair import checked_pair
from .ground import bounding_window

# Wider than a report shows; larger fields are drawn at half the size, or a third, ...
_WIDEST = 640
# Of 255; neither black, which is a dim pixel, nor any color of an error.
_NOT_COUNTED = 46


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldPicture:
    """One label of one field.

    Attributes:
        contender: Who predicted it.
        label: The label.
        field: Name of the field.
        rank: "best", "median", "worst", or several of these.
        pearson: Its correlation; None: undefined.
        true: uint8 [Y, X]; a dark grey where nothing counts, as in all three.
        predicted: uint8 [Y, X].
        error: uint8 [Y, X, 3]: false positive magenta, false negative teal.
    """

    contender: str
    label: str
    field: str
    rank: str
    pearson: float | None
    true: np.ndarray
    predicted: np.ndarray
    error: np.ndarray


def ranked_fields(correlations: Sequence[float | None]) -> dict[int, str]:
    """Which fields to show: their numbers, and what each is, in words.

    Args:
        correlations: Of every field; None, undefined, is shown only where all are.
    """
    defined = [number for number, value in enumerate(correlations) if value is not None]
    order = sorted(defined, key=lambda number: -(correlations[number] or 0.0))
    if not order:
        return {0: "undefined"} if correlations else {}
    if len(order) == 1:
        return {order[0]: "the only one" if len(correlations) == 1 else "the only one defined"}
    named: dict[int, str] = {order[0]: "best"}
    if len(order) > 2:
        named[order[len(order) // 2]] = "median"
    return {**named, order[-1]: "worst"}


def field_picture(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    *,
    contender: str,
    label: str,
    field: str,
    rank: str,
    pearson: float | None,
) -> FieldPicture:
    """The pictures of one field, cut to the ground that counts.

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts, somewhere.
        contender: Who predicted it.
        label: The label.
        field: Name of the field.
        rank: See `ranked_fields`.
        pearson: See `FieldPicture`.
    """
    window = bounding_window(mask)
    pair = checked_pair(true[window], predicted[window], mask[window])
    shown = [
        np.where(pair.mask, 255 * fluorescence_picture(image, pair.mask), _NOT_COUNTED)
        for image in (pair.true, pair.predicted)
    ]
    error = error_picture(pair.true, pair.predicted, pair.mask).astype(np.float64)
    true, predicted, error = (
        np.rint(_smaller(image)).astype(np.uint8) for image in (*shown, error)
    )
    return FieldPicture(
        contender=contender,
        label=label,
        field=field,
        rank=rank,
        pearson=pearson,
        true=true,
        predicted=predicted,
        error=error,
    )


def _smaller(image: np.ndarray) -> np.ndarray:
    """An image [Y, X, ...] by means of squares, no wider than is shown; a rest is cut off."""
    part = -(-max(image.shape[:2]) // _WIDEST)
    rows, columns = (max(1, length // part) for length in image.shape[:2])
    part_rows, part_columns = (min(part, length) for length in image.shape[:2])
    cut = image[: rows * part_rows, : columns * part_columns]
    blocks = cut.reshape(rows, part_rows, columns, part_columns, *image.shape[2:])
    return blocks.mean(axis=(1, 3))
