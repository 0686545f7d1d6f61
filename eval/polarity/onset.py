"""How far onsets lie from where they were annotated, and what comes without looking at pictures.

Frames count from 0; a censored onset counts as the frame after the recording's last.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from isl.polarity.onset import change_point_posterior, onset_errors, onset_of_labels

from ..statistics.classification import Confusion, auc, confusion

TEMPERS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Exponents of the change-point likelihood that `likeliest_temper` chooses from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnsetError:
    """One recording's onset against its annotation.

    Attributes:
        name: Of the recording.
        frames: How many it has.
        true: The annotated onset; None: after the last frame.
        predicted: The predicted onset; None: censored.
        error: |predicted - true| in frames.
        minutes: The same in minutes; None: the frame interval is not known.
    """

    name: str
    frames: int
    true: int | None
    predicted: int | None
    error: int
    minutes: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnsetErrorSummary:
    """The errors of several recordings; None where there are none.

    Attributes:
        count: How many recordings.
        mean: Of the errors, in frames.
        median: In frames.
        maximum: In frames.
        rmse: Root of the mean square, in frames.
        within_2: How many are within 2 frames.
        within_3: How many are within 3 frames.
        timed: How many recordings have a known frame interval.
        mean_minutes: Of those.
        median_minutes: Of those.
    """

    count: int
    mean: float | None
    median: float | None
    maximum: int | None
    rmse: float | None
    within_2: int
    within_3: int
    timed: int
    mean_minutes: float | None
    median_minutes: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndexBaseline:
    """What the frame's number alone says, each group judged by a threshold from the others.

    Attributes:
        groups: [N], the group that each frame is of.
        truth: bool [N], after onset or not.
        score: float64 [N], the frame's number; nothing is fitted to it.
        calls: bool [N], the number is at or above the threshold that suits the other groups best.
        thresholds: That threshold for each group.
        confusion: Of all frames.
        auc: Of the scores of all frames together; None: they are of one class.
    """

    groups: np.ndarray
    truth: np.ndarray
    score: np.ndarray
    calls: np.ndarray
    thresholds: dict[str, int]
    confusion: Confusion
    auc: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many intervals hold what they are about.

    Attributes:
        covered: How many do.
        count: Of how many.
        mean_width: Frames between their ends; an open end counts as the frame after the last.
    """

    covered: int
    count: int
    mean_width: float

    @property
    def share(self) -> float:
        """The covered share, 0 to 1."""
        return self.covered / self.count


def onset_table(
    names: Sequence[str],
    true: Sequence[int | None],
    predicted: Sequence[int | None],
    frames: Sequence[int],
    interval_minutes: Sequence[float | None] | None = None,
) -> tuple[OnsetError, ...]:
    """A row of errors for each recording.

    Args:
        names: Of the recordings.
        true: Annotated onsets; None: after the last frame.
        predicted: Predicted onsets; None: censored.
        frames: How many frames each has.
        interval_minutes: Minutes from frame to frame of each; None, all or one: not known.
    """
    errors = onset_errors(predicted, true, frames)
    intervals = [None] * len(names) if interval_minutes is None else interval_minutes
    return tuple(
        OnsetError(
            name=name,
            frames=count,
            true=annotated,
            predicted=found,
            error=int(error),
            minutes=None if minutes is None else float(error) * minutes,
        )
        for name, count, annotated, found, error, minutes in zip(
            names, frames, true, predicted, errors, intervals, strict=True
        )
    )


def summarize(rows: Sequence[OnsetError]) -> OnsetErrorSummary:
    """Mean, median, maximum and root mean square of the errors, and how many are small."""
    errors = np.array([row.error for row in rows], dtype=np.int64)
    minutes = [row.minutes for row in rows if row.minutes is not None]
    there = bool(rows)
    return OnsetErrorSummary(
        count=len(rows),
        mean=float(errors.mean()) if there else None,
        median=float(np.median(errors)) if there else None,
        maximum=int(errors.max()) if there else None,
        rmse=math.sqrt(np.mean(np.square(errors))) if there else None,
        within_2=int(np.sum(errors <= 2)),
        within_3=int(np.sum(errors <= 3)),
        timed=len(minutes),
        mean_minutes=statistics.fmean(minutes) if minutes else None,
        median_minutes=statistics.median(minutes) if minutes else None,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TimeDiscrepancies:
    """How far onsets lie from the annotated ones, an embryo each.

    Attributes:
        embryos: Groups, in order.
        values: float64 [E], the mean over an embryo's recordings.
        unit: "min", or "frames" where the interval of some recording is not known.
    """

    embryos: tuple[str, ...]
    values: np.ndarray
    unit: Literal["min", "frames"]


def time_discrepancies(rows: Sequence[OnsetError], groups: Sequence[str]) -> TimeDiscrepancies:
    """What pairwise tests compare (paper, Methods): discrepancies in time, one for each embryo.

    Args:
        rows: Of recordings.
        groups: The embryo that each is of.
    """
    embryos = tuple(dict.fromkeys(groups))
    timed = all(row.minutes is not None for row in rows)
    values: dict[str, list[float]] = {embryo: [] for embryo in embryos}
    for row, group in zip(rows, groups, strict=True):
        values[group].append(float(row.minutes if timed and row.minutes is not None else row.error))
    return TimeDiscrepancies(
        embryos=embryos,
        values=np.array([statistics.fmean(own) for own in values.values()]),
        unit="min" if timed else "frames",
    )


def frame_index_baseline(labels: Mapping[str, Sequence[int]]) -> FrameIndexBaseline:
    """Calls frames after onset by their number alone, leaving each group out in turn.

    Numbers count from each sequence's first frame. Where sequences begin at a stage of development
    (as the published ones do, at 8 cells), the number says much of the onset.

    Args:
        labels: Each group's labels in time order, 0 before its onset and 1 from it on; at least
            two groups.
    """
    onsets = _onsets(labels)
    counts = {name: len(values) for name, values in labels.items()}
    thresholds = {
        name: _best_threshold([labels[other] for other in labels if other != name])
        for name in labels
    }
    groups = np.repeat(list(labels), list(counts.values()))
    score = np.concatenate([np.arange(count) for count in counts.values()])
    truth = np.concatenate([np.arange(counts[name]) >= onsets[name] for name in labels])
    calls = np.concatenate([np.arange(counts[name]) >= thresholds[name] for name in labels])
    return FrameIndexBaseline(
        groups=groups,
        truth=truth,
        score=score.astype(np.float64),
        calls=calls,
        thresholds=thresholds,
        confusion=confusion(truth, calls),
        auc=auc(truth, score),
    )


def median_onset_baseline(labels: Mapping[str, Sequence[int]]) -> dict[str, int | None]:
    """Each group's onset as "the median of the others'": right as often as no picture can be.

    Of two in the middle the earlier is taken. A median beyond the recording's end is censored, as
    is any onset that a recording cannot hold.

    Args:
        labels: As in `frame_index_baseline`.

    Returns:
        The predicted onset of each group; None: censored.
    """
    onsets = _onsets(labels)
    medians = {
        name: statistics.median_low([onsets[other] for other in labels if other != name])
        for name in labels
    }
    return {name: at if at < len(labels[name]) else None for name, at in medians.items()}


def coverage(
    low: Sequence[int],
    high: Sequence[int | None],
    true: Sequence[int | None],
    frames: Sequence[int],
) -> Coverage:
    """How many onset intervals hold the annotated onset.

    Args:
        low: First frame of each interval.
        high: Last frame of each; None: beyond the recording.
        true: Annotated onsets; None: after the last frame.
        frames: How many frames each recording has; at least one recording.
    """
    covered, widths = 0, []
    for first, last, onset, count in zip(low, high, true, frames, strict=True):
        end = count if last is None else last
        covered += first <= (count if onset is None else onset) <= end
        widths.append(end - first)
    return Coverage(covered=covered, count=len(widths), mean_width=statistics.fmean(widths))


def errors_of_the_surest(
    errors: Sequence[float], doubts: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """How far off onsets are where only the surest are answered: the curve of error by share.

    Args:
        errors: Of every recording.
        doubts: Higher for less sure ones, such as the width of an interval; those alike are
            answered alike, each with their mean error.

    Returns:
        For 1, 2, ... recordings answered their share of all, and their mean error.
    """
    missed, unsure = np.asarray(errors, float), np.asarray(doubts, float)
    shared = np.array([missed[unsure == doubt].mean() for doubt in unsure])
    surest = shared[np.argsort(unsure, kind="stable")]
    counts = np.arange(1, len(missed) + 1)
    means = np.cumsum(surest) / counts
    return tuple(zip((counts / len(counts)).tolist(), means.tolist(), strict=True))


def likeliest_temper(
    member_probabilities: Sequence[np.ndarray],
    true: Sequence[int | None],
    *,
    threshold: float = 0.5,
    tempers: Sequence[float] = TEMPERS,
) -> float:
    """The exponent under which the annotated onsets are likeliest.

    Meant for predictions of embryos that the members never saw: those of a cross-validation.

    Args:
        member_probabilities: float [M, T] of each recording, P(after onset).
        true: Its annotated onset; None: after the last frame.
        threshold: As in `isl.polarity.onset.find_onset`.
        tempers: What to choose from.
    """

    def log_likelihood(temper: float) -> float:
        total = 0.0
        for members, onset in zip(member_probabilities, true, strict=True):
            with_ensemble = np.concatenate([members, np.mean(members, axis=0, keepdims=True)])
            posterior = change_point_posterior(with_ensemble, temper=temper, threshold=threshold)
            total += math.log(posterior.mean(axis=0)[-1 if onset is None else onset])
        return total

    return max(tempers, key=log_likelihood)


def _onsets(labels: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Each group's onset, the number of its frames where it is censored."""
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} groups: leaving one out takes two or more")
    onsets = {name: onset_of_labels(values, embryo=name) for name, values in labels.items()}
    return {name: len(labels[name]) if at is None else at for name, at in onsets.items()}


def _best_threshold(training: Sequence[Sequence[int]]) -> int:
    """The frame number from which calling "after" is right most often; of equals the middle one."""
    last = max(len(labels) for labels in training)
    right = [
        sum(
            int(np.sum((np.arange(len(labels)) >= threshold) == np.asarray(labels, dtype=bool)))
            for labels in training
        )
        for threshold in range(last + 1)
    ]
    best = np.flatnonzero(np.array(right) == max(right))
    return int(best[(len(best) - 1) // 2])
