"""Pictures to judge colonies by: outlines over the well, composition over time, cells by class."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from skimage.segmentation import find_boundaries

from isl.colony.assess import CANNOT_TELL, Assessment, Colony

# Okabe and Ito's colors, told apart by nearly everyone.
_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
_UNDECIDED = "#BBBBBB"
_WIDTH = 1000
_SHOWN = 3


def color_of(name: str, classes: Sequence[str]) -> str:
    """A class's color, the same in every picture."""
    return _UNDECIDED if name == CANNOT_TELL else _COLORS[classes.index(name) % len(_COLORS)]


def draw_overlay(
    frames: Mapping[int, np.ndarray], assessment: Assessment, classes: Sequence[str]
) -> bytes:
    """Some frames with every colony's outline in its class's color, and its number.

    Args:
        frames: uint8 [y, x] by time, as large as they are to be shown (see `shown_frames`).
        assessment: What was found.
        classes: Names, for the colors.

    Returns:
        The bytes of a PNG.
    """
    height = max(frame.shape[0] / frame.shape[1] for frame in frames.values())
    figure = Figure(figsize=(6.2 * len(frames), 6.2 * height + 0.7), dpi=110)
    for column, (t, frame) in enumerate(frames.items()):
        axes = figure.add_axes(
            (column / len(frames) + 0.004, 0.02, 1 / len(frames) - 0.008, 1 - 0.68 / (6.2 * height))
        )
        own = [colony for colony in assessment.colonies if colony.time == t]
        axes.imshow(_outlined(frame, assessment.labels[t], own, classes), interpolation="nearest")
        shrink = assessment.labels.shape[2] / frame.shape[1]
        for colony in own:
            middle = (np.array(colony.box[:2]) + np.array(colony.box[2:])) / 2 / shrink
            axes.text(
                float(middle[1]),
                float(middle[0]),
                str(colony.number),
                color="white",
                fontsize=8,
                ha="center",
                va="center",
                bbox={"facecolor": "black", "alpha": 0.45, "pad": 1, "linewidth": 0},
            )
        title = f"{len(own)} {'colony' if len(own) == 1 else 'colonies'}"
        at = [f"frame {t}"] if len(assessment.labels) > 1 else []
        at += [f"plane {assessment.planes[t][0]}"] if assessment.depth > 1 else []
        axes.set_title(": ".join(filter(None, (", ".join(at), title))), fontsize=10)
        axes.set_axis_off()
    present = {colony.kind for colony in assessment.colonies}
    names = [name for name in (*classes, CANNOT_TELL) if name in present]
    lines = [Line2D([], [], color=color_of(name, classes), linewidth=3) for name in names]
    if lines:
        figure.legend(lines, names, loc="upper center", ncols=len(names), frameon=False, fontsize=9)
    return as_png(figure)


def shown_frames(frames: int) -> list[int]:
    """Times that are drawn of a time-lapse: the first, the middle and the last one."""
    return sorted({0, (frames - 1) // 2, frames - 1})[:_SHOWN]


def reduced(grey: np.ndarray) -> np.ndarray:
    """A uint8 plane, small enough to be looked at."""
    height, width = grey.shape
    factor = min(1.0, _WIDTH / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))


def draw_composition(
    rows: Sequence[Mapping[str, Any]], classes: Sequence[str], *, of: str = "colonies"
) -> bytes:
    """Share of the colonies, or cells, by class over time, or of one picture: a PNG.

    Args:
        rows: Of one image's composition, see `isl.colony.record.composition_rows`.
        classes: Names, for order and colors.
        of: What is counted, as the axis says.
    """
    times = sorted({int(row["time"]) for row in rows})
    counts = {name: np.zeros(len(times)) for name in (*classes, CANNOT_TELL)}
    for row in rows:
        counts[row["class"]][times.index(int(row["time"]))] = float(row["colonies"])
    total = np.maximum(sum(counts.values()), 1)
    figure = Figure(figsize=(7, 2.6 if len(times) > 1 else 1.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    names = [name for name, values in counts.items() if values.any()]
    shares = [counts[name] / total for name in names]
    colors = [color_of(name, classes) for name in names]
    if len(times) > 1:
        if names:
            axes.stackplot(times, *shares, colors=colors, labels=names)
        axes.set(xlabel="frame", ylabel=f"share of {of}", ylim=(0, 1), xlim=(times[0], times[-1]))
    else:
        left = 0.0
        for name, share, color in zip(names, shares, colors, strict=True):
            axes.barh([0], share, left=left, color=color, label=name)
            left += float(share[0])
        axes.set(xlabel=f"share of {of}", xlim=(0, 1), yticks=[])
    if names:
        figure.legend(loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    return as_png(figure)


def draw_cells(
    cells: Sequence[np.ndarray], kinds: Sequence[str], classes: Sequence[str], *, each: int = 10
) -> bytes:
    """The first few cells of every class side by side, a class a row: a PNG.

    Args:
        cells: uint8 [y, x].
        kinds: What each was called.
        classes: Names, in order.
        each: Cells a row.
    """
    names = [name for name in (*classes, CANNOT_TELL) if name in kinds]
    rows = max(1, len(names))
    figure = Figure(figsize=(8.2, 0.8 * rows), dpi=110)
    for row, name in enumerate(names):
        own = [cell for cell, kind in zip(cells, kinds, strict=True) if kind == name][:each]
        bottom = (rows - 1 - row) / rows
        figure.text(0.01, bottom + 0.5 / rows, name, va="center", fontsize=9)
        for column, cell in enumerate(own):
            axes = figure.add_axes((0.16 + 0.84 * column / each, bottom, 0.82 / each, 0.96 / rows))
            axes.imshow(cell, cmap="gray", interpolation="nearest")
            axes.set_axis_off()
    return as_png(figure)


def as_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG, without the time it was made."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _outlined(
    frame: np.ndarray, labels: np.ndarray, colonies: Sequence[Colony], classes: Sequence[str]
) -> np.ndarray:
    """A grey frame with colored outlines, uint8 [y, x, 3]."""
    rows, columns = (
        np.minimum((np.arange(size) + 0.5) * full / size, full - 1).astype(int)
        for size, full in zip(frame.shape, labels.shape, strict=True)
    )
    small = labels[rows][:, columns]
    low, high = np.percentile(frame, (0.5, 99.5))
    grey = np.clip((frame - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    shown = np.repeat(grey[..., None], 3, axis=-1)
    edges = find_boundaries(small, mode="thick")
    kinds = {colony.number: colony.kind for colony in colonies}
    for number in np.unique(small[edges]):
        if number:
            color = color_of(kinds[int(number)], classes)
            own = edges & (small == number)
            shown[own] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return shown
