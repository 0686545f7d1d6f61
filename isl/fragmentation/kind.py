"""Fragmentation as a kind of model."""

from pathlib import Path

from isl.config import read_toml
from isl.model_folder import CONFIG_FILE
from isl.model_kinds import ModelKind
from isl.registry import later


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    said = read_toml(directory / CONFIG_FILE)
    encoder = said["network"]["encoder"]["kind"]
    return (
        f"fragments of cleavage-stage embryos, and their share ({encoder}, {said['size']} pixels)"
    )


KIND = ModelKind(
    load=later("isl.fragmentation.model:load_fragmentation_model"),
    summary=summary,
    describe=later("isl.fragmentation.inspect:describe_model"),
    predict=later("isl.fragmentation.predict:predict"),
)
