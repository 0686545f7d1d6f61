"""What tasks that are one network have in common."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from line_task import SLOPES, NetworkLine, line_experiment

from isl.config import parse
from isl.errors import InputError
from isl.model_folder import read_weights
from isl_train.data import in_batches
from isl_train.loop import fit
from isl_train.stages import StageConfig


def stage(**tables: Any) -> StageConfig:
    return parse({"steps": 5, **tables}, StageConfig, source="test")


@pytest.fixture(scope="module")
def task() -> NetworkLine:
    return NetworkLine(line_experiment(), settling_batches=3)


def test_it_is_trained_and_leaves_a_model_folder(tmp_path: Path) -> None:
    experiment = line_experiment("training.steps=80", "training.ema_decay=0")
    progress = fit(NetworkLine(experiment, settling_batches=20), experiment, tmp_path)
    assert progress.best is not None
    assert progress.best < 0.5
    weights = read_weights(tmp_path / "model" / "weights.safetensors")
    assert set(weights) == {
        f"{part}/{name}"
        for part, names in {
            "norm": ("scale", "bias", "mean", "var"),
            "head": ("kernel", "bias"),
        }.items()
        for name in names
    }
    slopes = weights["head/kernel"][:, 0] * weights["norm/scale"] / np.sqrt(weights["norm/var"])
    np.testing.assert_allclose(slopes, SLOPES, atol=0.5)


def test_batch_statistics_are_taken_anew_as_means_over_batches(task: NetworkLine) -> None:
    params, model_state = task.initial(jax.random.key(0))
    settled = task.settled(params, model_state)
    batches = task.examples(0).batch(8)
    means = [batches[index]["x"].mean(axis=0) for index in range(3)]
    np.testing.assert_allclose(settled["norm"]["mean"], np.mean(means, axis=0), atol=1e-6)


def test_what_is_not_free_normalizes_as_it_predicts(task: NetworkLine) -> None:
    """Frozen batch norm uses what it has learned, not what the batch shows, and learns nothing."""
    params, model_state = task.initial(jax.random.key(0))
    model_state = jax.tree.map(lambda array: array + 0.25, model_state)
    batch = task.examples(0).batch(8)[0]
    key = jax.random.key(1)
    frozen, (kept, _) = task.in_stage(stage(free=["head"])).loss(params, model_state, batch, key)
    free, (taken, _) = task.in_stage(stage()).loss(params, model_state, batch, key)
    jax.tree.map(np.testing.assert_array_equal, kept, model_state)
    assert not np.array_equal(taken["norm"]["mean"], model_state["norm"]["mean"])
    expected = task.predicting(params, model_state)(batch["x"]) - batch["y"]
    assert float(frozen) == pytest.approx(float((expected**2).mean()), rel=1e-5)
    assert float(free) != pytest.approx(float(frozen), rel=1e-3)


def test_a_stage_weighs_losses_by_name(task: NetworkLine) -> None:
    params, model_state = task.initial(jax.random.key(0))
    batch = task.examples(0).batch(8)[0]

    def loss(**losses: float) -> float:
        weighed = task.in_stage(stage(losses=losses))
        return float(weighed.loss(params, model_state, batch, jax.random.key(1))[0])

    assert loss(squares=2.0) == pytest.approx(2 * loss(squares=1.0))
    both = loss(squares=1.0, absolute=3.0)
    assert both == pytest.approx(loss(squares=1.0) + 3 * loss(absolute=1.0), rel=1e-6)
    # Without stages a task weighs its losses itself.
    own = task.loss(params, model_state, batch, jax.random.key(1))[0]
    assert float(own) == pytest.approx(loss(squares=1.0))
    with pytest.raises(InputError, match=r"loss in stages.losses 'square'; did you mean 'squares'"):
        task.in_stage(stage(losses={"square": 1.0}))


def test_examples_are_judged_in_batches_of_one_size() -> None:
    examples = [{"x": np.full(2, index)} for index in range(5)]
    found = list(in_batches(examples, 2))
    assert [batch["x"].shape for batch, _ in found] == [(2, 2)] * 3
    assert [count for _, count in found] == [2, 2, 1]
    kept = np.concatenate([batch["x"][:count, 0] for batch, count in found])
    np.testing.assert_array_equal(kept, range(5))
