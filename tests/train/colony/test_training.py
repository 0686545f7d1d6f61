"""Training: learns stripes, resumes bit for bit with both networks, two devices equal one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from stripes import CLASSES, experiment, run_in, write_stripes

from isl.colony.model import load_colony_model
from isl.errors import InputError
from isl_train import loop
from isl_train.colony.recipe import RECIPE, train_colony
from isl_train.lengths import of_share


def weights(folder: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(folder / "weights.safetensors")


def right(folder: Path, path: Path) -> float:
    model = load_colony_model(folder)
    with np.load(path) as stored:
        from isl.colony.cells import whole_cell

        cells = np.stack([whole_cell(cell, model.config.patch) for cell in stored["light"]])
        called = model.logits(cells[..., None]).argmax(axis=1)
        truth = np.array([CLASSES.index(kind) for kind in stored["kind"]])
    return float((called == truth).mean())


def test_a_teacher_and_a_student_learn_stripes(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    lines: list[str] = []
    settings = experiment(
        path,
        training={"steps": 60, "evaluate_every": 20},
        pretraining={"steps": 30},
        meta={"warmup_epochs": 1, "uda_steps": 30},
    )
    folder = train_colony(settings, run_in(tmp_path, lines))
    assert right(folder, path) > 0.95
    config = load_colony_model(folder).config
    assert config.classes == CLASSES
    assert len(config.calibration_error) == 2
    np.testing.assert_allclose(np.sum(config.confusion, axis=1), 1)
    assert "12 labelled images, 6 for validation, 42 without a label" in lines[0]
    rows = list(
        csv.DictReader((tmp_path / "run" / "main" / "training.csv").read_text().splitlines())
    )
    last = rows[-1]
    for name in ("loss", "teacher_loss", "kept", "kept_0", "share_1", "benefit"):
        assert np.isfinite(float(last[name]))
    # The teacher sees the classes as they are among the unlabelled images: 28 to 14.
    assert float(last["share_1"]) == pytest.approx(1 / 3, abs=0.12)


class Stopped(Exception):
    """Stands for whatever ends a process."""


def test_resuming_equals_not_stopping_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    settings = experiment(path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train_colony(settings, run_in(tmp_path / "a"))
    step = loop._Run.step

    def step_or_stop(self, update: int) -> None:
        if update == 10 and "main" in str(self.workdir):
            raise Stopped
        step(self, update)

    monkeypatch.setattr(loop._Run, "step", step_or_stop)
    with pytest.raises(Stopped):
        train_colony(settings, run_in(tmp_path / "b"))
    monkeypatch.undo()
    resumed = train_colony(settings, run_in(tmp_path / "b"))
    first, second = weights(whole), weights(resumed)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


_ON_DEVICES = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from stripes import experiment, run_in
from isl_train.colony.recipe import train_colony
folder = Path(sys.argv[1])
settings = experiment(Path(sys.argv[2]), training=dict(steps=3, evaluate_every=0),
    pretraining=dict(steps=2), split=dict(labelled=0.3, validation=0.0))
train_colony(settings, run_in(folder))
"""


def test_two_devices_equal_one(tmp_path: Path) -> None:
    """To rounding: sums over a batch are taken in another order."""
    path = write_stripes(tmp_path / "stripes.npz")
    script = _ON_DEVICES.format(tests=str(Path(__file__).parent))
    found = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        flags = os.environ.get("XLA_FLAGS", "")
        flags += f" --xla_force_host_platform_device_count={devices}"
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(path)],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append(weights(folder / "run" / "model"))
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], atol=2e-4, err_msg=name)


@pytest.mark.parametrize(
    "method", ["supervised", "ceiling", "fixmatch", "simclr", "clustering", "simtriplet"]
)
def test_every_method_leaves_a_model(tmp_path: Path, method: str) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    folder = train_colony(
        experiment(path, method=method, training={"steps": 3}, pretraining={"steps": 2}),
        run_in(tmp_path),
    )
    assert 0 <= right(folder, path) <= 1
    assert method in (folder / "card.md").read_text()


def test_a_linear_head_leaves_the_contrastive_backbone_as_it_is(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    settings = experiment(
        path,
        method="simclr",
        training={"steps": 3},
        pretraining={"steps": 2, "head": "linear"},
    )
    folder = train_colony(settings, run_in(tmp_path))
    before = weights(tmp_path / "run" / "before" / "model")
    after = weights(folder)
    for name, array in before.items():
        if name.startswith("backbone") and name.endswith("kernel"):
            np.testing.assert_array_equal(array, after[name])
    assert (before["dense/kernel"] != after["dense/kernel"]).any()


@pytest.mark.parametrize("balance", ["none", "smoothed", "prior_corrected"])
def test_every_balance_trains(tmp_path: Path, balance: str) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    settings = experiment(
        path,
        training={"steps": 3},
        pretraining={"steps": 2},
        balance={"balance": balance, "proportions_from": "labelled"},
    )
    assert train_colony(settings, run_in(tmp_path)).is_dir()


def test_a_trained_model_learns_a_class_more(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    first = train_colony(
        experiment(path, method="supervised", training={"steps": 3}), run_in(tmp_path)
    )
    with np.load(path) as stored:
        light, kind = stored["light"], stored["kind"].astype("<U9")
    kind[:10] = "unlike"
    np.savez(tmp_path / "three.npz", light=light, kind=kind)
    (tmp_path / "b").mkdir()
    settings = experiment(
        tmp_path / "three.npz",
        method="supervised",
        training={"steps": 1},
        optimizer={"learning_rate": 1e-12},
        start={"model": str(first)},
    )
    second = train_colony(settings, run_in(tmp_path / "b"))
    old, new = weights(first), weights(second)
    np.testing.assert_allclose(new["dense/kernel"][:, :2], old["dense/kernel"], atol=1e-9)
    assert load_colony_model(second).config.classes == (*CLASSES, "unlike")


def test_nothing_unlabelled(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    with pytest.raises(InputError, match="there is none; lower"):
        train_colony(experiment(path, split={"labelled": 1.0}), run_in(tmp_path))


def test_another_models_classes(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz")
    first = train_colony(
        experiment(path, method="supervised", training={"steps": 1}), run_in(tmp_path)
    )
    (tmp_path / "b").mkdir()
    settings = experiment(
        path,
        method="supervised",
        start={"model": str(first)},
        data={
            "kind": "arrays",
            "path": str(path),
            "channels": ["light"],
            "labels": "kind",
            "classes": ["along", "across"],
        },
    )
    with pytest.raises(InputError, match="its classes come first, in this order"):
        train_colony(settings, run_in(tmp_path / "b"))


def test_checking_reads_the_images_and_trains_nothing(tmp_path: Path) -> None:
    arrays = write_stripes(tmp_path / "stripes.npz")
    lines: list[str] = []
    run = run_in(tmp_path, lines)
    assert RECIPE.look is not None
    across, along, network, batch, *cost = RECIPE.look(experiment(arrays), run)
    assert (across, along) == ("across: 40 images", "along: 20 images")
    assert "vgg" in network
    assert "a batch of 8 drawn: " in batch
    assert any("FLOP" in line for line in cost)
    assert "labelled images" in lines[-1]
    assert not run.workdir.exists()


def test_what_goes_before_is_part_of_a_budget(tmp_path: Path) -> None:
    settings, run = experiment(tmp_path), run_in(tmp_path)
    assert settings.method == "meta"
    fits = RECIPE.fits(settings, run)
    assert {name: fitted.training.steps for name, fitted in fits.items()} == {
        "before": 6,
        "main": 12,
    }
    half = RECIPE.resized(settings, tmp_path, of_share(0.5, 2))
    assert (half.pretraining.steps, half.training.steps) == (3, 6)
    assert set(RECIPE.fits(experiment(tmp_path, method="supervised"), run)) == {"main"}
