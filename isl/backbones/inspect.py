"""What a pretrained encoder is, as facts to print."""

from pathlib import Path

import numpy as np

from isl.backbones.efficientnet_weights import EncoderFolderConfig
from isl.backbones.kind import summary
from isl.model_folder import read_folder_config, stored_shapes


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
