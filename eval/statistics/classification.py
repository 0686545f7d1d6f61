"""How well cases are called: cells, the shares they give, ROC, AUC and average precision.

Of two classes (`Confusion`) or of several (`ClassConfusion`, each class against the rest). What has
no value, because no case is of the class it is about, is None. scikit-learn has most of these, but
checks its arguments at each call: AUC and average precision of 600 rows take it 15 and 30 times as
long, which a bootstrap of 1,000 replicates multiplies. The tests compare the two.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import rankdata

from isl.summed import Summed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion(Summed):
    """The four cells of true against called; they merge with `+`.

    Attributes:
        true_negative: False and called False.
        false_positive: False but called True.
        false_negative: True but called False.
        true_positive: True and called True.
    """

    true_negative: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_positive: int = 0

    @property
    def total(self) -> int:
        """All that were called."""
        return self.negatives + self.positives

    @property
    def negatives(self) -> int:
        """All that are False."""
        return self.true_negative + self.false_positive

    @property
    def positives(self) -> int:
        """All that are True."""
        return self.false_negative + self.true_positive

    @property
    def accuracy(self) -> float | None:
        """Share called rightly; None: there are none."""
        return _share(self.true_negative + self.true_positive, self.total)

    @property
    def sensitivity(self) -> float | None:
        """Share of the True called True; None: nothing is True."""
        return _share(self.true_positive, self.positives)

    @property
    def specificity(self) -> float | None:
        """Share of the False called False; None: nothing is False."""
        return _share(self.true_negative, self.negatives)

    @property
    def precision(self) -> float | None:
        """Share of those called True that are; None: nothing is called True."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of sensitivity and precision; None: nothing is True or called so."""
        twice = 2 * self.true_positive
        return _share(twice, twice + self.false_positive + self.false_negative)

    @property
    def undefined(self) -> str:
        """Which of these, and AUC, are undefined, and why; "" where none is."""
        if not self.total:
            return "accuracy, sensitivity, specificity and AUC are undefined: there are no rows"
        if not self.positives:
            return f"sensitivity and AUC are undefined: all {self.total} rows are negative"
        if not self.negatives:
            return f"specificity and AUC are undefined: all {self.total} rows are positive"
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassConfusion:
    """Cases of K classes by what they are and what they are called; they merge with `+`.

    Attributes:
        classes: Names of the classes.
        counts: int64 [K, K], the true class first, then the called one.
    """

    classes: tuple[str, ...]
    counts: np.ndarray

    def __add__(self, other: "ClassConfusion") -> "ClassConfusion":
        """The cases of both together."""
        if self.classes != other.classes:
            raise ValueError(f"classes {self.classes} and {other.classes} do not merge")
        return ClassConfusion(classes=self.classes, counts=self.counts + other.counts)

    def against_rest(self, name: str) -> Confusion:
        """The four cells of one class (True) against all others."""
        at = self.classes.index(name)
        right, true, called = self.counts[at, at], self.counts[at].sum(), self.counts[:, at].sum()
        return Confusion(
            true_negative=int(self.counts.sum() - true - called + right),
            false_positive=int(called - right),
            false_negative=int(true - right),
            true_positive=int(right),
        )

    @functools.cached_property
    def cells(self) -> dict[str, Confusion]:
        """`against_rest` of every class, by its name."""
        return {name: self.against_rest(name) for name in self.classes}

    @property
    def accuracy(self) -> float | None:
        """Share called rightly; None: there are no cases."""
        return _share(int(np.trace(self.counts)), int(self.counts.sum()))

    @property
    def recall(self) -> dict[str, float | None]:
        """Share of each class called so (true positive rate); None: the class has no case."""
        return {name: cells.sensitivity for name, cells in self.cells.items()}

    @property
    def precision(self) -> dict[str, float | None]:
        """Share of the calls of each class that are right; None: it is never called."""
        return {name: cells.precision for name, cells in self.cells.items()}

    @property
    def f1(self) -> dict[str, float | None]:
        """Harmonic mean of recall and precision; None: the class neither occurs nor is called."""
        return {name: cells.f1 for name, cells in self.cells.items()}

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall of the classes that occur; None: there are no cases."""
        return mean_of_defined(self.recall.values())

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 of the classes that occur or are called; None: there are no cases."""
        return mean_of_defined(self.f1.values())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Roc:
    """Points of the ROC curve, from nothing called True to everything.

    Attributes:
        false_positive_rate: float64 [K], rising from 0 to 1.
        true_positive_rate: float64 [K], rising from 0 to 1.
        threshold: float64 [K]; scores at or above it are called True; the first is infinite.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    threshold: np.ndarray


def confusion(truth: np.ndarray, calls: np.ndarray) -> Confusion:
    """Counts the cells.

    Args:
        truth: bool or 0/1 [N].
        calls: bool or 0/1 [N].
    """
    truth, calls = _pair(_classes(truth), _classes(calls))
    true_positive = int(np.sum(truth & calls))
    false_positive = int(np.sum(~truth & calls))
    false_negative = int(np.sum(truth & ~calls))
    return Confusion(
        true_negative=truth.size - true_positive - false_positive - false_negative,
        false_positive=false_positive,
        false_negative=false_negative,
        true_positive=true_positive,
    )


def class_confusion(truth: np.ndarray, calls: np.ndarray, classes: Sequence[str]) -> ClassConfusion:
    """Counts cases of several classes.

    Args:
        truth: int [N], the number of each case's class.
        calls: int [N], the number of the class it is called.
        classes: K names.
    """
    count = len(classes)
    truth, calls = _pair(_numbers(truth, count), _numbers(calls, count))
    counts = np.bincount(truth * count + calls, minlength=count * count).reshape(count, count)
    return ClassConfusion(classes=tuple(classes), counts=counts)


def accuracy(truth: np.ndarray, calls: np.ndarray) -> float | None:
    """Share called rightly: bool or 0/1 [N] each; None: there are none."""
    return confusion(truth, calls).accuracy


def auc(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve: P(a True scores above a False), equal scores counting half.

    Args:
        truth: bool or 0/1 [N].
        score: float [N], higher for True.

    Returns:
        0 to 1; None where only one class is there.
    """
    truth, score = _pair(_classes(truth), _scores(score))
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        return None
    above = rankdata(score)[truth].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def roc(truth: np.ndarray, score: np.ndarray) -> Roc | None:
    """The ROC curve, a point for each score that occurs.

    Args:
        truth: bool or 0/1 [N].
        score: float [N], higher for True.

    Returns:
        The curve; None where only one class is there.
    """
    truth, score = _pair(_classes(truth), _scores(score))
    if truth.all() or not truth.any():
        return None
    found, called = _found_and_called(truth, score)
    return Roc(
        false_positive_rate=np.append(0.0, (called - found) / (called[-1] - found[-1])),
        true_positive_rate=np.append(0.0, found / found[-1]),
        threshold=np.append(np.inf, np.unique(score)[::-1]),
    )


def average_precision(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Mean precision over the steps of recall, equal scores being called together.

    Args:
        truth: bool or 0/1 [N].
        score: float [N], higher for True.

    Returns:
        Its share of True for scores that say nothing, 1 for such as put all True first; None where
        nothing is True.
    """
    truth, score = _pair(_classes(truth), _scores(score))
    if not truth.any():
        return None
    found, called = _found_and_called(truth, score)
    return float(np.sum(np.diff(found, prepend=0) * found / called) / found[-1])


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """The mean of those that are not None; None: all are."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def call_statistics(
    truth: np.ndarray, calls: np.ndarray, score: np.ndarray
) -> dict[str, float | None]:
    """Accuracy, sensitivity, specificity and AUC by name, as the bootstrap takes them.

    Args:
        truth: bool or 0/1 [N].
        calls: bool or 0/1 [N].
        score: float [N], higher for True.
    """
    cells = confusion(truth, calls)
    return {
        "accuracy": cells.accuracy,
        "sensitivity": cells.sensitivity,
        "specificity": cells.specificity,
        "auc": auc(truth, score),
    }


def _found_and_called(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By falling threshold, a score that occurs each: how many True are called, and how many."""
    order = np.argsort(-score, kind="stable")
    called = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) + 1
    return np.cumsum(truth[order])[called - 1], called


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _classes(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if not np.all((values == 0) | (values == 1)):
        raise ValueError(f"classes must be 0 or 1; there are {np.unique(values)[:5]}")
    return values.astype(bool)


def _numbers(values: np.ndarray, count: int) -> np.ndarray:
    values = np.asarray(values)
    if not np.all(np.isin(values, np.arange(count))):
        raise ValueError(f"classes must be 0 to {count - 1}; there are {np.unique(values)[:5]}")
    return values.astype(np.int64)


def _scores(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is nan")
    return values


def _pair(truth: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if truth.ndim != 1 or truth.shape != other.shape:
        raise ValueError(f"truth has shape {truth.shape}, what is judged {other.shape}; give [N]")
    return truth, other
