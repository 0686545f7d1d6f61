"""The model folder that a labeling run leaves behind."""

from collections.abc import Mapping
from pathlib import Path

from isl.labeling.network import LabelingNetwork

from .labeling_config import LabelingConfig
from .labeling_fields import Ground


def write_model(
    directory: Path,
    network: LabelingNetwork,
    config: LabelingConfig,
    ground: Ground,
    metrics: Mapping[str, float],
) -> None:
    """x"""
    directory.mkdir()
    (directory / "x").write_text(str(metrics))
