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


def laid_over(layer: Any, data: LayerData) -> LayerData:
    """A result that lies where the image that it was made of lies, whatever its scale is.

    Args:
        layer: napari's, of the image; its last two axes are y and x.
        data: The result; with more axes than the image has, it stays as it is.
    """
    array, attributes, kind = data
    if array.ndim > layer.ndim:
        return data
    ahead = array.ndim - 2
    own = {
        name: tuple(values[:ahead]) + tuple(values[-2:])
        for name in ("scale", "translate", "units")
        if (values := getattr(layer, name, None)) is not None
    }
    return array, {**attributes, **own}, kind


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
    classes: Mapping[int, str] | None = None,
    known: Sequence[str] = (),
    told: Mapping[str, Any] | None = None,
) -> LayerData:
    """Numbers of regions [Y, X] or [T, Y, X], 0 where there is none.

    Args:
        name: The layer's.
        labels: Integers.
        pixel_size: Micrometres, or None.
        classes: Of regions by number, the last one where it changes: told by napari where the
            pointer is, and coloured alike.
        known: All classes there are, in the order that gives them their colours.
        told: Kept with the layer, under "isl".
    """
    attributes: dict[str, Any] = {
        "name": name,
        "metadata": {"isl": dict(told or {})},
        **scaled(labels.ndim, pixel_size),
    }
    if classes:
        attributes["features"] = {"index": list(classes), "class": list(classes.values())}
        # Lazily, with the libraries that draw: other layers need none of them.
        from isl.colony.drawing import color_of

        attributes["colormap"] = {
            None: "transparent",
            **{number: color_of(name, known) for number, name in classes.items()},
        }
    return np.asarray(labels), attributes, "labels"
