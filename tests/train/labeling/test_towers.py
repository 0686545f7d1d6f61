"""The published network trains, and is judged and kept as one that learned single patches."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from simulated_fields import write_dataset

from isl.config import parse
from isl.labeling import towers
from isl.labeling.model import load_model
from isl.labeling.towers import TowersConfig
from isl.model_folder import arrays_of
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit


def experiment(crop: int, *, padded: bool = False) -> LabelingConfig:
    return parse(
        {
            "task": "labeling",
            "dataset": "manifest.toml",
            "network": {"kind": "towers", "base_depth": 8, "projection": 2},
            "training": {
                "steps": 12,
                "batch_size": 1,
                "crop": crop,
                "padded": padded,
                "evaluate_every": 0,
                "log_every": 1,
            },
            "optimizer": {"learning_rate": 3e-3},
            "loss": {"initial_bias": "zero"},
        },
        LabelingConfig,
        source="test",
    )


def test_what_learns_single_patches_is_judged_as_patches(tmp_path: Path) -> None:
    """Patches 250 pixels wide lie at four phases of 8 pixels, so that all are 258 wide together."""
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]}, size=40, splits={"b": "validation"})
    for crop, padded, stitch, smallest in (
        (250, False, "exact", 258),
        (266, False, "dense", 250),
        # Padded crops lie anywhere on the grid, whatever their width.
        (64, True, "dense", 250),
        (256, True, "dense", 250),
    ):
        config = experiment(crop, padded=padded)
        assert config.stitch == stitch
        seen = []

        def predict_tile(transmitted, targets, measured, seen=seen):
            seen.append(transmitted.shape[1:3])
            nothing = np.zeros(1, np.float32)
            return {"mean": targets, "median": targets, "sums": nothing, "counts": nothing}

        LabelingTask(config, tmp_path).fields.judge(predict_tile, pictures=False)
        assert seen
        assert all((width - smallest) % 16 == 0 for size in seen for width in size)


@pytest.fixture
def _small_towers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two towers of a few modules: the published five take minutes to compile with gradients."""
    for name, value in (("SCALES", 2), ("LOWER_MODULES", 5), ("UPPER_MODULES", 2)):
        monkeypatch.setattr(towers, name, value)
    for plan in (towers.plan_tower, towers.plan_final_tower):
        plan.cache_clear()
    yield
    for plan in (towers.plan_tower, towers.plan_final_tower):
        plan.cache_clear()


@pytest.mark.usefixtures("_small_towers")
def test_towers_train_as_the_paper_does(tmp_path: Path) -> None:
    """Smallest patches, autoencoding, plain cross-entropy: a few steps lower the loss."""
    write_dataset(tmp_path, {"a": ["DAPI"]}, size=40)
    config = experiment(crop=TowersConfig().geometry.smallest)
    task = LabelingTask(config, tmp_path)
    fit(task, config, tmp_path / "run")
    table = np.genfromtxt(tmp_path / "run" / "training.csv", delimiter=",", names=True)
    assert np.all(np.isfinite(table["loss"]))
    assert table["loss"][-3:].mean() < table["loss"][:3].mean()
    model = load_model(tmp_path / "run" / "model")
    arrays = arrays_of(model.network)
    assert all(np.all(np.isfinite(array)) for array in arrays.values())
    assert model.config.stitch == "exact"
