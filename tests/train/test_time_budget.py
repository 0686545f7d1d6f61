"""Runs of a given time: what is measured, what is chosen, and that it is kept."""

import time
from pathlib import Path

import numpy as np
import pytest
from line_task import NetworkLine, line_experiment

from isl.config import load_toml, parse
from isl.errors import InputError
from isl_train import time_budget
from isl_train.experiment import ExperimentConfig
from isl_train.haste import Allowed, allowed_in
from isl_train.ledger import Ledger
from isl_train.lengths import REHEARSAL, of_share
from isl_train.loop import fit
from isl_train.optimizer import OptimizerConfig
from isl_train.recipe import Recipe, Run
from isl_train.time_budget import Cost, Part, cost_of, seconds_in, within


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20min", 1200), ("1h30min", 5400), ("90s", 90), ("0.5h", 1800), ("1 h", 3600)],
)
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "0min", "min", "20 minutes", "-5min", "1.2.3h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a time such as 20min"):
        seconds_in(text)


def test_a_schedule_goes_along_with_its_run() -> None:
    optimizer = {"schedule": "step", "boundaries": [10, 12], "factors": [0.5, 0.5]}
    half = of_share(0.5, 4)(experiment(optimizer, steps=20))
    assert (half.training.steps, half.training.evaluate_every) == (10, 3)
    assert half.optimizer.boundaries == (5, 6)
    tenth = of_share(0.01, 4)(experiment(optimizer, steps=20))
    assert (tenth.training.steps, tenth.optimizer.boundaries) == (1, (1, 2))
    warm = {"schedule": "warmup_cosine", "warmup": 8}
    assert of_share(0.5, 1)(experiment(warm, steps=20)).optimizer.warmup == 4
    assert of_share(5, 1)(experiment(warm, steps=20)).optimizer.warmup == 8


def test_stages_keep_their_shares_and_schedules() -> None:
    own = OptimizerConfig(schedule="warmup_cosine", warmup=10)
    tables = {
        "task": "line",
        "training": {"batch_size": 2},
        "stages": [{"steps": 30}, {"steps": 10, "optimizer": own.model_dump()}],
    }
    staged = parse(tables, ExperimentConfig, source="test")
    half = of_share(0.5, 2)(staged)
    assert [stage.steps for stage in half.stages] == [15, 5]
    assert half.training.steps == 20
    assert half.stages[1].optimizer is not None
    assert half.stages[1].optimizer.warmup == 5
    assert [stage.steps for stage in REHEARSAL(staged).stages] == [12, 12]


def experiment(optimizer: dict, *, steps: int) -> ExperimentConfig:
    tables = {"task": "line", "training": {"steps": steps}, "optimizer": optimizer}
    return parse(tables, ExperimentConfig, source="test")


class Counted:
    """Two members after one another, as an ensemble is trained; remembers their lengths."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def train(self, experiment: ExperimentConfig, run: Run) -> Path:
        for member in range(2):
            fit(NetworkLine(experiment), experiment, run.workdir / f"member_{member}")
            self.lengths.append(experiment.training.steps)
        return run.workdir / "member_1" / "model"


def run_in(folder: Path, said: list[str]) -> Run:
    return Run(folder=folder, workdir=folder / "run", name="line", say=said.append)


# What clock.csv holds after a rehearsal: 3 s for six updates, 1 s for an evaluation, but 3 s
# for the first, which compiled.
CLOCK = np.array(
    [(6, 3.0, 3.0), (12, 6.0, 4.0)],
    dtype=[("update", float), ("seconds", float), ("judging", float)],
)


def test_what_is_measured_once_is_known_of_any_length() -> None:
    timed = line_experiment("training.steps=14"), CLOCK
    cost = cost_of({"one": timed, "other": timed}, took=40.0, compiling=9.0)
    # 14 updates of 0.5 s, twice. Of the 40 s, 20 went into updates and judging, and 9 into
    # compiling, 4 of them while judging.
    assert cost.parts["other"] == Part(count=14, updates=7, judging=1)
    assert (cost.count, cost.updates, cost.judging) == (28, 14, 2)
    assert cost.fixed == 40 - 20 - (9 - 4)


def test_a_run_is_as_long_as_there_is_time_for(tmp_path: Path, monkeypatch) -> None:
    counted, said = Counted(), []
    recipe = Recipe(config=ExperimentConfig, train=counted.train)
    e, run = line_experiment("training.steps=14"), run_in(tmp_path, said)
    part = Part(count=14, updates=7.0, judging=1.0)
    cost = Cost(parts={"member_0": part, "member_1": part}, fixed=15.0, rehearsal=40.0)
    monkeypatch.setattr(time_budget, "_rehearsed", lambda *_: cost)
    chosen = within(250.0, recipe, e, run)
    evaluations = 14 // 6
    assert chosen.training.steps == round(14 * (250 - 40 - 15 - evaluations * 2) / 14)
    assert "updates in place of 14" in said[-1]
    assert "0.5 s each, judged 2 times" in said[-1]
    share = (250 - 40 - 15 - evaluations * 2) / 14
    assert allowed_in(run.workdir / "member_1") == Allowed(updates=share * 7, judging=1.0)
    # Resumed, nothing is measured again.
    monkeypatch.setattr(time_budget, "_rehearsed", None)
    assert within(250.0, recipe, e, run) == chosen
    with pytest.raises(InputError, match="was begun with `budget=4min10s`"):
        within(300.0, recipe, e, run)


def test_judging_takes_a_small_part_of_the_time(tmp_path: Path, monkeypatch) -> None:
    recipe = Recipe(config=ExperimentConfig, train=Counted().train)
    e, run = line_experiment("training.steps=14", "training.evaluate_every=1"), run_in(tmp_path, [])
    part = Part(count=14, updates=14.0, judging=10.0)
    cost = Cost(parts={".": part}, fixed=0.0, rehearsal=0.0)
    monkeypatch.setattr(time_budget, "_rehearsed", lambda *_: cost)
    chosen = within(200.0, recipe, e, run)
    assert chosen.training.steps == (200 - 3 * 10)
    assert chosen.training.evaluate_every == -(-chosen.training.steps // 3)


def test_the_pace_is_that_of_the_task_itself(tmp_path: Path) -> None:
    counted, said = Counted(), []
    recipe = Recipe(config=ExperimentConfig, train=counted.train, fits=lambda *_: {"member_*": e})
    e, run = line_experiment(), run_in(tmp_path, said)
    chosen = within(60.0, recipe, e, run)
    assert chosen.training.steps > 14
    written = [path.relative_to(run.workdir).as_posix() for path in run.workdir.rglob("*.json")]
    assert sorted(written) == ["budget.json", *(f"member_{n}/allowed.json" for n in range(2))]


def test_updates_that_are_waited_for_when_they_are_logged_count(
    tmp_path: Path, monkeypatch
) -> None:
    """A rehearsal logs every update; arrays are computed behind the calls that ask for them."""
    waited = Ledger.means

    def slow(self: Ledger) -> dict[str, float]:
        time.sleep(0.05)
        return waited(self)

    monkeypatch.setattr(Ledger, "means", slow)
    experiment = line_experiment("training.steps=12", "training.log_every=1")
    assert fit(NetworkLine(experiment), experiment, tmp_path).seconds > 10 * 0.05


def test_too_little_time_is_refused_with_how_much_it_takes(tmp_path: Path, monkeypatch) -> None:
    recipe = Recipe(config=ExperimentConfig, train=Counted().train)
    run = run_in(tmp_path, [])
    part = Part(count=14, updates=14.0, judging=1.0)
    cost = Cost(parts={".": part}, fixed=20.0, rehearsal=40.0)
    monkeypatch.setattr(time_budget, "_rehearsed", lambda *_: cost)
    with pytest.raises(InputError, match=r"`budget=1min`: .* 1min1s by themselves; give 2min2s"):
        within(60.0, recipe, line_experiment(), run)
    assert not run.workdir.exists()


def test_what_takes_no_updates_has_no_length(tmp_path: Path) -> None:
    recipe = Recipe(config=ExperimentConfig, train=Counted().train, fits=lambda *_: {})
    with pytest.raises(InputError, match="fitted at once"):
        within(60.0, recipe, line_experiment(), run_in(tmp_path, []))


def test_a_run_begun_otherwise_keeps_its_length(tmp_path: Path) -> None:
    recipe = Recipe(config=ExperimentConfig, train=Counted().train)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.csv").touch()
    with pytest.raises(InputError, match="no run begun with `budget`"):
        within(60.0, recipe, line_experiment(), run_in(tmp_path, []))


def test_settings_that_were_chosen_can_be_read_again(tmp_path: Path) -> None:
    counted = Counted()
    recipe = Recipe(config=ExperimentConfig, train=counted.train, fits=lambda *_: {"member_*": e})
    e, run = line_experiment(), run_in(tmp_path, [])
    chosen = of_share(0.5, 2)(e)
    recipe.train(chosen, run)
    assert load_toml(run.workdir / "member_0" / "experiment.toml", ExperimentConfig) == chosen
