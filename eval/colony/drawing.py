"""Drawings of an evaluation: curves over shares of labels, weights and losses over training."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from isl.colony.drawing import as_png, color_of

from ..statistics.bootstrap import Interval


def draw_curves(curves: Mapping[str, Mapping[float, Interval]], name: str) -> bytes:
    """A figure over the share of labels, a line an arm, with intervals (the paper's figure 8).

    Args:
        curves: By arm and share.
        name: Of the figure.
    """
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, (arm, points) in enumerate(curves.items()):
        known = {s: i for s, i in sorted(points.items()) if i.estimate is not None}
        if not known:
            continue
        shares = np.array(list(known)) * (1 + 0.02 * number)
        values = np.array([interval.estimate for interval in known.values()], float)
        bounds = [
            (i.estimate, i.estimate) if i.low is None or i.high is None else (i.low, i.high)
            for i in known.values()
        ]
        low, high = np.array(bounds, float).T
        axes.errorbar(
            100 * shares, values, [values - low, high - values], marker="o", capsize=3, label=arm
        )
    axes.set(xscale="log", xlabel="images with labels (%)", ylabel=name.replace("_", " "))
    ticks = sorted({100 * share for points in curves.values() for share in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return as_png(figure)


def draw_weights(history: Path, classes: Sequence[str], true: Sequence[float]) -> bytes | None:
    """What the teacher takes the classes' shares for, and the weights that follow (figures 6, 7).

    Args:
        history: A run's training.csv.
        classes: Names.
        true: Shares of the classes among the images that have one.

    Returns:
        A PNG; None where the run drew no epochs by pseudo-labels.
    """
    rows = _rows(history)
    if not rows or "share_0" not in rows[0]:
        return None
    figure = Figure(figsize=(9, 3), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [float(row["update"]) for row in rows]
    for number, name in enumerate(classes):
        share = np.array([float(row[f"share_{number}"]) for row in rows])
        color = color_of(name, classes)
        left.plot(steps, share, color=color, label=name)
        left.axhline(true[number], color=color, linestyle=":", linewidth=1)
        # The inverse of the share, which weighs an image of the class; 1 where classes are equal.
        weight = np.where(share > 0, 1 / np.maximum(share * len(classes), 1e-9), np.nan)
        right.plot(steps, weight, color=color)
    left.set(xlabel="update", ylabel="share by pseudo-labels", ylim=(0, None))
    right.set(xlabel="update", ylabel="weight of an image", yscale="log")
    figure.legend(loc="outside upper center", ncols=len(classes), frameon=False, fontsize=9)
    return as_png(figure)


def draw_losses(history: Path, before: Path) -> bytes | None:
    """Losses of the teacher's pre-training, of teacher and of student (figure 2); a PNG."""
    rows, early = _rows(history), _rows(before)
    if not rows:
        return None
    figure = Figure(figsize=(7, 2.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    begun = 0.0
    if early:
        begun = float(early[-1]["update"])
        steps = [float(row["update"]) for row in early]
        axes.plot(steps, [float(row["loss"]) for row in early], label="before", color="#888888")
    steps = [begun + float(row["update"]) for row in rows]
    student = "student" if "teacher_loss" in rows[0] else "loss"
    axes.plot(steps, [float(row["loss"]) for row in rows], label=student)
    for name in ("teacher_supervised", "student_labelled"):
        if name in rows[0]:
            axes.plot(steps, [float(row[name]) for row in rows], label=name.replace("_", ", "))
    axes.set(xlabel="update", ylabel="cross-entropy", yscale="log")
    axes.legend(frameon=False, fontsize=9)
    return as_png(figure)


def draw_mistakes(patches: Mapping[tuple[int, int], np.ndarray], classes: Sequence[str]) -> bytes:
    """An image for every pair of classes that are taken for one another (figure 9); a PNG.

    Args:
        patches: uint8 [y, x] by true and called class; pairs without a mistake are missing.
        classes: Names.
    """
    count = len(classes)
    figure = Figure(figsize=(1.3 * count + 0.8, 1.3 * count + 0.5), dpi=110)
    grid = figure.subplots(count, count, squeeze=False)
    for true in range(count):
        for called in range(count):
            axes = grid[true][called]
            axes.set(xticks=[], yticks=[])
            if (true, called) in patches:
                axes.imshow(patches[true, called], cmap="gray", interpolation="nearest")
            elif true == called:
                axes.set_facecolor("black")
            else:
                axes.plot([0, 1], [0, 1], [0, 1], [1, 0], color="#999999", linewidth=1)
            if called == 0:
                axes.set_ylabel(classes[true], fontsize=8)
            if true == count - 1:
                axes.set_xlabel(classes[called], fontsize=8)
    figure.supxlabel("called", fontsize=9)
    figure.supylabel("is", fontsize=9)
    return as_png(figure)


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a run's CSV; none where there is no such file."""
    if not path.is_file():
        return []
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
