"""Polarity as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    said = read_toml(directory / CONFIG_FILE)
    networks = f"{said['members']} x {said['backbone']['kind']}"
    return f"onset of polarization from {said['arm']} ({networks})"


KIND = ModelKind(
    load=later("isl.polarity.model:load_polarity_model"),
    summary=summary,
    describe=later("isl.polarity.inspect:describe_model"),
    predict=later("isl.polarity.predict:predict"),
)
