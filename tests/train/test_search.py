"""Searches: what a space allows, and that trials are neither lost nor made twice."""

import csv
import os
from pathlib import Path

import optuna
import pytest
from simulated_fields import write_dataset

from isl.config import load_toml, parse
from isl.errors import InputError
from isl_train import search as module
from isl_train.checkpoint import Progress
from isl_train.labeling_config import LabelingConfig
from isl_train.search import search_hyperparameters, search_space_fits, suggest
from isl_train.search_config import Dimension, SearchConfig

BASE = """
task = "labeling"
dataset = "manifest.toml"
[network]
kind = "unet"
levels = 2
width = 2
[training]
steps = 5
batch_size = 2
crop = 32
"""
SEARCH = """
task = "search"
experiment = "base.toml"
trials = 4
startup = 2
[budget]
updates = 7
[space."optimizer.learning_rate"]
low = 1e-4
high = 1e-1
logarithmic = true
[space."optimizer.kind"]
choices = ["adam", "sgd"]
[space."optimizer.b1"]
low = 0.0
high = 0.9
when = { "optimizer.kind" = "sgd" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"a": ["DAPI"]}, validation_region=(0, 20, 0, 64))
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "search.toml").write_text(SEARCH)
    return tmp_path


class Fits:
    """Takes the place of the training loop: the nearer the rate is to 0.01, the better."""

    def __init__(self) -> None:
        self.made: list[tuple[str, LabelingConfig]] = []
        self.stop_at: int | None = None
        self.fail_at: int | None = None

    def __call__(self, task, experiment, run, **_) -> Progress:
        number = len(self.made)
        self.made.append((run.parent.name, experiment))
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        if number == self.fail_at:
            raise InputError("loss is nan at update 3")
        if number == self.stop_at:
            return Progress(update=1)
        rate = experiment.optimizer.learning_rate
        return Progress(update=experiment.training.steps, best=1 / (1 + abs(rate - 0.01)))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    found = Fits()
    monkeypatch.setattr(module, "fit", found)
    return found


def work(folder: Path, *overrides: str, trials: int | None = None) -> Path:
    return search_hyperparameters(
        folder / "search.toml", list(overrides), folder / "out", trials=trials, say=lambda _: None
    )


def trials_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_trials_are_made_and_the_best_is_left_as_an_experiment(folder: Path, fits: Fits) -> None:
    best = work(folder)
    rows = trials_of(folder)
    assert [row["state"] for row in rows] == ["complete"] * 4
    for row, (_, experiment) in zip(rows, fits.made, strict=True):
        assert float(row["optimizer.learning_rate"]) == experiment.optimizer.learning_rate
        assert experiment.training.steps == 7
        assert experiment.optimizer.kind in row["optimizer.kind"]
        assert (row["optimizer.b1"] == "") == (experiment.optimizer.kind == "adam")
    ranked = max(rows, key=lambda row: float(row["pearson_median"]))
    kept = load_toml(best, LabelingConfig)
    assert kept.optimizer.learning_rate == float(ranked["optimizer.learning_rate"])
    assert not list((folder / "out").glob("trials/*/*/checkpoints"))
    assert "Best trials" in (folder / "out" / "report.html").read_text(encoding="utf-8")

    work(folder)
    assert len(fits.made) == 4
    work(folder, trials=5)
    assert len(fits.made) == 5


def test_a_stopped_trial_goes_on_with_its_values_in_its_folder(folder: Path, fits: Fits) -> None:
    fits.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        work(folder)
    assert len(fits.made) == 2
    work(folder)
    assert [name for name, _ in fits.made] == ["0000", "0001", "0001", "0003", "0004"]
    assert fits.made[1][1] == fits.made[2][1]
    states = [row["state"] for row in trials_of(folder)]
    assert states == ["complete", "fail", "complete", "complete", "complete"]


def test_a_trial_of_a_living_worker_is_left_alone(folder: Path, fits: Fits) -> None:
    fits.stop_at = 0
    with pytest.raises(KeyboardInterrupt):
        work(folder, trials=1)
    os.utime(folder / "out" / "trials" / "0000" / "alive")
    work(folder, trials=1)
    assert len(fits.made) == 1


def test_values_that_do_not_work_fail_alone(folder: Path, fits: Fits) -> None:
    fits.fail_at = 0
    work(folder, trials=2)
    assert [row["state"] for row in trials_of(folder)] == ["fail", "complete"]


def test_another_search_in_the_same_folder_is_refused(folder: Path, fits: Fits) -> None:
    work(folder, trials=1)
    with pytest.raises(InputError, match="holds a search of other settings"):
        work(folder, "seed=5", trials=1)


def test_the_same_seed_draws_the_same_values(folder: Path, fits: Fits) -> None:
    for name in ("one", "two"):
        search_hyperparameters(
            folder / "search.toml", [], folder / name, trials=3, say=lambda _: None
        )
    rates = [experiment.optimizer.learning_rate for _, experiment in fits.made]
    assert rates[:3] == rates[3:]
    assert len(set(rates)) == 3


def test_suggestions_are_texts_that_overrides_take() -> None:
    space = {
        "a.kind": Dimension(choices=("x", 3, True, ("relu", "tanh"))),
        "a.count": Dimension(low=4, high=8, integer=True),
        "a.rate": Dimension(low=0.5, high=1.0),
        "a.never": Dimension(low=0.5, high=1.0, when={"a.kind": "y"}),
    }
    fixed = {"a.kind": '["relu", "tanh"]', "a.count": 5, "a.rate": 0.75}
    trial = optuna.trial.FixedTrial(fixed)
    assert suggest(trial, space) == ['a.kind=["relu", "tanh"]', "a.count=5", "a.rate=0.75"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "give choices, or low"),
        ({"low": 2, "high": 1}, "a greater high"),
        ({"low": 0, "high": 1, "logarithmic": True}, "starts above 0"),
        ({"low": 0.5, "high": 2, "integer": True}, "are integers"),
        ({"low": 0, "high": 1, "choices": [1]}, "not both"),
        ({"low": 0, "high": 1, "when": {"later": 1}}, "'later', which is no key"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(table: dict, message: str) -> None:
    given = {"task": "search", "experiment": "base.toml", "space": {"a": table}}
    with pytest.raises(InputError, match=message):
        parse(given, SearchConfig, source="test")


def test_a_key_that_the_experiment_lacks_is_refused_before_anything_is_written(
    folder: Path,
) -> None:
    config = parse(
        {"task": "search", "experiment": "base.toml", "space": {"training.step": {"choices": [1]}}},
        SearchConfig,
        source="test",
    )
    with pytest.raises(InputError, match=r"did you mean 'training\.steps'"):
        search_space_fits(config, folder / "base.toml")


def test_without_optuna_the_remedy_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"isl\[search\]"):
        work(folder)
    assert not (folder / "out").exists()
