"""The plain yardstick: the same body with one number for every label, fitted by squared error.

It gives no distribution, so it is no model of the product; `isl eval` compares with it.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.networks import NO_RANDOMNESS, Compute, draw_weights
from isl.errors import InputError
from isl.labeling import losses
from isl.labeling.network import ArchitectureConfig, LabelingNetwork
from isl.model_folder import (
    WEIGHTS_FILE,
    FolderConfig,
    fill,
    read_folder_config,
    read_weights,
    save_folder,
)

from ..task import Batch, Selection, Sums, Tree
from .model_folder import label_statistics
from .task import LabelingTask

# Of a label that is the same everywhere.
_LEAST_DEVIATION = 1e-3


class Regressor(LabelingNetwork):
    """Transmitted light in, one intensity for every label and pixel out.

    Attributes:
        geometry: As of a labeling network.
        labels: What it predicts, in order.
        body: As of a labeling network.
        numbers: From the embedding to a number a label, in deviations from its mean.
        scale: Each label's deviation.
        offset: Each label's mean.
    """

    def __init__(
        self,
        architecture: Any,
        *,
        planes: int,
        labels: Sequence[str],
        compute: Compute,
        rngs: nnx.Rngs,
    ) -> None:
        """See `isl.labeling.network.build_network`; heads of 256 logits are left out."""
        super().__init__(
            architecture, planes=planes, labels=(), autoencode=False, compute=compute, rngs=rngs
        )
        self.labels = tuple(labels)
        self.numbers = nnx.Linear(
            self.body.depth,
            len(self.labels),
            kernel_init=nnx.initializers.zeros,
            use_bias=False,
            dtype=compute.dtype,
            rngs=rngs,
        )
        self.scale = nnx.Param(jnp.ones(len(self.labels)))
        self.offset = nnx.Param(jnp.zeros(len(self.labels)))

    def intensities(self, embedding: jax.Array) -> jax.Array:
        """[..., D] to float32 [..., L]."""
        numbers = self.numbers(embedding).astype(jnp.float32)
        shape = (1,) * (numbers.ndim - 1) + (-1,)
        return numbers * self.scale[...].reshape(shape) + self.offset[...].reshape(shape)


def abstract_regressor(
    architecture: Any, *, planes: int, labels: Sequence[str], compute: Compute | None = None
) -> Regressor:
    """A regressor with shapes in place of arrays."""
    return nnx.eval_shape(
        lambda: Regressor(
            architecture,
            planes=planes,
            labels=labels,
            compute=compute or Compute(),
            rngs=NO_RANDOMNESS,
        )
    )


class RegressorConfig(FolderConfig):
    """What a regressor's `model.toml` says."""

    kind: Literal["regressor"] = "regressor"  # pyright: ignore[reportIncompatibleVariableOverride]
    labels: tuple[str, ...]
    planes: int
    architecture: ArchitectureConfig
    normalization: str


def load_regressor(directory: Path) -> tuple[RegressorConfig, Regressor]:
    """What a run left behind, in evaluation mode.

    Raises:
        InputError: A file is missing or damaged.
    """
    config = read_folder_config(directory, RegressorConfig)
    network = abstract_regressor(config.architecture, planes=config.planes, labels=config.labels)
    weights = directory / WEIGHTS_FILE
    fill(network, read_weights(weights), source=str(weights))
    network.eval()
    return config, network


class RegressionTask(LabelingTask):
    """A labeling experiment whose network gives one number a label; see `LabelingTask`.

    Of the table `loss` only `labels`, `label_weights` and `pixels_per_crop` are looked at.
    """

    _functional: Any

    @property
    def selection(self) -> Selection | None:
        """The correlation, since there is no distribution to be judged."""
        return Selection(metric="pearson_mean") if self.ground.validation else None

    def identity(self) -> str:
        """The network in words."""
        return f"regressor of {super().identity()}"

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, whose answers lie around each label's mean.

        Labels are standardized, or the first hundreds of updates would go into finding their mean
        and scale. The last layer is drawn like others: from one of 0 the body learns less.

        Raises:
            InputError: There is a model to start from; a plain yardstick has none.
        """
        if self.config.start.model is not None:
            raise InputError(
                f"start.model {self.config.start.model}: a regressor starts from fresh weights; "
                "leave the table start out"
            )
        network = self._abstract_network()
        draw_weights(network, nnx.Rngs(key))
        statistics = label_statistics(self.ground)
        for index, label in enumerate(self.ground.labels):
            if label in statistics:
                network.offset[...] = network.offset[...].at[index].set(statistics[label].mean)
                deviation = max(statistics[label].standard_deviation, _LEAST_DEVIATION)
                network.scale[...] = network.scale[...].at[index].set(deviation)
        return self._functional.take_apart(network)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Mean squared error, weighted over labels."""
        network: Any = self._in_training(params, model_state)
        embedding = network.embed(jnp.asarray(batch["transmitted"]))
        pixels = self._pixel_subset(key, embedding.shape)
        sums, counts = _squares(
            network.intensities(pixels(embedding)),
            pixels(jnp.asarray(batch["targets"])),
            pixels(jnp.asarray(batch["measured"])),
        )
        total = losses.weighted_mean((sums, counts), jnp.asarray(self._weights))
        by_label = {
            f"squared_error/{label}": (sums[index], counts[index])
            for index, label in enumerate(self.ground.labels)
        }
        _, new_state = self._functional.take_apart(network)
        return self.config.loss.labels * total, (new_state, by_label)

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a folder that `load_regressor` reads."""
        model_state = self._settled(params, model_state)
        network = self._functional.put_together(params, model_state, training=False)
        config = RegressorConfig(
            name=self.config.name or "regressor",
            labels=self.ground.labels,
            planes=self.ground.planes,
            architecture=self.config.network,
            normalization=self.config.normalization,
        )
        save_folder(directory, network, config, f"# {config.name}\n\n{self.identity()}.\n")

    def _abstract_network(self) -> Any:
        return abstract_regressor(
            self.config.network,
            planes=self.ground.planes,
            labels=self.ground.labels,
            compute=self._compute(self.config.training.batch_norm_decay),
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _predict_tile(
        self,
        params: Tree,
        model_state: Tree,
        transmitted: jax.Array,
        targets: jax.Array,
        measured: jax.Array,
    ) -> dict[str, jax.Array]:
        network = self._functional.put_together(params, model_state, training=False)
        found = network.intensities(network.embed(transmitted))
        # There is no distribution: nothing is counted, so that its cross-entropy is unknown.
        none = jnp.zeros(targets.shape[-1])
        return {"mean": found, "median": found, "sums": none, "counts": none}

    def _pass_heads(self, network: LabelingNetwork, embedding: jax.Array) -> None:
        """There is nothing beyond the body that keeps statistics."""


def _squares(
    predicted: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums and counts [L] of squared errors [..., L] where a label was measured."""
    axes = tuple(range(predicted.ndim - 1))
    errors = jnp.where(measured, predicted - jnp.where(measured, intensity, 0.0), 0.0)
    return jnp.sum(jnp.square(errors), axis=axes), jnp.sum(measured, axis=axes, dtype=jnp.float32)
