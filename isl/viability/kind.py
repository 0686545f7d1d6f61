"""Viability as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    said = read_toml(directory / CONFIG_FILE)
    first, last = said["film"]["window_hours"]
    networks = f"{said['members']} x {said['network']['kind']}"
    simulated = ", trained on simulated embryos" if said.get("simulated") else ""
    return (
        f"chance of {said['targets'][0]['name']} from {first:g} to {last:g} h of an embryo's film "
        f"({networks}{simulated})"
    )


KIND = ModelKind(
    load=later("isl.viability.model:load_viability_model"),
    summary=summary,
    describe=later("isl.viability.inspect:describe_model"),
    predict=later("isl.viability.predict:predict"),
)
