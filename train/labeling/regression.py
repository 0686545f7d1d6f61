"""The plain yardstick: the same body with one number for every label, fitted by squared error.

It gives no distribution, so it is no model of the product; `isl eval` compares with it.
"""

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
from isl.model_folder import FolderConfig, fill_from, read_folder_config, save_folder
from isl.tiling.plan import Stitch

from ..task import Batch, Selection, Sums
from .config import LabelingConfig
from .fields import Fields
from .fields_task import FieldsTask
from .ground import Ground
from .initial import start_encoder
from .model_folder import label_statistics
from .task import compute_of, network_in_words

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

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["regressor"] = "regressor"  # pyright: ignore[reportIncompatibleVariableOverride]
    labels: tuple[str, ...]
    planes: int
    architecture: ArchitectureConfig
    normalization: str
    stitch: Stitch = "dense"


def load_regressor(directory: Path) -> tuple[RegressorConfig, Regressor]:
    """What a run left behind, in evaluation mode.

    Raises:
        InputError: A file is missing or damaged.
    """
    config = read_folder_config(directory, RegressorConfig)
    network = abstract_regressor(config.architecture, planes=config.planes, labels=config.labels)
    fill_from(directory, config, network)
    network.eval()
    return config, network.exactly() if config.stitch == "exact" else network


class RegressionTask(FieldsTask[Regressor]):
    """A labeling experiment whose network gives one number a label.

    Of the table `loss` only `labels`, `label_weights` and `pixels_per_crop` are looked at.
    """

    def __init__(self, config: LabelingConfig, folder: Path, *, name: str = "regressor") -> None:
        """Reads the fields and lays out the network; arguments as for `LabelingTask`."""
        self._name = name
        fields = Fields(config, folder)
        super().__init__(_abstract(config, fields.ground), config, fields)
        if self.ground.validation:
            # There is no distribution to be judged.
            self.selection = Selection(metric="pearson_mean")

    def identity(self) -> str:
        """The network in words."""
        return f"regressor of {network_in_words(self.config, self.fields, self.parameters)}"

    def build(self, key: jax.Array) -> Regressor:
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
        network = _abstract(self.config, self.ground)
        draw_weights(network, nnx.Rngs(key))
        start_encoder(network, self.config)
        statistics = label_statistics(self.ground)
        for index, label in enumerate(self.ground.labels):
            if label in statistics:
                network.offset[...] = network.offset[...].at[index].set(statistics[label].mean)
                deviation = max(statistics[label].standard_deviation, _LEAST_DEVIATION)
                network.scale[...] = network.scale[...].at[index].set(deviation)
        return network

    def objective(self, network: Regressor, batch: Batch, key: jax.Array) -> tuple[jax.Array, Sums]:
        """Mean squared error, weighted over labels."""
        embedding = network.embed(jnp.asarray(batch["transmitted"]))
        pixels = self.fields.pixel_subset(key, embedding.shape)
        sums, counts = _squares(
            network.intensities(pixels(embedding)),
            pixels(jnp.asarray(batch["targets"])),
            pixels(jnp.asarray(batch["measured"])),
        )
        total = losses.weighted_mean((sums, counts), jnp.asarray(self.fields.label_weights))
        diagnostics = self.fields.by_label("squared_error", sums, counts)
        return self.config.loss.labels * total, diagnostics

    def pass_through(self, network: Regressor, batch: Batch, key: jax.Array) -> None:
        """Nothing beyond the body keeps statistics."""
        network.embed(jnp.asarray(batch["transmitted"]))

    def save(self, network: Regressor, directory: Path, metrics: Mapping[str, float]) -> None:
        """Writes a folder that `load_regressor` reads."""
        config = RegressorConfig(
            name=self.config.name or self._name,
            labels=self.ground.labels,
            planes=self.ground.planes,
            architecture=self.config.network,
            normalization=self.config.normalization,
            stitch=self.config.stitch,
        )
        save_folder(directory, network, config, f"# {config.name}\n\n{self.identity()}.\n")

    def said_of(
        self, network: Regressor, transmitted: jax.Array, targets: jax.Array, measured: jax.Array
    ) -> dict[str, jax.Array]:
        """Intensities alone."""
        found = network.intensities(network.embed(transmitted))
        # There is no distribution: nothing is counted, so that its cross-entropy is unknown.
        none = jnp.zeros(targets.shape[-1])
        return {"mean": found, "median": found, "sums": none, "counts": none}


def _abstract(config: LabelingConfig, ground: Ground) -> Regressor:
    return abstract_regressor(
        config.network, planes=ground.planes, labels=ground.labels, compute=compute_of(config)
    )


def _squares(
    predicted: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums and counts [L] of squared errors [..., L] where a label was measured."""
    axes = tuple(range(predicted.ndim - 1))
    errors = jnp.where(measured, predicted - jnp.where(measured, intensity, 0.0), 0.0)
    return jnp.sum(jnp.square(errors), axis=axes), jnp.sum(measured, axis=axes, dtype=jnp.float32)
