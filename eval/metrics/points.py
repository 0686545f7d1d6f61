"""Points set by people in place of segmented objects (paper, Manual identification of errors)."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple, cast

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist

from isl.data.points import Points
from isl.errors import InputError

from .object_matching import COUNTS, ERRORS, objects_that_count, table_of_counted

DEBRIS = "debris"
"""Of a point: added, but on what a person who looked at the transmitted light calls debris."""
CORRECT, LEFT_OUT = "correct", "left out"
"""Of a point: in agreement with the other image; at the edge or in ground that does not count."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PointFigures:
    """Points of two images compared.

    Attributes:
        true_count: True points that count.
        predicted_count: Predicted points that count.
        split: True points that several predicted ones are assigned to.
        merged: Predicted points that several true ones are assigned to.
        added: Predicted points assigned to the background, without those on debris.
        missing: True points assigned to the background.
        debris: Predicted points that were added, but lie on debris: no errors.
        annotated: All true points, those that do not count among them.
        dense: Of these, those left out by the mask.
        edge: Of the others, those left out at the edge.
        of_true: What became of each of the N true points: an error, CORRECT or LEFT_OUT.
        of_predicted: The same of the M predicted ones, or DEBRIS.
    """

    true_count: int
    predicted_count: int
    split: int
    merged: int
    added: int
    missing: int
    debris: int
    annotated: int
    dense: int
    edge: int
    of_true: tuple[str, ...]
    of_predicted: tuple[str, ...]


COUNTED = ("true_count", "predicted_count", *ERRORS, DEBRIS, "annotated", "dense", "edge")
"""What `PointFigures` counts."""
SHARES = (*ERRORS, DEBRIS, "accuracy", "precision", "recall", "dense")
"""What `shares_of` and `point_rates` know: errors and debris of each true point; accuracy, (true -
errors) / true; precision, the share of the predicted points that were not added; recall, of the
true points that are not missing; dense, of all true points those that the mask leaves out."""


def shares_of(fields: Sequence[PointFigures]) -> dict[str, float | None]:
    """Every share of `SHARES`, of fields together: counts are summed and divided once.

    Returns:
        None where there is nothing to have a share of.
    """
    of = {name: sum(getattr(each, name) for each in fields) for name in COUNTED}
    true, predicted = of["true_count"], of["predicted_count"]
    parts = {
        **{kind: (of[kind], true) for kind in (*ERRORS, DEBRIS)},
        "accuracy": (true - sum(of[kind] for kind in ERRORS), true),
        "precision": (predicted - of["added"], predicted),
        "recall": (true - of["missing"], true),
        "dense": (of["dense"], of["annotated"]),
    }
    return {name: part / whole if whole else None for name, (part, whole) in parts.items()}


class PointRate(NamedTuple):
    """A share, such as that of missing points, over several comparisons.

    Attributes:
        mean: Of the comparisons; None: it is of nothing in all of them.
        deviation: Unbiased sample deviation; None: fewer than two comparisons.
        comparisons: How many have it, and a true object in any field.
        note: Which were left out, and why; "" where none was.
    """

    mean: float | None
    deviation: float | None
    comparisons: int
    note: str = ""


def draw_discs(points: Points, diameter: float, size: tuple[int, int]) -> np.ndarray:
    """Discs around points; where they overlap a pixel belongs to the nearer point.

    Args:
        points: Point n becomes label n + 1.
        diameter: About that of a cell, pixels.
        size: Of the image, (Y, X).

    Returns:
        int32 [Y, X], 0 background.

    Raises:
        InputError: The diameter is below a pixel, a point lies outside of the image, or two on
            one pixel.
    """
    if not diameter >= 1:
        raise InputError(f"discs have a diameter of {diameter:g} pixels; give 1 or more")
    pixels = _pixels(points, size)
    marked = np.zeros(size, np.int32)
    if not len(pixels):
        return marked
    marked[tuple(pixels.T)] = np.arange(1, len(pixels) + 1)
    distance, nearest = cast(
        tuple[np.ndarray, np.ndarray],
        ndimage.distance_transform_edt(marked == 0, return_indices=True),
    )
    return np.where(distance <= diameter / 2, marked[tuple(nearest)], 0).astype(np.int32)


def match_points(
    true: Points,
    predicted: Points,
    *,
    diameter: float,
    size: tuple[int, int],
    exclude_edge: bool = True,
    mask: np.ndarray | None = None,
    debris: Points | None = None,
) -> PointFigures:
    """Compares points set in a true and in a predicted image, by discs of largest overlap.

    Two discs of one object share more pixels with each other than with the background as long as
    their centres are within 0.4 diameters.

    Args:
        true: Taken for the truth.
        predicted: Compared with it.
        diameter: Of the discs, about that of a cell, pixels.
        size: Of the image, (Y, X).
        exclude_edge: Whether discs that touch the image's edge are left out: in the paper for
            nuclei, not for dead cells and neurons.
        mask: bool [Y, X], True where points count; others, as where nuclei lie too densely, are
            left out. None: everywhere.
        debris: Where a person saw debris in the transmitted light: added points whose disc holds
            such a place are no errors. None: nobody looked.

    Raises:
        InputError: A point lies outside of the image, the diameter is below a pixel, or the mask's
            size differs.
    """
    if mask is not None and mask.shape != tuple(size):
        raise InputError(
            f"the image is {size[0]} x {size[1]} pixels, its mask "
            f"{mask.shape[0]} x {mask.shape[1]}; give a mask of the image's size"
        )
    everywhere = np.ones(size, bool)
    discs, counted, clear = [], [], []
    for points in (true, predicted):
        labels = draw_discs(points, diameter, size)
        inside = np.ones(len(points.kinds), bool)
        if mask is not None:
            inside = mask[tuple(_pixels(points, size).T)].astype(bool)
        counts = objects_that_count(labels, everywhere, exclude_edge=exclude_edge)
        discs.append(labels)
        clear.append(inside)
        counted.append(counts & inside)
    counts = table_of_counted(*discs, *counted).counts
    found = {name: counts[:, COUNTS.index(name)] > 0 for name in COUNTS}
    added = found["added"]
    # Behind the true points in the table.
    on_debris = np.concatenate(
        [np.zeros(len(true.kinds), bool), _near(predicted, debris, diameter)]
    )
    found |= {DEBRIS: added & on_debris, "added": added & ~on_debris}
    found[CORRECT] = found["true_count"] | found["predicted_count"]
    words = np.full(len(counts), LEFT_OUT, dtype=object)
    for name in (CORRECT, *ERRORS, DEBRIS):
        words[found[name]] = name
    named = ("true_count", "predicted_count", *ERRORS, DEBRIS)
    dense = int((~clear[0]).sum())
    return PointFigures(
        **{name: int(found[name].sum()) for name in named},
        annotated=len(true.kinds),
        dense=dense,
        edge=len(true.kinds) - dense - int(counted[0].sum()),
        of_true=tuple(words[: len(true.kinds)]),
        of_predicted=tuple(words[len(true.kinds) :]),
    )


def _near(points: Points, marks: Points | None, diameter: float) -> np.ndarray:
    """Whose discs hold one of the marks, bool [N]."""
    if marks is None or not len(marks.kinds) or not len(points.kinds):
        return np.zeros(len(points.kinds), bool)
    return cdist(points.yx, marks.yx).min(axis=1) <= diameter / 2


def annotator_pairs(
    annotations: Mapping[str, Points],
    *,
    diameter: float,
    size: tuple[int, int],
    exclude_edge: bool = False,
    mask: np.ndarray | None = None,
) -> dict[tuple[str, str], PointFigures]:
    """Every annotator compared with every other, each taken for the truth in turn.

    Args:
        annotations: Points of the same image, by annotator.
        diameter: As in `match_points`.
        size: As in `match_points`.
        exclude_edge: As in `match_points`; in the paper edges counted here.
        mask: As in `match_points`.

    Returns:
        Figures by (who is taken for the truth, who is compared): four annotators make 12 pairs.

    Raises:
        InputError: There are fewer than two annotators, or as in `match_points`.
    """
    if len(annotations) < 2:
        raise InputError(
            f"{len(annotations)} annotator(s) of an image: give two or more to compare"
        )
    return {
        (first, second): match_points(
            annotations[first],
            annotations[second],
            diameter=diameter,
            size=size,
            exclude_edge=exclude_edge,
            mask=mask,
        )
        for first, second in permutations(annotations, 2)
    }


def point_rates(comparisons: Mapping[str, Sequence[PointFigures]]) -> dict[str, PointRate]:
    """Mean and unbiased deviation of every share of `SHARES` (paper, Figure 6).

    Counts of a comparison are summed over fields and divided once, so that what is added to a
    field without objects counts, and dense fields weigh more than sparse ones.

    Args:
        comparisons: By who is compared, the figures of every field: of an ordered pair of
            annotators, or of one's points in predicted and in true images. Those without a true
            object in any field are left out, and named.
    """
    true, predicted = (
        {who: sum(getattr(each, side) for each in fields) for who, fields in comparisons.items()}
        for side in ("true_count", "predicted_count")
    )
    left_out = [f"{who} ({predicted[who]} predicted)" for who in comparisons if not true[who]]
    note = (
        f"left out, without a true object in any field: {', '.join(left_out)}" if left_out else ""
    )
    shares = [shares_of(fields) for who, fields in comparisons.items() if true[who]]
    rates = {}
    for name in SHARES:
        known = [share for each in shares if (share := each[name]) is not None]
        rates[name] = PointRate(
            mean=float(np.mean(known)) if known else None,
            deviation=float(np.std(known, ddof=1)) if len(known) > 1 else None,
            comparisons=len(known),
            note=note,
        )
    return rates


def _pixels(points: Points, size: tuple[int, int]) -> np.ndarray:
    """The pixel of each point, int [N, 2]."""
    pixels = np.rint(points.yx).astype(int)
    outside = ((pixels < 0) | (pixels >= np.array(size))).any(axis=1)
    if outside.any():
        y, x = points.yx[outside][0]
        raise InputError(
            f"a point at y {y:g}, x {x:g} lies outside of the image of {size[0]} x {size[1]} "
            "pixels; are these pixels of this image?"
        )
    if len(np.unique(pixels, axis=0)) < len(pixels):
        raise InputError("two points of one image lie on the same pixel; keep one of them")
    return pixels
