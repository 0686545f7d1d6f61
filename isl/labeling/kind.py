"""Labeling as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later


def summary(directory: Path) -> str:
    """One line: what a model predicts, from what."""
    said = read_toml(directory / CONFIG_FILE)
    expected = said["input"]
    modality = expected.get("modality", "transmitted light").lower().replace("_", " ")
    planes = "any number of" if expected.get("any_planes") else str(expected["planes"])
    light = f"{planes} planes of {modality}"
    return f"{', '.join(said['labels'])} from {light} ({said['architecture']['kind']})"


KIND = ModelKind(
    load=later("isl.labeling.model:load_model"),
    summary=summary,
    describe=later("isl.labeling.inspect:describe_model"),
    fits=later("isl.labeling.inspect:fits"),
)
