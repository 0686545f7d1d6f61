"""Pretrained encoders as a kind of model: other models start from them."""

from pathlib import Path

import numpy as np

from isl.backbones.efficientnet_weights import EncoderFolderConfig, load_encoder
from isl.model_folder import read_folder_config, stored_shapes
from isl.model_kinds import ModelKind


def summary(directory: Path) -> str:
    """One line on a folder."""
    config = read_folder_config(directory, EncoderFolderConfig)
    return f"pretrained encoder ({config.trained_on}) that other models start from"


def describe_encoder(directory: Path) -> list[tuple[str, str]]:
    """Facts from an encoder's folder; no weights are read."""
    config = read_folder_config(directory, EncoderFolderConfig)
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("architecture", config.architecture),
        ("input channels", str(config.channels)),
        ("trained on", config.trained_on),
        ("stored values", f"{values:,}"),
        ("card", str(directory / "card.md")),
    ]


KIND = ModelKind(load=load_encoder, summary=summary, describe=describe_encoder)
