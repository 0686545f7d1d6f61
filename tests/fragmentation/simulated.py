"""A small dataset of simulated embryos, and a network that learns from it in seconds."""

from pathlib import Path
from typing import Any

from isl.config import parse
from isl.phantom.cleavage.dataset import CleavageConfig, write_cleavage
from isl_train.fragmentation.config import FragmentationExperiment

NETWORK: dict[str, Any] = {
    "encoder": {"kind": "resnet", "depth": 10, "width": 4},
    "context": 8,
    "rates": [1, 2],
    "fine": 4,
    "decoded": 8,
    "hidden": [8, 4],
}


def dataset(
    folder: Path, *, embryos: tuple[int, int, int] = (3, 1, 2), seed: int = 0, **settings: Any
) -> Path:
    """The manifest of a few embryos (for training, validation and test) at 64 pixels."""
    config = CleavageConfig(**{"frames": 1, "size": 64, "test": embryos[2], **settings})
    return write_cleavage(folder, sum(embryos), config, seed, validation=embryos[1])


def experiment(data: Path, **changes: Any) -> FragmentationExperiment:
    """A short run; `changes` are tables of the configuration."""
    tables: dict[str, Any] = {
        "task": "fragmentation",
        "dataset": str(data),
        "size": 64,
        "mode": "decoupled",
        "lengths": {"first": 3, "second": 2},
        "network": NETWORK,
        "training": {"batch_size": 2, "evaluate_every": 0, "checkpoint_every": 2},
        "optimizer": {"learning_rate": 0.01},
    }
    return parse({**tables, **changes}, FragmentationExperiment, source="test")
