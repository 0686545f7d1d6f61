"""Ground in its own resolution: pieces of which the error is least, median and largest."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from isl.imaging.nuclei import shows_nuclei
from isl.report.pictures import font

from ..metrics.error_pictures import error_picture, fluorescence_picture, normalized
from ..metrics.image_pair import checked_pair, correlation
from ..metrics.pixel_figures import foreground_of
from .config import LabelingEvaluation
from .ground import GroundField, bounding_window
from .pictures import NOT_COUNTED, light_picture, made_smaller, with_scale_bar
from .predictions import Predicted, image_of

SIDE = 320
"""About as many pixels is a crop high and wide; fields up to half as large again are one."""
# Of a crop, the share that has to be measured ground; and of the foreground of a usual crop, what
# the best and the median one hold at least: least wrong are those that show nothing.
_MEASURED, _FOREGROUND = 0.75, 0.5
# Pixels of the overviews that say where crops lie.
_OVERVIEW = 480
_NUCLEI = np.array([0.16, 0.28, 1.0])
_FRAME = (255, 214, 64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropPlace:
    """A piece of a field.

    Attributes:
        field: Its name.
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
        error: Mean absolute error of what was measured in it.
        pearson: Its correlation; None: undefined.
        foreground: Share of the pixels above Otsu's threshold of the field.
    """

    field: str
    top: int
    left: int
    height: int
    width: int
    error: float
    pearson: float | None
    foreground: float

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    @property
    def words(self) -> str:
        """Where it is."""
        return (
            f"{self.field}, rows {self.top} to {self.top + self.height}, "
            f"columns {self.left} to {self.left + self.width}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CropPicture:
    """A crop as it is shown.

    Attributes:
        contender: Who predicted it.
        label: The label.
        condition: Of its field.
        rank: "best", "median", "worst", or several of these.
        place: Where it lies.
        panels: By what they show, uint8 [y, x] or [y, x, 3]: a pixel is a pixel.
    """

    contender: str
    label: str
    condition: str
    rank: str
    place: CropPlace
    panels: Mapping[str, np.ndarray]


def crop_places(
    true: np.ndarray, predicted: np.ndarray, mask: np.ndarray, field: str
) -> list[CropPlace]:
    """The pieces of a field of which enough was measured, in rows.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X], True where a pixel counts, somewhere.
        field: Its name.
    """
    pair = checked_pair(true, predicted, mask)
    bright = np.zeros(mask.shape, bool)
    bright[mask] = foreground_of(pair.chosen[0])
    found = []
    rows, columns = bounding_window(mask)
    for top, bottom in itertools.pairwise(_edges(rows)):
        for left, right in itertools.pairwise(_edges(columns)):
            window = slice(top, bottom), slice(left, right)
            inside = mask[window]
            if not inside.any():
                continue
            x, y = pair.true[window][inside], pair.predicted[window][inside]
            place = CropPlace(
                field=field,
                top=top,
                left=left,
                height=bottom - top,
                width=right - left,
                error=float(np.abs(x - y).mean()),
                pearson=correlation(x, y),
                foreground=float(bright[window].sum() / inside.sum()),
            )
            found.append((float(inside.mean()), place))
    enough = [place for share, place in found if share >= _MEASURED]
    return enough or [place for _, place in found]


def _edges(side: slice) -> list[int]:
    """Where pieces begin and end, as many as come nearest to `SIDE`, of equal length."""
    count = max(1, round((side.stop - side.start) / SIDE))
    return [round(n) for n in np.linspace(side.start, side.stop, count + 1)]


def ranked_crops(places: Sequence[CropPlace]) -> dict[int, str]:
    """Which crops to show: their numbers, and what each is, in words.

    The worst is that of all; the best and the median are of those with something in them.
    """
    if len(places) < 2:
        return dict.fromkeys(range(len(places)), "the only one")
    usual = np.mean([place.foreground for place in places])
    order = sorted(range(len(places)), key=lambda number: places[number].error)
    shown = [n for n in order if places[n].foreground >= _FOREGROUND * usual]
    named: dict[int, list[str]] = {}
    for number, word in (
        (shown[0], "best"),
        (shown[len(shown) // 2], "median"),
        (order[-1], "worst"),
    ):
        named.setdefault(number, []).append(word)
    return {number: " and ".join(words) for number, words in named.items()}


def crop_picture(
    field: GroundField,
    predicted: Predicted,
    place: CropPlace,
    *,
    contender: str,
    label: str,
    rank: str,
    config: LabelingEvaluation,
) -> CropPicture:
    """Transmitted light, what was measured and predicted, with nuclei in blue, and the error.

    Fluorescence is brought to mean 0.25 and deviation 0.125 over the field, as in the paper, and
    not cut off at the noise floor (its Figure S1).
    """
    number, window = field.labels.index(label), place.window
    true, mask = field.truth[number], field.measured[number]
    image = image_of(predicted, label, config)
    outside = ~mask[window]
    nuclei = next((each for each in field.labels if shows_nuclei(each)), None)
    if nuclei == label:
        nuclei = None

    def fluorescence(of: np.ndarray, blue: np.ndarray | None) -> np.ndarray:
        # What was not measured may hold anything.
        shown = np.clip(np.nan_to_num(normalized(of, mask, window)), 0, 1)
        colored = shown[..., None] * (0.0, 1.0, 0.0)
        if blue is not None:
            colored = colored + blue[..., None] * _NUCLEI
        colored = np.rint(255 * np.clip(colored, 0, 1)).astype(np.uint8)
        return np.where(outside[..., None], np.uint8(NOT_COUNTED), colored)

    def blue_of(nuclear: np.ndarray, counted: np.ndarray) -> np.ndarray:
        shown = fluorescence_picture(nuclear, counted, window)
        return np.where(counted[window], shown, 0)

    contexts: list[np.ndarray | None] = [None, None]
    if nuclei is not None:
        at = field.labels.index(nuclei)
        counted = field.measured[at]
        if counted[window].any():
            contexts[0] = blue_of(field.truth[at], counted)
        if nuclei in predicted.labels:
            context = image_of(predicted, nuclei, config)
            contexts[1] = blue_of(context, np.ones(context.shape, bool))
    panels = {
        "transmitted light": light_picture(field, window),
        "measured": fluorescence(true, contexts[0]),
        "predicted": fluorescence(image, contexts[1]),
        "error": error_picture(true, image, mask, window),
    }
    return CropPicture(
        contender=contender,
        label=label,
        condition=field.condition,
        rank=rank,
        place=place,
        panels={name: with_scale_bar(panel, field.pixel_size) for name, panel in panels.items()},
    )


def overview(field: GroundField, label: str, crops: Mapping[str, CropPlace]) -> np.ndarray:
    """A field as it was measured, made smaller, with frames where crops lie: uint8 [y, x, 3].

    Args:
        field: It.
        label: The label that is shown.
        crops: By what is written at them.
    """
    number = field.labels.index(label)
    mask = field.measured[number]
    shown = np.where(mask, 255 * fluorescence_picture(field.truth[number], mask), NOT_COUNTED)
    small = made_smaller(shown, _OVERVIEW)
    picture = Image.fromarray(np.rint(small).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    part = -(-max(shown.shape) // _OVERVIEW)
    for word, place in crops.items():
        top, left = place.top // part, place.left // part
        bottom, right = ((place.top + place.height) // part, (place.left + place.width) // part)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=2)
        at = left + 5, top + 4
        draw.text(at, word, _FRAME, font(13), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(picture)
