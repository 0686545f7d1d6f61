"""Pictures of a comparison: learning curves, a figure along its axis, images side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from isl.imaging.display import shown_range
from isl.report.plots import bare, color, panels, png

from .bench import RunResult
from .tables import Findings

_AGAINST: Mapping[str, str] = {"pixels": "training pixels", "seconds": "seconds of training"}


def draw_learning_curves(findings: Findings, budget: str) -> bytes | None:
    """Validation figures against pixels and seconds; None where nothing was judged twice."""
    curves = findings.subject.curves
    figure, places = panels(2 * len(curves), columns=2, width=5.25, height=3.8)
    drawn = False
    for row, (name, title) in enumerate(curves.items()):
        for column, (against, axis) in enumerate(_AGAINST.items()):
            axes = places[2 * row + column]
            for index, variant in enumerate(findings.config.variant):
                drawn |= _draw_runs(axes, findings.runs(variant, budget), against, name, index)
            axes.set(xlabel=axis, ylabel=title, xlim=(0, None))
    handles, names = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    return png(figure) if drawn else None


def draw_along_axis(findings: Findings, budget: str) -> bytes | None:
    """Figures of variants at their places on the study's axis, a dot a run, a curve a line."""
    axis = findings.config.axis
    variants = findings.config.variant
    placed = {name: (each.at, each.line) for name, each in variants.items() if each.at is not None}
    if axis is None or not placed:
        return None
    along = findings.subject.along
    figure, places = panels(len(along), columns=len(along), width=5.25, height=4.2)
    for axes, (name, title) in zip(places, along.items(), strict=True):
        for index, line in enumerate(dict.fromkeys(line for _, line in placed.values())):
            points = sorted(
                (at, values)
                for variant, (at, own) in placed.items()
                if own == line and (values := _of_runs(findings, variant, budget, name))
            )
            ink = color(index)
            for at, values in points:
                axes.plot([at] * len(values), values, "o", color=ink, alpha=0.5, markersize=5)
            means = [float(np.mean(values)) for _, values in points]
            axes.plot([at for at, _ in points], means, color=ink, linewidth=2, label=line or None)
        if axis.logarithmic:
            axes.set_xscale("log")
        axes.set_xticks([at for at, _ in placed.values()])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
        axes.set(xlabel=axis.name, ylabel=title)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    return png(figure)


def draw_images(findings: Findings, label: str, budget: str) -> bytes:
    """What was measured beside what each variant's first run predicts, on one scale."""
    images = {"measured": findings.truths[label]}
    for variant in findings.config.variant:
        runs = [each for each in findings.runs(variant, budget) if label in each.pictures]
        if runs and runs[0].pictures[label].shape == images["measured"].shape:
            images[variant] = runs[0].pictures[label]
    height, width = images["measured"].shape
    figure, places = panels(len(images), columns=4, width=2.7, height=0.3 + 2.7 * height / width)
    dark, bright = shown_range(images["measured"])
    for axes, (name, image) in zip(places, images.items(), strict=True):
        bare(axes).imshow(image, cmap="gray", vmin=dark, vmax=bright)
        axes.set_title(name, fontsize=9)
    return png(figure)


def _draw_runs(axes: Axes, runs: Sequence[RunResult], against: str, name: str, index: int) -> bool:
    """Curves of a variant's runs in one color; whether there were any."""
    ink = color(index)
    drawn = False
    for run in runs:
        points = [(at[against], at[name]) for at in run.curve if name in at]
        if not points:
            continue
        label = None if drawn else run.run.variant
        axes.plot(*zip(*points, strict=True), color=ink, linewidth=1.5, alpha=0.8, label=label)
        drawn = True
    return drawn


def _of_runs(findings: Findings, variant: str, budget: str, name: str) -> list[float]:
    """The mean over labels of a figure, for each run that has it."""
    values = []
    for run in findings.runs(variant, budget):
        singles = [rows.figures_from(rows.sums)[name] for rows in run.rows.values()]
        known = [value for value in singles if value is not None]
        if known and len(known) == len(singles):
            values.append(sum(known) / len(known))
    return values
