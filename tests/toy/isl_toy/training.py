"""How the task is trained."""

from collections.abc import Mapping
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.model_folder import save_folder
from isl_train.experiment import ExperimentConfig
from isl_train.loop import fit
from isl_train.parameters import Functional
from isl_train.recipe import Recipe, Run
from isl_train.task import Batch, Evaluation, Selection, Sums, Tree

from .data import load_images
from .model import BrightnessConfig, BrightnessNetwork


class BrightnessExperiment(ExperimentConfig):
    """The TOML of an experiment.

    Attributes:
        dataset: The manifest, relative to the configuration.
        unit: What brightness is measured in.
    """

    dataset: Path
    unit: str = "candela"


class BrightnessTask:
    """See `isl_train.task.Task`, whose methods these are."""

    selection = Selection(metric="squared_error", higher_is_better=False)

    def __init__(self, experiment: BrightnessExperiment, folder: Path, name: str) -> None:
        self._images, self._brightness = load_images(folder / experiment.dataset, "train")
        self._config = BrightnessConfig(name=name, unit=experiment.unit)
        self._functional = Functional(BrightnessNetwork(nnx.Rngs(0)))

    @property
    def pixels_per_example(self) -> int:
        return self._images[0].size

    def identity(self) -> str:
        return "one weight and one bias"

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        return Functional.take_apart(BrightnessNetwork(nnx.Rngs(key)))

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        network = self._functional.put_together(params, model_state, training=True)
        error = network(jnp.asarray(batch["image"])) - jnp.asarray(batch["brightness"])
        return jnp.mean(jnp.square(error)), (model_state, {})

    def examples(self, seed: int) -> grain.MapDataset:
        rows = grain.MapDataset.range(len(self._images)).seed(seed).shuffle().repeat()
        return rows.map(
            lambda row: {"image": self._images[row], "brightness": self._brightness[row]}
        )

    def describe(self, batch: Batch) -> str:
        return "images of the table"

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        network = self._functional.put_together(params, model_state, training=False)
        error = np.asarray(network(jnp.asarray(self._images))) - self._brightness
        return Evaluation(metrics={"squared_error": float(np.mean(error**2))}, pictures={})

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        network = self._functional.put_together(params, model_state, training=False)
        save_folder(directory, network, self._config, "# Brightness\n", overwrite=True)


def train(experiment: BrightnessExperiment, run: Run) -> Path:
    fit(
        BrightnessTask(experiment, run.folder, run.name),
        experiment,
        run.workdir,
        console=run.console,
    )
    return run.workdir / "model"


RECIPE = Recipe(config=BrightnessExperiment, train=train)
