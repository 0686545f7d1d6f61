"""What a preview shows: the input, every label's prediction, and how sure the model is."""

from collections.abc import Mapping, Sequence

import numpy as np

from isl.imaging.colors import label_color
from isl.imaging.display import (
    BRIGHTEST,
    DARKEST,
    LIGHT_BRIGHTEST,
    LIGHT_DARKEST,
    shown_range,
    stretched,
    together,
)
from isl.report.preview import Panel


def preview_panels(
    transmitted: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    labels: Sequence[str],
    statistic: str,
    uncertainty: str,
) -> tuple[list[Panel], int]:
    """Panels and how many stand in a row: predictions above, their uncertainty below.

    The first row begins with the input's middle plane, the second with all labels in one picture.
    Brightness is stretched; the titles say from which intensity to which, and
    `isl.imaging.display` which percentiles these are.

    Args:
        transmitted: The part of the middle plane that was predicted, as stored [Y, X].
        predicted: Of both statistics, float32 [L, Y, X] in [0, 1].
        labels: L names.
        statistic: Shown as the prediction.
        uncertainty: Shown below it.
    """
    ranges = [shown_range(image) for image in predicted[statistic]]
    colors = [label_color(label) for label in labels]
    shown = [
        stretched(image, each) for image, each in zip(predicted[statistic], ranges, strict=True)
    ]
    first = [
        Panel(
            f"{label} ({statistic}, black {low:.2f}, full {high:.2f})",
            image,
            "#{:02x}{:02x}{:02x}".format(*color),
        )
        for label, image, (low, high), color in zip(labels, shown, ranges, colors, strict=True)
    ]
    second = [
        Panel(
            f"{label} {uncertainty.replace('_', ' ')}, up to {_top(image):.2f}",
            image / _top(image),
            "magma",
        )
        for label, image in zip(labels, predicted[uncertainty], strict=True)
    ]
    panels = [
        Panel(
            f"transmitted light, {LIGHT_DARKEST:g} to {LIGHT_BRIGHTEST:g} % of pixels",
            stretched(transmitted, shown_range(transmitted, (LIGHT_DARKEST, LIGHT_BRIGHTEST))),
        ),
        *first,
        Panel(
            f"labels together, {DARKEST:g} to {BRIGHTEST:g} % of pixels",
            together(np.stack(shown), np.array(colors, np.float32) / 255),
        ),
        *second,
    ]
    return panels, 1 + len(labels)


def _top(image: np.ndarray) -> float:
    """What is shown as the brightest: all but a few pixels lie below it."""
    return max(float(np.percentile(image, BRIGHTEST)), 1 / 255)
