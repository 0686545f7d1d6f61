"""Pictures of a labeling evaluation: calibration, frequencies, abstention, sizes, and fields."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from isl.report.plots import INK, LINE, color, legend, panel, panels, png

from ..metrics.error_pictures import FALSE_NEGATIVE, FALSE_POSITIVE, WHITE
from ..metrics.live_dead import State
from .blocks import SPECTRAL
from .judge import LabelScores
from .live_dead import IMAGES, LiveDeadScores
from .point_pictures import COLORS

# Inches of a picture that has two beside it: letters are as large as in those that have one.
_OF_THREE = {"width": 3.7, "height": 3.2}


def draw_reliability(scores: Sequence[LabelScores]) -> bytes:
    """Observed beside nominal coverage, a line a contender."""
    figure, axes = panel()
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    for index, each in enumerate(scores):
        assert each.distribution is not None
        nominal, observed = zip(*each.distribution.reliability, strict=True)
        axes.plot(nominal, observed, color=color(index), linewidth=2, label=each.contender)
    axes.set(
        xlabel="central interval of the distribution",
        ylabel="share of the measured intensities within it",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    legend(axes)
    return png(figure)


def draw_pit(scores: Sequence[LabelScores]) -> bytes:
    """PIT histograms, a line a contender."""
    figure, axes = panel()
    axes.axhline(1, color=LINE, linewidth=1)
    highest = 1.5
    for index, each in enumerate(scores):
        assert each.distribution is not None
        counts = np.array(each.distribution.pit, float)
        density = counts / counts.mean()
        highest = max(highest, 1.1 * float(density.max()))
        edges = np.linspace(0, 1, counts.size + 1)
        axes.stairs(density, edges, color=color(index), linewidth=2, baseline=None)
    axes.set(
        xlabel="place of the measured intensity in its distribution (PIT)",
        ylabel="pixels, even = 1",
        xlim=(0, 1),
        ylim=(0, highest),
    )
    return png(figure)


def draw_risk(label: str, scores: Sequence[LabelScores]) -> bytes:
    """The error of what is kept where a label's least certain pixels are left out."""
    figure, axes = panel(label, **_OF_THREE)
    for index, each in enumerate(scores):
        assert each.risk is not None
        kept, risk = each.risk.coverage, each.risk.risk
        axes.plot(kept, risk, color=color(index), linewidth=2, label=each.contender)
    axes.set(
        xlabel="share of the pixels that is kept",
        ylabel="mean absolute error of these",
        xlim=(0, 1.01),
    )
    axes.set_ylim(bottom=0)
    legend(axes)
    return png(figure)


def draw_spectral(label: str, scores: Sequence[LabelScores]) -> bytes:
    """Correlation by spatial frequency with its intervals, and each of several fields faintly."""
    figure, axes = panel(label, **_OF_THREE)
    fields = [field for each in scores for field in each.fields]
    # Bands are cut in cycles per pixel: micrometres are shown where all pixels are of one size.
    ends = {band.high_per_um for field in fields for band in field.spectral[-1:]}
    sized = len(ends) == 1 and None not in ends
    axes.axhline(0, color=LINE, linewidth=1)
    for index, each in enumerate(scores):
        _draw_bands(axes, each, sized, color(index))
    axes.set(
        xlabel="cycles per um" if sized else "cycles per pixel",
        ylabel="correlation within the band",
        ylim=(-0.25, 1),
    )
    axes.set_xlim(left=0)
    legend(axes, "upper right")
    return png(figure)


def _draw_bands(axes: Axes, each: LabelScores, sized: bool, ink: str) -> None:
    curves = np.array([[_nan(b.correlation) for b in f.spectral] for f in each.fields])
    middle = np.array(
        [
            (_nan(b.low_per_um) + _nan(b.high_per_um)) / 2 if sized else (b.low + b.high) / 2
            for b in each.fields[0].spectral
        ]
    )
    if len(curves) > 1:
        axes.plot(middle, curves.T, color=ink, linewidth=0.6, alpha=0.3)
    found = [each.figures[name] for name in SPECTRAL]
    low, high = ([_nan(getattr(of, side)) for of in found] for side in ("low", "high"))
    axes.fill_between(middle, low, high, color=ink, alpha=0.15, linewidth=0)
    estimates = [_nan(of.estimate) for of in found]
    axes.plot(middle, estimates, color=ink, linewidth=2, marker="o", label=each.contender)


def draw_sizes(each: LabelScores) -> bytes:
    """Cumulative sizes of true and of predicted nuclei."""
    assert each.objects is not None
    sizes = {"measured": each.objects.true_sizes, "predicted": each.objects.predicted_sizes}
    return _cumulative(sizes, "size of a nucleus in pixels")


def draw_radii(found: LiveDeadScores, state: State, widest: float) -> bytes:
    """Cumulative radii, up to the widest, of measured and predicted nuclei of living or dead."""
    radii = {image: getattr(getattr(found, image), state) for image in IMAGES}
    return _cumulative(radii, "radius of a nucleus (um)", title=f"{state} cells", widest=widest)


def _cumulative(
    values: Mapping[str, np.ndarray], unit: str, *, title: str = "", widest: float | None = None
) -> bytes:
    """Cumulative distributions of what was measured and of what was predicted."""
    figure, axes = panel(title)
    for (name, of_image), ink in zip(values.items(), (INK, color(0)), strict=True):
        if of_image.size:
            axes.ecdf(of_image, color=ink, linewidth=2, label=f"{name}, {of_image.size}")
    axes.set(xlabel=unit, ylabel="share of the nuclei that are smaller")
    axes.set_xlim(0, widest)
    legend(axes, "lower right")
    return png(figure)


def draw_color_bars() -> bytes:
    """What the colors of crops mean: fluorescence from 0 to 1, errors from -0.8 to 0.8."""
    ramp = np.linspace(0, 1, 256)[None, :, None]
    green = ramp * (0.0, 1.0, 0.0)
    teal, magenta = np.array(FALSE_NEGATIVE) / 255, np.array(FALSE_POSITIVE) / 255
    signed = 2 * ramp - 1
    errors = np.maximum(signed, 0) * magenta + np.maximum(-signed, 0) * teal
    figure, axes = panels(2, columns=2, width=3.4, height=0.75)
    for place, image, ends, words in zip(
        axes,
        (green, errors),
        ((0.0, 1.0), (-WHITE, WHITE)),
        ("fluorescence", "error: predicted less measured"),
        strict=True,
    ):
        place.imshow(image, aspect="auto", extent=(*ends, 0, 1))
        place.set(yticks=[], xlabel=words, xticks=[ends[0], sum(ends) / 2, ends[1]])
        place.spines[:].set_visible(False)
    return png(figure)


def draw_point_key() -> bytes:
    """What the colors of points mean."""
    figure, axes = panel(width=7, height=0.5)
    for index, (word, ink) in enumerate(COLORS.items()):
        axes.scatter(index, 0, s=60, color=np.array(ink)[None] / 255, edgecolors=INK)
        axes.text(index + 0.14, 0, word, va="center", fontsize=9, color=INK)
    axes.set(xlim=(-0.2, len(COLORS)), ylim=(-1, 1), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)
    return png(figure)


def some(scores: Sequence[LabelScores], has: Callable[[LabelScores], object]) -> list[LabelScores]:
    """Those that have what is to be drawn."""
    return [each for each in scores if has(each)]


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
