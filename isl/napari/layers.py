"""Results as napari's layers: data, attributes and type; nothing of napari is needed for that."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isl.imaging.colors import label_color
from isl.imaging.image import FluorescenceImage, PixelSize

LayerData = tuple[np.ndarray, dict[str, Any], str]
UNIT = "micrometer"
# Percentiles of an image that are black and white.
_CONTRAST = (0.5, 99.8)
_UNCERTAIN = ("standard_deviation", "entropy", "interval_90")


def scaled(dimensions: int, pixel_size: PixelSize | None) -> dict[str, Any]:
    """Scale and units of a layer whose last two axes are y and x; {} where nobody says."""
    if pixel_size is None:
        return {}
    ahead = dimensions - 2
    return {
        "scale": (1.0,) * ahead + (pixel_size.y, pixel_size.x),
        "units": ("pixel",) * ahead + (UNIT, UNIT),
    }


def image_layers(
    image: FluorescenceImage, *, statistic: str = "", told: Mapping[str, Any] | None = None
) -> list[LayerData]:
    """A layer a label: in its colour, added up, contrast from percentiles of what is there.

    Args:
        image: Channels [C, Y, X] or [T, C, Y, X].
        statistic: Which, for names; those of uncertainty are hidden at first, in another colour.
        told: Kept with every layer, under "isl".
    """
    uncertain = statistic in _UNCERTAIN
    layers: list[LayerData] = []
    for index, label in enumerate(image.labels):
        data = image.channels[..., index, :, :]
        low, high = (float(value) for value in np.nanpercentile(data, _CONTRAST))
        colour = "#" + "".join(f"{part:02x}" for part in label_color(label))
        attributes = {
            "name": f"{label} {statistic}".strip(),
            "colormap": "magma" if uncertain else colour,
            "blending": "additive",
            "contrast_limits": (low, max(high, low + 1e-6)),
            "visible": not uncertain,
            "metadata": {"isl": {**(told or {}), "statistic": statistic}},
            **scaled(data.ndim, image.pixel_size),
        }
        layers.append((data, attributes, "image"))
    return layers


def labels_layer(
    name: str,
    labels: np.ndarray,
    *,
    pixel_size: PixelSize | None = None,
    features: Mapping[str, Sequence[Any]] | None = None,
    told: Mapping[str, Any] | None = None,
) -> LayerData:
    """Numbers of regions [Y, X] or [T, Y, X], 0 where there is none.

    Args:
        name: The layer's.
        labels: Integers.
        pixel_size: Micrometres, or None.
        features: Columns by name; `index` is a region's number.
        told: Kept with the layer, under "isl".
    """
    attributes: dict[str, Any] = {
        "name": name,
        "metadata": {"isl": dict(told or {})},
        **scaled(labels.ndim, pixel_size),
    }
    if features:
        attributes["features"] = {column: list(values) for column, values in features.items()}
    return np.asarray(labels), attributes, "labels"
