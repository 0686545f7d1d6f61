import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from line_task import Line, line_experiment

from isl_train import micro_batch
from isl_train.data import batches
from isl_train.micro_batch import part_memory
from isl_train.optimizer import build_optimizer
from isl_train.state import TrainState, initial_state
from isl_train.step import device_mesh, make_train_step, make_update, replicate, shard

BATCH = 8


class Noiseless(Line):
    """Without the noise that depends on the step's number."""

    def loss(self, params, model_state, batch, key):
        predicted = batch["x"] @ params["body"]["slopes"] + params["head"]["offset"]
        squares = (predicted - batch["y"]) ** 2
        return squares.mean(), (model_state, {})


def _run(
    task: Line, updates: int, *, ema_decay: float = 0.0, parts: int = 1
) -> list[tuple[Any, Any]]:
    """Parameters and their average after each update, copied to the host."""
    params, model_state = task.initial(jax.random.key(0))
    optimizer = build_optimizer(line_experiment().optimizer, params, steps=updates)
    mesh = device_mesh()
    state = replicate(_state(params, model_state, optimizer, average=ema_decay > 0), mesh)
    update = make_update(task, optimizer, mesh, ema_decay=ema_decay, parts=parts)
    states = []
    with batches(task.examples(0), batch_size=BATCH) as stream:
        for batch in itertools.islice(stream, updates):
            state, _ = update(state, batch, None)
            states.append(jax.tree.map(np.asarray, (state.params, state.ema_params)))
    return states


def _state(params, model_state, optimizer, *, average: bool = False) -> TrainState:
    key = jax.random.key(1)
    return initial_state(params, model_state, optimizer.init(params), key, average=average)


def test_average_follows_its_formula() -> None:
    decay = 0.9
    states = _run(Line(), 30, ema_decay=decay)
    start, _ = Line().initial(jax.random.key(0))
    average = np.asarray(start["body"]["slopes"], np.float64)
    for update, (params, averaged) in enumerate(states, start=1):
        warm = min(decay, (1 + update) / (10 + update))
        average = warm * average + (1 - warm) * params["body"]["slopes"]
        np.testing.assert_allclose(averaged["body"]["slopes"], average, rtol=1e-4, atol=1e-6)


class PartlyMeasured(Noiseless):
    """Some points are not measured; the loss is the mean over those that are."""

    def loss(self, params, model_state, batch, key):
        predicted = batch["x"] @ params["body"]["slopes"] + params["head"]["offset"]
        measured = batch["index"] % 7 != batch["index"] % 2
        total = jnp.sum(jnp.where(measured, (predicted - batch["y"]) ** 2, 0))
        count = jnp.sum(measured, dtype=jnp.float32)
        return total / count, (model_state, {"loss": (total, count)})


@pytest.mark.parametrize("task", [Noiseless(), PartlyMeasured()])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_equal_the_whole_batch(parts: int, task: Line) -> None:
    whole = _run(task, 5, ema_decay=0.5)
    in_parts = _run(task, 5, ema_decay=0.5, parts=parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), in_parts, whole
    )


def test_parts_are_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Line()
    params, model_state = task.initial(jax.random.key(0))
    state = _state(params, model_state, optax.sgd(0.1))
    training = line_experiment("training.micro_batch=auto").training
    needed = {
        parts: part_memory(task, state, device_mesh(), 0, parts=parts, examples=BATCH // parts)
        for parts in (1, 2, 4)
    }
    assert needed[1] > needed[2] > needed[4] > 0
    for parts, memory in needed.items():
        monkeypatch.setattr(micro_batch, "free_memory", lambda _, m=memory: 1.01 * m / 0.8)
        assert micro_batch.parts_of(training, task, state, device_mesh(), 0) == parts
    monkeypatch.setattr(micro_batch, "free_memory", lambda _: 0)
    assert micro_batch.parts_of(training, task, state, device_mesh(), 0) == BATCH


def test_the_step_donates_its_state() -> None:
    task = Line()
    params, model_state = task.initial(jax.random.key(0))
    optimizer = build_optimizer(line_experiment().optimizer, params, steps=1)
    mesh = device_mesh()
    state = replicate(_state(params, model_state, optimizer), mesh)
    step = make_train_step(task, optimizer, mesh)
    with batches(task.examples(0), batch_size=BATCH) as stream:
        step(state, shard(next(stream), mesh))
    assert state.params["body"]["slopes"].is_deleted()


def test_one_program_serves_all_schedules() -> None:
    """Compiling takes minutes for some networks; a search and a study of budgets make many runs."""
    task = Line()
    params, model_state = task.initial(jax.random.key(0))
    with batches(task.examples(0), batch_size=BATCH) as stream:
        batch = next(stream)
    programs = set()
    for rate, steps in ((0.1, 10), (0.2, 25)):
        config = line_experiment().optimizer.model_copy(
            update={"learning_rate": rate, "schedule": "warmup_cosine", "warmup": steps // 5}
        )
        optimizer = build_optimizer(config, params, steps=steps)
        state = _state(params, model_state, optimizer)
        step = make_train_step(task, optimizer, device_mesh())
        programs.add(step.lower(state, batch, jnp.float32(rate)).as_text())
    assert len(programs) == 1
