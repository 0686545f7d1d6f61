"""Pretrained encoders as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later


def summary(directory: Path) -> str:
    """One line on a folder."""
    trained_on = read_toml(directory / CONFIG_FILE)["trained_on"]
    return f"pretrained encoder ({trained_on}) that other models start from"


KIND = ModelKind(
    load=later("isl.backbones.efficientnet_weights:load_encoder"),
    summary=summary,
    describe=later("isl.backbones.inspect:describe_encoder"),
)
