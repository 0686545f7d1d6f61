"""Runs in stages, of two networks, and of examples that are chosen anew."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from line_task import SLOPES, Line, line_experiment

from isl.config import to_toml
from isl.errors import InputError
from isl_train.loop import fit
from isl_train.optimizer import OptimizerConfig, build_optimizer
from isl_train.task import Selection

STAGES = (
    'stages=[{name = "body", steps = 7, free = ["body"]}, {name = "head", steps = 9, free = '
    '["head"], losses = {squares = 2.0}, optimizer = {kind = "sgd", learning_rate = 0.05}}]'
)


class StagedLine(Line):
    """Its loss has a name, and it remembers what parameters were judged."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = 1.0
        self.judged: list[Any] = []

    def in_stage(self, stage):
        if unknown := stage.losses.keys() - {"squares"}:
            raise InputError(f"unknown losses {unknown}")
        task = StagedLine()
        task.weight, task.judged = stage.losses.get("squares", 1.0), self.judged
        return task

    def initial(self, key):
        params, model_state = super().initial(key)
        # A statistic beside the parameter of each part, as batch norm has.
        return params, {"body": {"seen": jnp.zeros(())}, "head": model_state}

    def loss(self, params, model_state, batch, key):
        total, (head, sums) = super().loss(params, model_state["head"], batch, key)
        seen = {"seen": model_state["body"]["seen"] + batch["x"].sum()}
        by_name = {f"squares_at_{self.weight:g}": sums["squares"]}
        return self.weight * total, ({"body": seen, "head": head}, by_name)

    def evaluate(self, params, model_state, *, pictures):
        self.judged.append(jax.tree.map(np.asarray, (params, model_state)))
        return super().evaluate(params, model_state, pictures=pictures)

    def export(self, params, model_state, directory, metrics):
        super().export(params, model_state["head"], directory, metrics)


def staged(*overrides: str):
    experiment = line_experiment("training.steps=16", STAGES, *overrides)
    return experiment


def same(a: Any, b: Any) -> bool:
    equal = jax.tree.map(lambda x, y: np.asarray(x).tobytes() == np.asarray(y).tobytes(), a, b)
    return all(jax.tree.leaves(equal))


def test_what_is_not_free_stays_bit_for_bit(tmp_path: Path) -> None:
    task = StagedLine()
    fit(task, staged("training.evaluate_every=1"), tmp_path)
    assert len(task.judged) == 16
    start = jax.tree.map(np.asarray, task.initial(jax.random.split(jax.random.key(0))[0]))
    for number, judged in enumerate(task.judged):
        first_stage = number < 7
        frozen, before = ("head", start) if first_stage else ("body", task.judged[6])
        moving = "body" if first_stage else "head"
        for tree, was in zip(judged, before, strict=True):
            assert same(tree[frozen], was[frozen])
            assert not same(tree[moving], was[moving])


def test_the_best_model_is_that_of_the_last_stage(tmp_path: Path) -> None:
    class Ever(StagedLine):
        """Worse and worse."""

        def in_stage(self, stage):
            task = Ever()
            task.weight, task.judged = 1.0, self.judged
            return task

        def evaluate(self, params, model_state, *, pictures):
            found = super().evaluate(params, model_state, pictures=pictures)
            found.metrics["error"] = float(len(self.judged))
            return found

    progress = fit(Ever(), staged("training.evaluate_every=3"), tmp_path)
    # Judged at 3, 6, 7 and 9, 12, 15, 16.
    assert (progress.best, progress.best_update) == (4.0, 9)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [9, 16]
    model = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert model["metrics"]["updates"] == 9


class Stopping(StagedLine):
    """Breaks off, as if it were killed, after so many evaluations."""

    left = 10**9

    def in_stage(self, stage):
        self.weight = stage.losses.get("squares", 1.0)
        return self

    def evaluate(self, params, model_state, *, pictures):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().evaluate(params, model_state, pictures=pictures)


def final(workdir: Path) -> list[str]:
    names = ("model/model.json", "training.csv", "validation.csv")
    return [(workdir / name).read_text(encoding="utf-8") for name in names]


@pytest.mark.parametrize("every", [1, 2, 7])
def test_resumed_across_the_border_equals_uninterrupted(tmp_path: Path, every: int) -> None:
    """Killed again and again, around, at and after the border at update 7."""
    settings = staged("training.evaluate_every=1", f"training.checkpoint_every={every}")
    fit(Stopping(), settings, tmp_path / "through")
    for left in (every + 1, 7, every, 3, 100):
        task = Stopping()
        task.left = left
        try:
            fit(task, settings, tmp_path / "parts")
        except KeyboardInterrupt:
            continue
    assert final(tmp_path / "parts") == final(tmp_path / "through")


def test_losses_and_rates_of_each_stage_are_its_own(tmp_path: Path) -> None:
    fit(StagedLine(), staged("training.log_every=1"), tmp_path)
    lines = (tmp_path / "training.csv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    assert [row["squares_at_1"] != "" for row in rows] == [True] * 7 + [False] * 9
    assert [row["squares_at_2"] != "" for row in rows] == [False] * 7 + [True] * 9
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([0.1] * 7 + [0.05] * 9)


def test_the_length_is_that_of_all_stages() -> None:
    tables = {"task": "line", "training": {}, "stages": [{"steps": 3}, {"steps": 4}]}
    from isl.config import parse
    from isl_train.experiment import ExperimentConfig

    assert parse(tables, ExperimentConfig, source="test").training.steps == 7
    with pytest.raises(InputError, match="steps is 16, but the stages have 9 steps"):
        line_experiment("training.steps=16", "stages=[{steps = 9}]")
    # Files of runs without stages are what they were.
    assert "stages" not in to_toml(line_experiment())
    assert "micro_batch" not in to_toml(line_experiment())
    assert "rates" not in to_toml(line_experiment())


def test_stages_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stage 1 \(all\): this task has one loss"):
        fit(Line(), line_experiment(*_one_stage("losses = {squares = 1.0}")), tmp_path)
    with pytest.raises(InputError, match=r"stages.free 'boddy'; did you mean 'body'"):
        fit(Line(), line_experiment(*_one_stage('free = ["boddy"]')), tmp_path)


def _one_stage(settings: str) -> tuple[str, str]:
    return "training.steps=3", f'stages=[{{name = "all", steps = 3, {settings}}}]'


class TwoLines(Line):
    """A line, and one that follows it, each with its own optimizer; an update of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.selection: Selection | None = None
        leader, _ = super().initial(jax.random.key(0))
        self._optimizers = {
            "leader": build_optimizer(OptimizerConfig(learning_rate=0.1), leader, steps=24),
            "follower": build_optimizer(
                OptimizerConfig(kind="sgd", learning_rate=0.05), leader, steps=24
            ),
        }

    def identity(self):
        return "two lines"

    def initial(self, key):
        params, model_state = super().initial(key)
        follower = jax.tree.map(jnp.zeros_like, params)
        return {"leader": params, "follower": follower}, {"leader": model_state}

    def optimizer_states(self, params):
        return {name: each.init(params[name]) for name, each in self._optimizers.items()}

    def update(self, state, batch, key, learning_rate):
        def leading(params):
            return Line.loss(self, params, state.model_state["leader"], batch, key)

        def following(params):
            leader = state.params["leader"]
            taught = batch["x"] @ leader["body"]["slopes"] + leader["head"]["offset"]
            own = batch["x"] @ params["body"]["slopes"] + params["head"]["offset"]
            return jnp.mean((own - jax.lax.stop_gradient(taught)) ** 2)

        (loss, (model_state, sums)), of_leader = jax.value_and_grad(leading, has_aux=True)(
            state.params["leader"]
        )
        gradients = {
            "leader": of_leader,
            "follower": jax.grad(following)(state.params["follower"]),
        }
        params, states = {}, {}
        for name, optimizer in self._optimizers.items():
            # The follower keeps to its own schedule.
            rate = learning_rate if name == "leader" else None
            steps, states[name] = optimizer.update(
                gradients[name], state.opt_state[name], state.params[name], learning_rate=rate
            )
            params[name] = jax.tree.map(jnp.add, state.params[name], steps)
        new = dataclasses.replace(
            state, params=params, model_state={"leader": model_state}, opt_state=states
        )
        return new, {"loss": (loss, jnp.ones(())), **sums}

    def evaluate(self, params, model_state, *, pictures):
        return super().evaluate(params["follower"], model_state["leader"], pictures=pictures)

    def export(self, params, model_state, directory, metrics):
        super().export(params["follower"], model_state["leader"], directory, metrics)


def test_two_networks_in_one_state_resume_bit_for_bit(tmp_path: Path) -> None:
    fit(TwoLines(), line_experiment(), tmp_path / "through")
    for steps in (7, 24):
        fit(TwoLines(), line_experiment(f"training.steps={steps}"), tmp_path / "parts")
    model = (tmp_path / "parts" / "model" / "model.json").read_text(encoding="utf-8")
    assert model == (tmp_path / "through" / "model" / "model.json").read_text(encoding="utf-8")


def test_the_follower_follows(tmp_path: Path) -> None:
    fit(TwoLines(), line_experiment("training.steps=150"), tmp_path)
    model = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(model["slopes"], SLOPES, atol=0.1)


def test_a_task_with_its_own_update_takes_whole_batches(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="makes its own updates"):
        fit(TwoLines(), line_experiment("training.accumulate=2"), tmp_path)


class Choosing(Line):
    """Every five updates it chooses which points it learns from, by what it has learned."""

    renew_every = 5

    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[int] = []

    def initial(self, key):
        params, model_state = super().initial(key)
        return params, {**model_state, "choice": jnp.zeros((), jnp.int32)}

    def loss(self, params, model_state, batch, key):
        loss, (new_state, sums) = super().loss(params, model_state, batch, key)
        return loss, ({**new_state, "choice": model_state["choice"]}, sums)

    def renewed(self, params, model_state, key):
        drawn = jax.random.randint(key, (), 0, 1000)
        choice = drawn + jnp.int32(1000 * jnp.abs(params["body"]["slopes"][0]))
        self.chosen.append(int(choice))
        return {**model_state, "choice": choice.astype(jnp.int32)}

    def examples_chosen(self, seed: int, model_state) -> grain.MapDataset:
        return self.examples(seed + int(model_state["choice"]))


def test_chosen_examples_are_the_same_after_a_resumption(tmp_path: Path) -> None:
    through = Choosing()
    fit(through, line_experiment(), tmp_path / "through")
    assert len(set(through.chosen)) == 5
    parts = []
    for steps in (7, 10, 24):
        task = Choosing()
        fit(task, line_experiment(f"training.steps={steps}"), tmp_path / "parts")
        parts += task.chosen
    assert parts == through.chosen
    model = (tmp_path / "parts" / "model" / "model.json").read_text(encoding="utf-8")
    assert model == (tmp_path / "through" / "model" / "model.json").read_text(encoding="utf-8")
