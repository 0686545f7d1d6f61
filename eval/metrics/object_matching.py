"""Objects of a predicted image beside those of the true one: counts, errors, sizes.

Errors are those of Coelho et al. (2009): every object is assigned to what it shares most pixels
with on the other side, an object or the background.
"""

import dataclasses
import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, stats
from skimage.metrics import contingency_table
from skimage.segmentation import relabel_sequential

from isl.imaging.masks import checked_mask

from .image_pair import check_sizes

_OVERLAPS = {50: 0.5, 75: 0.75}
"""Intersections over union above which a pair is matched, by the percent in names."""
ERRORS = ("split", "merged", "added", "missing")
"""The kinds of errors."""
COUNTS = (
    *("true_count", "predicted_count", *ERRORS),
    *(f"{what}_{percent}" for percent in _OVERLAPS for what in ("matched", "unmatched")),
)
"""What is counted: objects, errors, and at each overlap pairs and predicted objects without one."""
_AT = {name: index for index, name in enumerate(COUNTS)}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ObjectFigures:
    """What was found; None: undefined, with a note that says why.

    Attributes:
        true_count: True objects that count.
        predicted_count: Predicted objects that count.
        split: True objects that several predicted ones are assigned to.
        merged: Predicted objects that several true ones are assigned to.
        added: Predicted objects assigned to the background.
        missing: True objects assigned to the background.
        accuracy: (true_count - the four errors) / true_count; below 0 where errors are more.
        average_precision_50: Matched pairs / (pairs + unmatched on either side), a pair being
            matched where its intersection over union is above 0.5.
        average_precision_75: The same above 0.75.
        size_ks_statistic: Two-sample Kolmogorov-Smirnov test of the sizes.
        size_ks_p: See `size_ks_statistic`; two-sided.
        true_sizes: int [true_count], pixels.
        predicted_sizes: int [predicted_count], pixels.
        notes: What is undefined, and why.
    """

    true_count: int
    predicted_count: int
    split: int
    merged: int
    added: int
    missing: int
    accuracy: float | None
    average_precision_50: float | None
    average_precision_75: float | None
    size_ks_statistic: float | None
    size_ks_p: float | None
    true_sizes: np.ndarray
    predicted_sizes: np.ndarray
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ObjectTable:
    """What each object adds to the counts, so that they can be had of any part of the ground.

    Attributes:
        counts: int [N + M, len(COUNTS)], the N true objects first; all 0 where one does not count.
        centers: float64 [N + M, 2], their centres of mass: rows and columns.
        true_sizes: int, pixels of the true objects that count.
        predicted_sizes: int, pixels of the predicted ones.
    """

    counts: np.ndarray
    centers: np.ndarray
    true_sizes: np.ndarray
    predicted_sizes: np.ndarray


class SizeTest(NamedTuple):
    """The two-sample Kolmogorov-Smirnov test; None: undefined, one sample is empty."""

    statistic: float | None
    p: float | None


def tabulate_objects(
    true_labels: np.ndarray,
    predicted_labels: np.ndarray,
    *,
    exclude_edge: bool = True,
    mask: np.ndarray | None = None,
) -> ObjectTable:
    """Compares the objects of two label images: what each adds to the counts.

    Objects that do not count are still matched, so a nucleus that is cut off in one image only is
    not an error in the other.

    Args:
        true_labels: int [Y, X], 0 background.
        predicted_labels: int [Y, X], 0 background; its numbers need not be those of the true one.
        exclude_edge: Whether objects that touch the image's edge, or a pixel outside of the mask,
            are left out, as in the paper's nuclei: they may be cut off there.
        mask: bool [Y, X], True where objects count; those that lie outside by half or more never
            do. None: everywhere.

    Raises:
        InputError: Sizes differ.
    """
    check_sizes(true_labels, predicted_labels)
    inside = checked_mask(true_labels, mask)
    true, predicted = (relabel_sequential(each)[0] for each in (true_labels, predicted_labels))
    return table_of_counted(
        true,
        predicted,
        objects_that_count(true, inside, exclude_edge=exclude_edge),
        objects_that_count(predicted, inside, exclude_edge=exclude_edge),
    )


def objects_that_count(labels: np.ndarray, inside: np.ndarray, *, exclude_edge: bool) -> np.ndarray:
    """Which objects count: bool [N] for labels 1 to N.

    Args:
        labels: int [Y, X], 1 to N without gaps, 0 background.
        inside: bool [Y, X].
        exclude_edge: As in `tabulate_objects`.
    """
    sizes = np.bincount(labels.ravel())
    if not exclude_edge:
        return (2 * np.bincount(labels[inside], minlength=sizes.size) > sizes)[1:]
    # Segmented within the mask only, a nucleus that the mask cuts off does not reach out of it, but
    # it touches what does not count.
    clear = np.asarray(ndimage.binary_erosion(inside), bool)
    return (np.bincount(labels[clear], minlength=sizes.size) == sizes)[1:]


def table_of_counted(
    true_labels: np.ndarray,
    predicted_labels: np.ndarray,
    true_counts: np.ndarray,
    predicted_counts: np.ndarray,
) -> ObjectTable:
    """`tabulate_objects` where it is known which objects count.

    An error belongs to the object that it is counted for: a true one that is split or missing, a
    predicted one that is merged or added.

    Args:
        true_labels: int [Y, X], 1 to N without gaps, 0 background.
        predicted_labels: int [Y, X], 1 to M without gaps, 0 background.
        true_counts: bool [N].
        predicted_counts: bool [M].
    """
    shared: Any = contingency_table(true_labels, predicted_labels).tocoo()
    true_sizes, predicted_sizes = (
        np.bincount(each.ravel()) for each in (true_labels, predicted_labels)
    )
    predicted_of_true = _assigned(shared.row, shared.col, shared.data)
    true_of_predicted = _assigned(shared.col, shared.row, shared.data)
    # A predicted object that belongs to a true one left out is no error, and is left out too.
    left_out = np.concatenate([[False], ~true_counts])
    predicted_counts = predicted_counts & ~left_out[true_of_predicted[1:]]
    of_true = {"true_count": true_counts}
    of_predicted = {"predicted_count": predicted_counts}
    parts = np.bincount(true_of_predicted[1:], minlength=true_counts.size + 1)[1:]
    wholes = np.bincount(predicted_of_true[1:], minlength=predicted_counts.size + 1)[1:]
    concerned = np.zeros(predicted_counts.size + 1, bool)
    concerned[predicted_of_true[1:][true_counts]] = True
    of_true["split"] = (parts > 1) & true_counts
    of_true["missing"] = (predicted_of_true[1:] == 0) & true_counts
    of_predicted["merged"] = (wholes > 1) & concerned[1:]
    of_predicted["added"] = (true_of_predicted[1:] == 0) & predicted_counts
    overlap = shared.data / (true_sizes[shared.row] + predicted_sizes[shared.col] - shared.data)
    for percent, least in _OVERLAPS.items():
        pairs = (shared.row > 0) & (shared.col > 0) & (overlap > least)
        of_true[f"matched_{percent}"] = _only(true_counts, shared.row[pairs] - 1)
        lonely = ~_only(np.ones_like(predicted_counts), shared.col[pairs] - 1)
        of_predicted[f"unmatched_{percent}"] = predicted_counts & lonely
    return ObjectTable(
        counts=np.concatenate(
            [_columns(of_true, true_counts.size), _columns(of_predicted, predicted_counts.size)]
        ),
        centers=np.concatenate([_centers(true_labels), _centers(predicted_labels)]),
        true_sizes=true_sizes[1:][true_counts],
        predicted_sizes=predicted_sizes[1:][predicted_counts],
    )


def figures_of_table(table: ObjectTable) -> ObjectFigures:
    """All figures of the objects of one image."""
    counts = dict(zip(COUNTS, table.counts.sum(axis=0).tolist(), strict=True))
    figures = figures_of_counts(table.counts.sum(axis=0))
    test = compare_sizes(table.true_sizes, table.predicted_sizes)
    return ObjectFigures(
        true_count=counts["true_count"],
        predicted_count=counts["predicted_count"],
        split=counts["split"],
        merged=counts["merged"],
        added=counts["added"],
        missing=counts["missing"],
        accuracy=figures["accuracy"],
        average_precision_50=figures["average_precision_50"],
        average_precision_75=figures["average_precision_75"],
        size_ks_statistic=test.statistic,
        size_ks_p=test.p,
        true_sizes=table.true_sizes,
        predicted_sizes=table.predicted_sizes,
        notes=_notes(counts["true_count"], counts["predicted_count"]),
    )


def figures_of_counts(counts: np.ndarray) -> dict[str, float | None]:
    """accuracy, average_precision_50 and average_precision_75 from counts summed over any objects.

    Args:
        counts: [len(COUNTS)].
    """
    of = dict(zip(COUNTS, counts.tolist(), strict=True))
    true = of["true_count"]
    accuracy = (true - sum(of[kind] for kind in ERRORS)) / true if true else None
    found: dict[str, float | None] = {"accuracy": accuracy}
    for percent in _OVERLAPS:
        total = true + of[f"unmatched_{percent}"]
        found[f"average_precision_{percent}"] = of[f"matched_{percent}"] / total if total else None
    return found


def compare_sizes(first: np.ndarray, second: np.ndarray) -> SizeTest:
    """Whether two samples [N] and [M] are of one distribution (paper, Live versus dead)."""
    if not first.size or not second.size:
        return SizeTest(None, None)
    with warnings.catch_warnings():
        # Where the exact p cannot be had SciPy says so and takes the asymptotic one.
        warnings.simplefilter("ignore", RuntimeWarning)
        found: Any = stats.ks_2samp(first, second)
    return SizeTest(float(found.statistic), float(found.pvalue))


def _assigned(of: np.ndarray, to: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """What each object `of` shares most pixels with, int [N + 1]; the lower number where equal.

    Args:
        of: int [P], an object of each pair that shares pixels; 0 is the background.
        to: int [P], the other object of the pair.
        shared: int [P], how many pixels.
    """
    order = np.lexsort((-to, shared, of))
    largest = np.zeros(of.max() + 1, int)
    # Of entries for one object the last stays.
    largest[of[order]] = to[order]
    return largest


def _only(of: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`of`, bool [N], where a number is named; False elsewhere."""
    named = np.zeros_like(of)
    named[numbers] = of[numbers]
    return named


def _columns(found: dict[str, np.ndarray], objects: int) -> np.ndarray:
    """A table, int [objects, len(COUNTS)], from some of its columns."""
    counts = np.zeros((objects, len(COUNTS)), int)
    for name, column in found.items():
        counts[:, _AT[name]] = column
    return counts


def _centers(labels: np.ndarray) -> np.ndarray:
    """Centres of mass, float64 [N, 2], of labels 1 to N."""
    sizes = np.bincount(labels.ravel())
    places = np.indices(labels.shape, sparse=True)
    sums = [np.bincount(labels.ravel(), np.broadcast_to(at, labels.shape).ravel()) for at in places]
    return np.stack(sums, axis=-1)[1:] / sizes[1:, None]


def _notes(true_count: int, predicted_count: int) -> tuple[str, ...]:
    notes = []
    if not true_count:
        notes.append("the true image holds no object that counts: accuracy is undefined")
    if not true_count and not predicted_count:
        notes.append("neither image holds one: average precision is undefined")
    if not true_count or not predicted_count:
        notes.append("there are no sizes to compare")
    return tuple(notes)
