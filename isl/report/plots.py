"""How the plots of every report look."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from isl.report.pictures import png_of

Corner = Literal["upper left", "upper right", "lower left", "lower right"]

# Distinguishable for those who do not see red and green, too.
COLORS = ("#2f6db3", "#d95f02", "#1b8a5a", "#7a4fa3", "#8c6d1f", "#c2185b", "#4a5560")
INK = "#1d232b"
SOFT = "#66707a"
LINE = "#d9dee4"
DPI = 110


def color(index: int) -> str:
    """The color of the n-th thing that is compared."""
    return COLORS[index % len(COLORS)]


def canvas(width: float, height: float) -> Figure:
    """An empty figure of so many inches whose panels keep out of each other's way."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def panel(title: str = "", *, width: float = 5, height: float = 4) -> tuple[Figure, Axes]:
    """A figure of one plot."""
    figure = canvas(width, height)
    return figure, clean(figure.add_subplot(), title)


def panels(
    count: int, *, columns: int, width: float, height: float, more: float = 0
) -> tuple[Figure, list[Axes]]:
    """A figure of plots in rows.

    Args:
        count: How many.
        columns: In a row, at most.
        width: Of each, inches.
        height: Of each, inches.
        more: Height beside the plots', such as for a legend, inches.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = canvas(width * columns, height * rows + more)
    return figure, [clean(figure.add_subplot(rows, columns, n + 1)) for n in range(count)]


def clean(axes: Axes, title: str = "") -> Axes:
    """The axes without a frame above and to the right, and with a small title on the left."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    return axes


def bare(axes: Axes) -> Axes:
    """The axes of an image: no frame, no ticks."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def legend(axes: Axes, place: Corner = "upper left") -> None:
    """What is plotted, without a frame; nothing where no line has a name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place, frameon=False)


def png(figure: Figure, *, colors: int | None = None) -> bytes:
    """A figure as the bytes of a PNG.

    Args:
        figure: What is drawn.
        colors: At most so many; 256 make the file a third as long.
    """
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    picture = Image.fromarray(np.asarray(drawn.buffer_rgba())[..., :3])
    # Maximum coverage keeps colors that few pixels have, such as those of the legend.
    return png_of(picture, colors=colors, method=Image.Quantize.MAXCOVERAGE)
