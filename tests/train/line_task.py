"""Tasks that know nothing of labeling: a line through noisy points, fitted in milliseconds.

`Line` writes out all that the trainer asks for; `NetworkLine` is a network and leaves most of it to
`isl_train.network_task`.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.config import parse
from isl.model_folder import FolderConfig, save_folder
from isl_train.data import endless
from isl_train.experiment import ExperimentConfig
from isl_train.network_task import NetworkTask
from isl_train.task import Batch, Evaluation, Selection, Sums, Tree

SLOPES = np.array([1.0, -2.0, 0.5], np.float32)


def _draw(index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    x = rng.normal(size=3).astype(np.float32)
    noise = 0.01 * rng.normal()
    return {
        "x": x,
        "y": np.float32(x @ SLOPES + 3.0 + noise),
        "index": np.int32(index),
    }


class Line:
    """y = slopes . x + offset; its model state is a running mean of y, like a batch statistic."""

    def __init__(self, *, poison_from: int | None = None) -> None:
        self.selection: Selection | None = Selection(metric="error", higher_is_better=False)
        self.pixels_per_example = 3
        self._poison_from = poison_from

    def identity(self) -> str:
        return "a line in 3 dimensions"

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        slopes = 0.1 * jax.random.normal(key, (3,))
        params = {"body": {"slopes": slopes}, "head": {"offset": jnp.zeros(())}}
        return params, {"mean": jnp.zeros(())}

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        x = jnp.asarray(batch["x"]) + 0.01 * jax.random.normal(key, batch["x"].shape)
        predicted = x @ params["body"]["slopes"] + params["head"]["offset"]
        squares = jnp.square(predicted - batch["y"])
        mean = 0.9 * model_state["mean"] + 0.1 * jnp.mean(batch["y"])
        count = jnp.asarray(squares.size, jnp.float32)
        return jnp.mean(squares), ({"mean": mean}, {"squares": (jnp.sum(squares), count)})

    def examples(self, seed: int) -> grain.MapDataset:
        dataset = grain.MapDataset.range(1000).repeat().random_map(_draw, seed=seed)
        if self._poison_from is not None:
            dataset = dataset.map(self._poison)
        return dataset

    def _poison(self, example: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        broken = example["index"] >= self._poison_from
        return {**example, "y": np.float32(np.nan) if broken else example["y"]}

    def describe(self, batch: Batch) -> str:
        return f"points {[int(index) for index in batch['index']]}"

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        error = float(jnp.sum(jnp.abs(params["body"]["slopes"] - SLOPES)))
        shown = {"slopes": np.zeros((4, 4), np.uint8)} if pictures else {}
        return Evaluation(metrics={"error": error}, pictures=shown)

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        directory.mkdir(parents=True)
        slopes = [float(slope) for slope in params["body"]["slopes"]]
        mean = float(model_state["mean"])
        text = json.dumps({"slopes": slopes, "mean": mean, "metrics": dict(metrics)})
        (directory / "model.json").write_text(text, encoding="utf-8")


def line_experiment(*overrides: str) -> ExperimentConfig:
    """A short run; `overrides` as `--set` takes them."""
    tables = {
        "task": "line",
        "training": {
            "steps": 24,
            "batch_size": 8,
            "ema_decay": 0.9,
            "log_every": 2,
            "evaluate_every": 6,
            "checkpoint_every": 4,
        },
        "optimizer": {"learning_rate": 0.1},
    }
    return parse(tables, ExperimentConfig, source="line", overrides=overrides)


class LineNetwork(nnx.Module):
    """x [B, 3] to y [B]: batch norm, then a linear layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(3, momentum=0.5, rngs=rngs)
        self.head = nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.norm(x))[:, 0]


class LineNetworkConfig(FolderConfig):
    """The `model.toml` of such a network."""

    kind: str = "line"


class NetworkLine(NetworkTask[LineNetwork]):
    """The same line as a network: a whole task, as short as one can be."""

    losses = frozenset({"squares", "absolute"})
    selection = Selection(metric="error", higher_is_better=False)
    pixels_per_example = 3

    def __init__(self, experiment: ExperimentConfig, *, settling_batches: int = 0) -> None:
        network = nnx.eval_shape(lambda: LineNetwork(nnx.Rngs(0)))
        super().__init__(network, experiment, settling_batches=settling_batches)

    def identity(self) -> str:
        return f"a line of {self.parameters} parameters"

    def build(self, key: jax.Array) -> LineNetwork:
        return LineNetwork(nnx.Rngs(key))

    def examples(self, seed: int) -> grain.MapDataset:
        return endless(functools.partial(_draw, 0), seed)

    def objective(
        self, network: LineNetwork, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Sums]:
        errors = network(jnp.asarray(batch["x"])) - jnp.asarray(batch["y"])
        count = jnp.float32(errors.size)
        squares, absolute = jnp.sum(errors**2), jnp.sum(jnp.abs(errors))
        total = self.weight_of("squares") * squares + self.weight_of("absolute", 0.0) * absolute
        return total / count, {"squares": (squares, count), "absolute": (absolute, count)}

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        network = self.predicting(params, self.settled(params, model_state))
        x = np.eye(4, 3, dtype=np.float32)
        errors = network(jnp.asarray(x)) - (x @ SLOPES + 3)
        return Evaluation(metrics={"error": float(jnp.abs(errors).mean())}, pictures={})

    def save(self, network: LineNetwork, directory: Path, metrics: Mapping[str, float]) -> None:
        save_folder(directory, network, LineNetworkConfig(name="line"), "# A line\n")
