"""How well frames are called: the four cells, the shares they give, ROC and AUC.

What has no value, because no frame is of the class it is about, is None.
"""

import dataclasses

import numpy as np
from scipy.stats import rankdata


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion:
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

    def __add__(self, other: "Confusion") -> "Confusion":
        """The cells of both together."""
        return Confusion(
            true_negative=self.true_negative + other.true_negative,
            false_positive=self.false_positive + other.false_positive,
            false_negative=self.false_negative + other.false_negative,
            true_positive=self.true_positive + other.true_positive,
        )

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
    order = np.argsort(-score, kind="stable")
    descending = score[order]
    last_of_equals = np.flatnonzero(np.append(np.diff(descending) != 0, True))
    found = np.cumsum(truth[order])[last_of_equals]
    called = last_of_equals + 1
    return Roc(
        false_positive_rate=np.append(0.0, (called - found) / (called[-1] - found[-1])),
        true_positive_rate=np.append(0.0, found / found[-1]),
        threshold=np.append(np.inf, descending[last_of_equals]),
    )


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


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _classes(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if not np.all((values == 0) | (values == 1)):
        raise ValueError(f"classes must be 0 or 1; there are {np.unique(values)[:5]}")
    return values.astype(bool)


def _scores(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is nan")
    return values


def _pair(truth: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if truth.ndim != 1 or truth.shape != other.shape:
        raise ValueError(f"truth has shape {truth.shape}, what is judged {other.shape}; give [N]")
    return truth, other
