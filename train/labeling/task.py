"""The labeling task: transmitted light in, a distribution for every label and pixel out."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones import layers
from isl.backbones.networks import Compute
from isl.labeling import bins, losses
from isl.labeling.model_config import learned_from, read_model_config
from isl.labeling.network import LabelingNetwork, abstract_network, build_network
from isl.model_folder import model_directory

from ..optimizer import frozen_mask
from ..task import Batch, Selection, Sums, Tree
from .config import LabelingConfig, LossConfig
from .fields import Fields, check_crop
from .fields_task import FieldsTask
from .ground import Ground
from .initial import start_encoder, start_from_model, with_histogram_biases
from .misregistration import moved_labels
from .model_folder import write_model
from .validation import IMAGES


def _keep_silent(_: str) -> None:
    """Says nothing to anybody."""


class LabelingTask(FieldsTask[LabelingNetwork]):
    """See `isl_train.network_task.NetworkTask`, whose methods these are."""

    losses = frozenset({"labels", "autoencoding"})

    def __init__(
        self,
        config: LabelingConfig,
        folder: Path,
        *,
        name: str = "model",
        say: Callable[[str], None] = _keep_silent,
    ) -> None:
        """Reads the fields and lays out the network.

        Args:
            config: The experiment.
            folder: Where the configuration's file lies; paths in it are relative to this.
            name: Of the model, where the configuration gives none.
            say: Called with what a person should know, a line at a time.

        Raises:
            InputError: Something in the configuration does not fit the data or the network.
        """
        self._folder = folder
        self._name = name
        self._say = say
        fields = Fields(config, folder)
        network = abstract_network(config.network, **_size(config, fields.ground))
        super().__init__(network, config, fields)
        say(self.fields.summary())

    # A property stands for the attribute of the protocol, which nobody sets.
    @property
    def selection(self) -> Selection | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What picks the best checkpoint; depends on the data, hence no plain attribute."""
        if not self.ground.validation:
            return None
        metric = self.config.validation.select
        return Selection(metric=metric, higher_is_better=metric != "cross_entropy")

    def identity(self) -> str:
        """The network, its input and its heads, in words."""
        return network_in_words(self.config, self.fields, self.parameters)

    def build(self, key: jax.Array) -> LabelingNetwork:
        """Fresh weights, or those of the model to start from where they fit."""
        network = build_network(
            self.config.network, **_size(self.config, self.ground), rngs=nnx.Rngs(key)
        )
        if self.config.loss.initial_bias == "histogram":
            with_histogram_biases(network, self.ground)
        start_encoder(network, self.config)
        if self.config.start.model is not None:
            kept, fresh = start_from_model(network, self._start_model(self.config.start.model))
            self._say(
                f"starting from {self.config.start.model}: {kept} arrays copied; fresh: "
                f"{', '.join(fresh) if fresh else 'none'}"
            )
            self._warn_of_known(self.config.start.model)
        return network

    def _warn_of_known(self, model: str) -> None:
        """Says so where the model to start from learned from what this run is judged by."""
        start = read_model_config(model_directory(self._start_model(model)))
        if not start.input.turned and self.ground.settled(self.config.augment).all_ways:
            self._say(
                f"{model} learned light from one side alone, and crops are turned here: "
                "augment.rotate = false and augment.flip = false keep what it learned"
            )
        known = learned_from(sorted({*self.ground.validation_groups}), start.trained_on)
        if known:
            self._say(
                f"{model} learned from {', '.join(known)}, by which this run is judged: its "
                "figures flatter"
            )

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """As of every task; nothing is spent on gradients of what is frozen."""
        freeze = self.config.start.freeze
        if freeze:
            params = jax.tree.map(
                lambda array, still: jax.lax.stop_gradient(array) if still else array,
                params,
                frozen_mask(params, freeze),
            )
        return super().loss(params, model_state, batch, key)

    def objective(
        self, network: LabelingNetwork, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Sums]:
        """Weighted losses of labels and planes (specification, section 6)."""
        config = self.config.loss
        transmitted = jnp.asarray(batch["transmitted"])
        planes = layers.crop(transmitted, network.geometry.margin)
        visible = jnp.broadcast_to(jnp.asarray(batch["visible"])[..., None], planes.shape)
        pixels = self.fields.pixel_subset(key, planes.shape)
        embedding = pixels(network.embed(transmitted))
        logits = network.label_logits(embedding, self.ground.labels)
        targets, measured = jnp.asarray(batch["targets"]), jnp.asarray(batch["measured"])
        if config.misregistration:
            targets, measured = moved_labels(
                logits, targets, measured, pixels, most=config.misregistration
            )
        else:
            targets, measured = pixels(targets), pixels(measured)
        terms, (sums, counts) = _terms(config, logits, targets, measured)
        weights = jnp.asarray(self.fields.label_weights)
        label_loss = losses.weighted_mean(terms, weights)
        if config.window:
            for weight, of_labels in self.fields.of_windows(logits, targets, measured):
                label_loss = label_loss + weight * losses.weighted_mean(of_labels, weights)
        total = self.weight_of("labels", config.labels) * label_loss
        diagnostics = self.fields.by_label("cross_entropy", sums, counts)
        if config.autoencoding:
            terms, (sums, counts) = _terms(
                config, network.plane_logits(embedding), pixels(planes), pixels(visible)
            )
            plane_loss = losses.weighted_mean(terms, jnp.ones(planes.shape[-1]))
            total = total + self.weight_of("autoencoding", config.autoencoding) * plane_loss
            diagnostics["autoencoding"] = (jnp.sum(sums), jnp.sum(counts))
        return total, diagnostics

    def pass_through(self, network: LabelingNetwork, batch: Batch, key: jax.Array) -> None:
        """Body and heads."""
        embedding = network.embed(jnp.asarray(batch["transmitted"]))
        network.label_logits(embedding, self.ground.labels)
        if self.config.loss.autoencoding:
            network.plane_logits(embedding)

    def save(self, network: LabelingNetwork, directory: Path, metrics: Mapping[str, float]) -> None:
        """Writes a model folder that prediction can use."""
        model = self.config.start.model
        start = None
        if model is not None:
            start = read_model_config(model_directory(self._start_model(model)))
        write_model(
            directory,
            network,
            self.config,
            self.ground,
            name=self.config.name or self._name,
            summary=self.identity(),
            metrics=metrics,
            start=start,
        )

    def _start_model(self, model: str) -> str | Path:
        """A folder beside the configuration goes before a bundled model of that name."""
        beside = self._folder / model
        return beside if beside.is_dir() else model

    def said_of(
        self,
        network: LabelingNetwork,
        transmitted: jax.Array,
        targets: jax.Array,
        measured: jax.Array,
    ) -> dict[str, jax.Array]:
        """Statistics, and the cross-entropy."""

        def of_row(row: tuple[jax.Array, jax.Array, jax.Array]) -> dict[str, jax.Array]:
            embedding, target, is_measured = row
            logits = network.label_logits(embedding, self.ground.labels)
            sums, counts = losses.cross_entropy(logits, target, is_measured)
            return {**bins.statistics(logits, IMAGES), "sums": sums, "counts": counts}

        # Row by row: 256 logits for every label of a whole tile would fill the memory.
        rows = jax.lax.map(of_row, (network.embed(transmitted)[0], targets[0], measured[0]))
        images = {name: rows[name][None] for name in IMAGES}
        return {**images, "sums": rows["sums"].sum(axis=0), "counts": rows["counts"].sum(axis=0)}


def _size(config: LabelingConfig, ground: Ground) -> dict[str, Any]:
    return {
        "planes": ground.planes,
        "labels": ground.labels,
        "autoencode": config.loss.autoencoding > 0,
        "compute": compute_of(config),
    }


def compute_of(config: LabelingConfig) -> Compute:
    """How an experiment's network computes."""
    training = config.training
    return Compute(precision=training.precision, batch_norm_decay=training.batch_norm_decay)


def network_in_words(config: LabelingConfig, fields: Fields, parameters: int) -> str:
    """The network, its input and its heads."""
    architecture = config.network
    shape = ", ".join(
        f"{name} {value}" for name, value in architecture.model_dump(exclude={"kind"}).items()
    )
    heads = f"labels {' '.join(fields.ground.labels)}"
    if config.loss.autoencoding:
        heads += " and autoencoding"
    return (
        f"{architecture.kind} ({shape}), {fields.ground.planes} planes, {heads}, "
        f"{parameters:,} parameters"
    )


def _terms(
    config: LossConfig, logits: jax.Array, targets: jax.Array, measured: jax.Array
) -> tuple[losses.Sums, losses.Sums]:
    """The weighted sum of the loss terms, and the cross-entropy alone; sums and counts [L]."""
    of = functools.partial(_sums_of_terms, config)
    total, (plain, counts) = losses.by_parts(of, logits, targets, measured)
    return (total, counts), (plain, counts)


def _sums_of_terms(
    config: LossConfig, logits: jax.Array, targets: jax.Array, measured: jax.Array
) -> tuple[jax.Array, losses.Sums]:
    """Sums of the weighted terms, and those of the cross-entropy alone with counts; all [L]."""
    plain = losses.cross_entropy(logits, targets, measured)
    total = jnp.zeros_like(plain[0])
    if config.cross_entropy:
        softened = plain
        if config.softening:
            softened = losses.cross_entropy(logits, targets, measured, softening=config.softening)
        total = total + config.cross_entropy * softened[0]
    if config.ranked_probability_score:
        score = losses.ranked_probability_score(logits, targets, measured)
        total = total + config.ranked_probability_score * score[0]
    if config.squared_error:
        error = losses.squared_error(logits, targets, measured)
        total = total + config.squared_error * error[0]
    return total, plain


__all__ = ["LabelingTask", "check_crop"]
