"""The picture by which a person can judge an onset: frames around it, and P(t) below them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from isl.imaging.colors import label_color
from isl.polarity.assess import Assessment
from isl.polarity.outputs import duration
from isl.report.plots import COLORS, DPI, INK, SOFT, bare, clean, png

BEFORE, AFTER = COLORS[:2]
_ONSET = "#b3123f"
_MEMBER = "#98a3af"
_INTERVAL = "#f7dfe6"
WIDTH = 14.0
MARGINS = (0.075, 0.985)
_HEADLINE = 15


def draw_film_strip(assessment: Assessment, headline: str) -> bytes:
    """Frames around the onset in DIC and predicted EZRIN, and what was said of every frame.

    All images are cut out around the embryo. The bar above a frame shows its call; the onset has a
    frame of its own. Below: P(after onset) of the ensemble (dots, colored by call) and of its
    members (thin lines), the threshold, the calls before and after smoothing, and the onset with
    its 90 % interval.

    Args:
        assessment: What was found.
        headline: Written on top.

    Returns:
        The bytes of a PNG.
    """
    side = WIDTH * (MARGINS[1] - MARGINS[0]) / max(len(assessment.shown), 6)
    heights = (1.0, 2 * side, 0.6, 2.6, 1.35)
    figure = new_figure(heights, headline)
    edges = 1 - np.cumsum(heights) / sum(heights)
    _draw_frames(figure, assessment, float(edges[1]), side)
    curve = _axes(figure, float(edges[3]), 2.6 / sum(heights))
    _draw_curve(curve, assessment)
    calls = _axes(figure, float(edges[4]) + 0.55 / sum(heights), 0.75 / sum(heights))
    calls.sharex(curve)
    _draw_calls(calls, assessment)
    _draw_legend(figure, float(edges[2]) + 0.18 / sum(heights))
    return png(figure, colors=256)


def new_figure(heights: Sequence[float], headline: str) -> Figure:
    """A figure of the usual width, of the sum of some heights in inches, with its headline.

    A long headline is made smaller, so that it fits on its line.
    """
    height = sum(heights)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    place = (MARGINS[0], 1 - 0.3 / height)
    text = figure.text(*place, headline, fontsize=_HEADLINE, weight="bold", color=INK)
    width = text.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
    # A tenth is kept free: widths of small letters are rounded up to whole pixels.
    room = 0.9 * (MARGINS[1] - MARGINS[0]) * WIDTH * DPI
    text.set_fontsize(_HEADLINE * min(1, room / max(width, 1)))
    return figure


def cut_out(images: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of images [..., Y, X] within (top, bottom, left, right)."""
    top, bottom, left, right = box
    return images[..., top:bottom, left:right]


def frame_title(axes: Axes, assessment: Assessment, t: int) -> None:
    """Writes the number, and the time where it is known, of frame `t` of those used."""
    minutes = assessment.recording.minutes(t)
    marked = t == assessment.onset.frame
    number = f"frame {assessment.recording.numbers[t]}"
    axes.set_title(
        number if minutes is None else f"{number}\n{duration(minutes)}",
        fontsize=11,
        pad=9,
        color=_ONSET if marked else INK,
        weight="bold" if marked else "normal",
    )


def call_bar(axes: Axes, assessment: Assessment, t: int) -> None:
    """A bar above an image, in the color of what frame `t` of those used is called in the end."""
    color = AFTER if assessment.onset.smoothed[t] else BEFORE
    axes.plot(
        [0, 1], [1.03, 1.03], transform=axes.transAxes, color=color, linewidth=4.5, clip_on=False
    )


def ring(axes: Axes) -> None:
    """Marks an image as the onset."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=_ONSET, linewidth=3.5)


def image_axes(figure: Figure, column: int, bottom: float, side: float, *, columns: int) -> Axes:
    """Empty axes for one image of a row.

    Args:
        figure: Where.
        column: Which, from 0.
        bottom: Lower edge, as a share of the figure's height.
        side: Inches.
        columns: How many stand in the row; they are centered.
    """
    width, height = figure.get_size_inches()
    step = side / width
    room = MARGINS[1] - MARGINS[0]
    left = MARGINS[0] + max(0.0, room - columns * step) / 2 + column * step
    gap = 0.05 / width
    axes = figure.add_axes((left + gap / 2, bottom, step - gap, (side - 0.05) / height))
    return bare(axes)


def _draw_frames(figure: Figure, assessment: Assessment, bottom: float, side: float) -> None:
    height = figure.get_size_inches()[1]
    box = assessment.presence.box
    shown = list(assessment.shown)
    light = cut_out(assessment.frames[shown], box)
    predicted = cut_out(assessment.ezrin.statistics["mean"][shown, 0], box)
    low, high = np.percentile(predicted, (0.5, 99.8))
    bright = max(float(high), float(low) + 1e-3)
    pictures: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        ("DIC", light, {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}),
        (
            "EZRIN\npredicted",
            predicted,
            {"cmap": _ezrin_colors(), "vmin": float(low), "vmax": bright},
        ),
    ]
    for row, (label, images, look) in enumerate(pictures):
        at = bottom + (len(pictures) - 1 - row) * side / height
        for column, (t, image) in enumerate(zip(shown, images, strict=True)):
            axes = image_axes(figure, column, at, side, columns=len(shown))
            axes.imshow(image, interpolation="lanczos", **look)
            if t == assessment.onset.frame:
                ring(axes)
            if row == 0:
                call_bar(axes, assessment, t)
                frame_title(axes, assessment, t)
            if column == 0:
                axes.set_ylabel(label, fontsize=12, color=INK, labelpad=8)


def _ezrin_colors() -> LinearSegmentedColormap:
    """Black over the label's color to white."""
    color = [part / 255 for part in label_color("EZRIN")]
    return LinearSegmentedColormap.from_list("ezrin", ["black", color, "white"])


def _axes(figure: Figure, bottom: float, height: float) -> Axes:
    axes = figure.add_axes((MARGINS[0], bottom, MARGINS[1] - MARGINS[0], height))
    clean(axes).tick_params(labelsize=11)
    return axes


def _draw_curve(axes: Axes, assessment: Assessment) -> None:
    onset, numbers = assessment.onset, np.array(assessment.recording.numbers)
    _shade_interval(axes, assessment)
    for own in assessment.member_probabilities:
        axes.plot(numbers, own, color=_MEMBER, linewidth=0.9, zorder=2)
    axes.plot(numbers, onset.probability, color=INK, linewidth=1.8, zorder=3)
    for called, color in ((False, BEFORE), (True, AFTER)):
        those = onset.calls == called
        axes.scatter(
            numbers[those],
            onset.probability[those],
            s=42,
            color=color,
            edgecolor="white",
            linewidth=0.8,
            zorder=4,
        )
    axes.axhline(assessment.threshold, color=SOFT, linewidth=1.2, dashes=(5, 4))
    axes.set(ylim=(-0.04, 1.04), xlim=(numbers[0] - 0.6, numbers[-1] + 1.6))
    axes.set_ylabel("P(after onset)", fontsize=12, color=INK)
    axes.tick_params(labelbottom=False)
    if onset.frame is not None:
        axes.axvline(numbers[onset.frame], color=_ONSET, linewidth=2.2, zorder=1.5)
    _note_shown(axes, assessment)


def _note_shown(axes: Axes, assessment: Assessment) -> None:
    """Marks the frames whose images stand above."""
    numbers = [assessment.recording.numbers[t] for t in assessment.shown]
    if len(numbers) < len(assessment.recording):
        axes.plot(
            numbers,
            [1.0] * len(numbers),
            color=SOFT,
            marker="v",
            markersize=5,
            linewidth=0,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )


def _draw_legend(figure: Figure, bottom: float) -> None:
    """What marks and lines mean, between the images and the curve."""

    def line(**look: Any) -> Line2D:
        return Line2D([], [], **look)

    figure.legend(
        [
            line(color=BEFORE, marker="s", markersize=8, linewidth=0),
            line(color=AFTER, marker="s", markersize=8, linewidth=0),
            line(color=INK, linewidth=1.8),
            line(color=_MEMBER, linewidth=0.9),
            line(color=SOFT, linewidth=1.2, dashes=(5, 4)),
            line(color=_ONSET, linewidth=2.2),
            line(color=_INTERVAL, linewidth=9),
            line(color=SOFT, marker="v", markersize=5, linewidth=0),
        ],
        [
            "before",
            "after onset",
            "ensemble",
            "members",
            "threshold",
            "onset",
            "90 % interval",
            "shown above",
        ],
        loc="lower left",
        bbox_to_anchor=(MARGINS[0], bottom),
        bbox_transform=figure.transFigure,
        ncols=8,
        frameon=False,
        fontsize=11,
        borderpad=0,
        columnspacing=1.8,
        handletextpad=0.6,
    )


def _shade_interval(axes: Axes, assessment: Assessment) -> None:
    low, high = _interval(assessment)
    axes.axvspan(low - 0.5, high + 0.5, color=_INTERVAL, linewidth=0, zorder=0)


def _interval(assessment: Assessment) -> tuple[int, int]:
    """The 90 % interval as frame numbers; the frame after the last stands for all after it."""
    numbers = assessment.recording.numbers
    onset = assessment.onset
    known = (*numbers, numbers[-1] + 1)
    return known[onset.low], known[-1] if onset.high is None else known[onset.high]


def _draw_calls(axes: Axes, assessment: Assessment) -> None:
    onset, numbers = assessment.onset, np.array(assessment.recording.numbers)
    _shade_interval(axes, assessment)
    for height, calls in ((2, onset.calls), (1, onset.smoothed)):
        colors = [AFTER if call else BEFORE for call in calls]
        axes.scatter(numbers, np.full(len(numbers), height), s=46, marker="s", color=colors)
    low, high = _interval(assessment)
    axes.plot([low, high], [0, 0], color=_ONSET, linewidth=2.5, marker="|", markersize=9)
    if onset.high is None:
        axes.plot(high, 0, color=_ONSET, marker=">", markersize=8)
    if onset.frame is not None:
        axes.plot(numbers[onset.frame], 0, color=_ONSET, marker="D", markersize=7)
    axes.set(ylim=(-0.6, 2.6), yticks=[2, 1, 0])
    axes.set_yticklabels(["call", "smoothed", "onset, 90 %"], fontsize=11)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("frame, counted from 0 in file order", fontsize=12, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=18, integer=True))
