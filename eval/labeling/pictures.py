"""Fields to look at: the best, the median and the worst, true beside predicted, and the errors."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from isl.report.preview import draw_scale_bar

from ..metrics.error_pictures import Window, error_picture, fluorescence_picture
from ..metrics.image_pair import checked_pair
from .ground import GroundField, bounding_window

# Wider than a report shows; larger fields are drawn at half the size, or a third, ...
_WIDEST = 640
# Of 255; neither black, which is a dim pixel, nor any color of an error.
NOT_COUNTED = 46
"""The grey of what does not count."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldPicture:
    """One label of one field.

    Attributes:
        contender: Who predicted it.
        label: The label.
        field: Name of the field.
        rank: "best", "median", "worst", or several of these.
        pearson: Its correlation; None: undefined.
        panels: By what they show, uint8 [y, x] or [y, x, 3]; a dark grey where nothing counts. In
            errors false positive is magenta, false negative teal.
    """

    contender: str
    label: str
    field: str
    rank: str
    pearson: float | None
    panels: Mapping[str, np.ndarray]


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
    field: GroundField,
    predicted: np.ndarray,
    *,
    contender: str,
    label: str,
    rank: str,
    pearson: float | None,
) -> FieldPicture:
    """The pictures of one field, cut to the ground that counts, and made smaller if it is large.

    Args:
        field: In which some pixel of the label counts.
        predicted: float [Y, X] in [0, 1], the label as predicted.
        contender: Who predicted it.
        label: The label.
        rank: See `ranked_fields`.
        pearson: See `FieldPicture`.
    """
    number = field.labels.index(label)
    window = bounding_window(field.measured[number])
    mask = field.measured[number][window]
    pair = checked_pair(field.truth[number][window], predicted[window], mask)
    true, guessed = (
        np.where(pair.mask, 255 * fluorescence_picture(image, pair.mask), NOT_COUNTED)
        for image in (pair.true, pair.predicted)
    )
    shown = {
        "transmitted light": light_picture(field, window),
        "measured": true,
        "predicted": guessed,
        "error": error_picture(pair.true, pair.predicted, pair.mask),
    }
    small = {
        name: np.rint(made_smaller(image.astype(np.float64), _WIDEST)).astype(np.uint8)
        for name, image in shown.items()
    }
    pixel = field.pixel_size
    if pixel is not None:
        pixel *= -(-max(mask.shape) // _WIDEST)
    return FieldPicture(
        contender=contender,
        label=label,
        field=field.name,
        rank=rank,
        pearson=pearson,
        panels={name: with_scale_bar(image, pixel) for name, image in small.items()},
    )


def light_picture(field: GroundField, window: Window) -> np.ndarray:
    """The centre plane of transmitted light at mean 0.5 and deviation 0.125: uint8 [y, x]."""
    planes = field.stack.planes
    plane = np.nan_to_num(planes[planes.shape[0] // 2])
    part = plane[window].astype(np.float64)
    deviation = plane.std(dtype=np.float64) or 1.0
    shown = 0.5 + 0.125 * (part - plane.mean(dtype=np.float64)) / deviation
    return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)


def with_scale_bar(image: np.ndarray, pixel: float | None) -> np.ndarray:
    """An image with a scale bar in it, uint8 [Y, X] or [Y, X, 3].

    Args:
        image: uint8, likewise.
        pixel: Micrometres of a pixel; None: nothing is drawn.
    """
    if pixel is None:
        return image
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    draw_scale_bar(picture, pixel)
    drawn = np.asarray(picture)
    return drawn if image.ndim == 3 else drawn[..., 0]


def made_smaller(image: np.ndarray, widest: int) -> np.ndarray:
    """An image [Y, X, ...] by means of squares, no wider than asked; a rest is cut off."""
    part = -(-max(image.shape[:2]) // widest)
    rows, columns = (max(1, length // part) for length in image.shape[:2])
    part_rows, part_columns = (min(part, length) for length in image.shape[:2])
    cut = image[: rows * part_rows, : columns * part_columns]
    blocks = cut.reshape(rows, part_rows, columns, part_columns, *image.shape[2:])
    return blocks.mean(axis=(1, 3))
