"""The published network trains: its step, a minute to compile, is compiled here once."""

from pathlib import Path

import numpy as np
from simulated_fields import write_dataset

from isl.config import parse
from isl.labeling.model import load_model
from isl.model_folder import arrays_of
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit


def test_towers_train_as_the_paper_does(tmp_path: Path) -> None:
    """Smallest patches, autoencoding, plain cross-entropy: a few steps lower the loss."""
    write_dataset(tmp_path, {"a": ["DAPI"]}, size=40)
    config = parse(
        {
            "task": "labeling",
            "dataset": "manifest.toml",
            "network": {"kind": "towers", "base_depth": 8, "projection": 2},
            "training": {
                "steps": 12,
                "batch_size": 1,
                "crop": 250,
                "evaluate_every": 0,
                "log_every": 1,
            },
            "optimizer": {"learning_rate": 3e-3},
            "loss": {"initial_bias": "zero"},
        },
        LabelingConfig,
        source="test",
    )
    task = LabelingTask(config, tmp_path)
    fit(task, config, tmp_path / "run")
    table = np.genfromtxt(tmp_path / "run" / "training.csv", delimiter=",", names=True)
    assert np.all(np.isfinite(table["loss"]))
    assert table["loss"][-3:].mean() < table["loss"][:3].mean()
    arrays = arrays_of(load_model(tmp_path / "run" / "model").network)
    assert all(np.all(np.isfinite(array)) for array in arrays.values())
