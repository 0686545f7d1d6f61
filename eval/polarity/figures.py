"""Pictures of a polarity evaluation: ROC, calibration, onsets, and P(t) of every embryo."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from isl.polarity.embryo import Embryo
from isl.report.plots import COLORS, INK, LINE, SOFT, color, legend, panel, panels, png

from ..statistics.roc_band import RocBand
from .judge import Contender
from .raters import People


def draw_roc(
    arms: Sequence[Contender],
    baselines: Sequence[Contender],
    bands: Mapping[str, RocBand],
    people: People | None,
) -> bytes:
    """ROC curves over all frames with their bands; the baselines dashed.

    A star is where an arm's own threshold puts it, a filled circle the majority of people, and a
    small one each person.
    """
    figure, axes = panel(width=6.2, height=5.6)
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    for index, each in enumerate((*arms, *baselines)):
        if each.roc is None:
            continue
        auc = each.by_embryo["auc"].estimate
        is_arm = index < len(arms)
        shade = color(index) if is_arm else SOFT
        if each.name in bands:
            band = bands[each.name]
            axes.fill_between(
                band.false_positive_rate, band.low, band.high, color=shade, alpha=0.13, linewidth=0
            )
        axes.plot(
            each.roc.false_positive_rate,
            each.roc.true_positive_rate,
            linewidth=2,
            label=each.name if auc is None else f"{each.name}, AUC {auc:.3f}",
            color=shade,
            linestyle="solid" if is_arm else "dashed",
        )
        if is_arm:
            _mark(axes, each, marker="*", s=170, color=shade, edgecolor="white", zorder=5)
    if people is not None:
        for number, rater in enumerate(people.raters):
            label = "people, each" if number == 0 else None
            _mark(axes, rater, marker="o", s=16, color=SOFT, label=label, zorder=4)
        if people.majority is not None:
            _mark(
                axes,
                people.majority,
                marker="o",
                s=75,
                color=INK,
                label="people, majority",
                zorder=5,
            )
    axes.set(
        xlabel="frames before onset called after (1 - specificity)",
        ylabel="frames after onset called so (sensitivity)",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    legend(axes, "lower right")
    return png(figure)


def _mark(axes: Axes, each: Contender, **look: Any) -> None:
    """A point where somebody's own calls lie; none where that is undefined."""
    cells = each.confusion
    if cells.specificity is not None and cells.sensitivity is not None:
        axes.scatter(1 - cells.specificity, cells.sensitivity, **look)


def draw_calibration(arms: Sequence[Contender]) -> bytes:
    """The share of frames after onset among those of similar probability."""
    figure, axes = panel(width=6.2, height=5.6)
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    for index, arm in enumerate(arms):
        if arm.calibration is None:
            continue
        bins = [each for each in arm.calibration.bins if each.count]
        sizes = [12 + 2.5 * each.count for each in bins]
        means, shares = (
            np.array([getattr(each, name) for each in bins], float) for name in ("mean", "share")
        )
        axes.plot(means, shares, color=color(index), linewidth=1.5, label=arm.name)
        axes.scatter(means, shares, s=sizes, color=color(index), alpha=0.6, linewidth=0)
    axes.set(
        xlabel="P(after onset), mean of the bin",
        ylabel="share of these frames that are after onset",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    legend(axes)
    return png(figure)


def draw_onsets(arms: Sequence[Contender], embryos: Sequence[Embryo]) -> bytes:
    """Predicted beside annotated onsets, an arm a panel, by the smoothed rule."""
    latest = max(len(embryo.after) for embryo in embryos) + 1
    count = len(arms)
    figure, places = panels(count, columns=count, width=3.6 + 0.6 / count, height=4.2)
    for index, (axes, arm) in enumerate(zip(places, arms, strict=True)):
        axes.fill_between([0, latest], [-3, latest - 3], [3, latest + 3], color="#eef1f4")
        axes.plot([0, latest], [0, latest], color=LINE, linewidth=1)
        for row in arm.onset("smoothed").rows:
            true, found = (row.frames if x is None else x for x in (row.true, row.predicted))
            axes.scatter(true, found, s=34, color=color(index))
            if row.error > 3:
                axes.annotate(
                    row.name,
                    (true, found),
                    (3, 3),
                    textcoords="offset points",
                    rotation=40,
                    fontsize=8,
                    color=SOFT,
                )
        axes.set(
            title=arm.name,
            xlabel="annotated onset (frame)",
            xlim=(-1, latest),
            ylim=(-1, latest),
            aspect="equal",
        )
    places[0].set_ylabel("predicted onset (frame)")
    return png(figure)


def draw_answered(arms: Sequence[Contender]) -> bytes:
    """Mean onset error of the embryos whose intervals are narrowest, by the share answered."""
    figure, axes = panel(width=4.6, height=3.6)
    for index, arm in enumerate(arms):
        curve = arm.onset("posterior").by_share
        assert curve is not None
        shares, errors = np.array(curve).T
        axes.plot(shares, errors, color=color(index), marker="o", markersize=3, label=arm.name)
    axes.set(
        xlabel="share of embryos answered, narrowest intervals first",
        ylabel="mean onset error (frames)",
        xlim=(0, 1.02),
        ylim=(0, None),
    )
    legend(axes)
    return png(figure)


def draw_curves(arms: Sequence[Contender], embryos: Sequence[Embryo]) -> bytes:
    """P(after onset) of every frame and arm, an embryo a panel, with the annotated onset."""
    figure, places = panels(len(embryos), columns=3, width=4.4, height=2.1, more=0.7)
    for number, (axes, embryo) in enumerate(zip(places, embryos, strict=True)):
        onset = len(embryo.after) if embryo.onset is None else embryo.onset
        axes.axvspan(onset - 0.5, len(embryo.after) - 0.5, color="#f2eadf", linewidth=0)
        axes.axhline(0.5, color=LINE, linewidth=1)
        for index, arm in enumerate(arms):
            assert arm.found is not None
            probability = arm.found["smoothed"][number].probability
            axes.plot(probability, color=color(index), linewidth=1.4, label=arm.name)
        axes.set(ylim=(-0.03, 1.03), xlim=(-0.5, len(embryo.after) - 0.5), yticks=[0, 0.5, 1])
        axes.set_title(embryo.name, fontsize=10, loc="left")
    handles = places[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper left", ncols=len(arms), frameon=False)
    return png(figure)


def draw_ezrin(means: dict[str, float | None]) -> bytes:
    """Pearson's correlation of predicted and measured Ezrin, a bar an embryo."""
    figure, axes = panel(width=0.62 * len(means) + 2.2, height=3.2)
    values = np.array([np.nan if mean is None else mean for mean in means.values()])
    axes.bar(range(len(means)), values, color=COLORS[2], width=0.7)
    axes.set_xticks(range(len(means)), list(means), rotation=45, ha="right")
    axes.set(ylabel="Pearson, mean over frames", ylim=(min(0.0, float(np.nanmin(values))), 1))
    return png(figure)
