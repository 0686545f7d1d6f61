"""Runs that are held to their time, on a clock that is made up."""

import csv
from pathlib import Path

import numpy as np
import pytest
from line_task import NetworkLine, line_experiment

from isl.config import parse
from isl_train import loop
from isl_train.experiment import ExperimentConfig
from isl_train.haste import Allowed, Haste, allow
from isl_train.ledger import Ledger
from isl_train.loop import fit


class Clock:
    """Shows what it was set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The trainer's; an update takes a second of it, an evaluation two."""
    made = Clock()
    monkeypatch.setattr(loop, "time", made)
    add, evaluate = Ledger.add, NetworkLine.evaluate

    def added(*given) -> None:
        made.now += 1
        add(*given)

    def judged(*given, **said):
        made.now += 2
        return evaluate(*given, **said)

    monkeypatch.setattr(Ledger, "add", added)
    monkeypatch.setattr(NetworkLine, "evaluate", judged)
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def updates(path: Path) -> list[int]:
    return [int(row["update"]) for row in rows(path)]


STEPS = 120
SETTINGS = (
    f"training.steps={STEPS}",
    "training.log_every=1",
    "training.evaluate_every=30",
    "training.checkpoint_every=30",
    'optimizer.schedule="warmup_cosine"',
)


def test_a_run_that_has_time_makes_every_update(tmp_path: Path, clock: Clock) -> None:
    experiment = line_experiment(*SETTINGS)
    allow(tmp_path, Allowed(updates=STEPS, judging=2))
    progress = fit(NetworkLine(experiment), experiment, tmp_path)
    assert (progress.update, progress.batches_drawn) == (STEPS, STEPS)
    assert updates(tmp_path / "training.csv") == list(range(1, STEPS + 1))


def test_a_run_that_is_too_slow_ends_in_time_with_its_schedule(
    tmp_path: Path, clock: Clock
) -> None:
    experiment = line_experiment(*SETTINGS)
    seconds = 46
    allow(tmp_path, Allowed(updates=42, judging=1))
    progress = fit(NetworkLine(experiment), experiment, tmp_path)
    assert progress.update == STEPS
    # Judging, too, takes twice as long as planned, and was kept free.
    assert seconds * 0.9 < progress.seconds + progress.judging <= seconds + 1
    assert progress.batches_drawn == pytest.approx(progress.seconds, abs=2)
    # The first updates tell the pace; from then on numbers are passed over evenly.
    made = updates(tmp_path / "training.csv")
    assert made[:11] == list(range(1, 12))
    assert made[-1] == STEPS
    strides = np.diff(made)[10:]
    assert strides.min() >= 3
    assert strides.max() <= 5
    # The rate goes down to its end, and judging is as often as it was planned.
    assert float(rows(tmp_path / "training.csv")[-1]["learning_rate"]) < 0.1 * 0.002
    judged = updates(tmp_path / "validation.csv")
    assert len(judged) == 4
    assert all(30 * n <= at < 30 * n + 5 for n, at in enumerate(judged, 1))


def test_stopped_and_resumed_a_run_is_held_to_what_is_left(tmp_path: Path, clock: Clock) -> None:
    experiment = line_experiment(*SETTINGS)
    allow(tmp_path, Allowed(updates=52, judging=2))
    begun = line_experiment(*SETTINGS, "training.steps=60")
    half = fit(NetworkLine(begun), begun, tmp_path)
    before = half.seconds + half.judging
    assert before > 55
    progress = fit(NetworkLine(experiment), experiment, tmp_path)
    assert progress.update == STEPS
    # Two updates tell the pace, then one is left to make.
    assert progress.seconds + progress.judging - before <= 5 + 3


def test_without_time_every_stage_has_an_update(tmp_path: Path, clock: Clock) -> None:
    tables = line_experiment(*SETTINGS).model_dump()
    del tables["training"]["steps"]
    tables["stages"] = [{"steps": 60}, {"steps": 30}, {"steps": 30}]
    experiment = parse(tables, ExperimentConfig, source="test")
    allow(tmp_path, Allowed(updates=3, judging=0.5))
    progress = fit(NetworkLine(experiment), experiment, tmp_path)
    assert progress.update == STEPS
    assert updates(tmp_path / "training.csv")[-3:] == [60, 90, 120]
    assert progress.batches_drawn < 12


def test_half_an_update_is_carried_over() -> None:
    haste = Haste(Allowed(updates=200, judging=0), steps=300, evaluate_every=0)
    update, strides = 0, []
    for made in range(200):
        stride = haste.stride(update, made=made, seconds=max(0.0, made - 1.0), judging=0.0)
        strides.append(stride)
        update += stride
        if update >= 300:
            break
    assert set(strides[11:]) == {1, 2}
    assert len(strides) == pytest.approx(200, abs=2)
    # As many twos in every stretch: nowhere in a heap.
    parts = np.array_split(np.array(strides[11:-5]), 6)
    assert np.ptp([part.mean() for part in parts]) < 0.1
