from pathlib import Path

import pytest
from line_task import Line, line_experiment
from simulated_fields import write_dataset

from isl.config import parse
from isl.errors import InputError
from isl_train.budget import (
    BudgetConfig,
    of_length,
    pixels_per_update,
    seconds_per_update,
    updates_for,
)
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit


def experiment(**tables) -> LabelingConfig:
    given = {
        "task": "labeling",
        "dataset": "manifest.toml",
        "network": {"kind": "unet", "levels": 2, "width": 4},
        "training": {"steps": 3, "batch_size": 2, "crop": 32},
        **tables,
    }
    return parse(given, LabelingConfig, source="test")


def test_pixels_are_those_of_the_outputs() -> None:
    """Crops of 32 pixels lose 8 on each side, and none if they are padded."""
    assert pixels_per_update(experiment()) == 2 * 16 * 16
    padded = {"steps": 3, "batch_size": 2, "crop": 32, "padded": True}
    assert pixels_per_update(experiment(training=padded)) == 2 * 32 * 32


def test_only_pixels_that_the_loss_is_taken_over_count() -> None:
    assert pixels_per_update(experiment(loss={"pixels_per_crop": 100})) == 2 * 100
    assert pixels_per_update(experiment(loss={"pixels_per_crop": 1000})) == 2 * 16 * 16


@pytest.mark.parametrize(
    ("budget", "updates"),
    [
        ({"updates": 7}, 7),
        ({"pixels": 512 * 10}, 10),
        ({"pixels": 512 * 10 + 1}, 11),
        ({"pixels": 1}, 1),
        ({"seconds": 10}, 40),
        ({"seconds": 0.01}, 1),
    ],
)
def test_a_budget_pays_for_so_many_updates(budget: dict, updates: int) -> None:
    assert updates_for(BudgetConfig(**budget), experiment(), pace=0.25) == updates


def test_time_needs_a_pace() -> None:
    with pytest.raises(ValueError, match="needs the pace"):
        updates_for(BudgetConfig(seconds=1), experiment(), pace=None)


@pytest.mark.parametrize("tables", [{}, {"updates": 3, "seconds": 2}])
def test_a_budget_is_one_thing(tables: dict) -> None:
    with pytest.raises(InputError, match="one of updates, pixels and seconds"):
        parse(tables, BudgetConfig, source="test")


def test_a_run_is_judged_as_often_as_wanted_and_warms_up_for_a_tenth_at_most() -> None:
    optimizer = {"schedule": "warmup_cosine", "warmup": 100}
    base = experiment(optimizer=optimizer)
    short, long = (of_length(base, updates, evaluations=4) for updates in (50, 4000))
    assert (short.training.steps, short.training.evaluate_every) == (50, 13)
    assert (short.optimizer.warmup, long.optimizer.warmup) == (5, 100)
    assert short.training.checkpoint_every == short.training.evaluate_every
    assert short.network == base.network


def test_a_pace_is_that_of_updates_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]})
    task = LabelingTask(experiment(), tmp_path)
    pace = seconds_per_update(task, experiment())
    assert 0 < pace < 5


def test_the_clock_goes_on_where_it_stood(tmp_path: Path) -> None:
    first = fit(Line(), line_experiment("training.steps=7"), tmp_path)
    second = fit(Line(), line_experiment("training.steps=14"), tmp_path)
    assert 0 < first.seconds < second.seconds
    rows = (tmp_path / "clock.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "update,seconds,judging"
    updates, seconds, judging = zip(*(map(float, row.split(",")) for row in rows[1:]), strict=True)
    assert min(judging) > 0
    assert updates == (6, 7, 12, 14)
    assert sorted(seconds) == list(seconds)
    assert seconds[1] == pytest.approx(first.seconds)
    assert seconds[-1] == pytest.approx(second.seconds)


def test_the_first_update_of_a_process_compiles_and_is_not_counted(tmp_path: Path) -> None:
    settings = ("training.steps=1", "training.evaluate_every=0")
    assert fit(Line(), line_experiment(*settings), tmp_path).seconds == 0
