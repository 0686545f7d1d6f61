import csv
import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from line_task import SLOPES, Line, line_experiment

from isl.errors import InputError
from isl.files.locks import alone_in
from isl_train.checkpoint import Checkpoints
from isl_train.ledger import Diverged
from isl_train.loop import fit


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _final(workdir: Path) -> tuple[str, str, str]:
    """Everything a finished run leaves that says how it went."""
    return (
        (workdir / "model" / "model.json").read_text(encoding="utf-8"),
        (workdir / "training.csv").read_text(encoding="utf-8"),
        (workdir / "validation.csv").read_text(encoding="utf-8"),
    )


def test_run_learns_and_leaves_everything_behind(tmp_path: Path) -> None:
    progress = fit(Line(), line_experiment("training.steps=60"), tmp_path)
    assert progress.update == progress.batches_drawn == 60
    model = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    # The average of parameters still remembers the start: 0.9^60 of it, and noise of the data.
    np.testing.assert_allclose(model["slopes"], SLOPES, atol=0.15)
    assert model["metrics"]["updates"] == progress.best_update
    assert [int(row["update"]) for row in _rows(tmp_path / "training.csv")] == [*range(2, 61, 2)]
    validation = _rows(tmp_path / "validation.csv")
    assert [int(row["update"]) for row in validation] == [*range(6, 61, 6)]
    assert progress.best == min(float(row["error"]) for row in validation)
    assert (tmp_path / "pictures" / "0000060" / "slopes.png").is_file()
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_last_and_the_best_checkpoint_are_kept(tmp_path: Path) -> None:
    class Worsening(Line):
        """Seems best at the second evaluation."""

        errors = iter([3.0, 1.0, 2.0, 2.5, 4.0])

        def evaluate(self, params, model_state, *, pictures):
            evaluation = super().evaluate(params, model_state, pictures=pictures)
            evaluation.metrics["error"] = next(self.errors)
            return evaluation

    progress = fit(Worsening(), line_experiment("training.steps=30"), tmp_path)
    assert (progress.best, progress.best_update) == (1.0, 12)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [12, 30]
    model = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert model["metrics"]["updates"] == 12


def test_without_validation_the_last_model_is_left(tmp_path: Path) -> None:
    task = Line()
    task.selection = None
    fit(task, line_experiment(), tmp_path)
    model = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert model["metrics"] == {"updates": 24}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["24"]


def test_a_metric_that_is_not_a_number_is_never_best(tmp_path: Path) -> None:
    class Unmeasured(Line):
        def evaluate(self, params, model_state, *, pictures):
            evaluation = super().evaluate(params, model_state, pictures=pictures)
            evaluation.metrics["error"] = math.nan
            return evaluation

    progress = fit(Unmeasured(), line_experiment(), tmp_path)
    assert progress.best is None
    assert [row["error"] for row in _rows(tmp_path / "validation.csv")] == [""] * 4
    assert (tmp_path / "model").is_dir()


def test_going_on_equals_going_through(tmp_path: Path) -> None:
    fit(Line(), line_experiment(), tmp_path / "through")
    for steps in (7, 14, 24):
        fit(Line(), line_experiment(f"training.steps={steps}"), tmp_path / "parts")
    through, parts = _final(tmp_path / "through"), _final(tmp_path / "parts")
    assert parts[0] == through[0]
    # The parts were also judged, and written, at their own ends.
    whole = {row["update"]: row for row in _rows(tmp_path / "through" / "validation.csv")}
    pieces = {row["update"]: row for row in _rows(tmp_path / "parts" / "validation.csv")}
    assert {update: pieces[update] for update in whole} == whole


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    fit(Line(), line_experiment(), tmp_path)
    before = _final(tmp_path)
    fit(Line(), line_experiment(), tmp_path)
    assert _final(tmp_path) == before


@pytest.mark.parametrize("seen", ["checkpoints/8", "validation.csv", "model"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, start_python, seen: str) -> None:
    """SIGKILL as soon as something appears, which may be in the middle of writing it."""
    fit(Line(), line_experiment(), tmp_path / "through")
    process = start_python(tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / seen).exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.002)
    process.kill()
    process.communicate()
    fit(Line(), line_experiment(), tmp_path / "killed")
    assert _final(tmp_path / "killed") == _final(tmp_path / "through")


def test_terminated_saves_and_goes_on(tmp_path: Path, start_python) -> None:
    process = start_python(tmp_path / "killed", "training.steps=400", "training.checkpoint_every=0")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "training.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    with Checkpoints(
        tmp_path / "killed" / "checkpoints",
        identity="",
        optimizer="",
        selection=Line().selection,
    ) as checkpoints:
        assert 0 < checkpoints.updates[-1] < 400


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"loss is nan at update 6, .*points .*40.*clip_norm"):
        fit(Line(poison_from=40), line_experiment(), tmp_path)
    with Checkpoints(
        tmp_path / "checkpoints", identity="", optimizer="", selection=Line().selection
    ) as checkpoints:
        assert checkpoints.updates == [4]


def test_a_run_goes_on_with_the_data_alone_that_it_began_with(tmp_path: Path) -> None:
    class Known(Line):
        def __init__(self, data: str) -> None:
            super().__init__()
            self.data = data

        def ground_hash(self) -> str:
            return self.data

    experiment = line_experiment()
    fit(Known("one"), line_experiment("training.steps=6"), tmp_path / "run")
    kept = (tmp_path / "run" / "training.csv").read_bytes()
    with pytest.raises(InputError, match=r"checkpoints: .*learned from other data: .*`workdir`"):
        fit(Known("another"), experiment, tmp_path / "run")
    assert (tmp_path / "run" / "training.csv").read_bytes() == kept
    # Of a run by an earlier version, or a task that knows no hash, nothing is said.
    fit(Line(), line_experiment("training.steps=12"), tmp_path / "run")
    fit(Known("another"), experiment, tmp_path / "run")
    with pytest.raises(InputError, match="learned from other data"):
        fit(Known("one"), experiment, tmp_path / "run")


def test_what_a_run_has_written_is_replaced_whole(tmp_path: Path) -> None:
    """Whoever is killed while it resumes leaves the old file or the new one."""
    fit(Line(), line_experiment("training.steps=6"), tmp_path / "run")
    names = ("experiment.toml", "training.csv", "validation.csv", "clock.csv")
    for name in names:
        # A second name of the same file, which shows what is written into it.
        os.link(tmp_path / "run" / name, tmp_path / name)
    before = [(tmp_path / name).read_bytes() for name in names]
    fit(Line(), line_experiment("training.steps=12"), tmp_path / "run")
    assert [(tmp_path / name).read_bytes() for name in names] == before
    assert all((tmp_path / "run" / name).read_bytes() not in before for name in names)


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    class Parabola(Line):
        def identity(self) -> str:
            return "a parabola"

    fit(Line(), line_experiment(), tmp_path)
    with pytest.raises(InputError, match=r"network a line in 3 dimensions, but .* says a parabola"):
        fit(Parabola(), line_experiment(), tmp_path)
    with pytest.raises(InputError, match=r"optimizer adam, with average, but .* says adamw"):
        fit(Line(), line_experiment("optimizer.kind=adamw"), tmp_path)


def test_parts_that_are_not_whole_are_refused() -> None:
    with pytest.raises(InputError, match="batch_size 8 cannot be cut into accumulate = 3"):
        line_experiment("training.accumulate=3")


def test_a_folder_is_trained_in_by_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path, "isl train"),
        pytest.raises(InputError, match="another isl train is writing there"),
    ):
        fit(Line(), line_experiment(), tmp_path)
