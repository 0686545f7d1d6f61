"""What a colony model tells apart and was trained on, as facts to print."""

from pathlib import Path

import numpy as np

from isl.colony.kind import summary
from isl.colony.model import ColonyConfig
from isl.model_folder import read_folder_config, stored_shapes


def describe(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, ColonyConfig)
    settings = config.network.backbone.model_dump()
    settings.pop("kind")
    network = ", ".join(f"{key} {value}" for key, value in settings.items())
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    size = "not known" if config.pixel_size is None else f"{config.pixel_size:g} um a pixel"
    errors = [f"{error:.3f}" for error in config.calibration_error]
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("classes", ", ".join(config.classes)),
        ("channels", ", ".join(config.channels)),
        ("patch", f"{config.patch} x {config.patch} pixels; {size}"),
        (
            "backbone",
            f"{_kind(config)} ({network})",
        ),
        ("stored values", f"{values:,}"),
        ("temperature", f"{config.temperature:.3f}"),
        ("calibration error", " before, ".join(errors) + " after" if errors else "not measured"),
        ("cannot tell", f"below a probability of {config.undecided:g}"),
        ("trained on", ", ".join(config.groups) or "not recorded"),
        ("card", str(directory / "card.md")),
    ]


def _kind(config: ColonyConfig) -> str:
    return config.network.backbone.kind
