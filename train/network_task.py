"""A task that is one flax.nnx network: all that such tasks have in common.

    class Brightness(NetworkTask[BrightnessNetwork]):
        losses = frozenset({"squares"})
        pixels_per_example = 32**2

        def __init__(self, experiment, pictures):
            super().__init__(abstract_network(), experiment)     # shapes in place of arrays
            self._pictures = pictures

        def identity(self): return "mean brightness, 17 parameters"
        def build(self, key): return BrightnessNetwork(rngs=nnx.Rngs(key))
        def examples(self, seed): return endless(self._pictures.draw, seed)
        def describe(self, batch): return f"pictures {batch['index']}"

        def objective(self, network, batch, key):
            squares = (network(batch["picture"]) - batch["brightness"]) ** 2
            sums = {"squares": (squares.sum(), jnp.float32(squares.size))}
            return self.weight_of("squares") * squares.mean(), sums

        def save(self, network, directory, metrics):
            save_folder(directory, network, BrightnessConfig(...), card="# ...")

That trains, resumes, accumulates, uses every device, goes through stages and leaves a model folder.
Held-out data are judged by giving `selection` and `evaluate` as well. `tests/train/line_task.py` is
such a task, whole.

Dropout layers get their randomness in the call (`nnx.Dropout(0.1)(x, rngs=nnx.Rngs(key))`), so that
a network keeps no keys.
"""

import copy
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.networks import count_parameters
from isl.errors import unknown

from .experiment import ExperimentConfig
from .optimizer import EVERYTHING
from .parameters import Functional, Network, held
from .stages import StageConfig
from .state import Tree
from .task import Batch, Evaluation, Selection, Sums


class NetworkTask(Generic[Network]):
    """See `isl_train.task.Task`, which this is once its own methods are given.

    Attributes:
        losses: Names that a stage may weigh; none where there is but one loss.
        selection: What picks the best checkpoint; None where there is no validation data.
        stage: The stage it is in, if the run has stages.
        parameters: How many numbers are trained.
        functional: Takes the network apart and puts it together.
    """

    losses: frozenset[str] = frozenset()
    selection: Selection | None = None
    stage: StageConfig | None = None

    def __init__(
        self, network: Network, experiment: ExperimentConfig, *, settling_batches: int = 0
    ) -> None:
        """Lays out the network.

        Args:
            network: With shapes or arrays, which are not kept.
            experiment: How it is trained.
            settling_batches: Training batches over which batch statistics are taken anew to judge
                and to export; 0: the running ones are used.
        """
        self.parameters = count_parameters(network)
        self.functional: Functional[Network] = Functional(network)
        self._experiment = experiment
        self._settling_batches = settling_batches

    # What a task gives.

    def identity(self) -> str:
        """The network in a few words; a checkpoint of another identity is refused."""
        raise NotImplementedError

    def build(self, key: jax.Array) -> Network:
        """The network to start from."""
        raise NotImplementedError

    def objective(self, network: Network, batch: Batch, key: jax.Array) -> tuple[jax.Array, Sums]:
        """Scalar loss of a batch, and diagnostics; pure but for the network's batch statistics."""
        raise NotImplementedError

    def examples(self, seed: int) -> Any:
        """A dataset of single examples; see `isl_train.data.endless`."""
        raise NotImplementedError

    def save(self, network: Network, directory: Path, metrics: Mapping[str, float]) -> None:
        """Writes a model folder: `network` in evaluation mode, into `directory`, a new folder."""
        raise NotImplementedError

    # What it may give.

    def describe(self, batch: Batch) -> str:
        """Where the examples of a batch came from, for messages."""
        return "the training data"

    def in_training(self, network: Network) -> Network:
        """The network as it is trained, with the same arrays."""
        return network

    def pass_through(self, network: Network, batch: Batch, key: jax.Array) -> None:
        """Shows a batch to all parts of a network that keep statistics."""
        self.objective(network, batch, key)

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Judges the network on the validation data; `settled` gives the state to do it with."""
        return Evaluation(metrics={}, pictures={})

    # What the trainer asks.

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Parameters and model state to start from."""
        return Functional.take_apart(self.build(key))

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """The objective, and the batch statistics that it left."""
        network = self._training_network(params, model_state)
        total, sums = self.objective(network, batch, key)
        return total, (Functional.take_apart(network)[1], sums)

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model that can be used without the trainer."""
        model_state = self.settled(params, model_state)
        self.save(self.predicting(params, model_state), directory, metrics)

    def in_stage(self, stage: StageConfig) -> Self:
        """The task as it is in a stage.

        Raises:
            InputError: A loss is weighed that there is not.
        """
        for name in stage.losses:
            if name not in self.losses:
                raise unknown("loss in stages.losses", name, self.losses)
        task = copy.copy(self)
        task.stage = stage
        return task

    # What its own methods may use.

    def weight_of(self, loss: str, default: float = 1.0) -> float:
        """Weight of a loss in this stage; `default` where the stage weighs none."""
        if self.stage is None or not self.stage.losses:
            return default
        return self.stage.losses.get(loss, 0.0)

    def predicting(self, params: Tree, model_state: Tree) -> Network:
        """The network in evaluation mode."""
        return self.functional.put_together(params, model_state, training=False)

    def settled(self, params: Tree, model_state: Tree) -> Tree:
        """The model state to predict with: batch statistics taken anew if that was asked for."""
        count = self._settling_batches
        if not count:
            return model_state
        total = jax.tree.map(jnp.zeros_like, model_state)
        for batch, key in self._first_batches(count):
            now = self._statistics(params, model_state, batch, key)
            total = jax.tree.map(jnp.add, total, now)
        return jax.tree.map(lambda array: array / count, total)

    def _first_batches(self, count: int) -> Iterator[tuple[Batch, jax.Array]]:
        seed = self._experiment.seed
        batches = self.examples(seed).batch(self._experiment.training.batch_size)
        for index in range(count):
            yield batches[index], jax.random.fold_in(jax.random.key(seed), index)

    def _training_network(self, params: Tree, model_state: Tree) -> Network:
        network = self.functional.put_together(params, model_state, training=True)
        free = EVERYTHING if self.stage is None else self.stage.free
        return self.in_training(held(network, free))

    @functools.partial(jax.jit, static_argnums=0)
    def _statistics(self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array) -> Tree:
        """The batch statistics of one batch alone: a running mean without memory."""
        network = self._training_network(params, model_state)
        for _, module in nnx.iter_modules(network):
            if isinstance(module, nnx.BatchNorm):
                module.momentum = 0.0
        self.pass_through(network, batch, key)
        return Functional.take_apart(network)[1]
