"""Predicted against true intensities, counted in bins, as in the paper's Figures 4 to 6."""

import dataclasses

import numpy as np
from matplotlib.axes import Axes

from isl.errors import InputError
from isl.report.plots import COLORS, INK, SOFT, panel, png
from isl.report.words import number

from .image_pair import checked_pair, correlation, regression_line

# Of a bin's share of all pixels; the paper gives counts of 1000.
_PER = 1000
# Above this many bins numbers would overlap.
_MOST_NUMBERED = 12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """Pixels by their true and predicted intensity.

    Attributes:
        counts: int [n, n], bins of the true intensity first, then of the predicted one.
        edges: float [n + 1], limits of the bins on either axis, 0 to 1; the last bin holds 1.
        slope: Of the regression line, predicted = slope * true + intercept; None: undefined.
        intercept: See `slope`.
        pearson: Of the same pixels; None: undefined.
    """

    counts: np.ndarray
    edges: np.ndarray
    slope: float | None
    intercept: float | None
    pearson: float | None

    @property
    def per_thousand(self) -> np.ndarray:
        """Counts of 1000 pixels, float [n, n]; zeros where no pixel counts."""
        return _PER * self.counts / max(1, int(self.counts.sum()))


def intensity_heat_map(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    bin_width: float = 0.1,
) -> HeatMap:
    """Counts pixels by their true and predicted intensity.

    Intensities are taken as they are, on the scale from 0 to 1 that the paper names for its bins.
    Its images were normalized to mean 0.25 and deviation 0.125 before; its published data are, and
    others can be by `error_pictures.normalized`.

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        bin_width: Of both intensities; 1 is a multiple of it.

    Raises:
        InputError: Sizes differ, pixels that count are not finite, or the bins do not fit.
    """
    bins = round(1 / bin_width) if 0 < bin_width <= 1 else 0
    if not bins or abs(bins * bin_width - 1) > 1e-6:
        raise InputError(f"heat map: 1 is no multiple of the bin width {bin_width:g}; give 0.1")
    x, y = checked_pair(true, predicted, mask).chosen
    # Rounded, so that an intensity of 0.3 does not fall below a limit of 0.30000000000000004.
    edges = np.arange(bins + 1) / bins
    counts, _, _ = np.histogram2d(np.clip(x, 0, 1), np.clip(y, 0, 1), bins=[edges, edges])
    line = regression_line(x, y)
    return HeatMap(
        counts=counts.astype(np.int64),
        edges=edges,
        slope=None if line is None else line.slope,
        intercept=None if line is None else line.intercept,
        pearson=correlation(x, y),
    )


def draw_heat_map(heat_map: HeatMap, title: str) -> bytes:
    """The counts of 1000 pixels with the regression line; a PNG."""
    r = number(heat_map.pearson, undefined="undefined")
    figure, axes = panel(f"{title}, Pearson {r}", width=5.4, height=5.2)
    shares = heat_map.per_thousand
    # Background pixels are by far the most: on a linear scale all others would look alike.
    axes.pcolormesh(
        heat_map.edges, heat_map.edges, np.log10(1 + 10 * shares.T), cmap="Blues", vmin=0, vmax=4.4
    )
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="dotted")
    if heat_map.slope is not None and heat_map.intercept is not None:
        ends = np.array([0.0, 1.0])
        axes.plot(ends, heat_map.slope * ends + heat_map.intercept, color=COLORS[1], linewidth=1.8)
    if len(shares) <= _MOST_NUMBERED:
        _write_shares(axes, heat_map)
    axes.set(xlabel="measured intensity", ylabel="predicted intensity")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")
    return png(figure)


def _write_shares(axes: Axes, heat_map: HeatMap) -> None:
    shares = heat_map.per_thousand
    centers = ((heat_map.edges[1:] + heat_map.edges[:-1]) / 2).tolist()
    for (row, column), share in np.ndenumerate(shares):
        if heat_map.counts[row, column]:
            text = f"{share:.0f}" if share >= 0.5 else "<1"
            ink = "white" if share > 100 else INK
            axes.text(
                centers[row], centers[column], text, ha="center", va="center", fontsize=7, color=ink
            )
