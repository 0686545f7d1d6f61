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

from .image_pair import check_sizes, checked_mask


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


class SizeTest(NamedTuple):
    """The two-sample Kolmogorov-Smirnov test; None: undefined, one sample is empty."""

    statistic: float | None
    p: float | None


def match_objects(
    true_labels: np.ndarray,
    predicted_labels: np.ndarray,
    *,
    exclude_edge: bool = True,
    mask: np.ndarray | None = None,
) -> ObjectFigures:
    """Compares the objects of two label images.

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
    return match_counted(
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
        exclude_edge: As in `match_objects`.
    """
    sizes = np.bincount(labels.ravel())
    if not exclude_edge:
        return (2 * np.bincount(labels[inside], minlength=sizes.size) > sizes)[1:]
    # Segmented within the mask only, a nucleus that the mask cuts off does not reach out of it, but
    # it touches what does not count.
    clear = np.asarray(ndimage.binary_erosion(inside), bool)
    return (np.bincount(labels[clear], minlength=sizes.size) == sizes)[1:]


def match_counted(
    true_labels: np.ndarray,
    predicted_labels: np.ndarray,
    true_counts: np.ndarray,
    predicted_counts: np.ndarray,
) -> ObjectFigures:
    """`match_objects` where it is known which objects count.

    Args:
        true_labels: int [Y, X], 1 to N without gaps, 0 background.
        predicted_labels: int [Y, X], 1 to M without gaps, 0 background.
        true_counts: bool [N].
        predicted_counts: bool [M].
    """
    table: Any = contingency_table(true_labels, predicted_labels).tocoo()
    true_sizes, predicted_sizes = (
        np.bincount(each.ravel()) for each in (true_labels, predicted_labels)
    )
    predicted_of_true = _assigned(table.row, table.col, table.data)
    true_of_predicted = _assigned(table.col, table.row, table.data)
    # A predicted object that belongs to a true one left out is no error, and is left out too.
    left_out = np.concatenate([[False], ~true_counts])
    predicted_counts = predicted_counts & ~left_out[true_of_predicted[1:]]
    errors = _errors(predicted_of_true, true_of_predicted, true_counts, predicted_counts)
    sizes = true_sizes[1:][true_counts], predicted_sizes[1:][predicted_counts]
    test = compare_sizes(*sizes)
    overlap = table.data / (true_sizes[table.row] + predicted_sizes[table.col] - table.data)
    objects = (table.row > 0) & (table.col > 0)
    precision = {
        least: _average_precision(
            table.row[objects & (overlap > least)] - 1,
            table.col[objects & (overlap > least)] - 1,
            true_counts,
            predicted_counts,
        )
        for least in (0.5, 0.75)
    }
    return ObjectFigures(
        true_count=sizes[0].size,
        predicted_count=sizes[1].size,
        split=errors.split,
        merged=errors.merged,
        added=errors.added,
        missing=errors.missing,
        accuracy=(sizes[0].size - sum(errors)) / sizes[0].size if sizes[0].size else None,
        average_precision_50=precision[0.5],
        average_precision_75=precision[0.75],
        size_ks_statistic=test.statistic,
        size_ks_p=test.p,
        true_sizes=sizes[0],
        predicted_sizes=sizes[1],
        notes=_notes(sizes[0].size, sizes[1].size),
    )


def compare_sizes(first: np.ndarray, second: np.ndarray) -> SizeTest:
    """Whether two samples [N] and [M] are of one distribution (paper, Live versus dead)."""
    if not first.size or not second.size:
        return SizeTest(None, None)
    with warnings.catch_warnings():
        # Where the exact p cannot be had SciPy says so and takes the asymptotic one.
        warnings.simplefilter("ignore", RuntimeWarning)
        found: Any = stats.ks_2samp(first, second)
    return SizeTest(float(found.statistic), float(found.pvalue))


class _Errors(NamedTuple):
    split: int
    merged: int
    added: int
    missing: int


def _errors(
    predicted_of_true: np.ndarray,
    true_of_predicted: np.ndarray,
    true_counts: np.ndarray,
    predicted_counts: np.ndarray,
) -> _Errors:
    """Errors from assignments, [N + 1] and [M + 1], whose entry 0 is the background's."""
    parts = np.bincount(true_of_predicted[1:], minlength=true_counts.size + 1)[1:]
    wholes = np.bincount(predicted_of_true[1:], minlength=predicted_counts.size + 1)[1:]
    concerned = np.zeros(predicted_counts.size + 1, bool)
    concerned[predicted_of_true[1:][true_counts]] = True
    return _Errors(
        split=int(((parts > 1) & true_counts).sum()),
        merged=int(((wholes > 1) & concerned[1:]).sum()),
        added=int(((true_of_predicted[1:] == 0) & predicted_counts).sum()),
        missing=int(((predicted_of_true[1:] == 0) & true_counts).sum()),
    )


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


def _average_precision(
    true: np.ndarray, predicted: np.ndarray, true_counts: np.ndarray, predicted_counts: np.ndarray
) -> float | None:
    """Average precision from pairs (indices of true and predicted objects, each at most once)."""
    unmatched = predicted_counts.copy()
    unmatched[predicted] = False
    matched = int(true_counts[true].sum())
    total = int(true_counts.sum()) + int(unmatched.sum())
    return matched / total if total else None


def _notes(true_count: int, predicted_count: int) -> tuple[str, ...]:
    notes = []
    if not true_count:
        notes.append("the true image holds no object that counts: accuracy is undefined")
    if not true_count and not predicted_count:
        notes.append("neither image holds one: average precision is undefined")
    if not true_count or not predicted_count:
        notes.append("there are no sizes to compare")
    return tuple(notes)
