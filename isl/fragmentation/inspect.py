"""What a fragmentation model looks at and was trained on, as facts to print."""

from pathlib import Path

import numpy as np

from isl.fragmentation.kind import summary
from isl.fragmentation.model import FragmentationConfig
from isl.fragmentation.stages import OTHERS
from isl.model_folder import read_folder_config, stored_shapes


def describe_model(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, FragmentationConfig)
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    network = config.network
    closer = "" if config.closer is None else f", then {config.closer:g} times what was found there"
    stages = "not told: all are graded" if config.stages is None else f"not {', '.join(OTHERS)}"
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("view", f"{config.size} x {config.size} pixels, the whole frame{closer}"),
        ("encoder", network.encoder.kind),
        ("decoder", f"{network.decoder}, gates {network.gates}, injection {network.inject}"),
        ("share from", config.share_from),
        ("stages graded", stages),
        ("grades", f"{', '.join(config.scale.grades)} ({config.scale.name})"),
        ("90 % interval", f"+- {config.radius:.3f} ({len(config.residuals)} held-out embryos)"),
        ("stored values", f"{values:,}"),
        ("trained on", config.trained_on or "not recorded"),
        ("card", str(directory / "card.md")),
    ]
