"""Fragmentation as a kind of model."""

from pathlib import Path

import numpy as np

from isl.fragmentation.model import FragmentationConfig, load_fragmentation_model
from isl.fragmentation.predict import predict
from isl.model_folder import read_folder_config, stored_shapes
from isl.model_kinds import ModelKind


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    config = read_folder_config(directory, FragmentationConfig)
    encoder = config.network.encoder.kind
    return f"fragments of cleavage-stage embryos, and their share ({encoder}, {config.size} pixels)"


def describe_model(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, FragmentationConfig)
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    network = config.network
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("view", f"{config.size} x {config.size} pixels, the whole frame"),
        ("encoder", network.encoder.kind),
        ("decoder", f"{network.decoder}, gates {network.gates}, injection {network.inject}"),
        ("share from", config.share_from),
        ("grades", f"{', '.join(config.scale.grades)} ({config.scale.name})"),
        ("90 % interval", f"+- {config.radius:.3f} ({len(config.residuals)} held-out embryos)"),
        ("stored values", f"{values:,}"),
        ("trained on", config.trained_on or "not recorded"),
        ("card", str(directory / "card.md")),
    ]


KIND = ModelKind(
    load=load_fragmentation_model, summary=summary, describe=describe_model, predict=predict
)
