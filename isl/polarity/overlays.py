"""Where an ensemble looked: class activation maps laid over the frames around the onset."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from isl.polarity.assess import Assessment
from isl.polarity.film_strip import (
    MARGINS,
    WIDTH,
    call_bar,
    cut_out,
    frame_title,
    image_axes,
    new_figure,
    ring,
)
from isl.report.plots import png

_RED = np.array([0.86, 0.08, 0.10])
_BLUE = np.array([0.10, 0.25, 0.90])
_OPACITY = 0.65


def draw_overlays(assessment: Assessment, headline: str) -> bytes:
    """Frames around the onset with what speaks for (red) and against (blue) what each was called.

    Maps are scaled to the frame and share one scale.

    Args:
        assessment: What was found.
        headline: Written on top.

    Returns:
        The bytes of a PNG.
    """
    shown, box = list(assessment.shown), assessment.presence.box
    light = cut_out(assessment.frames[shown], box)
    maps = cut_out(enlarged(assessment.activation, assessment.frames.shape[1:]), box)
    top = max(float(np.percentile(np.abs(maps), 99.5)), 1e-6)
    columns = -(-len(shown) // 2) if len(shown) > 6 else len(shown)
    rows = -(-len(shown) // columns)
    side = WIDTH * (MARGINS[1] - MARGINS[0]) / max(columns, 5)
    heights = (0.45, rows * (side + 0.65), 0.75)
    figure = new_figure(heights, headline)
    for index, (t, image, activation) in enumerate(zip(shown, light, maps, strict=True)):
        row, column = divmod(index, columns)
        bottom = (heights[2] + (rows - 1 - row) * (side + 0.65)) / sum(heights)
        axes = image_axes(figure, column, bottom, side, columns=columns)
        axes.imshow(overlaid(image, activation / top), interpolation="lanczos")
        call_bar(axes, assessment, t)
        frame_title(axes, assessment, t)
        if t == assessment.onset.frame:
            ring(axes)
    _draw_scale(figure, sum(heights), top)
    return png(figure, colors=256)


def enlarged(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Maps float32 [N, y, x] at the size (Y, X) of the frames, smoothly."""
    rows, columns = size
    return np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(each, np.float32)).resize(
                    (columns, rows), Image.Resampling.BICUBIC
                )
            )
            for each in maps
        ]
    )


def overlaid(image: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """A gray image in red where a map is positive, in blue where it is negative.

    Args:
        image: float32 [Y, X] in [0, 1].
        activation: float32 [Y, X]; 1 and -1 are colored most, 0 not at all.

    Returns:
        float32 [Y, X, 3] in [0, 1].
    """
    weight = np.clip(activation, -1, 1)[..., None]
    opacity = _OPACITY * np.abs(weight)
    color = np.where(weight > 0, _RED, _BLUE)
    return ((1 - opacity) * image[..., None] + opacity * color).astype(np.float32)


def _draw_scale(figure: Figure, height: float, top: float) -> None:
    """What the colors mean, below the frames."""
    axes = figure.add_axes((0.4, 0.36 / height, 0.2, 0.16 / height))
    ramp = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    axes.imshow(overlaid(np.full_like(ramp, 0.6), ramp), aspect="auto", extent=(-top, top, 0, 1))
    axes.set(yticks=[], xticks=[-top, 0, top])
    axes.set_xticklabels([f"{-top:.2g}", "0", f"{top:.2g}"], fontsize=10)
    for at, text, side in ((-0.03, "speaks against the call", "right"), (1.03, "for it", "left")):
        axes.text(at, 0.5, text, transform=axes.transAxes, ha=side, va="center", fontsize=11)
