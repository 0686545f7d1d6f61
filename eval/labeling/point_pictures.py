"""Points of people as dots, colored by what became of them (paper, Figure S2)."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from isl.data.points import Points

from ..metrics.error_pictures import fluorescence_picture
from ..metrics.points import CORRECT, DEBRIS, LEFT_OUT, PointFigures
from .ground import GroundField
from .pictures import light_picture, with_scale_bar
from .points import AnnotatedField

COLORS: Mapping[str, tuple[int, int, int]] = {
    CORRECT: (88, 196, 100),
    "merged": (232, 40, 40),
    "split": (255, 150, 30),
    "added": (120, 208, 255),
    "missing": (255, 130, 200),
    DEBRIS: (255, 236, 64),
    LEFT_OUT: (120, 124, 130),
}
"""Of dots; those of merged, added, missing and debris are the paper's."""
# The widest picture of a field, pixels; of wider ones a square of the side with most errors.
_WIDEST = 480
# Dots are of a fixed size: on fluorescence that is dimmed they are seen.
_RADIUS = 6
_DIMMED = 0.55
# Drawn larger and made smaller, dots are round.
_FINER = 4
_ERRORS = ("split", "merged", "added", "missing", DEBRIS)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PointPicture:
    """One person's points in one field, or a square of it.

    Attributes:
        label: In whose images.
        of: Whose predictions, in words.
        who: The person.
        field: Name of the field.
        rank: By accuracy: "best", "median", "worst", or several of these.
        figures: Of the whole field.
        place: "", or where the square is that is shown.
        panels: By what they show, uint8 [y, x] or [y, x, 3]: a pixel is a pixel.
    """

    label: str
    of: str
    who: str
    field: str
    rank: str
    figures: PointFigures
    place: str
    panels: Mapping[str, np.ndarray]


def point_picture(
    field: GroundField,
    annotated: AnnotatedField,
    figures: PointFigures,
    *,
    predicted: np.ndarray | None,
    label: str,
    of: str,
    who: str,
    rank: str,
) -> PointPicture:
    """Transmitted light, fluorescence as measured and as predicted, and the dots.

    Args:
        field: The ground.
        annotated: Its points.
        figures: What became of this person's.
        predicted: float [Y, X], the image in which they were set; None: it is not known.
        label: In whose images.
        of: Whose predictions, in words.
        who: The person.
        rank: See `PointPicture`.
    """
    number = field.labels.index(label)
    true, mask = field.truth[number], field.measured[number]
    dots = [
        *_dots(annotated.measured[who], figures.of_true, (CORRECT, "split", "missing", LEFT_OUT)),
        *_dots(annotated.predicted[who], figures.of_predicted, ("merged", "added", DEBRIS)),
    ]
    window = _window(dots, true.shape)
    measured = fluorescence_picture(true, mask, window)
    shown = {"transmitted light": light_picture(field, window), "measured": _grey(measured)}
    if predicted is not None:
        shown["predicted"] = _grey(fluorescence_picture(predicted, mask, window))
    counts = np.ones(true.shape, bool) if annotated.mask is None else annotated.mask
    dimmed = _DIMMED * measured * np.where(counts[window], 1.0, 0.5)
    shown["points"] = _drawn(_grey(dimmed), dots, (window[0].start, window[1].start))
    whole = measured.shape == true.shape
    return PointPicture(
        label=label,
        of=of,
        who=who,
        field=field.name,
        rank=rank,
        figures=figures,
        place=""
        if whole
        else f"rows {window[0].start} to {window[0].stop}, columns {window[1].start} to "
        f"{window[1].stop}",
        panels={name: with_scale_bar(image, field.pixel_size) for name, image in shown.items()},
    )


Dot = tuple[float, float, str]
"""Row, column, and what became of a point."""


def _dots(points: Points, words: tuple[str, ...], shown: tuple[str, ...]) -> list[Dot]:
    """Points with what became of them; those in agreement are shown once, at the true one."""
    return [
        (float(y), float(x), word)
        for (y, x), word in zip(points.yx, words, strict=True)
        if word in shown
    ]


def _window(dots: list[Dot], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Of a field, the square with most errors; all of it where it is small."""
    sides = [min(_WIDEST, length) for length in size]
    wrong = np.array([dot[:2] for dot in dots if dot[2] in _ERRORS]).reshape(-1, 2)
    best, most = [0, 0], -1
    for y, x in wrong if len(wrong) else np.array([dot[:2] for dot in dots]).reshape(-1, 2):
        first = [
            int(np.clip(at - side / 2, 0, length - side))
            for at, side, length in zip((y, x), sides, size, strict=True)
        ]
        inside = ((wrong >= first) & (wrong < np.add(first, sides))).all(axis=1).sum()
        if inside > most:
            best, most = first, int(inside)
    return slice(best[0], best[0] + sides[0]), slice(best[1], best[1] + sides[1])


def _grey(image: np.ndarray) -> np.ndarray:
    # What was not measured may hold anything.
    return np.rint(255 * np.nan_to_num(image)).astype(np.uint8)


def _drawn(image: np.ndarray, dots: list[Dot], origin: tuple[int, int]) -> np.ndarray:
    """Dots on an image: uint8 [y, x, 3]."""
    height, width = image.shape
    picture = Image.fromarray(image).convert("RGB")
    finer = Image.new("RGBA", (width * _FINER, height * _FINER))
    draw = ImageDraw.Draw(finer)
    for y, x, word in dots:
        at = [
            _FINER * (value - first + 0.5)
            for value, first in zip((x, y), origin[::-1], strict=True)
        ]
        for radius, ink in ((_RADIUS + 1, (0, 0, 0)), (_RADIUS, COLORS[word])):
            draw.circle(at, _FINER * radius, fill=(*ink, 255))
    dotted = finer.resize((width, height), Image.Resampling.BOX)
    picture.paste(dotted, (0, 0), dotted)
    return np.asarray(picture)
