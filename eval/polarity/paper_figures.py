"""The paper's pictures: classes, accuracy beside no skill, discrepancies in time, compaction."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from isl.polarity.embryo import Embryo
from isl.report.plots import COLORS, INK, LINE, SOFT, color, legend, panel, panels, png

from ..statistics.tests import PairedTest
from .judge import CompactionScores, Contender
from .raters import Discrepancies
from .skill import Skill

BEFORE, AFTER = COLORS[0], COLORS[1]
_STARS = ((0.0001, "****"), (0.001, "***"), (0.01, "**"), (0.05, "*"))


def stars(p: float | None) -> str:
    """How the paper marks a p-value; "NS": 0.05 or more; "": undefined."""
    if p is None:
        return ""
    return next((mark for bound, mark in _STARS if p < bound), "NS")


def draw_classes(embryos: Sequence[Embryo], folds: Sequence[Sequence[str]]) -> bytes:
    """How many frames lie before and after the annotated onset, by fold and by embryo."""
    parts = [("all", list(embryos))]
    parts += [
        (f"fold {number}", [embryo for embryo in embryos if embryo.group in fold])
        for number, fold in enumerate(folds, 1)
    ]
    one = [(embryo.name, [embryo]) for embryo in embryos]
    # Embryos are far smaller than all of them, so they have a scale of their own.
    height = 0.9 + 0.26 * max(len(parts), len(one))
    figure, (left, right) = panels(2, columns=2, width=4.6, height=height)
    for axes, shown, title in ((left, parts, "frames"), (right, one, "frames of each embryo")):
        _draw_counts(axes, shown)
        axes.set_xlabel(title)
    # Beneath, where no bar is.
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)
    return png(figure)


def _draw_counts(axes: Axes, parts: Sequence[tuple[str, Sequence[Embryo]]]) -> None:
    places = np.arange(len(parts))
    after = np.array([sum(int(e.after.sum()) for e in some) for _, some in parts])
    before = np.array([sum(len(e.after) for e in some) for _, some in parts]) - after
    axes.barh(places, before, color=BEFORE, label="before onset")
    axes.barh(places, after, left=before, color=AFTER, label="after onset")
    for place, (first, second) in enumerate(zip(before, after, strict=True)):
        axes.text(first + second, place, f" {first} + {second}", va="center", fontsize=8, color=INK)
    axes.set_yticks(places, [name for name, _ in parts], fontsize=8)
    axes.set_xlim(0, 1.25 * float(np.max(before + after)))
    axes.invert_yaxis()


def draw_skill(rows: Sequence[Skill]) -> bytes:
    """Accuracy with bounds, beside calls that are right half the time (paper, Figure 3c)."""
    figure, axes = panel(width=1.3 + 0.95 * len(rows), height=3.8)
    for place, row in enumerate(rows):
        value = row.accuracy.estimate
        if value is None:
            continue
        low = value if row.accuracy.low is None else row.accuracy.low
        high = value if row.accuracy.high is None else row.accuracy.high
        axes.bar(place, value, width=0.66, color=SOFT if row.is_chance else color(place))
        axes.errorbar(
            place, value, [[value - low], [high - value]], color=INK, capsize=4, linewidth=1.3
        )
        mark = stars(row.against_chance.p) if row.against_chance else ""
        axes.text(place, high + 0.015, mark, ha="center", fontsize=11, color=INK)
        axes.text(place, 0.02, f"{value:.3f}", ha="center", fontsize=9, color="white")
    axes.axhline(0.5, color=LINE, linewidth=1, zorder=0)
    names = [row.name.replace(", ", ",\n").replace(" ", "\n", 1) for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=8)
    axes.set(ylim=(0, 1.08), ylabel="frames called rightly")
    return png(figure)


def draw_discrepancies(found: Discrepancies) -> bytes:
    """Violins of time discrepancies, with each embryo's line across (paper, Figures 5c and 6)."""
    names = list(found.values)
    figure, axes = panel(width=1.6 + 1.35 * len(names), height=4.4)
    top = float(max(np.nanmax(values) for values in found.values.values()))
    for place, name in enumerate(names):
        values = found.values[name]
        values = values[np.isfinite(values)]
        _violin(axes, values, place, color(place))
        axes.plot(
            [place - 0.18, place + 0.18],
            [np.median(values)] * 2,
            color=INK,
            linewidth=2,
            zorder=4,
        )
        test = found.tests.get(name)
        axes.text(place, 1.06 * max(top, 1e-6), _note(test), ha="center", fontsize=9, color=INK)
    for embryo in range(len(found.embryos)):
        line = [found.values[name][embryo] for name in names]
        axes.plot(range(len(names)), line, color=SOFT, linewidth=0.8, alpha=0.7, zorder=2)
        axes.scatter(range(len(names)), line, s=14, color=INK, zorder=3)
    unit = "minutes" if found.unit == "min" else "frames"
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names], fontsize=9)
    axes.set(ylabel=f"|predicted - annotated onset|, {unit}", ylim=(-0.04 * top, None))
    return png(figure)


def _violin(axes: Axes, values: np.ndarray, place: int, shade: str) -> None:
    if len(values) < 2 or np.ptp(values) == 0:
        return
    drawn = axes.violinplot(values, [place], widths=0.75, showextrema=False)
    for body in drawn["bodies"]:  # pyright: ignore[reportGeneralTypeIssues]  # a list, in the stubs a collection
        # No discrepancy is below 0, whatever the kernel makes of it.
        vertices = body.get_paths()[0].vertices
        vertices[:, 1] = np.maximum(vertices[:, 1], 0)
        body.set(facecolor=shade, alpha=0.3, zorder=1)


def _note(test: PairedTest | None) -> str:
    if test is None:
        return ""
    return "no p" if test.p is None else f"{stars(test.p)} (p {test.p:.2g})"


def draw_compaction(
    scores: Sequence[CompactionScores], arms: Sequence[Contender], embryos: Sequence[Embryo]
) -> bytes:
    """Compaction against the predicted onset, an arm a panel (paper, Figure 5b)."""
    by_name: Mapping[str, Contender] = {arm.name: arm for arm in arms}
    latest = max(len(embryo.after) for embryo in embryos) + 1
    count = len(scores)
    figure, places = panels(count, columns=min(count, 4), width=3.6, height=3.9)
    for index, (axes, each) in enumerate(zip(places, scores, strict=True)):
        rows = by_name[each.name].onset("smoothed").rows
        axes.plot([0, latest], [0, latest], color=LINE, linewidth=1)
        for embryo, row in zip(embryos, rows, strict=True):
            if embryo.compaction is None:
                continue
            found = row.frames if row.predicted is None else row.predicted
            never = embryo.compaction == row.frames
            axes.scatter(
                found,
                embryo.compaction,
                s=34,
                color="white" if never else color(index),
                edgecolor=color(index),
                label="never compacted" if never else None,
            )
        r = each.pearson.interval.estimate
        axes.set(
            title=each.name if r is None else f"{each.name}, Pearson {r:.2f}",
            xlabel="predicted onset (frame)",
            xlim=(-1, latest),
            ylim=(-1, latest),
            aspect="equal",
        )
    places[0].set_ylabel("compaction (frame)")
    legend(places[0])
    return png(figure)
