"""What a preview shows: the input, every label's prediction, and how sure the model is."""

import numpy as np

from isl.imaging.colors import label_color
from isl.imaging.image import Movie, ZStack
from isl.imaging.preview import Panel
from isl.labeling.predict import Prediction


def preview_panels(
    stack: ZStack | Movie, prediction: Prediction, statistic: str, uncertainty: str
) -> tuple[list[Panel], int]:
    """Panels and how many stand in a row: predictions above, their uncertainty below.

    The first row begins with the input's middle plane, the second with all labels in one picture.
    Brightness is stretched; the titles say to what. Of a movie the first frame is shown.

    Args:
        stack: What was predicted from.
        prediction: Holds both statistics.
        statistic: Shown as the prediction.
        uncertainty: Shown below it.
    """
    predicted, spread = (
        prediction.statistics[name] if isinstance(stack, ZStack) else prediction.statistics[name][0]
        for name in (statistic, uncertainty)
    )
    tops = [_top(image) for image in predicted]
    colors = [label_color(label) for label in prediction.labels]
    first = [
        Panel(
            f"{label} ({statistic}, up to {top:.2f})",
            image / top,
            "#{:02x}{:02x}{:02x}".format(*color),
        )
        for label, image, top, color in zip(prediction.labels, predicted, tops, colors, strict=True)
    ]
    together = sum(
        (image / top)[..., None] * np.array(color, np.float32) / 255
        for image, top, color in zip(predicted, tops, colors, strict=True)
    )
    second = [
        Panel(
            f"{label} {uncertainty.replace('_', ' ')}, up to {_top(image):.2f}",
            image / _top(image),
            "magma",
        )
        for label, image in zip(prediction.labels, spread, strict=True)
    ]
    panels = [
        Panel("transmitted light", _middle_plane(stack, prediction)),
        *first,
        Panel("labels together", np.asarray(together)),
        *second,
    ]
    return panels, 1 + len(prediction.labels)


def _middle_plane(stack: ZStack | Movie, prediction: Prediction) -> np.ndarray:
    """float32 [Y, X] in [0, 1], the part that was predicted."""
    planes = stack.frames[0] if isinstance(stack, Movie) else stack.planes
    rows, columns = next(iter(prediction.statistics.values())).shape[-2:]
    offset = prediction.offset
    plane = planes[prediction.planes[len(prediction.planes) // 2]]
    plane = plane[offset : offset + rows, offset : offset + columns].astype(np.float32)
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.clip((plane - low) / max(float(high - low), 1e-6), 0, 1)


def _top(image: np.ndarray) -> float:
    """What is shown as the brightest: all but a few pixels lie below it."""
    return max(float(np.percentile(image, 99.8)), 1 / 255)
