"""What OME-Zarr 0.5 says of images, and the files that say it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isl.files.whole import write_text
from isl.imaging.colors import label_color
from isl.imaging.image import PixelSize

VERSION = "0.5"
# By the number of an image's dimensions.
AXES = {3: "cyx", 4: "tcyx", 5: "tczyx"}

MINUTES = "minutes"


def put_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Makes a folder a Zarr group with these attributes, and no others.

    Raises:
        InputError: It cannot be written.
    """
    group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    write_text(folder / "zarr.json", json.dumps(group, indent=2) + "\n", overwrite=True)


def multiscale(
    name: str,
    shape: tuple[int, ...],
    levels: int,
    pixel_size: PixelSize | None,
    interval: float | None,
    stage: tuple[float, float] | None,
    times: Sequence[float] | None = None,
) -> dict[str, Any]:
    """An image's resolutions, each of half the rows and columns of the one before.

    Args:
        name: The image's own name.
        shape: Of the finest: C, Y, X; or T, C, Y, X; or T, C, Z, Y, X.
        levels: How many resolutions there are; their paths are "0", "1", ...
        pixel_size: Micrometres, or None where nothing says.
        interval: Minutes between time points, or None.
        stage: Position of the image's middle (y, x), micrometres, or None.
        times: Minutes of each time point since the first. OME-Zarr has no word for uneven times, so
            they are kept under `MINUTES` in the metadata that it leaves to programs.
    """
    letters = AXES[len(shape)]
    steps: dict[str, float | None] = {"t": interval, "c": None, "z": None, "y": None, "x": None}
    if pixel_size is not None:
        steps |= {"z": pixel_size.z, "y": pixel_size.y, "x": pixel_size.x}
    kinds = {"t": ("time", "minute"), "c": ("channel", None)}
    axes, scale, origin = [], [], []
    for letter, length in zip(letters, shape, strict=True):
        kind, unit = kinds.get(letter, ("space", "micrometer"))
        step = steps[letter]
        known = {} if step is None or unit is None else {"unit": unit}
        axes.append({"name": letter, "type": kind} | known)
        scale.append(1.0 if step is None else float(step))
        placed = stage is not None and pixel_size is not None and letter in "yx"
        origin.append(
            stage["yx".index(letter)] - scale[-1] * (length - 1) / 2 if stage and placed else 0.0
        )
    return {
        "name": name,
        "axes": axes,
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": _transformations(letters, scale, origin, level),
            }
            for level in range(levels)
        ],
        "type": "mean of 2 x 2 pixels",
        **({} if times is None else {"metadata": {MINUTES: list(times)}}),
    }


def _transformations(
    letters: str, scale: Sequence[float], origin: Sequence[float], level: int
) -> list[dict[str, Any]]:
    """A level's scale, and where the middle of its first pixel lies if not at 0."""
    factors = [2**level if letter in "yx" else 1 for letter in letters]
    steps = [step * factor for step, factor in zip(scale, factors, strict=True)]
    # A pixel of a smaller resolution covers several, and its middle is theirs.
    shift = [
        start + step * (factor - 1) / 2
        for start, step, factor in zip(origin, scale, factors, strict=True)
    ]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
    if any(shift):
        transformations.append({"type": "translation", "translation": shift})
    return transformations


def shown_channels(
    labels: Sequence[str], ranges: Sequence[tuple[float, float, float, float]], planes: int
) -> dict[str, Any]:
    """How viewers are to show the channels of an image.

    Args:
        labels: Names of the channels.
        ranges: Of each channel, the smallest and largest value that it may have, and the values
            that are shown dark and bright.
        planes: Number of z planes; the middle one is shown first.
    """
    channels = [
        {
            "label": label,
            "color": "".join(f"{part:02X}" for part in label_color(label)),
            "active": True,
            "coefficient": 1,
            "family": "linear",
            "inverted": False,
            "window": {
                "min": min(least, dark),
                "max": max(most, bright),
                "start": dark,
                "end": bright,
            },
        }
        for label, (least, most, dark, bright) in zip(labels, ranges, strict=True)
    ]
    return {
        "channels": channels,
        "rdefs": {"defaultT": 0, "defaultZ": planes // 2, "model": "color"},
    }
