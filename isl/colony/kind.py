"""Colony models as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later

_PLURAL = {"colony": "colonies", "cell": "cells"}


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    said = read_toml(directory / CONFIG_FILE)
    network = said["network"]
    scales = ", two scales" if network["scales"] == 2 else ""
    return (
        f"classes of {_PLURAL[said['subject']]}: {', '.join(said['classes'])} "
        f"({network['backbone']['kind']}{scales})"
    )


KIND = ModelKind(
    load=later("isl.colony.model:load_colony_model"),
    summary=summary,
    describe=later("isl.colony.inspect:describe"),
    predict=later("isl.colony.predict:predict"),
)
