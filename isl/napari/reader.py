"""Opens what isl wrote: predictions as coloured channels, colonies and masks as regions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.imaging.inputs.read import read_fluorescence
from isl.napari.layers import LayerData, image_layers, labels_layer

_ENDINGS = (".ome.tif", ".ome.zarr")
_FRAGMENTATION = ("embryo", "fragment")
_REGIONS = {"isl colony", "isl fragmentation"}
Reader = Callable[[str | Sequence[str]], list[LayerData]]


def reader_of(path: str | Sequence[str]) -> Reader | None:
    """What opens a path, where a record of isl lies beside it; None: that is for others."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_record(Path(each)) for each in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of results.

    Raises:
        InputError: One is damaged, or isl did not write it.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return [layer for each in paths for layer in _layers(Path(each))]


def _layers(path: Path) -> list[LayerData]:
    found = _record(path)
    if found is None:
        raise InputError(f"{path}: no record of isl (NAME.json) lies beside it")
    name, statistic, record = found
    image = read_fluorescence(path)
    made = str(record["made_by"])
    told = {"made_by": made, "record": record, "source": str(path)}
    if made in _REGIONS and np.issubdtype(image.channels.dtype, np.integer):
        regions = image.channels[..., 0, :, :]
        if made == "isl colony":
            what, known = "colonies", record.get("classes", ())
            classes = {each["colony"]: each["class"] for each in record.get("colonies", ())}
        else:
            what, known = "fragments", _FRAGMENTATION
            classes = dict(enumerate(known, 1))
        size = image.pixel_size
        return [
            labels_layer(
                f"{name} {what}", regions, pixel_size=size, classes=classes, known=known, told=told
            )
        ]
    # recording.ezrin.standard_deviation.ome.tif names its label, too.
    labels = {label.lower() for label in image.labels}
    said = ".".join(part for part in statistic.split(".") if part not in labels)
    return image_layers(image, statistic=said, told=told)


def _record(path: Path) -> tuple[str, str, dict[str, Any]] | None:
    """Name of the field, statistic, and the record that says isl made it."""
    ending = next((end for end in _ENDINGS if path.name.endswith(end)), None)
    if ending is None:
        return None
    name, statistic = path.name.removesuffix(ending), ""
    while name:
        try:
            record = json.loads((path.parent / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            name, _, last = name.rpartition(".")
            statistic = f"{last}.{statistic}".rstrip(".")
            continue
        if isinstance(record, dict) and str(record.get("made_by", "")).startswith("isl "):
            return name, statistic, record
        return None
    return None
