"""Searches: what a space allows, and that trials are neither lost nor made twice."""

import csv
import os
from pathlib import Path

import jax
import optuna
import pytest
from simulated_fields import write_dataset

from isl.cli import main
from isl.config import load_toml, parse
from isl.errors import InputError
from isl_train.checkpoint import Progress
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.recipe import from_anywhere
from isl_train.labeling.task import LabelingTask
from isl_train.search import search as module
from isl_train.search.config import Dimension, SearchConfig
from isl_train.search.search import search_hyperparameters, search_space_fits, suggest

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
        self.fail_at: range = range(0)
        self.worth: dict[str, float] = {}

    def __call__(self, task, experiment, run, **_) -> Progress:
        number = len(self.made)
        self.made.append((run.parent.name, experiment))
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        if number in self.fail_at:
            raise InputError("loss is nan at update 3")
        if number == self.stop_at:
            return Progress(update=1)
        rate = experiment.optimizer.learning_rate
        best = self.worth.get(experiment.dataset.as_posix(), 0.0) + 1 / (1 + abs(rate - 0.01))
        return Progress(update=experiment.training.steps, best=best)


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
    with pytest.raises(InputError, match=r"no trial is complete$"):
        work(folder, trials=1)
    assert len(fits.made) == 1


def test_values_that_do_not_work_fail_alone_and_others_take_their_place(
    folder: Path, fits: Fits
) -> None:
    fits.fail_at = range(1)
    assert work(folder, trials=2).is_file()
    assert [row["state"] for row in trials_of(folder)] == ["fail", "complete", "complete"]


def test_where_all_trials_fail_none_counts(folder: Path, fits: Fits) -> None:
    fits.fail_at = range(3)
    with pytest.raises(InputError, match="no trial is complete; the last failed: loss is nan"):
        work(folder, trials=3)
    assert [row["state"] for row in trials_of(folder)] == ["fail"] * 3
    assert not (folder / "out" / "best.toml").exists()
    assert work(folder, trials=3).is_file()
    assert [row["state"] for row in trials_of(folder)] == ["fail"] * 3 + ["complete"] * 3


def test_many_failures_in_a_row_stop_a_search(
    folder: Path, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_FAILURES", 2)
    fits.fail_at = range(1, 9)
    with pytest.raises(InputError, match="2 trials failed in a row; the last failed: loss is nan"):
        work(folder)
    assert [row["state"] for row in trials_of(folder)] == ["complete", "fail", "fail"]
    assert (folder / "out" / "best.toml").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataset=absent.toml", "absent.toml: there is no such file"),
        ("dataset=seen/manifest.toml", "manifest.toml: holds out no validation ground"),
        ("labels=['MAP2']", "unknown label 'MAP2'"),
        ("training.crop=31", "crop 31 does not fit"),
        ("training.step=3", "unknown key 'training.step'"),
        ("start.model=absent", "unknown model 'absent'"),
        ("start.freeze=['neck']", "parameter to freeze 'neck'"),
    ],
)
def test_what_is_wrong_with_every_trial_is_said_before_anything_is_written(
    folder: Path, fits: Fits, capsys, change: str, message: str
) -> None:
    (folder / "seen").mkdir()
    write_dataset(folder / "seen", {"a": ["DAPI"]})
    out = folder / "out"
    changes = f'changes=["{change}"]'
    arguments = [str(folder / "search.toml"), "--workdir", str(out), "--set", changes]
    assert main(["search", *arguments, "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out
    assert not out.exists()


@pytest.fixture
def began(folder: Path) -> Path:
    """A model folder beside the experiment, which starts from it."""
    task = LabelingTask(load_toml(folder / "base.toml", LabelingConfig), folder)
    task.export(*task.initial(jax.random.key(0)), folder / "began", {"updates": 0})
    return folder / "began"


def test_the_best_experiment_is_that_trial_wherever_it_is_trained(
    folder: Path, began: Path, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "seconds_per_update", lambda *_: 1 / (40 + len(fits.made)))
    text = SEARCH.replace("updates = 7", "seconds = 1.0")
    (folder / "search.toml").write_text(f"seeds = [3, 4]\n{text}")
    monkeypatch.chdir(folder)
    changes = ["start.model=began", "optimizer.schedule=warmup_cosine", "optimizer.warmup=9"]
    best = search_hyperparameters(
        Path("search.toml"), [f"changes={changes}"], folder / "out", say=lambda _: None
    )
    monkeypatch.chdir(folder / "out")
    kept = load_toml(best, LabelingConfig)
    rate = kept.optimizer.learning_rate
    first, second = [made for _, made in fits.made if made.optimizer.learning_rate == rate]
    assert 40 <= kept.training.steps == first.training.steps < second.training.steps
    assert kept.optimizer.warmup == 4
    start = first.start.model_copy(update={"model": str(began)})
    places = {"dataset": folder / "manifest.toml", "start": start}
    assert kept == first.model_copy(update=places)
    LabelingTask(kept, best.parent).initial(jax.random.key(0))


def test_a_trial_is_worth_the_mean_over_folds_and_seeds(folder: Path, fits: Fits) -> None:
    (folder / "other").mkdir()
    write_dataset(folder / "other", {"a": ["DAPI"]}, validation_region=(20, 40, 0, 64))
    fits.worth = {"manifest.toml": 0.0, "other/manifest.toml": 0.5}
    folds = '[["dataset=other/manifest.toml"], ["dataset=manifest.toml"]]'
    best = work(folder, f"folds={folds}", "seeds=[1, 2]", trials=1)
    made = [(experiment.dataset.as_posix(), experiment.seed) for _, experiment in fits.made]
    assert made == [
        ("other/manifest.toml", 1),
        ("other/manifest.toml", 2),
        ("manifest.toml", 1),
        ("manifest.toml", 2),
    ]
    rate = fits.made[0][1].optimizer.learning_rate
    (row,) = trials_of(folder)
    expected = 0.25 + 1 / (1 + abs(rate - 0.01))
    assert float(row["pearson_median"]) == pytest.approx(expected, rel=1e-4)
    assert load_toml(best, LabelingConfig).dataset == folder / "manifest.toml"


def test_the_experiment_itself_need_not_hold_anything_out_where_folds_do(
    folder: Path, fits: Fits
) -> None:
    (folder / "whole").mkdir()
    write_dataset(folder / "whole", {"a": ["DAPI"]})
    changes = 'changes=["dataset=whole/manifest.toml"]'
    best = work(folder, changes, 'folds=[["dataset=manifest.toml"]]', trials=1)
    assert load_toml(best, LabelingConfig).dataset == folder / "whole" / "manifest.toml"


def test_a_fold_that_holds_out_nothing_is_refused(folder: Path, fits: Fits) -> None:
    (folder / "whole").mkdir()
    write_dataset(folder / "whole", {"a": ["DAPI"]})
    with pytest.raises(InputError, match=r"whole/manifest\.toml: holds out no validation ground"):
        work(folder, 'folds=[["dataset=whole/manifest.toml"]]', trials=1)
    assert not fits.made


def test_a_bundled_model_to_start_from_keeps_its_name(folder: Path) -> None:
    changes = ["start.model=phantom"]
    experiment = load_toml(folder / "base.toml", LabelingConfig, changes)
    assert from_anywhere(experiment, folder).start.model == "phantom"


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
