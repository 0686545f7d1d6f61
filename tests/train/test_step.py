import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from line_task import Line, line_experiment

from isl_train.data import batches
from isl_train.optimizer import build_optimizer
from isl_train.state import TrainState, initial_state
from isl_train.step import device_mesh, make_train_step, replicate, shard

BATCH = 8


class Noiseless(Line):
    """Without the noise that depends on the step's number."""

    def loss(self, params, model_state, batch, key):
        predicted = batch["x"] @ params["body"]["slopes"] + params["head"]["offset"]
        squares = (predicted - batch["y"]) ** 2
        return squares.mean(), (model_state, {})


def _run(
    task: Line, updates: int, *, ema_decay: float = 0.0, accumulate: int = 1
) -> list[TrainState]:
    """The states after each update, copied to the host."""
    params, model_state = task.initial(jax.random.key(0))
    config = line_experiment().optimizer
    optimizer = build_optimizer(config, params, steps=updates, accumulate=accumulate)
    mesh = device_mesh()
    state = initial_state(params, model_state, optimizer, jax.random.key(1), average=ema_decay > 0)
    state = replicate(state, mesh)
    step = make_train_step(task, optimizer, mesh, ema_decay=ema_decay, accumulate=accumulate)
    states = []
    with batches(task.examples(0), batch_size=BATCH // accumulate) as stream:
        for number, batch in enumerate(itertools.islice(stream, updates * accumulate)):
            state, _ = step(state, shard(batch, mesh))
            if (number + 1) % accumulate == 0:
                states.append(jax.tree.map(np.asarray, (state.params, state.ema_params)))
    return states


def test_average_follows_its_formula() -> None:
    decay = 0.9
    states = _run(Line(), 30, ema_decay=decay)
    start, _ = Line().initial(jax.random.key(0))
    average = np.asarray(start["body"]["slopes"], np.float64)
    for update, (params, averaged) in enumerate(states, start=1):
        warm = min(decay, (1 + update) / (10 + update))
        average = warm * average + (1 - warm) * params["body"]["slopes"]
        np.testing.assert_allclose(averaged["body"]["slopes"], average, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulating_equals_the_whole_batch(accumulate: int) -> None:
    whole = _run(Noiseless(), 5, ema_decay=0.5)
    parts = _run(Noiseless(), 5, ema_decay=0.5, accumulate=accumulate)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), parts, whole)


def test_the_step_donates_its_state() -> None:
    task = Line()
    params, model_state = task.initial(jax.random.key(0))
    optimizer = build_optimizer(line_experiment().optimizer, params, steps=1)
    mesh = device_mesh()
    state = replicate(
        initial_state(params, model_state, optimizer, jax.random.key(1), average=False), mesh
    )
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
        state = initial_state(params, model_state, optimizer, jax.random.key(1), average=False)
        step = make_train_step(task, optimizer, device_mesh())
        programs.add(step.lower(state, batch, jnp.float32(rate)).as_text())
    assert len(programs) == 1
