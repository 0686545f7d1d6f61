"""How the pictures of every report look."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by those who do not see red and green, too.
COLORS = ("#2f6db3", "#d95f02", "#1b8a5a", "#7a4fa3", "#8c6d1f", "#c2185b", "#4a5560")
INK = "#1d232b"
SOFT = "#66707a"
LINE = "#d9dee4"
DPI = 110


def clean(axes: Axes) -> Axes:
    """The axes without a frame above and to the right."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def color(index: int) -> str:
    """The color of the n-th thing that is compared."""
    return COLORS[index % len(COLORS)]


def png(figure: Figure) -> bytes:
    """The picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
