"""Pictures of a comparison: learning curves, a figure along its axis, images side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from ..writing.drawing import DPI, INK, clean, color, png
from .bench import RunResult
from .tables import Findings

_AGAINST: Mapping[str, str] = {"pixels": "training pixels", "seconds": "seconds of training"}


def draw_learning_curves(findings: Findings, budget: str) -> bytes | None:
    """Validation figures against pixels and seconds; None where nothing was judged twice."""
    curves = findings.subject.curves
    figure = Figure(figsize=(10.5, 3.8 * len(curves)), dpi=DPI, layout="constrained")
    drawn = False
    for row, (name, title) in enumerate(curves.items()):
        for column, (against, axis) in enumerate(_AGAINST.items()):
            axes = clean(figure.add_subplot(len(curves), 2, 2 * row + column + 1))
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
    figure = Figure(figsize=(10.5, 4.2), dpi=DPI, layout="constrained")
    for column, (name, title) in enumerate(along.items()):
        axes = clean(figure.add_subplot(1, len(along), column + 1))
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
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    height, width = images["measured"].shape
    figure = Figure(
        figsize=(2.7 * columns, 0.3 * rows + 2.7 * rows * height / width),
        dpi=DPI,
        layout="constrained",
    )
    bright = max(float(np.percentile(images["measured"], 99.8)), 1e-6)
    for number, (name, image) in enumerate(images.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=bright)
        axes.set_title(name, fontsize=9, color=INK)
        axes.set_axis_off()
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
