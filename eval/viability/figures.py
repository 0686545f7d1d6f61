"""Pictures of an evaluation: calibration, decision curve, AUROC against hours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isl.calibration import Calibration
from isl.report.plots import SOFT, clean, color, png

from ..statistics.bootstrap import Interval
from .decision import THRESHOLDS


def calibration_picture(by_name: Mapping[str, Calibration]) -> bytes:
    """Announced against true shares, for each of some calibrations."""
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = clean(figure.add_subplot())
    axes.plot([0, 1], [0, 1], color=SOFT, lw=1, ls=":")
    for number, (name, found) in enumerate(by_name.items()):
        bins: list[Any] = [each for each in found.bins if each.count]
        axes.plot(
            [each.mean for each in bins],
            [each.share for each in bins],
            marker="o",
            color=color(number),
            label=f"{name}: ECE {found.error:.3f}",
        )
    axes.set(xlabel="probability", ylabel="share that succeeds", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def decision_picture(curve: Mapping[str, np.ndarray]) -> bytes:
    """Net benefit against threshold."""
    figure = Figure(figsize=(4.8, 4), layout="constrained")
    axes = clean(figure.add_subplot())
    for number, (name, values) in enumerate(curve.items()):
        axes.plot(THRESHOLDS, values, color=color(number), label=name)
    lowest = min(-0.05, float(curve["model"].min()))
    axes.set(xlabel="threshold", ylabel="net benefit", ylim=(lowest, None), xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def hours_picture(by_hour: Mapping[float, Interval], best: Mapping[float, float]) -> bytes:
    """AUROC against hours seen, with the best that can be reached where it is known."""
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    axes = clean(figure.add_subplot())
    known: dict[float, Any] = {
        hour: found for hour, found in by_hour.items() if found.low is not None
    }
    hours = list(known)
    axes.plot(
        hours, [i.estimate for i in known.values()], marker="o", color=color(0), label="model"
    )
    low, high = ([getattr(i, side) for i in known.values()] for side in ("low", "high"))
    axes.fill_between(hours, low, high, color=color(0), alpha=0.15)
    if best:
        axes.plot(
            list(best), list(best.values()), marker="s", color=color(1), label="best reachable"
        )
    axes.axhline(0.5, color=SOFT, lw=1, ls=":")
    axes.set(xlabel="hours seen", ylabel="AUROC", ylim=(0.4, 1))
    axes.legend(frameon=False, fontsize=8)
    return png(figure)
