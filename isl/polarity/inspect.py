"""What a polarity model looks at and was trained on, as facts to print."""

from pathlib import Path

import numpy as np

from isl.model_folder import read_folder_config, stored_shapes
from isl.polarity.model import EZRIN_FOLDER, PolarityConfig


def summary(directory: Path) -> str:
    """One line: what a model says, from what."""
    config = read_folder_config(directory, PolarityConfig)
    return f"onset of polarization from {config.arm} ({config.members} x {config.backbone.kind})"


def describe_model(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, PolarityConfig)
    backbone = config.backbone.model_dump()
    kind = backbone.pop("kind")
    settings = ", ".join(f"{key} {value}" for key, value in backbone.items())
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("arm", config.arm),
        ("EZRIN", config.ezrin or str(directory / EZRIN_FOLDER)),
        ("view", f"{config.size} x {config.size} pixels, {config.window:g} of the frame's width"),
        ("members", f"{config.members}, joined by {config.combine}"),
        ("backbone", f"{kind} ({settings})"),
        ("stored values", f"{values:,}"),
        ("onset", f"{config.rule} calls above {config.threshold:g}"),
        ("trained on", ", ".join(config.embryos) or "not recorded"),
        ("card", str(directory / "card.md")),
    ]
