"""What a preview shows: the input, every label's prediction, and how sure the model is."""

from collections.abc import Mapping, Sequence

import numpy as np

from isl.imaging.colors import label_color
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
    Brightness is stretched; the titles say to what.

    Args:
        transmitted: The part of the middle plane that was predicted, as stored [Y, X].
        predicted: Of both statistics, float32 [L, Y, X] in [0, 1].
        labels: L names.
        statistic: Shown as the prediction.
        uncertainty: Shown below it.
    """
    tops = [_top(image) for image in predicted[statistic]]
    colors = [label_color(label) for label in labels]
    first = [
        Panel(
            f"{label} ({statistic}, up to {top:.2f})",
            image / top,
            "#{:02x}{:02x}{:02x}".format(*color),
        )
        for label, image, top, color in zip(labels, predicted[statistic], tops, colors, strict=True)
    ]
    together = sum(
        (image / top)[..., None] * np.array(color, np.float32) / 255
        for image, top, color in zip(predicted[statistic], tops, colors, strict=True)
    )
    second = [
        Panel(
            f"{label} {uncertainty.replace('_', ' ')}, up to {_top(image):.2f}",
            image / _top(image),
            "magma",
        )
        for label, image in zip(labels, predicted[uncertainty], strict=True)
    ]
    panels = [
        Panel("transmitted light", _stretched(transmitted)),
        *first,
        Panel("labels together", np.asarray(together)),
        *second,
    ]
    return panels, 1 + len(labels)


def _stretched(plane: np.ndarray) -> np.ndarray:
    """float32 [Y, X] in [0, 1]."""
    plane = plane.astype(np.float32)
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.clip((plane - low) / max(float(high - low), 1e-6), 0, 1)


def _top(image: np.ndarray) -> float:
    """What is shown as the brightest: all but a few pixels lie below it."""
    return max(float(np.percentile(image, 99.8)), 1 / 255)
