"""Points set by people in place of segmented objects (paper, Manual identification of errors)."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple, cast

import numpy as np
from scipy import ndimage

from isl.data.points import Points
from isl.errors import InputError

from .object_matching import ERRORS, ObjectFigures, match_counted, objects_that_count


class ErrorRate(NamedTuple):
    """Errors of one kind over several comparisons.

    Attributes:
        mean: Errors of each true object, mean of the comparisons; None: none had an object.
        deviation: Unbiased sample deviation; None: fewer than two comparisons.
        comparisons: How many had a true object in any field.
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
) -> ObjectFigures:
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
    discs, counted = [], []
    for points in (true, predicted):
        labels = draw_discs(points, diameter, size)
        counts = objects_that_count(labels, everywhere, exclude_edge=exclude_edge)
        if mask is not None:
            counts = counts & mask[tuple(_pixels(points, size).T)].astype(bool)
        discs.append(labels)
        counted.append(counts)
    figures = match_counted(*discs, *counted)
    # Discs are all of one size: what their sizes say is chance.
    return dataclasses.replace(figures, size_ks_statistic=None, size_ks_p=None)


def annotator_pairs(
    annotations: Mapping[str, Points],
    *,
    diameter: float,
    size: tuple[int, int],
    exclude_edge: bool = False,
    mask: np.ndarray | None = None,
) -> dict[tuple[str, str], ObjectFigures]:
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


def error_rates(comparisons: Mapping[str, Sequence[ObjectFigures]]) -> dict[str, ErrorRate]:
    """Mean and unbiased deviation of the share of each kind of error (paper, Figure 6).

    Errors and true objects of a comparison are summed over fields and divided once, so that what
    is added to a field without objects counts, and dense fields weigh more than sparse ones.

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
    rates = {}
    for kind in ERRORS:
        shares = [
            sum(getattr(each, kind) for each in fields) / true[who]
            for who, fields in comparisons.items()
            if true[who]
        ]
        rates[kind] = ErrorRate(
            mean=float(np.mean(shares)) if shares else None,
            deviation=float(np.std(shares, ddof=1)) if len(shares) > 1 else None,
            comparisons=len(shares),
            note=f"left out, without a true object in any field: {', '.join(left_out)}"
            if left_out
            else "",
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
