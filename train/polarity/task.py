"""The polarity task: a classifier of frames, before the onset of polarization or after it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from isl.backbones.imagenet_weights import load_imagenet_weights
from isl.backbones.networks import Compute
from isl.backbones.resnet import ResNet, ResNetConfig
from isl.errors import InputError
from isl.labeling.model import load_model
from isl.model_folder import arrays_of, fill
from isl.polarity.classifier import (
    Classifier,
    Encoder,
    EncoderConfig,
    abstract_classifier,
    build_classifier,
)
from isl.polarity.model import channels_of, save_polarity_model
from isl.polarity.pretrained import PretrainedConfig
from isl.polarity.view import standardized

from ..data import endless
from ..network_task import NetworkTask
from ..state import Tree
from ..task import Batch, Evaluation, Selection, Sums
from .augment import moved, relit
from .config import PolarityExperiment
from .ground import Ground
from .model_folder import polarity_config


class PolarityTask(NetworkTask[Classifier]):
    """One member of an ensemble; see `isl_train.network_task.NetworkTask`, whose methods these are.

    The members of an ensemble hold nothing out to judge by: with so few embryos, one that judged
    could not teach; see `isl eval`. A search does, and says which by `judged`.
    """

    losses = frozenset({"onset", "auxiliary"})

    def __init__(
        self,
        experiment: PolarityExperiment,
        ground: Ground,
        *,
        start: str | Path = "",
        folder: Path = Path(),
        judged: Ground | None = None,
    ) -> None:
        """Lays out the network; arguments as for `train_ensemble`.

        Args:
            experiment: Of one member.
            ground: What it learns from.
            start: Where a backbone of kind "encoder" takes its weights from.
            folder: What the path of ImageNet weights is relative to.
            judged: Frames of other embryos, by which it is judged while it trains.
        """
        self._judged = judged
        if judged is not None:
            # Hard labels, whatever it learns from; lower is better.
            self.selection = Selection(metric="cross_entropy", higher_is_better=False)
        backbone = experiment.backbone
        if isinstance(backbone, PretrainedConfig):
            raise ValueError("what a pretrained backbone sees is read, not trained")
        self._backbone: ResNetConfig | EncoderConfig = backbone
        self._config = experiment
        self._ground = ground
        self._start = start
        self._folder = folder
        abstract = abstract_classifier(backbone, self._channels, **self._kind)
        count = experiment.training.reestimate_batches
        super().__init__(abstract, experiment, settling_batches=count)

    @property
    def pixels_per_example(self) -> int:
        """Pixels of a view."""
        return self._config.sight.size**2

    def identity(self) -> str:
        """The network, what it looks at, and its size, in words."""
        backbone = self._config.backbone
        settings = ", ".join(f"{k} {v}" for k, v in backbone.model_dump(exclude={"kind"}).items())
        return (
            f"{backbone.kind} ({settings}) of {self._config.arm} at "
            f"{self._config.sight.size} pixels, {self.parameters:,} parameters"
        )

    def ground_hash(self) -> str:
        """Of the recordings learned from and judged by."""
        return f"{self._ground.sha256} {self._judged.sha256 if self._judged else ''}"

    def build(self, key: jax.Array) -> Classifier:
        """Fresh weights, or those that the experiment names, where they fit."""
        network = build_classifier(self._backbone, self._channels, **self._kind, rngs=nnx.Rngs(key))
        weights = self._config.imagenet_weights
        if weights is not None:
            if not isinstance(network.backbone, ResNet):
                raise InputError("imagenet_weights are for a backbone of kind 'resnet'")
            load_imagenet_weights(network.backbone, self._folder / weights, average_stem=True)
        pretrained = self._config.encoder_start == "labeling"
        if isinstance(network.backbone, Encoder) and self._start and pretrained:
            _start_encoder(network.backbone, self._start)
        return network

    def objective(
        self, network: Classifier, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Sums]:
        """Cross-entropy to the soft targets, and the squared error of the auxiliary head."""
        views, measured = self._seen(batch, key)
        maps = network.backbone.features(views)
        logits = network.classify(maps)
        after = jnp.asarray(batch["targets"])
        entropy = optax.softmax_cross_entropy(logits, jnp.stack([1 - after, after], axis=-1))
        count = jnp.asarray(entropy.size, jnp.float32)
        right = jnp.sum((logits[:, 1] > logits[:, 0]) == (after > 0.5))
        sums = {"cross_entropy": (entropy.sum(), count), "accuracy": (right, count)}
        total = self.weight_of("onset") * entropy.mean()
        if network.auxiliary is not None:
            error = _auxiliary_error(network.auxiliary(maps)[..., 0], measured)
            total = total + self.weight_of("auxiliary", self._config.loss.auxiliary) * error.mean()
            sums["auxiliary"] = (error.sum(), count)
        return total, sums

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """How the frames of `judged` are called, as they are."""
        if self._judged is None:
            return Evaluation(metrics={}, pictures={})
        state = self.settled(params, model_state)
        size, views = self._config.training.batch_size, self._judged.views[..., : self._channels]
        seen = standardized(views) if self._config.sight.standardize[0] else views
        logits = []
        for first in range(0, len(seen), size):
            portion = seen[first : first + size]
            full = np.concatenate([portion, np.repeat(portion[-1:], size - len(portion), axis=0)])
            logits.append(
                np.asarray(self._called(params, state, jnp.asarray(full)))[: len(portion)]
            )
        odds = np.diff(np.concatenate(logits).astype(np.float64), axis=-1)[:, 0]
        after = self._judged.targets > 0.5
        # log(1 + e^-x) of the odds for what is true, without overflow.
        entropy = np.logaddexp(0, np.where(after, -odds, odds))
        accuracy = float(np.mean((odds > 0) == after))
        return Evaluation(
            metrics={"cross_entropy": float(entropy.mean()), "accuracy": accuracy}, pictures={}
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _called(self, params: Tree, model_state: Tree, views: jax.Array) -> jax.Array:
        return self.predicting(params, model_state)(views)

    def pass_through(self, network: Classifier, batch: Batch, key: jax.Array) -> None:
        """Nothing beyond the backbone keeps statistics."""
        network.backbone.features(self._seen(batch, key)[0])

    def examples(self, seed: int) -> grain.MapDataset:
        """Frames without end."""
        return endless(self._ground.draw, seed)

    def describe(self, batch: Batch) -> str:
        """Names of the frames in a batch."""
        return ", ".join(self._ground.names[int(index)] for index in np.asarray(batch["frame"]))

    def save(self, network: Classifier, directory: Path, metrics: Mapping[str, float]) -> None:
        """Writes a model of this member alone."""
        config = polarity_config(self._config, (), "member", 1, anything="ezrin-aif")
        save_polarity_model(directory, [network], config, "One member of an ensemble.\n")

    @property
    def _channels(self) -> int:
        return len(channels_of(self._config.arm))

    @property
    def _kind(self) -> dict[str, Any]:
        training = self._config.training
        compute = Compute(precision=training.precision, batch_norm_decay=training.batch_norm_decay)
        return {"compute": compute, "auxiliary": self._config.loss.auxiliary > 0}

    def _seen(self, batch: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Augmented views [B, Y, X, C], and the measured Ezrin turned along [B, Y, X, 0 or 1]."""
        place, light = jax.random.split(key)
        turned = moved(jnp.asarray(batch["views"]), self._config.sight, place)
        seen = relit(turned[..., : self._channels], self._config.sight, light)
        return seen, turned[..., self._channels :]


def _auxiliary_error(predicted: jax.Array, measured: jax.Array) -> jax.Array:
    """Mean squared error [B] of maps [B, y, x] against measured Ezrin [B, Y, X, 1] made small."""
    batch, rows, columns = predicted.shape
    small = jax.image.resize(measured[..., 0], (batch, rows, columns), "linear", antialias=True)
    means = small.mean(axis=(1, 2), keepdims=True)
    deviations = small.std(axis=(1, 2), keepdims=True) + 1e-3
    return jnp.mean((predicted - (small - means) / deviations) ** 2, axis=(1, 2))


def _start_encoder(encoder: Encoder, model: str | Path) -> None:
    """The way down of a labeling network as a backbone.

    Raises:
        InputError: It is no U-Net of these levels and widths, or takes another number of planes.
    """
    labeling = load_model(model)
    prefix = "body/down/"
    arrays = {
        f"down/{name.removeprefix(prefix)}": array
        for name, array in arrays_of(labeling.network).items()
        if name.startswith(prefix)
    }
    fill(encoder, arrays, source=f"{labeling.directory} as a backbone")
