"""The polarity task: one member of an ensemble that tells frames before the onset from those after.

`train_polarity` is what `isl train` does with such an experiment: it cross-fits EZRIN, trains the
members one after the other, and leaves one model folder behind. Every part is kept and resumed.
"""

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.ndimage import map_coordinates
from rich.console import Console

from isl.backbones.imagenet_weights import load_imagenet_weights
from isl.backbones.networks import Compute, count_parameters
from isl.backbones.resnet import ResNet
from isl.config import load_toml
from isl.errors import InputError
from isl.labeling.dataset import load_manifest
from isl.labeling.model import load_model
from isl.model_folder import arrays_of, fill
from isl.polarity.classifier import Classifier, Encoder, abstract_classifier, build_classifier
from isl.polarity.model import (
    EZRIN_FOLDER,
    PolarityConfig,
    channels_of,
    load_polarity_model,
    middles_of,
    save_polarity_model,
    views_of,
)

from ..experiment import check_same_run
from ..labeling.config import LabelingConfig
from ..loop import fit
from ..parameters import Functional
from ..task import Batch, Evaluation, Selection, Sums, Tree
from .config import OnsetLossConfig, PolarityExperiment, SightConfig
from .crossfit import Crossfit, folds_of
from .embryos import Embryo, load_embryos

# As many examples as nobody draws; grain's own endless repetition cannot be cut into batches of 1.
_ENDLESS = 2**53


def train_polarity(
    experiment: PolarityExperiment,
    folder: Path,
    workdir: Path,
    *,
    name: str,
    say: Callable[[str], None],
    console: Console | None = None,
) -> Path:
    """Trains an ensemble as a configuration says.

    Args:
        experiment: The configuration.
        folder: Where its file lies; paths in it are relative to this.
        workdir: Holds `ezrin/` (the cross-fit), `member_0/` and so on, and in the end `model/`.
        name: Of the model, where the configuration gives none.
        say: Told what a person should know, a line at a time.
        console: Where progress is shown; None: nowhere.

    Returns:
        The model's folder.

    Raises:
        InputError: Something in the configuration does not fit the data.
        KeyboardInterrupt: It was stopped; it goes on from there the next time.
    """
    manifest = load_manifest(folder / experiment.dataset).without(experiment.leave_out)
    embryos = [embryo for embryo in load_embryos(manifest) if embryo.split == "train"]
    if not embryos:
        raise InputError(f"{manifest.path}: no time-lapse has split 'train'; training needs one")
    labeling_file = folder / experiment.ezrin.experiment
    labeling = load_toml(labeling_file, LabelingConfig)
    held_out = {field.group for field in manifest.fields if field.split != "train"}
    unseen = sorted({*labeling.leave_out, *experiment.leave_out, *held_out})
    crossfit = Crossfit(
        labeling.model_copy(update={"leave_out": tuple(unseen)}),
        labeling_file.parent,
        workdir / "ezrin",
        folds_of(embryos, experiment.ezrin.folds),
        say=say,
        console=console,
    )
    ezrin = {embryo.name: crossfit.predicted(embryo) for embryo in embryos}
    finished = crossfit.model_without(()) if not experiment.ezrin.model else None
    start = finished or experiment.ezrin.model
    model = train_ensemble(
        experiment, embryos, ezrin, workdir, name=name, labeling_model=start, console=console
    )
    if finished is not None and not (model / EZRIN_FOLDER).exists():
        shutil.copytree(finished, model / EZRIN_FOLDER)
    return model


def train_ensemble(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    ezrin: Mapping[str, np.ndarray],
    workdir: Path,
    *,
    name: str,
    labeling_model: str | Path = "",
    folder: Path = Path(),
    console: Console | None = None,
) -> Path:
    """Trains the members one after the other and joins them into one model folder.

    Args:
        experiment: What and how.
        embryos: Whom to learn from.
        ezrin: Predicted EZRIN float32 [T, Y, X] of each, by the recording's name, from networks
            that did not know it.
        workdir: Holds `member_0/` and so on, and in the end `model/`.
        name: Of the model, where the experiment gives none.
        labeling_model: Where a backbone of kind "encoder" takes its weights from.
        folder: What the path of ImageNet weights is relative to.
        console: Where progress is shown; None: nowhere.

    Returns:
        The model's folder. It names the bundled model that predicts EZRIN, or lacks one.

    Raises:
        InputError: Measured Ezrin is needed and missing, weights to start from do not fit, or the
            folder holds members of other settings.
        KeyboardInterrupt: It was stopped; it goes on from there the next time.
    """
    runs = {
        workdir / f"member_{member}": experiment.of_member(member)
        for member in range(experiment.members)
    }
    for run, of_member in runs.items():
        check_same_run(run, of_member)
    ground = Ground(experiment, embryos, ezrin)
    members: list[Classifier] = []
    for run, of_member in runs.items():
        task = PolarityTask(of_member, ground, start=labeling_model, folder=folder)
        progress = fit(task, of_member, run, console=console)
        if progress.update < of_member.training.steps:
            raise KeyboardInterrupt
        members += load_polarity_model(run / "model").members
    config = polarity_config(experiment, embryos, experiment.name or name, experiment.members)
    directory = workdir / "model"
    save_polarity_model(
        directory,
        members,
        config,
        card(experiment, embryos, config),
        overwrite=True,
        kernels=experiment.kernels,
    )
    return directory


class Ground:
    """What all members of an ensemble learn from; N frames, C channels.

    Attributes:
        views: float32 [N, size, size, C], and measured Ezrin as one channel more where an
            auxiliary head learns it.
        targets: float32 [N], the share of after onset.
        chances: float64 [N], how often each frame is drawn.
        names: N names of frames.
    """

    def __init__(
        self,
        experiment: PolarityExperiment,
        embryos: Sequence[Embryo],
        ezrin: Mapping[str, np.ndarray],
    ) -> None:
        """Cuts the views of all embryos' frames."""
        sight = experiment.sight
        views, targets, chances, self.names = [], [], [], []
        for embryo in embryos:
            predicted = ezrin[embryo.name]
            seen = predicted if experiment.arm != "measured" else _measured(embryo)
            middles = middles_of(predicted)
            cut = functools.partial(views_of, middles=middles, window=sight.window, size=sight.size)
            channels = [cut(experiment.arm, embryo.dic, seen)]
            if experiment.loss.auxiliary:
                channels.append(cut("measured", embryo.dic, _measured(embryo)))
            views.append(np.concatenate(channels, axis=-1))
            targets.append(onset_targets(embryo, experiment.loss.softness))
            chances.append(drawing_weights(embryo.after, experiment.loss.balance))
            self.names += [f"{embryo.name} frame {t}" for t in range(len(embryo.dic))]
        self.views = np.concatenate(views)
        self.targets = np.concatenate(targets)
        weights = np.concatenate(chances)
        self.chances = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One frame: `views` [size, size, C], `targets` and `frame` as scalars."""
        index = int(rng.choice(len(self.chances), p=self.chances))
        return {
            "views": self.views[index],
            "targets": self.targets[index],
            "frame": np.asarray(index, np.int32),
        }


def onset_targets(embryo: Embryo, softness: float) -> np.ndarray:
    """The share of after onset that each frame should be given, float32 [T]."""
    if not softness:
        return embryo.after.astype(np.float32)
    count = len(embryo.after)
    onset = count if embryo.onset is None else embryo.onset
    since = np.arange(count) + 0.5 - onset
    return (1 / (1 + np.exp(-since / softness))).astype(np.float32)


def drawing_weights(after: np.ndarray, balance: int) -> np.ndarray:
    """How often each frame of one embryo is drawn, up to a factor, float64 [T]."""
    if not balance:
        return np.ones(len(after))
    counts = np.where(after, after.sum(), (~after).sum())
    return 1 / np.maximum(counts, balance)


class PolarityTask:
    """See `isl_train.task.Task`, whose methods these are; one member."""

    selection: Selection | None = None

    def __init__(
        self,
        experiment: PolarityExperiment,
        ground: Ground,
        *,
        start: str | Path = "",
        folder: Path = Path(),
    ) -> None:
        """Lays out the network; arguments as for `train_ensemble`."""
        self._experiment = experiment
        self._ground = ground
        self._start = start
        self._folder = folder
        self._compute = Compute(
            precision=experiment.training.precision,
            batch_norm_decay=experiment.training.batch_norm_decay,
        )
        abstract = abstract_classifier(experiment.backbone, self._channels, **self._kind)
        self._parameters = count_parameters(abstract)
        self._functional: Functional[Classifier] = Functional(abstract)

    @property
    def pixels_per_example(self) -> int:
        """Pixels of a view."""
        return self._experiment.sight.size**2

    def identity(self) -> str:
        """The network, what it looks at, and its size, in words."""
        backbone = self._experiment.backbone
        settings = ", ".join(f"{k} {v}" for k, v in backbone.model_dump(exclude={"kind"}).items())
        return (
            f"{backbone.kind} ({settings}) of {self._experiment.arm} at "
            f"{self._experiment.sight.size} pixels, {self._parameters:,} parameters"
        )

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, or those that the experiment names, where they fit."""
        network = build_classifier(
            self._experiment.backbone, self._channels, **self._kind, rngs=nnx.Rngs(key)
        )
        weights = self._experiment.imagenet_weights
        if weights is not None:
            if not isinstance(network.backbone, ResNet):
                raise InputError("imagenet_weights are for a backbone of kind 'resnet'")
            load_imagenet_weights(network.backbone, self._folder / weights, average_stem=True)
        pretrained = self._experiment.encoder_start == "labeling"
        if isinstance(network.backbone, Encoder) and self._start and pretrained:
            _start_encoder(network.backbone, self._start)
        return Functional.take_apart(network)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Cross-entropy to the soft targets, and the squared error of the auxiliary head."""
        network = self._functional.put_together(params, model_state, training=True)
        views, measured = self._seen(jnp.asarray(batch["views"]), key)
        maps = network.backbone.features(views)
        logits = network.classify(maps)
        after = jnp.asarray(batch["targets"])
        entropy = optax.softmax_cross_entropy(logits, jnp.stack([1 - after, after], axis=-1))
        count = jnp.asarray(entropy.size, jnp.float32)
        right = jnp.sum((logits[:, 1] > logits[:, 0]) == (after > 0.5))
        sums = {"cross_entropy": (entropy.sum(), count), "accuracy": (right, count)}
        total = entropy.mean()
        if network.auxiliary is not None:
            error = _auxiliary_error(network.auxiliary(maps)[..., 0], measured)
            total = total + self._experiment.loss.auxiliary * error.mean()
            sums["auxiliary"] = (error.sum(), count)
        return total, (Functional.take_apart(network)[1], sums)

    def examples(self, seed: int) -> grain.MapDataset:
        """Frames without end."""
        draw = functools.partial(_draw, ground=self._ground)
        return grain.MapDataset.range(_ENDLESS).random_map(draw, seed=seed)

    def describe(self, batch: Batch) -> str:
        """Names of the frames in a batch."""
        return ", ".join(self._ground.names[int(index)] for index in np.asarray(batch["frame"]))

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Nothing: with so few embryos, one that judged could not teach; see `isl eval`."""
        return Evaluation(metrics={}, pictures={})

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model of this member alone."""
        network = self._functional.put_together(
            params, self._settled(params, model_state), training=False
        )
        config = polarity_config(self._experiment, (), "member", 1, anything="ezrin-aif")
        save_polarity_model(directory, [network], config, "One member of an ensemble.\n")

    @property
    def _channels(self) -> int:
        return len(channels_of(self._experiment.arm))

    @property
    def _kind(self) -> dict[str, Any]:
        return {"compute": self._compute, "auxiliary": self._experiment.loss.auxiliary > 0}

    def _seen(self, views: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Augmented views [B, Y, X, C], and the measured Ezrin turned along [B, Y, X, 0 or 1]."""
        place, light = jax.random.split(key)
        turned = moved(views, self._experiment.sight, place)
        seen = relit(turned[..., : self._channels], self._experiment.sight, light)
        return seen, turned[..., self._channels :]

    def _settled(self, params: Tree, model_state: Tree) -> Tree:
        """The model state to predict with: batch statistics taken anew if so configured."""
        count = self._experiment.training.reestimate_batches
        if not count:
            return model_state
        batches = self.examples(self._experiment.seed).batch(self._experiment.training.batch_size)
        key = jax.random.key(self._experiment.seed)
        total = jax.tree.map(jnp.zeros_like, model_state)
        for index in range(count):
            batch: Any = batches[index]
            now = self._batch_statistics(
                params, model_state, batch["views"], jax.random.fold_in(key, index)
            )
            total = jax.tree.map(jnp.add, total, now)
        return jax.tree.map(lambda array: array / count, total)

    @functools.partial(jax.jit, static_argnums=0)
    def _batch_statistics(
        self, params: Tree, model_state: Tree, views: jax.Array, key: jax.Array
    ) -> Tree:
        """The batch statistics of one batch alone: a running mean without memory."""
        network = self._functional.put_together(params, model_state, training=True)
        for _, module in nnx.iter_modules(network):
            if isinstance(module, nnx.BatchNorm):
                module.momentum = 0.0
        network.backbone.features(self._seen(views, key)[0])
        return Functional.take_apart(network)[1]


def moved(views: jax.Array, sight: SightConfig, key: jax.Array) -> jax.Array:
    """Every view [B, Y, X, C] mirrored, turned, scaled and shifted in its own way."""
    batch, size = views.shape[:2]
    of_flip, of_angle, of_scale, of_shift = jax.random.split(key, 4)
    flip = jnp.where(jax.random.bernoulli(of_flip, shape=(batch,)), -1.0, 1.0)
    angle = jnp.deg2rad(sight.rotation) * jax.random.uniform(of_angle, (batch,), minval=-1.0)
    scale = 1 + sight.scale * jax.random.uniform(of_scale, (batch,), minval=-1.0)
    shift = sight.shift * size * jax.random.uniform(of_shift, (batch, 2), minval=-1.0)
    middle = (size - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(size) - middle, jnp.arange(size) - middle, indexing="ij")

    def move(image: jax.Array, flip: jax.Array, angle: jax.Array, scale: jax.Array, by: jax.Array):
        cosine, sine = scale * jnp.cos(angle), scale * jnp.sin(angle)
        places = [
            cosine * y - sine * flip * x + (by[0] + middle),
            sine * y + cosine * flip * x + (by[1] + middle),
        ]
        sample = functools.partial(map_coordinates, coordinates=places, order=1, mode="reflect")
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(move)(views, flip, angle, scale, shift)


def relit(views: jax.Array, sight: SightConfig, key: jax.Array) -> jax.Array:
    """Every channel of every view with its own contrast and brightness.

    Views are standardized first if the member's are; the first of `standardize` counts.
    """
    means = views.mean(axis=(1, 2), keepdims=True)
    deviations = views.std(axis=(1, 2), keepdims=True) + 1e-3
    shape = (views.shape[0], 1, 1, views.shape[-1])
    of_contrast, of_brightness = jax.random.split(key)
    gain = jnp.exp(sight.contrast * jax.random.normal(of_contrast, shape))
    offset = sight.brightness * jax.random.normal(of_brightness, shape)
    lit = (views - means) / deviations * gain + offset
    return lit if sight.standardize[0] else means + deviations * lit


def polarity_config(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    name: str,
    members: int,
    *,
    anything: str | None = None,
) -> PolarityConfig:
    """What the model folder's `model.toml` says of a finished ensemble."""
    return PolarityConfig(
        name=name,
        arm=experiment.arm,
        backbone=experiment.backbone,
        members=members,
        size=experiment.sight.size,
        window=experiment.sight.window,
        standardize=experiment.sight.standardize,
        symmetries=experiment.symmetries,
        combine=experiment.combine,
        rule=experiment.rule,
        threshold=experiment.threshold,
        ezrin=experiment.ezrin.model or anything,
        embryos=tuple(dict.fromkeys(embryo.group for embryo in embryos)),
    )


def card(experiment: PolarityExperiment, embryos: Sequence[Embryo], config: PolarityConfig) -> str:
    """What a person must know before trusting the model, in Markdown."""
    training = experiment.training
    kinds = ", ".join(
        dict.fromkeys(experiment.optimizer_of(member).kind for member in range(config.members))
    )
    lines = [
        f"# {config.name}",
        "",
        experiment.description or "Tells frames before the onset of polarization from those after.",
        "",
        f"{config.members} classifiers ({config.backbone.kind}) of {config.arm}; views of "
        f"{config.size} pixels, {config.window:g} of a frame wide, around the embryo.",
        "",
        "## Training",
        "",
        f"{training.steps} updates of {training.batch_size} frames each ({kinds}); seeds "
        f"{experiment.seed} to {experiment.seed + config.members - 1}. Embryos:",
        "",
        *[f"- {embryo.name}, {len(embryo.dic)} frames" for embryo in embryos],
        "",
        "No embryo was held out; `isl eval` cross-validates.",
        "",
        "## Limits",
        "",
        "For research, not for clinical use. It has seen only embryos like those above.",
        "",
    ]
    return "\n".join(lines)


def _draw(_: int, rng: np.random.Generator, *, ground: Ground) -> dict[str, np.ndarray]:
    return ground.draw(rng)


def _measured(embryo: Embryo) -> np.ndarray:
    if embryo.measured is None:
        raise InputError(f"embryo '{embryo.name}' has no measured EZRIN, which this needs")
    return embryo.measured


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


__all__ = ["Ground", "OnsetLossConfig", "PolarityTask", "train_ensemble", "train_polarity"]
