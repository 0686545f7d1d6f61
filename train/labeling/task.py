"""The labeling task: transmitted light in, a distribution for every label and pixel out."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones import layers
from isl.backbones.networks import Compute, count_parameters
from isl.errors import InputError, unknown
from isl.labeling import bins, losses
from isl.labeling.dataset import load_manifest
from isl.labeling.model_config import ModelConfig, read_model_config
from isl.labeling.network import LabelingNetwork, abstract_network, build_network
from isl.model_folder import model_directory

from ..parameters import Functional
from ..task import Batch, Evaluation, Selection, Sums, Tree
from .augment import AugmentConfig, augment
from .config import LabelingConfig
from .crops import Cropper
from .ground import Ground, load_ground, with_planes
from .initial import start_from_model, with_histogram_biases
from .model_folder import write_model
from .validation import IMAGES, validate


def _keep_silent(_: str) -> None:
    """Tells nobody."""


# As many examples as nobody draws; grain's own endless repetition cannot be cut into batches of 1.
_ENDLESS = 2**53


class LabelingTask:
    """See `isl_train.task.Task`, whose methods these are.

    Attributes:
        config: The experiment.
        ground: The fields, in memory.
        parameters: How many numbers are trained.
    """

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
            say: Told what a person should know, a line at a time.

        Raises:
            InputError: Something in the configuration does not fit the data or the network.
        """
        self.config = config
        self.folder = folder
        check_crop(config)
        manifest = load_manifest(folder / config.dataset).without(config.leave_out)
        self.ground: Ground = load_ground(
            with_planes(manifest, config.planes), config.labels, config.normalization
        ).part(config.ground_share, config.seed)
        for label in config.loss.label_weights:
            if label not in self.ground.labels:
                raise unknown("label in loss.label_weights", label, self.ground.labels)
        self._cropper = Cropper(
            self.ground.training, config.training_geometry, config.training.crop
        )
        self._weights = np.array(
            [config.loss.label_weights.get(label, 1.0) for label in self.ground.labels], np.float32
        )
        abstract = self._abstract_network()
        self.parameters = count_parameters(abstract)
        self._functional: Functional[LabelingNetwork] = Functional(abstract)
        self._say = say
        self._name = name
        say(
            f"{len(self.ground.training)} training and {len(self.ground.validation)} validation "
            f"fields, {self.ground.nbytes / 2**30:.2f} GiB in memory (each worker process holds "
            "its own copy)"
        )

    @property
    def selection(self) -> Selection | None:
        """What picks the best checkpoint."""
        if not self.ground.validation:
            return None
        metric = self.config.validation.select
        return Selection(metric=metric, higher_is_better=metric != "cross_entropy")

    @property
    def pixels_per_example(self) -> int:
        """Input pixels of a crop."""
        return self.config.training.crop**2

    def identity(self) -> str:
        """The network, its input and its heads, in words."""
        architecture = self.config.network
        shape = ", ".join(
            f"{name} {value}" for name, value in architecture.model_dump(exclude={"kind"}).items()
        )
        heads = f"labels {' '.join(self.ground.labels)}"
        if self.config.loss.autoencoding:
            heads += " and autoencoding"
        return (
            f"{architecture.kind} ({shape}), {self.ground.planes} planes, {heads}, "
            f"{self.parameters:,} parameters"
        )

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, or those of the model to start from where they fit."""
        network = self._network(key)
        if self.config.loss.initial_bias == "histogram":
            with_histogram_biases(network, self.ground)
        if self.config.start.model is not None:
            kept, fresh = start_from_model(network, self._start_model(self.config.start.model))
            self._say(
                f"starting from {self.config.start.model}: {kept} arrays copied; fresh: "
                f"{', '.join(fresh) if fresh else 'none'}"
            )
        return Functional.take_apart(network)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Weighted losses of labels and planes (specification, section 6)."""
        network = self._in_training(params, model_state)
        transmitted = jnp.asarray(batch["transmitted"])
        planes = layers.crop(transmitted, network.geometry.margin)
        visible = jnp.broadcast_to(jnp.asarray(batch["visible"])[..., None], planes.shape)
        pixels = self._pixel_subset(key, planes.shape)
        embedding = pixels(network.embed(transmitted))
        total, sums = self._label_loss(
            network,
            embedding,
            pixels(jnp.asarray(batch["targets"])),
            pixels(jnp.asarray(batch["measured"])),
        )
        if self.config.loss.autoencoding:
            plane_losses = self._terms(
                network.plane_logits(embedding), pixels(planes), pixels(visible)
            )
            plane_loss = losses.weighted_mean(plane_losses[0], jnp.ones(planes.shape[-1]))
            total = total + self.config.loss.autoencoding * plane_loss
            cross_entropy = plane_losses[1]
            sums["autoencoding"] = (jnp.sum(cross_entropy[0]), jnp.sum(cross_entropy[1]))
        _, new_state = Functional.take_apart(network)
        return total, (new_state, sums)

    def examples(self, seed: int) -> grain.MapDataset:
        """Augmented crops without end."""
        draw = functools.partial(_draw, cropper=self._cropper, config=self.config.augment)
        return grain.MapDataset.range(_ENDLESS).random_map(draw, seed=seed)

    def describe(self, batch: Batch) -> str:
        """Names of the fields in a batch."""
        names = {self.ground.training[int(index)].name for index in np.asarray(batch["field"])}
        return f"field{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}"

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Predicts held-out ground and compares it label by label."""
        if not self.ground.validation:
            return Evaluation(metrics={}, pictures={})
        model_state = self._settled(params, model_state)
        return validate(
            functools.partial(self._predict_tile, params, model_state),
            self.config.network.geometry,
            self.ground.validation,
            self.ground.labels,
            tile=self._tile(),
            pictures=pictures,
        )

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model folder that prediction can use."""
        model_state = self._settled(params, model_state)
        network = self._functional.put_together(params, model_state, training=False)
        write_model(
            directory,
            network,
            self.config,
            self.ground,
            name=self.config.name or self._name,
            summary=self.identity(),
            metrics=metrics,
            start=self._start_config(),
        )

    def _start_config(self) -> ModelConfig | None:
        model = self.config.start.model
        if model is None:
            return None
        return read_model_config(model_directory(self._start_model(model)))

    def _start_model(self, model: str) -> str | Path:
        """A folder beside the configuration goes before a bundled model of that name."""
        beside = self.folder / model
        return beside if beside.is_dir() else model

    def _abstract_network(self) -> LabelingNetwork:
        return abstract_network(self.config.network, **self._size)

    def _network(self, key: jax.Array) -> LabelingNetwork:
        return build_network(self.config.network, **self._size, rngs=nnx.Rngs(key))

    @property
    def _size(self) -> dict[str, Any]:
        return {
            "planes": self.ground.planes,
            "labels": self.ground.labels,
            "autoencode": self.config.loss.autoencoding > 0,
            "compute": self._compute(self.config.training.batch_norm_decay),
        }

    def _compute(self, batch_norm_decay: float) -> Compute:
        return Compute(precision=self.config.training.precision, batch_norm_decay=batch_norm_decay)

    def _in_training(self, params: Tree, model_state: Tree) -> LabelingNetwork:
        network = self._functional.put_together(params, model_state, training=True)
        return network.padded() if self.config.training.padded else network

    def _label_loss(
        self,
        network: LabelingNetwork,
        embedding: jax.Array,
        targets: jax.Array,
        measured: jax.Array,
    ) -> tuple[jax.Array, Sums]:
        labels = self.ground.labels
        terms, (sums, counts) = self._terms(
            network.label_logits(embedding, labels), targets, measured
        )
        total = self.config.loss.labels * losses.weighted_mean(terms, jnp.asarray(self._weights))
        by_label = {
            f"cross_entropy/{label}": (sums[index], counts[index])
            for index, label in enumerate(labels)
        }
        return total, by_label

    def _terms(
        self, logits: jax.Array, targets: jax.Array, measured: jax.Array
    ) -> tuple[losses.Sums, losses.Sums]:
        """The weighted sum of the loss terms, and the cross-entropy alone; sums and counts [L]."""
        total, (plain, counts) = losses.by_parts(self._objective, logits, targets, measured)
        return (total, counts), (plain, counts)

    def _objective(
        self, logits: jax.Array, targets: jax.Array, measured: jax.Array
    ) -> tuple[jax.Array, losses.Sums]:
        """Sums of the weighted terms, and those of the cross-entropy alone with counts; all [L]."""
        config = self.config.loss
        plain = losses.cross_entropy(logits, targets, measured)
        total = jnp.zeros_like(plain[0])
        if config.cross_entropy:
            softened = plain
            if config.softening:
                softened = losses.cross_entropy(
                    logits, targets, measured, softening=config.softening
                )
            total = total + config.cross_entropy * softened[0]
        if config.ranked_probability_score:
            score = losses.ranked_probability_score(logits, targets, measured)
            total = total + config.ranked_probability_score * score[0]
        if config.squared_error:
            error = losses.squared_error(logits, targets, measured)
            total = total + config.squared_error * error[0]
        return total, plain

    def _pixel_subset(
        self, key: jax.Array, shape: tuple[int, ...]
    ) -> Callable[[jax.Array], jax.Array]:
        """A function that takes [B, y, x, C] to the same pixels of every example, [B, N, C]."""
        _, height, width, _ = shape
        wanted = self.config.loss.pixels_per_crop
        if wanted == 0 or wanted >= height * width:
            return _all_pixels
        chosen = jax.random.permutation(key, height * width)[:wanted]
        return functools.partial(_some_pixels, chosen)

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

        def of_row(row: tuple[jax.Array, jax.Array, jax.Array]) -> dict[str, jax.Array]:
            embedding, target, is_measured = row
            logits = network.label_logits(embedding, self.ground.labels)
            sums, counts = losses.cross_entropy(logits, target, is_measured)
            return {**bins.statistics(logits, IMAGES), "sums": sums, "counts": counts}

        # Row by row: 256 logits for every label of a whole tile would fill the memory.
        rows = jax.lax.map(of_row, (network.embed(transmitted)[0], targets[0], measured[0]))
        images = {name: rows[name][None] for name in IMAGES}
        return {**images, "sums": rows["sums"].sum(axis=0), "counts": rows["counts"].sum(axis=0)}

    def _tile(self) -> int:
        geometry = self.config.network.geometry
        narrowest = geometry.output_size(geometry.input_size(geometry.step))
        return max(self.config.validation.tile, narrowest)

    def _settled(self, params: Tree, model_state: Tree) -> Tree:
        """The model state to predict with: batch statistics taken anew if so configured."""
        count = self.config.validation.reestimate_batches
        if not count:
            return model_state
        batches = self.examples(self.config.seed).batch(self.config.training.batch_size)
        total = jax.tree.map(jnp.zeros_like, model_state)
        for index in range(count):
            batch: Any = batches[index]
            now = self._batch_statistics(params, model_state, batch["transmitted"])
            total = jax.tree.map(jnp.add, total, now)
        return jax.tree.map(lambda array: array / count, total)

    @functools.partial(jax.jit, static_argnums=0)
    def _batch_statistics(self, params: Tree, model_state: Tree, transmitted: jax.Array) -> Tree:
        """The batch statistics of one batch alone: a running mean without memory."""
        network = self._in_training(params, model_state)
        for _, module in nnx.iter_modules(network):
            if isinstance(module, nnx.BatchNorm):
                module.momentum = 0.0
        self._pass_heads(network, network.embed(transmitted))
        return Functional.take_apart(network)[1]

    def _pass_heads(self, network: LabelingNetwork, embedding: jax.Array) -> None:
        """For what the heads keep of what they saw."""
        network.label_logits(embedding, self.ground.labels)
        if self.config.loss.autoencoding:
            network.plane_logits(embedding)


def _draw(
    _: int, rng: np.random.Generator, *, cropper: Cropper, config: AugmentConfig
) -> dict[str, np.ndarray]:
    return augment(cropper.draw(rng), config, rng)


def _all_pixels(array: jax.Array) -> jax.Array:
    return array.reshape(array.shape[0], -1, array.shape[-1])


def _some_pixels(chosen: jax.Array, array: jax.Array) -> jax.Array:
    return _all_pixels(array)[:, chosen]


def check_crop(config: LabelingConfig) -> None:
    """Refuses crops that do not pass through the network.

    Raises:
        InputError: Names the widths that do.
    """
    geometry, crop = config.training_geometry, config.training.crop
    if not geometry.is_valid(crop):
        above = geometry.input_size(max(1, crop - 2 * geometry.margin))
        below = max(above - geometry.step, geometry.smallest)
        raise InputError(
            f"training.crop {crop} does not fit the network: widths are {geometry.smallest} + "
            f"m * {geometry.step}; the nearest are {below} and {above}"
        )
