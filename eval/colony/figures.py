"""Figures of one arm at one share of labels: by fold, together, and against another arm."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from isl.calibration import class_calibration
from isl.colony.model import corrected_composition

from ..statistics.bootstrap import Interval, Resampling, bootstrap
from ..statistics.classification import ClassConfusion, auc, class_confusion
from ..statistics.tests import PairedMeansTest, paired_t
from .predictions import Predictions

OVERALL = (
    "balanced_accuracy",
    "macro_f1",
    "accuracy",
    "macro_auroc",
    "calibration_error_before",
    "calibration_error_after",
)
SHIFTS = ("as it is", "equal classes", "reversed frequencies")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One fold of one seed of an arm at a share of labels."""

    fold: int
    seed: int
    predictions: Predictions


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """How well an arm does at a share of labels.

    Attributes:
        confusion: Of all folds and seeds together.
        by_run: Each figure, by name, of every run; a run's nan where it is not defined.
        by_seed: Likewise of every seed, its folds together.
        intervals: Of all runs together, images drawn by group; a run's seeds together.
        variance: Of the recalls over the classes, mean over runs.
        composition: |share - true share|, mean over classes and runs, by shift: of shares as
            called, corrected by the confusion, and expected (mean probabilities).
    """

    confusion: ClassConfusion
    by_run: Mapping[str, np.ndarray]
    by_seed: Mapping[str, np.ndarray]
    intervals: Mapping[str, Interval]
    variance: float
    composition: Mapping[str, tuple[float, float, float]]


def figures_of(
    runs: Sequence[Run],
    classes: Sequence[str],
    patches: int,
    resampling: Resampling,
    grouped: bool,
) -> Figures:
    """All figures of an arm at a share of labels.

    Args:
        runs: At least one.
        classes: Names.
        patches: How many of each image count.
        resampling: Of the intervals.
        grouped: Whether groups are known; images are drawn one by one else.
    """
    total = sum(
        (_confusion(run, classes, patches) for run in runs[1:]),
        start=_confusion(runs[0], classes, patches),
    )
    single = [_statistics(*_columns([run], patches), classes=classes) for run in runs]
    names = list(single[0])
    by_run = {name: np.array([_nan(each[name]) for each in single]) for name in names}
    recalls = np.stack([by_run[f"recall_{name}"] for name in classes])
    seeds = sorted({run.seed for run in runs})
    by_seed = [
        _statistics(*_columns([run for run in runs if run.seed == seed], patches), classes=classes)
        for seed in seeds
    ]
    return Figures(
        confusion=total,
        by_run=by_run,
        by_seed={name: np.array([_nan(each[name]) for each in by_seed]) for name in names},
        intervals={
            **bootstrap(
                lambda counts: _of_confusion(counts, classes),
                [_counts(runs, classes, patches, grouped)],
                groups=None,
                **resampling.settings,
            ),
            **bootstrap(
                lambda *given: _of_scores(*given, classes=classes),
                _columns(runs, patches),
                groups=_units(runs, grouped),
                **resampling.settings,
            ),
        },
        variance=float(np.nanmean(np.nanvar(recalls, axis=0, ddof=1))),
        composition=_composition(runs, classes, patches),
    )


def differences(
    first: Sequence[Run],
    second: Sequence[Run],
    classes: Sequence[str],
    patches: int,
    resampling: Resampling,
    grouped: bool,
) -> dict[str, Interval]:
    """How much each figure of the confusion differs between two arms, on the same images."""

    def gaps(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
        ours, theirs = (_of_confusion(counts, classes) for counts in (one, other))
        return {name: _nan(ours[name]) - _nan(theirs[name]) for name in ours}

    counts = [_counts(runs, classes, patches, grouped) for runs in (first, second)]
    return bootstrap(gaps, counts, groups=None, **resampling.settings)


def both(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of two arms that have fold and seed in common, in one order."""
    by_place = [{(run.seed, run.fold): run for run in runs} for runs in (first, second)]
    common = sorted(by_place[0].keys() & by_place[1].keys())
    return [by_place[0][place] for place in common], [by_place[1][place] for place in common]


def paired(
    first: Sequence[Run], second: Sequence[Run], name: str, classes: Sequence[str], patches: int
) -> PairedMeansTest:
    """The paper's test: a figure of the confusion of every run of two arms, as pairs."""
    figures = [
        np.array(
            [
                _nan(_of_confusion(_confusion(run, classes, patches).counts[None], classes)[name])
                for run in runs
            ]
        )
        for runs in (first, second)
    ]
    known = np.isfinite(figures[0]) & np.isfinite(figures[1])
    return paired_t(figures[0][known], figures[1][known])


def _units(runs: Sequence[Run], grouped: bool) -> np.ndarray:
    """What is drawn in a bootstrap: groups, or images with what all seeds say of them."""
    return np.concatenate(
        [run.predictions.groups if grouped else run.predictions.names for run in runs]
    )


def _confusion(run: Run, classes: Sequence[str], patches: int) -> ClassConfusion:
    called = run.predictions.probabilities(patches).argmax(axis=1)
    return class_confusion(run.predictions.truth, called, classes)


def _columns(runs: Sequence[Run], patches: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth [N], probabilities [N, K] after and before temperature, of all runs together."""
    return (
        np.concatenate([run.predictions.truth for run in runs]),
        np.concatenate([run.predictions.probabilities(patches) for run in runs]),
        np.concatenate([run.predictions.probabilities(patches, calibrated=False) for run in runs]),
    )


def _counts(runs: Sequence[Run], classes: Sequence[str], patches: int, grouped: bool) -> np.ndarray:
    """Confusion of every unit of a bootstrap, int64 [U, K, K]; units in the order of names."""
    _, unit = np.unique(_units(runs, grouped), return_inverse=True)
    truth, said, _ = _columns(runs, patches)
    counts = np.zeros((unit.max() + 1, len(classes), len(classes)), np.int64)
    np.add.at(counts, (unit, truth, said.argmax(axis=1)), 1)
    return counts


def _statistics(
    truth: np.ndarray, calibrated: np.ndarray, plain: np.ndarray, *, classes: Sequence[str]
) -> dict[str, float | None]:
    counts = class_confusion(truth, calibrated.argmax(axis=1), classes).counts
    return {
        **_of_confusion(counts[None], classes),
        **_of_scores(truth, calibrated, plain, classes=classes),
    }


def _of_scores(
    truth: np.ndarray, calibrated: np.ndarray, plain: np.ndarray, *, classes: Sequence[str]
) -> dict[str, float | None]:
    """What follows from probabilities."""
    scores = {
        name: auc(truth == number, calibrated[:, number]) for number, name in enumerate(classes)
    }
    defined = [score for score in scores.values() if score is not None]
    return {
        "macro_auroc": float(np.mean(defined)) if defined else None,
        "calibration_error_before": class_calibration(truth, plain).error,
        "calibration_error_after": class_calibration(truth, calibrated).error,
        **{f"auroc_{name}": value for name, value in scores.items()},
    }


def _of_confusion(counts: np.ndarray, classes: Sequence[str]) -> dict[str, float | None]:
    """What follows from confusions int64 [U, K, K] of some units together."""
    found = ClassConfusion(classes=tuple(classes), counts=counts.sum(axis=0))
    return {
        "balanced_accuracy": found.balanced_accuracy,
        "macro_f1": found.macro_f1,
        "accuracy": found.accuracy,
        **{f"recall_{name}": value for name, value in found.recall.items()},
        **{f"precision_{name}": value for name, value in found.precision.items()},
        **{f"f1_{name}": value for name, value in found.f1.items()},
    }


def _composition(
    runs: Sequence[Run], classes: Sequence[str], patches: int
) -> dict[str, tuple[float, float, float]]:
    """Errors of the shares, as images are and as if classes were otherwise frequent.

    What a class's images are called is that of the held-out ones; how often the class occurs is
    changed. The correction knows the confusion of the model's validation images alone.
    """
    errors: dict[str, list[tuple[float, float, float]]] = {shift: [] for shift in SHIFTS}
    for run in runs:
        counts = _confusion(run, classes, patches).counts.astype(float)
        shown = counts.sum(axis=1)
        if (shown == 0).any():
            continue
        rows = counts / shown[:, None]
        truth, probabilities, _ = _columns([run], patches)
        means = np.stack([probabilities[truth == k].mean(axis=0) for k in range(len(classes))])
        own = shown / shown.sum()
        by_rank = np.empty_like(own)
        by_rank[np.argsort(own)] = np.sort(own)[::-1]
        shares = {
            "as it is": own,
            "equal classes": np.full(len(own), 1 / len(own)),
            "reversed frequencies": by_rank,
        }
        for shift, true in shares.items():
            called = true @ rows
            corrected = called
            if run.predictions.confusion.size:
                corrected = corrected_composition(called, run.predictions.confusion)
            off = [np.abs(each - true).mean() for each in (called, corrected, true @ means)]
            errors[shift].append((float(off[0]), float(off[1]), float(off[2])))
    return {shift: _means(found) for shift, found in errors.items()}


def _means(found: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    if not found:
        return float("nan"), float("nan"), float("nan")
    called, corrected, expected = np.mean(found, axis=0)
    return float(called), float(corrected), float(expected)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
