"""Pictures to judge measured cells by: outlines over the image, distributions by condition."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage.segmentation import find_boundaries

from isl.imaging.image import PixelSize
from isl.measure.wells import Row
from isl.report.pictures import font
from isl.report.plots import color, legend, panels, png
from isl.report.preview import Panel, write_preview

_MOST = 1400
_CERTAIN, _DOUBTFUL, _DEAD, _PLAIN = (64, 224, 128), (255, 200, 0), (255, 72, 72), (255, 160, 32)
# Objects of which less is expected to be foreground are drawn as doubtful.
DOUBTFUL = 0.75
_NUMBERED = 120
_MOST_GROUPS = 7


def outlined(
    image: np.ndarray, labels: np.ndarray, cells: Sequence[Row], *, top: float | None = None
) -> np.ndarray:
    """An image in gray with the outline and number of every object, float [y, x, 3] in [0, 1].

    Args:
        image: float [Y, X].
        labels: int [Y, X].
        cells: Its rows, for certainty and state.
        top: Shown as white; None: what all but a few pixels lie below.
    """
    step, zoom = _sampling(image.shape)
    shown, small = (
        each[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1) for each in (image, labels)
    )
    low = float(np.percentile(shown, 1))
    high = float(np.percentile(shown, 99.7)) if top is None else top
    gray = np.clip((shown - low) / max(high - low, 1e-6), 0, 1)
    picture = np.repeat(np.rint(gray * 255).astype(np.uint8)[..., None], 3, axis=2)
    colors = np.zeros((int(labels.max(initial=0)) + 1, 3), np.uint8)
    for cell in cells:
        colors[cell["cell"]] = color_of(cell)
    edge = find_boundaries(small, mode="inner")
    picture[edge] = colors[small[edge]]
    drawn = Image.fromarray(picture)
    if len(cells) <= _NUMBERED:
        draw = ImageDraw.Draw(drawn)
        for cell in cells:
            draw.text(
                (cell["x"] * zoom / step, cell["y"] * zoom / step),
                str(cell["cell"]),
                (255, 255, 255),
                font(11),
                "mm",
                stroke_width=1,
                stroke_fill=(0, 0, 0),
            )
    return np.asarray(drawn, np.float32) / 255


def color_of(cell: Row) -> tuple[int, int, int]:
    """Red where a cell is dead, else green or yellow by certainty, orange where none is known."""
    if cell.get("dead"):
        return _DEAD
    certainty = cell.get("certainty")
    if certainty is None:
        return _PLAIN
    return _CERTAIN if certainty >= DOUBTFUL else _DOUBTFUL


def write_outlines(
    path: Path, frames: Mapping[int, np.ndarray], titles: Mapping[int, str], pixel: PixelSize | None
) -> None:
    """Some frames side by side, as `outlined` gives them: a PNG."""
    shown = next(iter(frames.values()))
    panels_ = [Panel(titles[t], frame) for t, frame in frames.items()]
    write_preview(
        path,
        panels_,
        columns=len(panels_),
        panel_size=max(512, min(_MOST, max(shown.shape[:2]))),
        pixel_size=pixel,
    )


def shown_pixel(pixel: PixelSize | None, size: tuple[int, int]) -> PixelSize | None:
    """How large a pixel of what `outlined` shows is."""
    step, zoom = _sampling(size)
    return None if pixel is None else PixelSize(y=pixel.y * step / zoom, x=pixel.x * step / zoom)


def _sampling(size: tuple[int, ...]) -> tuple[int, int]:
    """Every how many pixels are shown, and how many times each."""
    step = max(1, math.ceil(max(size) / _MOST))
    return step, max(1, _MOST // max(size)) if step == 1 else 1


def draw_distributions(cells: Sequence[Row], measures: Mapping[str, str]) -> bytes:
    """Histograms of measures by condition, by well where there are no conditions: a PNG.

    Args:
        cells: Rows of cells that do not touch an edge.
        measures: Columns, with what stands below their axes.
    """
    by = "condition" if any(cell["condition"] for cell in cells) else "well"
    names = list(dict.fromkeys(cell[by] for cell in cells))
    if len(names) > _MOST_GROUPS:
        names = []
    figure, axes = panels(len(measures), columns=2, width=4.4, height=3)
    for place, (column, title) in zip(axes, measures.items(), strict=True):
        known = [(cell[by], cell[column]) for cell in cells if cell.get(column) is not None]
        if known:
            edges = np.histogram_bin_edges([value for _, value in known], bins=24)
            for number, name in enumerate(names or [None]):
                own = [value for group, value in known if name is None or group == name]
                if own:
                    place.hist(
                        own,
                        bins=edges.tolist(),
                        histtype="step",
                        density=True,
                        linewidth=1.6,
                        color=color(number),
                        label=None if name is None else f"{name} ({len(own)})",
                    )
        place.set(xlabel=title, ylabel="density of cells")
    legend(axes[0], "upper right")
    return png(figure, colors=256)


def key(cells: Sequence[Row]) -> list[tuple[str, tuple[int, int, int]]]:
    """What the outlines' colors mean, of those that some cell has."""
    words = {
        _CERTAIN: f"certainty {DOUBTFUL:g} or more",
        _DOUBTFUL: f"certainty below {DOUBTFUL:g}",
        _DEAD: "dead",
        _PLAIN: "found",
    }
    present = {color_of(cell) for cell in cells}
    return [(text, tint) for tint, text in words.items() if tint in present]
