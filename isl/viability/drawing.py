"""The film strip: key frames, where they speak for or against, and probability against hours."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from isl.viability.assess import Assessment
from isl.viability.model import PURPOSE

_INK, _SOFT = "#1d232b", "#66707a"
_FOR, _AGAINST = "#d95f02", "#2f6db3"
_WHY = {"event": "#b3123f", "sharpest": "#66707a", "uniform": "#66707a", "repeated": "#c9a227"}
_COLUMNS = 16
_WIDTH = 14.0
_DPI = 100


def draw_film_strip(assessment: Assessment, headline: str) -> bytes:
    """Key frames with their evidence, and below them what was said at each hour.

    The bar above a frame says why it was chosen: an event (red), the sharpest or middlemost of its
    bin (grey), or a repetition (yellow). Orange speaks for the main target, blue against it.

    Args:
        assessment: What was found.
        headline: Written on top.

    Returns:
        The bytes of a PNG.
    """
    film = assessment.film
    lines = -(-len(film.pictures) // _COLUMNS)
    side = _WIDTH / _COLUMNS
    height = 0.7 + lines * 2 * (side + 0.12) + 2.9
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    figure.text(0.01, 1 - 0.3 / height, headline, fontsize=13, weight="bold", color=_INK)
    figure.text(0.01, 1 - 0.52 / height, PURPOSE, fontsize=8.5, color="#b3123f")
    strongest = max(float(np.abs(assessment.evidence).max()), 1e-6)
    look = _gray(film.pictures)
    for number, picture in enumerate(film.pictures):
        line, column = divmod(number, _COLUMNS)
        top = 1 - (0.85 + line * 2 * (side + 0.12)) / height
        left = column / _COLUMNS
        size = (0.96 / _COLUMNS, 0.96 * side / height)
        plain = figure.add_axes((left, top - size[1], *size))
        plain.imshow(picture, **look)
        plain.set_title(f"{film.hours[number]:.0f} h", fontsize=7, pad=3, color=_INK)
        color = _WHY[film.why[number]]
        plain.plot(
            [0, 1], [1.01, 1.01], transform=plain.transAxes, color=color, lw=3, clip_on=False
        )
        seen = figure.add_axes((left, top - 2 * size[1] - 0.02 / height, *size))
        seen.imshow(picture, **look)
        seen.imshow(_tinted(assessment.evidence[number] / strongest), interpolation="bilinear")
        for axes in (plain, seen):
            axes.set(xticks=[], yticks=[])
    curve = figure.add_axes((0.06, 0.5 / height, 0.92, 2.0 / height))
    _draw_curve(curve, assessment)
    return _as_png(figure)


def draw_curves(records: list[Mapping[str, Any]]) -> bytes:
    """Probability against hours seen for the embryos of one cohort, as a PNG."""
    figure = Figure(figsize=(9, 3.4), dpi=_DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for made in records:
        hours = [point["hours"] for point in made["by_hour"]]
        values = [point["probability"] for point in made["by_hour"]]
        axes.plot(hours, values, marker="o", markersize=4, label=made["recording"])
    axes.set(ylim=(0, 1), xlabel="hours seen", ylabel=f"P({records[0]['targets'][0]['target']})")
    axes.set_title(PURPOSE, fontsize=8, color="#b3123f")
    axes.legend(fontsize=8, ncols=2, frameon=False)
    return _as_png(figure)


def _draw_curve(axes: Axes, assessment: Assessment) -> None:
    hours = list(assessment.by_hour)
    words = list(assessment.by_hour.values())
    axes.fill_between(hours, [w.low for w in words], [w.high for w in words], color="#e6ebf2")
    axes.plot(hours, [word.probability for word in words], color=_INK, marker="o")
    for mark in assessment.film.hours[[why == "event" for why in assessment.film.why]]:
        axes.axvline(float(mark), color=_WHY["event"], lw=0.8, alpha=0.6)
    last = max(float(assessment.film.hours[-1]), max(hours)) + 2
    axes.set(ylim=(0, 1), xlim=(float(assessment.film.hours[0]), last))
    axes.set_xlabel("hours after insemination that were seen", color=_INK)
    axes.set_ylabel(f"P({assessment.main.target}), 90 %", color=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _gray(pictures: np.ndarray) -> dict[str, Any]:
    """How `imshow` shows pictures of one film: black and white the same in all, however dark it is.

    Args:
        pictures: uint8 [N, Y, X].
    """
    black, white = np.percentile(pictures, (0.5, 99.5))
    return {"cmap": "gray", "vmin": float(black), "vmax": max(float(white), float(black) + 1)}


def _tinted(share: np.ndarray) -> np.ndarray:
    """Evidence in [-1, 1] as a transparent color, float [Y, X, 4]."""
    colors = [
        np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for code in (_FOR, _AGAINST)
    ]
    picture = np.zeros((*share.shape, 4))
    picture[..., :3] = np.where(share[..., None] > 0, colors[0], colors[1])
    picture[..., 3] = 0.6 * np.abs(share)
    return picture


def _as_png(figure: Figure) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
