"""What a labeling model predicts and expects, as facts to print."""

import dataclasses
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.inputs.describe import UNKNOWN, Facts, length
from isl.imaging.inputs.read import open_transmitted
from isl.imaging.inputs.stated import Stated
from isl.labeling.contract import fit_to_model
from isl.labeling.kind import summary
from isl.labeling.model_config import read_model_config
from isl.labeling.source import field_of_picture
from isl.model_folder import stored_shapes


def fits(directory: Path, path: Path, stated: Stated) -> str:
    """Whether an image fits a model, and what it does not say that the model would compare."""
    config = read_model_config(directory)
    try:
        picture, index = open_transmitted(path, axes=stated.axes, channel=stated.channel)
        with picture:
            field = field_of_picture(stated.of(picture), index)
            modality = stated.modality or field.modality
            field = dataclasses.replace(field, modality=modality, source=path)
            found = fit_to_model(field, config.input, model=config.name)
    except InputError as error:
        return f"does not fit: {str(error).removeprefix(f'{path}: ')}"
    return "; ".join(("fits", *found.warnings))


def describe_model(directory: Path) -> Facts:
    """What a model predicts and expects, from its folder; no weights are read."""
    config = read_model_config(directory)
    geometry = config.architecture.geometry
    architecture = config.architecture.model_dump()
    kind = architecture.pop("kind")
    settings = ", ".join(f"{key} {value}" for key, value in architecture.items())
    parameters = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    expected = config.input
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("labels", ", ".join(config.labels)),
        ("planes", f"any, best {expected.planes}" if expected.any_planes else str(expected.planes)),
        ("modality", expected.modality or UNKNOWN),
        ("light", "from every side" if expected.turned else "from the side it learned it from"),
        ("pixel size", length(expected.pixel_size)),
        ("z step", length(expected.z_step)),
        ("normalization", f"{expected.normalization}, one choice a {expected.normalized_by}"),
        ("architecture", f"{kind} ({settings})"),
        ("stored values", f"{parameters:,}"),
        (
            "geometry",
            f"margin {geometry.margin}, step {geometry.step}, smallest input {geometry.smallest}",
        ),
        ("stitch", f"{config.stitch} (dense, exact)" if kind == "towers" else "dense"),
        ("card", str(directory / "card.md")),
    ]
