"""The page of a comparison: tables, learning curves, the study's plot, images side by side."""

from collections.abc import Iterable

from isl.config import to_toml
from isl.report import (
    Block,
    Cell,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    page,
    paragraph,
    table,
    verbatim,
)

from ..statistics.bootstrap import Interval
from .config import OWN
from .learning_curves import draw_along_axis, draw_images, draw_learning_curves
from .tables import Findings, Standing, best_settings

# Part of a budget of time by which runs may miss it.
_CLOSE_ENOUGH = 0.1


def study_page(findings: Findings, versions: dict[str, str]) -> str:
    """The report, one HTML file.

    Args:
        findings: What was found.
        versions: Of the packages it was found with.
    """
    config = findings.config
    blocks = [paragraph(config.description)] if config.description else []
    blocks += [heading("How it was judged"), bullets(findings.subject.about(findings))]
    for budget in findings.budgets:
        blocks += _budget(findings, budget)
    blocks += [
        heading("Settings"),
        facts({name: version for name, version in versions.items()}),
        folded("The configuration", [verbatim(to_toml(config))]),
    ]
    return page("Comparison of models", blocks, footer="Made by isl eval. For research use.")


def _budget(findings: Findings, budget: str) -> list[Block]:
    config = findings.config
    title = "Result" if budget == OWN else f"Budget: {_budget_words(findings, budget)}"
    blocks = [heading(title), _overview(findings, budget), *_missed(findings, budget)]
    blocks += _diverged(findings, budget)
    best = best_settings(findings, budget)
    if best:
        figure_name = findings.subject.titles[findings.subject.main][0]
        told = [f"{of}: {name.removeprefix(f'{of}, ')}" for of, name in best.items()]
        blocks += [paragraph(f"The best setting of each, by {figure_name}:"), bullets(told)]
    plot = draw_along_axis(findings, budget)
    if plot is not None and config.axis is not None:
        blocks.append(
            figure(
                plot,
                alt=f"{_listed(findings, findings.subject.along)} against {config.axis.name}",
                caption="A dot a run; lines join means over seeds.",
                wide=True,
            )
        )
    curves = draw_learning_curves(findings, budget)
    if curves is not None:
        blocks += [
            heading("Learning curves", level=3),
            figure(
                curves,
                alt="Validation figures against training pixels and seconds",
                caption="A line a run.",
                wide=True,
            ),
        ]
    for label in findings.labels:
        blocks += [
            heading(label, level=3),
            _of_label(findings, budget, label),
        ]
        if label in findings.truths:
            blocks.append(
                figure(
                    draw_images(findings, label, budget),
                    alt=f"{label}: measured, and as each variant predicts it",
                    caption="First field, first seed; one scale for all, from the 5th to the "
                    "99.8th percentile of what was measured.",
                    wide=True,
                )
            )
    return blocks


def _budget_words(findings: Findings, budget: str) -> str:
    given = findings.config.budget[budget]
    if given.pixels is not None:
        return f"{given.pixels / 1e6:,.3g} million training pixels each"
    if given.seconds is not None:
        return f"{given.seconds:,.4g} seconds of training each"
    return f"{given.updates:,} updates each"


def _missed(findings: Findings, budget: str) -> list[Block]:
    """Whom a budget of time turned out to be another for than was meant."""
    given = None if budget == OWN else findings.config.budget[budget].seconds
    if given is None:
        return []
    off = []
    for variant in findings.config.variant:
        spent = [each.seconds for each in findings.runs(variant, budget) if each.updates]
        mean = sum(spent) / len(spent) if spent else given
        if abs(mean / given - 1) > _CLOSE_ENOUGH:
            off.append(f"{variant} {mean:,.4g}")
    if not off:
        return []
    return [
        notice(
            f"Meant were {given:,.4g} seconds, spent were: {', '.join(off)}. Updates took another "
            "time than when their pace was measured, as where other programs run beside them, so "
            "this comparison is not at equal time for them."
        )
    ]


def _diverged(findings: Findings, budget: str) -> list[Block]:
    """Which settings were left out, by seed."""
    seeds: dict[str, list[str]] = {}
    for run in findings.diverged:
        if run.budget == budget:
            seeds.setdefault(run.variant, []).append(str(run.seed))
    if not seeds:
        return []
    told = "; ".join(f"{variant} (seed {', '.join(of)})" for variant, of in seeds.items())
    return [
        notice(
            f"Their loss was no longer finite, and these runs are left out: {told}. What stands of "
            "such a setting is of its other seeds, which flatters it."
        )
    ]


def _overview(findings: Findings, budget: str) -> Block:
    rows: list[list[Cell]] = []
    for variant, stated in findings.config.variant.items():
        standing = findings.of(variant, budget)
        if standing is None:
            continue
        runs = findings.runs(variant, budget)
        seconds = sum(run.seconds for run in runs) / len(runs)
        pixels = sum(run.pixels for run in runs) / len(runs)
        parameters = runs[0].parameters
        rows.append(
            [
                variant,
                *(_spread(findings, standing, name) for name in findings.subject.overview),
                str(standing.seeds),
                f"{seconds:,.0f}",
                f"{pixels / 1e6:,.3g}",
                f"{parameters / 1e6:,.2f}" if parameters is not None else "",
                stated.about,
            ]
        )
    columns = (
        "Variant",
        *(findings.subject.titles[name][0] for name in findings.subject.overview),
        "Runs",
        "Seconds",
        "Million pixels",
        "Million parameters",
        "What it is",
    )
    return table(columns, rows, caption="Means over labels, and over runs.")


def _of_label(findings: Findings, budget: str, label: str) -> Block:
    subject, reference = findings.subject, findings.config.reference
    columns = ["Variant", *(subject.titles[name][0] for name in subject.in_tables)]
    if reference is not None:
        columns.append(f"{subject.titles[subject.main][0]} above {reference}")
    rows: list[list[Cell]] = []
    for variant in findings.config.variant:
        standing = findings.of(variant, budget, label)
        if standing is None:
            continue
        row: list[Cell] = [
            variant,
            *(
                _spread(findings, standing, name)
                + _bounds(standing.intervals.get(name), subject.titles[name][1])
                for name in subject.in_tables
            ),
        ]
        if reference is not None:
            above = standing.differences.get(subject.main)
            estimate = above and above.estimate
            row.append("" if estimate is None else f"{estimate:+.3f}{_bounds(above, 3, '+')}")
        rows.append(row)
    return table(columns, rows)


def _spread(findings: Findings, standing: Standing, name: str) -> str:
    mean, deviation = standing.mean[name], standing.deviation[name]
    digits = findings.subject.titles[name][1]
    if mean is None:
        return "undefined" if name == findings.subject.main else "none"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def _bounds(interval: Interval | None, digits: int, sign: str = "") -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f" [{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}]"


def _listed(findings: Findings, names: Iterable[str]) -> str:
    titles = [findings.subject.titles[name][0] for name in names]
    return " and ".join([titles[0], *(title.lower() for title in titles[1:])])
