"""What was estimated, drawn: where a field's tiles lie, and what all images of a channel share."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from isl.preprocess.correction import Estimates
from isl.preprocess.record import FieldRecord, MeasuredLink
from isl.report.plots import COLORS, DPI, INK, SOFT, bare, png

TRUSTED, DOUBTED = COLORS[:2]
_GROUND = "#f4f6f8"
# A picture is as wide as a report's text.
_WIDTH = 9.89
_HEIGHTS = (2.5, 9.0)
# Inches a tile, at most; few tiles need no large picture.
_TILE = 1.7
_LEGEND = 0.75
# A residual below it is what whole pixels cannot help.
_NOTABLE = 0.5
# Links are drawn between tiles' middles, but for what would cross the names there.
_SPAN = (0.2, 0.8)


def draw_offsets(record: FieldRecord) -> bytes:
    """The canvas of a field with its tiles, and what neighbours say of each other.

    Solid outlines: where tiles lie; dashed ones: where they should, laid over them so that the
    median tile has not moved. Under a tile's name: by how many rows and columns it has. A link is
    the wider the more confident it is; beside it stands its residual in pixels where that matters.

    Args:
        record: Of the field.

    Returns:
        The bytes of a PNG.
    """
    nominal, lies = (
        np.array([getattr(tile, where) for tile in record.tiles], np.float64).reshape(-1, 2)
        for where in ("nominal", "position")
    )
    nominal += np.median(lies - nominal, axis=0)
    size = np.array(record.tile_size, np.float64)
    low = np.minimum(nominal, lies).min(axis=0)
    high = np.maximum(nominal, lies).max(axis=0) + size
    extent = high - low
    inches = min(_WIDTH * extent[0] / extent[1], _TILE * extent[0] / size[0])
    inches = float(np.clip(inches, *_HEIGHTS))
    figure = Figure(figsize=(_WIDTH, inches + _LEGEND), dpi=DPI, facecolor="white")
    share = _LEGEND / (inches + _LEGEND)
    axes = figure.add_axes((0.01, share, 0.98, 0.99 - share), facecolor=_GROUND)
    margin = 0.01 * extent.max()
    axes.set_xlim(low[1] - margin, high[1] + margin)
    axes.set_ylim(high[0] + margin, low[0] - margin)
    # Beside the left margin: a phone shows it before it is scrolled.
    axes.set_aspect("equal", anchor="W")
    bare(axes)
    # Pixels of the canvas become points, to tell how large letters may be.
    points = 72 * min(_WIDTH / extent[1], inches / extent[0])
    _draw_tiles(axes, record, nominal, lies, points)
    for link in record.links:
        _draw_link(axes, link, lies[list(link.tiles)] + size / 2, _letters(record, points))
    _draw_legend(figure)
    return png(figure, colors=256)


def _letters(record: FieldRecord, points: float) -> float:
    """The size of letters with which the longest name fits between the links, points."""
    longest = max(*(len(tile.name) for tile in record.tiles), 9)
    room = points * min(record.tile_size) * 0.62
    return float(np.clip(room / (0.62 * longest), 4.5, 11))


def _draw_tiles(
    axes: Axes, record: FieldRecord, nominal: np.ndarray, lies: np.ndarray, points: float
) -> None:
    height, width = record.tile_size
    letters = _letters(record, points)
    for tile, should, does in zip(record.tiles, nominal, lies, strict=True):
        color = DOUBTED if tile.anchored else INK
        axes.add_patch(
            Rectangle(should[::-1], width, height, fill=False, ec=SOFT, lw=0.8, ls=(0, (4, 3)))
        )
        # Faintly filled: where tiles overlap it is darker.
        axes.add_patch(Rectangle(does[::-1], width, height, fc="#5b65701c", ec=color, lw=1.3))
        y, x = does[0] + height / 2, does[1] + width / 2
        moved = ", ".join(_signed(length) for length in does - should)
        # Names are names: a dollar sign begins no formula.
        look = {"size": letters, "color": color, "weight": "bold", "parse_math": False}
        axes.text(x, y, tile.name, ha="center", va="bottom", **look)
        # The same place, in the words' own height below it.
        axes.text(x, y, f"\n{moved}", size=0.85 * letters, color=SOFT, ha="center", va="center")


def _signed(length: float) -> str:
    """Whole pixels with their sign; 0 has none."""
    whole = round(length)
    return f"{whole:+d}".replace("-", "\u2212") if whole else "0"


def _draw_link(axes: Axes, link: MeasuredLink, middles: np.ndarray, letters: float) -> None:
    """A line between the middles (y, x) of two tiles, and its residual."""
    color = TRUSTED if link.trusted else DOUBTED
    ends = [middles[0] + part * (middles[1] - middles[0]) for part in _SPAN]
    axes.plot(
        [end[1] for end in ends],
        [end[0] for end in ends],
        color=color,
        linewidth=0.8 + 5 * link.confidence,
        linestyle="-" if link.trusted else (0, (2, 1.2)),
        solid_capstyle="butt",
        alpha=0.85,
    )
    if np.isfinite(link.residual) and link.residual > _NOTABLE:
        y, x = middles.mean(axis=0)
        axes.text(
            x,
            y,
            f"{link.residual:.1f}" if link.residual < 100 else f"{link.residual:.0f}",
            size=0.9 * letters,
            color=color,
            weight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.18", "fc": "white", "ec": color, "lw": 0.7},
        )


def _draw_legend(figure: Figure) -> None:
    entries = {
        "tile, and its rows and columns off": {"color": INK, "lw": 1.3},
        "where it should lie": {"color": SOFT, "lw": 0.8, "ls": (0, (4, 3))},
        "tile that no neighbor places": {"color": DOUBTED, "lw": 1.3},
        "offset believed, wide: confident": {"color": TRUSTED, "lw": 4},
        "offset not believed": {"color": DOUBTED, "lw": 2.5, "ls": (0, (2, 1.2))},
        f"residual above {_NOTABLE} pixel": {
            "color": "none",
            "marker": "$1.2$",
            "markersize": 16,
            "markerfacecolor": SOFT,
            "markeredgecolor": "none",
        },
    }
    figure.legend(
        handles=[Line2D([], [], label=text, **look) for text, look in entries.items()],
        loc="lower left",
        ncols=3,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        columnspacing=2.5,
        handlelength=2.6,
    )


class _Panel(NamedTuple):
    """An image with a color bar.

    Attributes:
        title: Written above.
        image: float [Y, X].
        around: What colors are centered on and percent are of; None: values as they are.
        outlined: bool [Y, X], what is outlined; somewhere True.
    """

    title: str
    image: np.ndarray
    around: float | None = None
    outlined: np.ndarray | None = None


def draw_estimates(estimates: Estimates) -> bytes | None:
    """What all images of a channel share: flat field, dust, and dust that shines, side by side.

    Args:
        estimates: Of the channel.

    Returns:
        The bytes of a PNG; None where nothing was found.
    """
    panels = []
    if estimates.flat_field is not None:
        panels.append(_Panel("Flat field", estimates.flat_field, 1.0))
    if estimates.dust is not None:
        panels.append(_Panel("Dust that takes light", estimates.dust, 1.0))
    if estimates.additive_dust is not None and estimates.additive_dust.mask.any():
        dust = estimates.additive_dust
        panels.append(_Panel("Dust that adds light, counts", dust.artifact, outlined=dust.mask))
    return _draw_panels(panels) if panels else None


def _draw_panels(panels: list[_Panel]) -> bytes:
    columns = max(2, len(panels))
    step = _WIDTH / columns
    shape = max(panel.image.shape[0] / panel.image.shape[1] for panel in panels)
    inches = float(np.clip((step - 1.1) * shape, 1.2, 6.0)) + 0.55
    figure = Figure(figsize=(step * len(panels), inches), dpi=DPI, facecolor="white")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(figure, axes, panel)
    figure.subplots_adjust(
        left=0.02, right=1 - 0.95 / (step * len(panels)), wspace=0.35, bottom=0.03, top=0.9
    )
    return png(figure)


def _draw_panel(figure: Figure, axes: Axes, panel: _Panel) -> None:
    image = np.asarray(panel.image, np.float32)
    if panel.around is None:
        # What is outlined may be so little that it is beyond every percentile of the whole.
        seen = image if panel.outlined is None else image[panel.outlined]
        low, high = (float(value) for value in np.percentile(seen, (0.2, 99.8)))
        look = {"cmap": "cividis", "vmin": min(low, 0.0), "vmax": max(high, low + 1e-6)}
    else:
        image = 100 * (image / panel.around - 1)
        reach = max(float(np.percentile(np.abs(image), 99.8)), 0.1)
        look = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    drawn = bare(axes).imshow(image, **look)
    axes.set_title(panel.title, fontsize=11, color=INK, loc="left")
    if panel.outlined is not None and not panel.outlined.all():
        axes.contour(panel.outlined, levels=[0.5], colors=[DOUBTED], linewidths=1.2)
    bar_axes = axes.inset_axes((1.03, 0, 0.045, 1))
    bar = figure.colorbar(drawn, cax=bar_axes, format=None if panel.around is None else _percent)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9.5, colors=INK, length=3)


def _percent(value: float, _: int | None = None) -> str:
    """A tick's label."""
    return f"{value:+.3g} %".replace("-", "\u2212") if abs(value) > 1e-9 else "0 %"
