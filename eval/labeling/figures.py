"""Pictures of a labeling evaluation: calibration, frequencies, abstention, sizes, and fields."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..drawing import DPI, INK, LINE, SOFT, clean, color, png
from ..metrics.live_dead import STATES
from .judge import LabelScores
from .live_dead import IMAGES, LiveDeadScores
from .pictures import FieldPicture


def draw_calibration(scores: Sequence[LabelScores]) -> bytes:
    """Observed beside nominal coverage, and PIT histograms, a line a contender."""
    figure = Figure(figsize=(10.4, 4.4), dpi=DPI, layout="constrained")
    reliability, transform = (clean(figure.add_subplot(1, 2, number)) for number in (1, 2))
    reliability.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    transform.axhline(1, color=LINE, linewidth=1)
    highest = 1.5
    for index, each in enumerate(scores):
        assert each.distribution is not None
        nominal, observed = zip(*each.distribution.reliability, strict=True)
        reliability.plot(nominal, observed, color=color(index), linewidth=2, label=each.contender)
        counts = np.array(each.distribution.pit, float)
        density = counts / counts.mean()
        highest = max(highest, 1.1 * float(density.max()))
        edges = np.linspace(0, 1, counts.size + 1)
        transform.stairs(density, edges, color=color(index), linewidth=2)
    reliability.set(
        xlabel="central interval of the distribution",
        ylabel="share of true intensities within it",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    reliability.legend(loc="upper left", frameon=False)
    transform.set(
        xlabel="place of the true intensity in its distribution (PIT)",
        ylabel="pixels, even = 1",
        xlim=(0, 1),
        ylim=(0, highest),
    )
    return png(figure)


def draw_risk(labels: Mapping[str, Sequence[LabelScores]]) -> bytes:
    """The error of what is kept where the least certain pixels are left out, a panel a label."""
    figure, panels = _panels(labels)
    for axes, scores in zip(panels, labels.values(), strict=True):
        for index, each in enumerate(scores):
            assert each.risk is not None
            kept, risk = each.risk.coverage, each.risk.risk
            axes.plot(kept, risk, color=color(index), linewidth=2, label=each.contender)
        axes.set(xlabel="share of the pixels that is kept", xlim=(0, 1.01))
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("mean absolute error of these")
    panels[0].legend(loc="upper left", frameon=False)
    return png(figure)


def draw_spectral(labels: Mapping[str, Sequence[LabelScores]]) -> bytes:
    """Correlation by spatial frequency: the mean of the fields, each of them faintly."""
    figure, panels = _panels(labels)
    fields = [field for scores in labels.values() for each in scores for field in each.fields]
    sized = all(band.high_per_um is not None for field in fields for band in field.spectral)
    for axes, scores in zip(panels, labels.values(), strict=True):
        axes.axhline(0, color=LINE, linewidth=1)
        for index, each in enumerate(scores):
            _draw_bands(axes, each, sized, color(index))
        axes.set(xlabel="cycles per um" if sized else "cycles per pixel", ylim=(-0.25, 1))
        axes.set_xlim(left=0)
    panels[0].set_ylabel("correlation within the band")
    panels[0].legend(loc="upper right", frameon=False)
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
    mean = [_mean(column) for column in curves.T]
    axes.plot(middle, mean, color=ink, linewidth=2, marker="o", label=each.contender)


def draw_sizes(each: LabelScores) -> bytes:
    """Cumulative sizes of true and of predicted nuclei."""
    assert each.objects is not None
    figure, axes = _panel()
    sizes = {"measured": each.objects.true_sizes, "predicted": each.objects.predicted_sizes}
    for (name, values), ink in zip(sizes.items(), (INK, color(0)), strict=True):
        if values.size:
            axes.ecdf(values, color=ink, linewidth=2, label=f"{name}, {values.size}")
    axes.set(xlabel="size of a nucleus in pixels", ylabel="share of the nuclei that are smaller")
    axes.set_xlim(left=0)
    axes.legend(loc="lower right", frameon=False)
    return png(figure)


def draw_radii(found: LiveDeadScores) -> bytes:
    """Cumulative radii of measured and of predicted nuclei, of living and of dead cells."""
    figure = Figure(figsize=(8.4, 3.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(STATES), sharex=True, sharey=True)
    for axes, state in zip(panels, STATES, strict=True):
        for image, ink in zip(IMAGES, (INK, color(0)), strict=True):
            radii = getattr(getattr(found, image), state)
            if radii.size:
                name = f"{image}, {radii.size}"
                clean(axes).ecdf(radii, color=ink, linewidth=2, label=name)
        axes.set(xlabel="radius of a nucleus (um)")
        axes.set_title(f"{state} cells", fontsize=10, loc="left")
        axes.set_xlim(left=0)
        if axes.lines:
            axes.legend(loc="lower right", frameon=False)
    panels[0].set_ylabel("share of the nuclei that are smaller")
    return png(figure)


def draw_field(picture: FieldPicture) -> bytes:
    """What was measured, what was predicted, and the errors, side by side."""
    rows, columns = picture.true.shape
    width = 3.6
    figure = Figure(
        figsize=(3 * width + 0.2, width * rows / columns + 0.4), dpi=DPI, layout="constrained"
    )
    shown = (picture.true, picture.predicted, picture.error)
    for number, (image, title) in enumerate(
        zip(shown, ("measured", "predicted", "error"), strict=True), 1
    ):
        axes = figure.add_subplot(1, 3, number)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axes.set_title(title, fontsize=10, loc="left", color=SOFT)
        axes.set_axis_off()
    return png(figure)


def some(scores: Sequence[LabelScores], has: Callable[[LabelScores], object]) -> list[LabelScores]:
    """Those that have what is to be drawn."""
    return [each for each in scores if has(each)]


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 4.4), dpi=DPI, layout="constrained")
    return figure, clean(figure.add_subplot())


def _panels(labels: Mapping[str, Sequence[LabelScores]]) -> tuple[Figure, list[Axes]]:
    """A panel for each label, three in a row."""
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(3.5 * max(columns, 2), 3.3 * rows), dpi=DPI, layout="constrained")
    panels = []
    for number, label in enumerate(labels, 1):
        axes = clean(figure.add_subplot(rows, max(columns, 2), number))
        axes.set_title(label, fontsize=10, loc="left")
        panels.append(axes)
    return figure, panels


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: np.ndarray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")
