"""The page of a comparison: tables, learning curves, the study's plot, images side by side."""

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

from ..labeling.blocks import BLOCK, FEWEST_GROUPS
from ..statistics.bootstrap import Interval
from .config import OWN, BoostingVariant, MeanVariant, NetworkVariant, RegressorVariant
from .learning_curves import draw_along_axis, draw_images, draw_learning_curves
from .tables import Findings, Standing

# Part of a budget of time by which runs may miss it.
_CLOSE_ENOUGH = 0.1
_KINDS = {
    NetworkVariant: "distributions",
    RegressorVariant: "one number a label",
    BoostingVariant: "trees on filter features",
    MeanVariant: "training mean, histogram",
}


def study_page(findings: Findings, versions: dict[str, str]) -> str:
    """The report, one HTML file.

    Args:
        findings: What was found.
        versions: Of the packages it was found with.
    """
    config = findings.config
    blocks = [paragraph(config.description)] if config.description else []
    blocks += _how(findings)
    for budget in findings.budgets:
        blocks += _budget(findings, budget)
    blocks += [
        heading("Settings"),
        facts({name: version for name, version in versions.items()}),
        folded("The configuration", [verbatim(to_toml(config))]),
    ]
    return page("Comparison of models", blocks, footer="Made by isl eval. For research use.")


def _how(findings: Findings) -> list[Block]:
    config = findings.config
    few = len(findings.groups) < FEWEST_GROUPS
    drawn = (
        f"blocks of {BLOCK} pixels, since the ground is of {_groups(len(findings.groups))}: it "
        "says how far a figure depends on the ground within, and nothing of other groups"
        if few
        else f"the {len(findings.groups)} groups"
    )
    items = [
        f"Judged on the validation ground of {', '.join(findings.fields)}, which also chose when "
        "each network was at its best, so networks' figures are a little too good, while trees and "
        "means chose nothing. Where it lies in a field that was trained on, figures are "
        "optimistic, for all variants alike.",
        f"Judged is the {config.image} of each distribution, and the distribution itself by its "
        "cross-entropy (in units of ln 256: a uniform prediction scores 1).",
        "± is the unbiased deviation over training runs with different seeds.",
        f"In brackets: the interval of {config.level:.0%} over {config.replicates} bootstrap "
        f"replicates, which draw {drawn}. Of the means over the runs that there are: they do "
        "not hold the spread over seeds, so a difference counts only where it is clear of that, "
        "too.",
        "Training pixels are the outputs of all crops that a network was asked for; trees are "
        "fitted to pixels drawn once. Seconds are those of updates, without compiling and judging.",
    ]
    return [heading("How it was judged"), bullets(items)]


def _groups(count: int) -> str:
    return "one group" if count == 1 else f"{count} groups"


def _budget(findings: Findings, budget: str) -> list[Block]:
    config = findings.config
    title = "Result" if budget == OWN else f"Budget: {_budget_words(findings, budget)}"
    blocks = [heading(title), _overview(findings, budget), *_missed(findings, budget)]
    plot = draw_along_axis(findings, budget)
    if plot is not None and config.axis is not None:
        blocks.append(
            figure(
                plot,
                alt=f"Pearson and cross-entropy against {config.axis.name}",
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
            figure(
                draw_images(findings, label, budget),
                alt=f"{label}: measured, and as each variant predicts it",
                caption="First field, first seed; one scale for all, up to the 99.8th percentile "
                "of what was measured.",
                wide=True,
            ),
        ]
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
                _spread(standing, "pearson"),
                _spread(standing, "mae", 4),
                _spread(standing, "cross_entropy", 4),
                str(standing.seeds),
                f"{seconds:,.0f}",
                f"{pixels / 1e6:,.3g}",
                f"{parameters / 1e6:,.2f}" if parameters is not None else "",
                _KINDS[type(stated)],
            ]
        )
    columns = (
        "Variant",
        "Pearson",
        "Mean absolute error",
        "Cross-entropy",
        "Runs",
        "Seconds",
        "Million pixels",
        "Million parameters",
        "What it is",
    )
    return table(columns, rows, caption="Means over labels, and over runs.")


def _of_label(findings: Findings, budget: str, label: str) -> Block:
    reference = findings.config.reference
    columns = ["Variant", "Pearson", "Mean absolute error", "SSIM", "Cross-entropy"]
    if reference is not None:
        columns.append(f"Pearson above {reference}")
    rows: list[list[Cell]] = []
    for variant in findings.config.variant:
        standing = findings.of(variant, budget, label)
        if standing is None:
            continue
        row: list[Cell] = [
            variant,
            _with_interval(standing, "pearson"),
            _with_interval(standing, "mae", 4),
            _with_interval(standing, "ssim"),
            _with_interval(standing, "cross_entropy", 4),
        ]
        if reference is not None:
            row.append(_interval(standing.differences.get("pearson"), signed=True))
        rows.append(row)
    return table(columns, rows)


def _spread(standing: Standing, name: str, digits: int = 3) -> str:
    mean, deviation = standing.mean[name], standing.deviation[name]
    if mean is None:
        return "undefined" if name == "pearson" else "none"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def _with_interval(standing: Standing, name: str, digits: int = 3) -> str:
    interval = standing.intervals.get(name)
    bounds = ""
    if interval is not None and interval.low is not None and interval.high is not None:
        bounds = f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return _spread(standing, name, digits) + bounds


def _interval(value: Interval | None, *, signed: bool = False) -> str:
    if value is None or value.estimate is None:
        return ""
    sign = "+" if signed else ""
    bounds = ""
    if value.low is not None and value.high is not None:
        bounds = f" [{value.low:{sign}.3f}, {value.high:{sign}.3f}]"
    return f"{value.estimate:{sign}.3f}{bounds}"
