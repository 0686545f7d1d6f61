"""What a polarity model looks at and was trained on, as facts to print."""

from pathlib import Path

import numpy as np

from isl.model_folder import read_folder_config, stored_shapes
from isl.polarity.kind import summary
from isl.polarity.model import EZRIN_FOLDER, PolarityConfig
from isl.polarity.pretrained import PretrainedConfig


def describe_model(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, PolarityConfig)
    backbone = config.backbone.model_dump()
    kind = backbone.pop("kind")
    if isinstance(config.backbone, PretrainedConfig):
        backbone["looks"] = "; ".join(map(str, config.backbone.looks))
    settings = ", ".join(f"{key} {value}" for key, value in backbone.items())
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("arm", config.arm),
        ("EZRIN", config.ezrin or str(directory / EZRIN_FOLDER)),
        ("view", _view(config)),
        ("members", f"{config.members}, joined by {config.combine}"),
        ("backbone", f"{kind} ({settings})"),
        ("stored values", f"{values:,}"),
        ("onset", f"{config.rule}; frames are called above {config.threshold:g}"),
        ("intervals", _intervals(config)),
        ("trained on", ", ".join(config.embryos) or "not recorded"),
        ("card", str(directory / "card.md")),
    ]


def _view(config: PolarityConfig) -> str:
    said = f"{config.size} x {config.size} pixels, {config.window:g} of the frame's width"
    if config.width is None:
        return said
    return f"{said}, {config.width:.4g} um where pixels' size is known"


def _intervals(config: PolarityConfig) -> str:
    known = config.calibration
    if known is None:
        return "the posterior's own, not calibrated"
    return (
        f"conformal over {known.embryos} embryos (temper {known.temper:g}, spread "
        f"{known.spread:.2f})"
    )
