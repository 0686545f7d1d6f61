from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from simulated_fields import write_dataset

from isl.config import parse
from isl.errors import InputError
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.regression import RegressionTask, load_regressor
from isl_train.loop import fit


def experiment(**tables) -> LabelingConfig:
    training = {"steps": 3, "batch_size": 2, "crop": 32, "batch_norm_decay": 0.9}
    given = {
        "task": "labeling",
        "dataset": "manifest.toml",
        "network": {"kind": "unet", "levels": 2, "width": 8},
        "loss": {"labels": 1.0},
        **tables,
        "training": {**training, **tables.get("training", {})},
    }
    return parse(given, LabelingConfig, source="test")


def batch_of(task: RegressionTask) -> dict[str, np.ndarray]:
    return task.examples(0).batch(2)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["MAP2"]}, validation_region=(0, 20, 0, 20))
    return tmp_path


def test_it_begins_with_each_labels_mean_and_the_loss_is_the_variance_around_it(
    folder: Path,
) -> None:
    task = RegressionTask(experiment(), folder)
    params, model_state = task.initial(jax.random.key(0))
    first, second = (field.targets[..., i] for i, field in enumerate(task.ground.training))
    masks = [field.measured[..., i] for i, field in enumerate(task.ground.training)]
    means = [first[masks[0]].mean(), second[masks[1]].mean()]
    deviations = [first[masks[0]].std(), second[masks[1]].std()]
    np.testing.assert_allclose(params["offset"], means, rtol=1e-5)
    np.testing.assert_allclose(params["scale"], deviations, rtol=1e-5)
    assert np.any(params["numbers"]["kernel"]), "the body learns through it from the first update"
    params["numbers"]["kernel"] = jnp.zeros_like(params["numbers"]["kernel"])
    batch = batch_of(task)
    loss, (_, sums) = jax.jit(task.loss)(params, model_state, batch, jax.random.key(1))
    wanted = []
    for index, label in enumerate(("DAPI", "MAP2")):
        errors = np.square(batch["targets"] - means)[..., index][batch["measured"][..., index]]
        assert float(sums[f"squared_error/{label}"][1]) == errors.size
        wanted += [errors.mean()] if errors.size else []
    assert float(loss) == pytest.approx(np.mean(wanted), rel=1e-4)


def test_a_label_measured_nowhere_in_a_batch_gets_no_gradient(folder: Path) -> None:
    task = RegressionTask(experiment(), folder)
    params, model_state = task.initial(jax.random.key(0))
    batch = batch_of(task)
    batch["measured"][..., 1] = False
    batch["targets"][..., 1] = np.nan
    gradient_of = jax.jit(jax.grad(task.loss, has_aux=True))
    gradient, _ = gradient_of(params, model_state, batch, jax.random.key(1))
    assert not np.any(gradient["numbers"]["kernel"][:, 1])
    assert np.any(gradient["numbers"]["kernel"][:, 0])
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(gradient))


def test_it_learns_and_what_it_leaves_behind_predicts_the_same(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]}, validation_region=(0, 20, 0, 20))
    config = experiment(
        training={"steps": 100, "batch_size": 4, "evaluate_every": 0},
        optimizer={"learning_rate": 0.01},
        validation={"reestimate_batches": 2},
    )
    task = RegressionTask(config, tmp_path, name="plain")
    progress = fit(task, config, tmp_path / "run")
    assert progress.best is not None
    assert progress.best > 0.8
    stated, network = load_regressor(tmp_path / "run" / "model")
    assert (stated.labels, stated.planes, stated.kind) == (("DAPI",), 3, "regressor")
    field = task.ground.training[0]
    predict = jax.jit(lambda x: network.intensities(network.embed(x)))
    found = predict(field.transmitted[None])[0, ..., 0]
    margin = config.network.geometry.margin
    true = field.targets[margin:-margin, margin:-margin, 0]
    assert np.corrcoef(np.ravel(found), np.ravel(true))[0, 1] > 0.8
    assert "cross_entropy" in (tmp_path / "run" / "validation.csv").read_text().splitlines()[0]


def test_it_starts_from_no_model(folder: Path) -> None:
    config = experiment(start={"model": "elsewhere"})
    with pytest.raises(InputError, match=r"start.model elsewhere: .*fresh weights"):
        RegressionTask(config, folder).initial(jax.random.key(0))
