"""The tables of a comparison: what each variant is worth over its seeds, and over the ground.

Two things make a figure uncertain, and they are kept apart: the spread over seeds is that of
training again, the interval is that of judging the runs that there are on other ground.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from isl.files.records import plain

from ..statistics.bootstrap import FEWEST_GROUPS, Interval, bootstrap
from ..writing.results import Rows, texts
from .bench import Judged, Run, RunResult
from .config import OWN, StudyConfig
from .subject import Subject


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """One variant with one budget on one label.

    Attributes:
        variant: Its name.
        budget: Its name. What has a budget of its own stands beside every other, once for each.
        label: What was judged; "" for the mean over all of them.
        seeds: How many runs there are.
        mean: Each figure, the mean over runs; None: undefined in one of them.
        deviation: Its unbiased deviation over runs; None with fewer than two.
        intervals: Of the figures that are shown, over the ground; {} for the mean over all.
        differences: From the reference, on the same replicates; {} where there is none.
        over: What was drawn; None where nothing was.
    """

    variant: str
    budget: str
    label: str
    seeds: int
    mean: Mapping[str, float | None]
    deviation: Mapping[str, float | None]
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    differences: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    over: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """All that a comparison found.

    Attributes:
        subject: What is compared.
        config: What was asked for.
        labels: What was judged, in order.
        results: Every run.
        standings: Of every variant and budget, a label at a time, then the mean over labels.
        truths: float32 [y, x] of the first field's judged ground, by label.
        settings: The configuration as it was read.
        diverged: Runs of settings whose loss was no longer finite, which are nowhere else.
    """

    subject: Subject
    config: StudyConfig
    labels: tuple[str, ...]
    results: tuple[RunResult, ...]
    standings: tuple[Standing, ...]
    truths: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]
    diverged: tuple[Run, ...] = ()

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the budgets that runs of networks had."""
        return tuple(self.config.budget) or (OWN,)

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """By label, whose ground was judged in any run."""
        return {label: _once(each.fields for each in self._rows(label)) for label in self.labels}

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """By label, the same of groups."""
        return {label: _once(each.groups for each in self._rows(label)) for label in self.labels}

    def _rows(self, label: str) -> list[Judged]:
        return [each.rows[label] for each in self.results if label in each.rows]

    def of(self, variant: str, budget: str, label: str = "") -> Standing | None:
        """A standing."""
        for each in self.standings:
            if (each.variant, each.budget, each.label) == (variant, budget, label):
                return each
        return None

    def runs(self, variant: str, budget: str) -> tuple[RunResult, ...]:
        """The runs behind a standing."""
        return tuple(each for each in _beside(self.results, budget) if each.run.variant == variant)


def _once(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(names)))


def standings_of(
    subject: Subject, config: StudyConfig, results: Sequence[RunResult]
) -> tuple[Standing, ...]:
    """Every variant and budget, on every label and over all of them."""
    labels = list(dict.fromkeys(label for each in results for label in each.rows))
    budgets = tuple(config.budget) or (OWN,)
    found = []
    for label in labels:
        for budget in budgets:
            found += _of_label(subject, config, results, label, budget)
    for variant, budget in dict.fromkeys((each.variant, each.budget) for each in found):
        single = [e for e in found if (e.variant, e.budget) == (variant, budget)]
        runs = [e for e in _beside(results, budget) if e.run.variant == variant]
        over_labels = [
            _averaged(subject, [_figures(run)[standing.label] for standing in single])
            for run in runs
        ]
        found.append(
            Standing(
                variant=variant,
                budget=budget,
                label="",
                seeds=len(runs),
                mean=_averaged(subject, over_labels),
                deviation=_deviations(subject, over_labels),
            )
        )
    return tuple(found)


def best_settings(findings: Findings, budget: str) -> dict[str, str]:
    """By variant with `best_of`: the setting with the highest main figure, mean over runs."""
    worth: dict[str, tuple[float, str]] = {}
    for name, variant in findings.config.variant.items():
        standing = findings.of(name, budget)
        value = None if standing is None else standing.mean[findings.subject.main]
        if variant.instead_of and value is not None:
            best = worth.get(variant.instead_of)
            if best is None or value > best[0]:
                worth[variant.instead_of] = value, name
    return {of: name for of, (_, name) in worth.items()}


def run_rows(findings: Findings) -> Rows:
    """A row for each run and label."""
    spent = ("updates", "pixels", "seconds", "parameters")
    return texts(
        {
            **dataclasses.asdict(each.run),
            "label": label,
            **{name: getattr(each, name) for name in spent},
            **figures,
        }
        for each in findings.results
        for label, figures in _figures(each).items()
    )


def standing_rows(findings: Findings) -> Rows:
    """A row for each variant, budget and label: mean and spread over seeds, and intervals."""
    rows = []
    for each in findings.standings:
        runs = findings.runs(each.variant, each.budget)
        row: dict[str, Any] = {
            "variant": each.variant,
            "budget": each.budget,
            "label": each.label or "mean",
            "seeds": each.seeds,
            "pixels": np.mean([run.pixels for run in runs]),
            "seconds": np.mean([run.seconds for run in runs]),
            "parameters": runs[0].parameters,
        }
        for name in findings.subject.figures:
            row |= {name: each.mean[name], f"{name}_deviation": each.deviation[name]}
        for name in findings.subject.titles:
            own, above = each.intervals.get(name), each.differences.get(name)
            row |= {f"{name}_{side}": getattr(own, side, None) for side in ("low", "high")}
            row[f"{name}_difference"] = getattr(above, "estimate", None)
            row |= {
                f"{name}_difference_{side}": getattr(above, side, None) for side in ("low", "high")
            }
        rows.append(row)
    return texts(rows)


def curve_rows(findings: Findings) -> Rows:
    """A row for each point of the learning curves."""
    names = dict.fromkeys(name for each in findings.results for at in each.curve for name in at)
    return texts(
        {**dataclasses.asdict(each.run), **{name: at.get(name) for name in names}}
        for each in findings.results
        for at in each.curve
    )


def study_record(findings: Findings, versions: Mapping[str, str]) -> dict[str, Any]:
    """Every number, as JSON can hold it; what is undefined is null."""
    return plain(
        {
            "made_by": "isl eval",
            "task": "comparison",
            "labels": findings.labels,
            "fields": findings.fields,
            "groups": findings.groups,
            "standings": findings.standings,
            "diverged": findings.diverged,
            "runs": [
                {
                    **dataclasses.asdict(each.run),
                    "updates": each.updates,
                    "pixels": each.pixels,
                    "seconds": each.seconds,
                    "parameters": each.parameters,
                    "figures": _figures(each),
                    "curve": each.curve,
                }
                for each in findings.results
            ],
            "settings": findings.settings,
            "versions": versions,
        }
    )


def _of_label(
    subject: Subject,
    config: StudyConfig,
    results: Sequence[RunResult],
    label: str,
    budget: str,
) -> list[Standing]:
    """Every variant beside one budget; those judged on the same ground share their replicates."""
    beside = [each for each in _beside(results, budget) if label in each.rows]
    reference = [each for each in beside if each.run.variant == config.reference]
    found = []
    for variant in dict.fromkeys(each.run.variant for each in beside):
        runs = [each for each in beside if each.run.variant == variant]
        others = [] if variant == config.reference else reference
        figures = [_figures(each)[label] for each in runs]
        intervals, differences = _drawn(subject, config, runs, others, label)
        found.append(
            Standing(
                variant=variant,
                budget=budget,
                label=label,
                seeds=len(runs),
                mean=_averaged(subject, figures),
                deviation=_deviations(subject, figures),
                intervals=intervals,
                differences=differences,
                over=runs[0].rows[label].over,
            )
        )
    return found


def _beside(results: Sequence[RunResult], budget: str) -> list[RunResult]:
    """The runs with a budget, and those that have one of their own."""
    return [each for each in results if each.run.budget in (budget, OWN)]


def _drawn(
    subject: Subject,
    config: StudyConfig,
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    label: str,
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Intervals of the mean over runs, and of what it is above that of others."""
    rows = runs[0].rows[label]
    comparable = all(
        (each.rows[label].fields, each.rows[label].sums.shape) == (rows.fields, rows.sums.shape)
        for each in others
    )
    others = others if comparable else ()
    shown = tuple(subject.titles)

    def figures(*sums: np.ndarray) -> dict[str, float | None]:
        singles = [rows.figures_from(each) for each in sums]
        mean = _averaged(subject, singles[: len(runs)])
        found = {name: mean[name] for name in shown}
        if others:
            against = _averaged(subject, singles[len(runs) :])
            for name in shown:
                one, other = mean[name], against[name]
                found[f"-{name}"] = None if one is None or other is None else one - other
        return found

    drawn = bootstrap(
        figures,
        [each.rows[label].sums for each in (*runs, *others)],
        groups=rows.drawn,
        fewest=FEWEST_GROUPS,
        **config.resampling.settings,
    )
    return (
        {name: drawn[name] for name in shown},
        {name: drawn[f"-{name}"] for name in shown} if others else {},
    )


def _figures(result: RunResult) -> dict[str, Mapping[str, float | None]]:
    return {label: rows.figures_from(rows.sums) for label, rows in result.rows.items()}


def _averaged(
    subject: Subject, figures: Sequence[Mapping[str, float | None]]
) -> dict[str, float | None]:
    """The mean of each figure; None where it is undefined in one of them."""
    found: dict[str, float | None] = {}
    for name in subject.figures:
        values = [each[name] for each in figures]
        known = [value for value in values if value is not None]
        found[name] = sum(known) / len(known) if known and len(known) == len(values) else None
    return found


def _deviations(
    subject: Subject, figures: Sequence[Mapping[str, float | None]]
) -> dict[str, float | None]:
    """The unbiased deviation of each figure; None with fewer than two, or where undefined."""
    found: dict[str, float | None] = {}
    for name in subject.figures:
        known = [value for each in figures if (value := each[name]) is not None]
        enough = len(known) == len(figures) > 1
        found[name] = float(np.std(known, ddof=1)) if enough else None
    return found
