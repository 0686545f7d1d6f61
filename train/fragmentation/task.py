"""The fragmentation task as the trainer sees it."""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.efficientnet_lite import EfficientNetLite
from isl.backbones.efficientnet_weights import start_from_pretrained
from isl.backbones.imagenet_weights import load_imagenet_weights
from isl.backbones.networks import Compute, count_parameters
from isl.backbones.resnet import ResNet
from isl.errors import InputError, unknown
from isl.fragmentation.dataset import UNKNOWN, Example, Ground
from isl.fragmentation.familiar import Familiar, learned_familiar
from isl.fragmentation.grades import GradeScale
from isl.fragmentation.model import (
    FragmentationConfig,
    FragmentationModel,
    load_fragmentation_model,
    save_fragmentation_model,
)
from isl.fragmentation.network import (
    EMBRYO,
    FRAGMENT,
    FragmentationNetwork,
    Seen,
    abstract_network,
    build_network,
    means_of,
)

from ..ground_hash import hash_of
from ..optimizer import any_matches
from ..parameters import Functional, held
from ..stages import StageConfig
from ..task import Batch, Evaluation, Selection, Sums, Tree
from .augment import augmented
from .config import LOSSES, FragmentationExperiment
from .features import CachedViews, cached_views
from .losses import Pair, cross_entropy, dice_loss, mean, range_loss, smooth_l1
from .model_folder import card, held_out_figures
from .stages import learned_stages, looked_at, stage_features

if TYPE_CHECKING:
    import grain

logger = logging.getLogger(__name__)

_ENDLESS = 2**53
_AT_ONCE = 8


class FragmentationTask:
    """See `isl_train.task.StagedTask`, whose methods these are."""

    def __init__(
        self,
        experiment: FragmentationExperiment,
        train: Ground,
        validation: Ground | None,
        *,
        scale: GradeScale,
        folder: Path = Path(),
        drawing: np.ndarray | None = None,
        name: str = "",
        keep: Path | None = None,
        judging: Ground | None = None,
        familiar: Ground | None = None,
        staged: Sequence[Example] = (),
    ) -> None:
        """Lays out the network.

        Args:
            experiment: What and how.
            train: What is learned from.
            validation: What it is judged by, other embryos; None: nothing.
            scale: Of the grades.
            folder: What paths in the experiment are relative to.
            drawing: float64 [N], how often each example is drawn; None: all alike.
            name: Of the model.
            keep: Where the features of a frozen encoder are kept, if the experiment wants that.
            judging: `validation` at the size by which the finished model is judged, if another.
            familiar: Further embryos at that size that the model is to answer for.
            staged: Examples from which it learns which stages it does not grade.
        """
        self._experiment = experiment
        self._train = train
        self._validation = validation
        self._judging = validation if judging is None else judging
        self._familiar = familiar
        self._staged = staged
        self._scale = scale
        self._folder = folder
        chances = np.ones(len(train)) if drawing is None else drawing
        self._chances = chances / chances.sum()
        self._name = experiment.name or name
        compute = Compute(
            precision=experiment.training.precision,
            batch_norm_decay=experiment.training.batch_norm_decay,
        )
        self._compute = compute
        abstract = abstract_network(experiment.network, compute)
        self._parameters = count_parameters(abstract)
        self._functional: Functional[FragmentationNetwork] = Functional(abstract)
        self._started = self._model_to_start() if experiment.start else None
        self._weights: Mapping[str, float] = dict.fromkeys(LOSSES, 1.0)
        self._free: tuple[str, ...] = ("*",)
        self._cached: CachedViews | None = None
        if experiment.cached_views and keep is not None:
            self._cached = self._cache(keep, chances)

    def _cache(self, folder: Path, chances: np.ndarray) -> CachedViews:
        """What the encoder, as it starts, says of changed views of every picture."""
        trees = self.initial(jax.random.key(self._experiment.seed))
        network = self._functional.put_together(*trees, training=False)
        counts = np.rint(self._experiment.cached_views * chances / chances.min()).astype(int)
        return cached_views(
            lambda images: network.maps(images[..., None]),
            self._train,
            counts,
            self._experiment.augmentation,
            seed=self._experiment.seed,
            folder=folder,
            weights=jax.tree.leaves([tree.get("encoder", {}) for tree in trees]),
        )

    @property
    def selection(self) -> Selection | None:
        """None: the last model counts, so that the stages of a run lead to one model."""
        return None

    @property
    def pixels_per_example(self) -> int:
        """Pixels of a view."""
        return self._experiment.size**2

    def in_stage(self, stage: StageConfig) -> "FragmentationTask":
        """The task with a stage's losses; what is not free computes as it does in prediction."""
        task = FragmentationTask.__new__(FragmentationTask)
        task.__dict__.update(self.__dict__)
        for loss in stage.losses:
            if loss not in LOSSES:
                raise unknown("loss", loss, LOSSES)
        task._weights = dict(stage.losses) if stage.losses else self._weights
        task._free = tuple(stage.free)
        if self._cached is not None and not task._segments:
            task._cached = self._cached.averaged()
        return task

    @property
    def _segments(self) -> bool:
        """Whether a loss of this stage looks at masks; else no decoder is computed."""
        return self._weights.get("segmentation", 0.0) != 0

    def identity(self) -> str:
        """The network in words."""
        network = self._experiment.network
        return (
            f"{network.encoder.kind} {network.decoder} (gates {network.gates}, regression "
            f"{network.regression}, injection {network.inject}) at {self._experiment.size} "
            f"pixels, {self._parameters:,} parameters"
        )

    def ground_hash(self) -> str:
        """Of pictures, masks and shares, and how often each is drawn."""
        found = [self._chances]
        for each in (self._train, self._validation, self._judging, self._familiar):
            if each is not None:
                found += [each.images, each.labels, each.shares, each.low, each.high]
        return hash_of(found)

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, and the encoder's from ImageNet where asked for."""
        network = build_network(self._experiment.network, self._compute, rngs=nnx.Rngs(key))
        encoder = network.encoder
        if self._started is not None:
            self._begin_with(network, self._started)
            return Functional.take_apart(network)
        if self._experiment.pretrained:
            if not isinstance(encoder, EfficientNetLite):
                raise InputError(
                    "pretrained = true is for an encoder of kind 'efficientnet-lite0'; a ResNet "
                    'takes imagenet_weights = "FILE"'
                )
            start_from_pretrained(encoder)
        if self._experiment.imagenet_weights is not None:
            if not isinstance(encoder, ResNet):
                raise InputError("imagenet_weights are for an encoder of kind 'resnet'")
            file = self._folder / self._experiment.imagenet_weights
            load_imagenet_weights(encoder, file, average_stem=True)
        return Functional.take_apart(network)

    def _model_to_start(self) -> FragmentationModel:
        """The finished model that this one begins with.

        Raises:
            InputError: It is not there, or not the one that is meant.
        """
        start, wanted = self._experiment.start, self._experiment.start_sha256
        folder = self._folder / start
        model = load_fragmentation_model(folder if folder.is_dir() else start)
        if wanted and model.hash != wanted:
            raise InputError(
                f"start = '{start}': its weights have sha256 {model.hash[:12]}..., not "
                f"{wanted[:12]}... as start_sha256 says"
            )
        stages = model.config.stages
        if stages is not None and not self._staged and not self._sees_as(model.config):
            logger.warning(
                "start = '%s': that model tells stages that it does not grade, by an encoder and "
                "views that are others here; give other_stages, or the new model grades all",
                start,
            )
        return model

    def _sees_as(self, other: FragmentationConfig) -> bool:
        """Whether the means of the encoder's maps stay those of the model that it begins with."""
        own = self._experiment
        return own.freeze_encoder and (own.size, own.closer) == (other.size, other.closer)

    def _begin_with(self, network: FragmentationNetwork, model: FragmentationModel) -> None:
        """Puts the weights of a finished model in place of fresh ones.

        A regression or an injection that it does not have begins fresh.
        """
        start = self._experiment.start
        own, other = self._experiment.network, model.config.network
        added = {}
        if other.regression == "off":
            added = {"regression": own.regression, "hidden": own.hidden}
        if other.inject == "off":
            added["inject"] = own.inject
        if other.model_copy(update=added) != own:
            raise InputError(f"start = '{start}': that model is of another network")
        nnx.update(network, nnx.state(model.network, (nnx.Param, nnx.BatchStat)))

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """The weighed sum of the stage's losses."""
        of_view, of_dropout = jax.random.split(key)
        images: jax.Array | list[jax.Array]
        if self._cached is not None:
            images = [jnp.asarray(batch[name], jnp.float32) for name in self._cached.names()]
            labels = jnp.asarray(batch["labels"])
        else:
            images, labels = augmented(
                jnp.asarray(batch["images"], jnp.float32) / 255,
                jnp.asarray(batch["labels"]),
                self._experiment.augmentation,
                of_view,
            )
        total, (state, pairs) = self._total(params, model_state, images, labels, batch, of_dropout)
        sums: Sums = dict(pairs)
        if self._experiment.log_conflict and self._segments and isinstance(images, jax.Array):
            cosine = self._conflict(params, model_state, images, labels, batch, of_dropout)
            sums["gradient_cosine"] = (cosine, jnp.ones(()))
        return total, (state, sums)

    def examples(self, seed: int) -> "grain.MapDataset":
        """Pictures without end, of those that a loss of this stage learns from."""
        import grain

        repeats = self._repeats()
        if self._cached is not None:
            views = np.repeat(np.arange(len(self._cached.example)), repeats[self._cached.example])
            draw = functools.partial(
                _draw_cached, ground=self._train, cached=self._cached, views=views
            )
        else:
            chances = self._chances * repeats
            draw = functools.partial(_draw, ground=self._train, chances=chances / chances.sum())
        return grain.MapDataset.range(_ENDLESS).random_map(draw, seed=seed)

    def _repeats(self) -> np.ndarray:
        """Int [N]: how often each picture stands among those that are drawn; 0: it teaches nothing.

        Where masks are few, pictures with them are about half of a batch, whatever others there
        are: drawn as rarely as they are, masks were learned the worse the more grades there were.
        """
        repeats = self._teaches().astype(int)
        if self._segments:
            masked = (self._train.labels != UNKNOWN).any(axis=(1, 2))
            with_masks, all_of_them = (self._chances * repeats) @ masked, self._chances @ repeats
            if with_masks:
                repeats[masked] *= max(1, round((all_of_them - with_masks) / with_masks))
        return repeats

    def _teaches(self) -> np.ndarray:
        """Bool [N]: whether a loss of this stage has something to learn from each picture.

        Pictures with a grade alone would only take places of a batch from those with masks.
        """
        ground = self._train
        found = np.zeros(len(ground), bool)
        if self._segments:
            found |= (ground.labels != UNKNOWN).any(axis=(1, 2))
        if self._weights.get("share") or self._weights.get("range"):
            found |= np.isfinite(ground.shares) | np.isfinite(ground.low)
        if not found.any():
            raise InputError(
                f"no training picture has what the losses {', '.join(self._weights)} learn from"
            )
        return found

    def describe(self, batch: Batch) -> str:
        """Names of the pictures in a batch."""
        return ", ".join(self._train.names[int(i)] for i in np.asarray(batch["index"]))

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Dice and errors of the share on the validation embryos."""
        if self._validation is None or not len(self._validation):
            return Evaluation(metrics={}, pictures={})
        said = self.predicted(params, model_state, self._validation)
        segments = self._experiment.mode != "regression"
        figures = held_out_figures(said, self._validation, segments=segments)
        shown = {}
        if pictures:
            shown = {"fragments": _picture(said, self._validation)}
        return Evaluation(metrics=figures.metrics, pictures=shown)

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model folder; intervals come from the validation embryos."""
        started = self._started
        network = self._functional.put_together(params, model_state, training=False)
        config = FragmentationConfig(
            name=self._name or "fragmentation",
            network=self._experiment.network,
            size=self._experiment.size,
            scale=self._scale,
            segments=self._experiment.mode != "regression",
            closer=self._experiment.closer,
            trained_on=self._experiment.description,
        )
        if self._judging is not None and len(self._judging):
            model = FragmentationModel(config=config, network=network, card="", directory=directory)
            said = model.judged(self._judging.images.astype(np.float32) / 255)
            figures = held_out_figures(said, self._judging, segments=config.segments)
            metrics = {**metrics, **figures.metrics}
            config = config.model_copy(
                update={
                    "share_from": figures.share_from,
                    "residuals": figures.residuals,
                    "disagreement": figures.disagreement,
                    "familiar": self._learned_familiar(model, np.asarray(said.means)),
                }
            )
        if self._staged:
            model = FragmentationModel(config=config, network=network, card="", directory=directory)
            stages = learned_stages(stage_features(looked_at(model, self._staged)), self._staged)
            config = config.model_copy(update={"stages": stages})
        elif started is not None and self._sees_as(started.config):
            config = config.model_copy(update={"stages": started.config.stages})
        text = card(
            self._experiment,
            config,
            self._train,
            self._validation,
            metrics,
            start="" if started is None else started.card,
        )
        save_fragmentation_model(directory, network, config, text, kernels=self._experiment.kernels)

    def _learned_familiar(self, model: FragmentationModel, held_out: np.ndarray) -> Familiar | None:
        """What embryos look like to the encoder: those held out, features [N, D], and more."""
        assert self._judging is not None
        features, groups = held_out, self._judging.groups
        if self._familiar is not None:
            said = model.judged(self._familiar.images.astype(np.float32) / 255)
            features = np.concatenate([features, np.asarray(said.means)])
            groups = (*groups, *self._familiar.groups)
        return learned_familiar(features, groups)

    def predicted(self, params: Tree, model_state: Tree, ground: Ground) -> Seen:
        """What the network says of pictures: arrays of NumPy, [N, ...]."""
        parts = []
        for first in range(0, len(ground), _AT_ONCE):
            part = ground.images[first : first + _AT_ONCE]
            padded = np.concatenate([part, np.repeat(part[-1:], _AT_ONCE - len(part), axis=0)])
            said = self._seen(params, model_state, jnp.asarray(padded))
            parts.append(jax.tree.map(functools.partial(_first, count=len(part)), said))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    @functools.partial(jax.jit, static_argnums=0)
    def _seen(self, params: Tree, model_state: Tree, images: jax.Array) -> Seen:
        network = self._functional.put_together(params, model_state, training=False)
        return network(images.astype(jnp.float32)[..., None] / 255)

    def _total(
        self,
        params: Tree,
        model_state: Tree,
        images: jax.Array | list[jax.Array],
        labels: jax.Array,
        batch: Batch,
        key: jax.Array,
    ) -> tuple[jax.Array, tuple[Tree, dict[str, Pair]]]:
        network = self._functional.put_together(params, model_state, training=True)
        held(network, self._free)
        maps = images if isinstance(images, list) else network.maps(images[..., None])
        pairs: dict[str, Pair] = {}
        if self._segments:
            dropout = key if any_matches("decoder", self._free) else None
            seen = network.from_maps(maps, (labels.shape[1], labels.shape[2]), key=dropout)
            truth, known = masks_of(labels)
            pairs["entropy"] = cross_entropy(seen.logits, truth, known)
            pairs["dice"] = dice_loss(seen.logits, truth, known)
            regressed = seen.share
        else:
            _, regressed = network.regressed(means_of(maps))
        if regressed is not None:
            share = jnp.asarray(batch["share"])
            low, high = jnp.asarray(batch["low"]), jnp.asarray(batch["high"])
            is_point = jnp.isfinite(share).astype(jnp.float32)
            in_range = jnp.isfinite(low).astype(jnp.float32) * (1 - is_point)
            pairs["share"] = smooth_l1(regressed, share, is_point)
            pairs["range"] = range_loss(regressed, low, high, in_range)
        losses = losses_of(pairs)
        total = sum((self._weights.get(n, 0.0) * loss for n, loss in losses.items()), jnp.zeros(()))
        return total, (Functional.take_apart(network)[1], pairs)

    def _conflict(
        self,
        params: Tree,
        model_state: Tree,
        images: jax.Array,
        labels: jax.Array,
        batch: Batch,
        key: jax.Array,
    ) -> jax.Array:
        """The cosine between the gradients of segmentation and regression in the encoder."""

        def both(encoder: Tree) -> jax.Array:
            whole = {**jax.lax.stop_gradient(params), "encoder": encoder}
            _, (_, pairs) = self._total(whole, model_state, images, labels, batch, key)
            losses = losses_of(pairs)
            return jnp.stack([losses["segmentation"], losses["share"] + losses["range"]])

        _, back = jax.vjp(both, jax.lax.stop_gradient(params["encoder"]))
        (segmentation,), (share,) = back(jnp.array([1.0, 0.0])), back(jnp.array([0.0, 1.0]))
        return cosine(segmentation, share)


def losses_of(pairs: Mapping[str, Pair]) -> dict[str, jax.Array]:
    """The losses that stages weigh, from sums and counts.

    Shares and ranges have one mean over all pictures that have either.
    """
    losses = {}
    if "dice" in pairs:
        losses["segmentation"] = mean(pairs["entropy"]) + mean(pairs["dice"])
    if "share" in pairs:
        count = jnp.maximum(pairs["share"][1] + pairs["range"][1], 1)
        losses |= {name: pairs[name][0] / count for name in ("share", "range")}
    return losses


def cosine(first: Tree, second: Tree) -> jax.Array:
    """The cosine between two trees of arrays as vectors; 0 where one of them is 0."""
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    product = sum((jnp.vdot(a, b) for a, b in pairs), jnp.zeros(()))
    norms = [sum((jnp.vdot(p[i], p[i]) for p in pairs), jnp.zeros(())) for i in (0, 1)]
    length = jnp.sqrt(norms[0] * norms[1])
    return jnp.where(length > 0, product / jnp.where(length > 0, length, 1), 0)


def masks_of(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Truth and what is known, each float32 [B, S, S, 2], of labels uint8 [B, S, S]."""
    known = (labels != UNKNOWN).astype(jnp.float32)
    embryo = ((labels == 1) | (labels == 2)).astype(jnp.float32)
    fragment = (labels == 2).astype(jnp.float32)
    return jnp.stack([embryo, fragment], axis=-1), jnp.stack([known, known], axis=-1)


def _draw(
    _: int, rng: np.random.Generator, *, ground: Ground, chances: np.ndarray
) -> dict[str, np.ndarray]:
    index = int(rng.choice(len(chances), p=chances))
    return {
        "images": ground.images[index],
        "labels": ground.labels[index],
        "share": ground.shares[index],
        "low": ground.low[index],
        "high": ground.high[index],
        "index": np.asarray(index, np.int32),
    }


def _draw_cached(
    _: int,
    rng: np.random.Generator,
    *,
    ground: Ground,
    cached: CachedViews,
    views: np.ndarray,
) -> dict[str, np.ndarray]:
    view = int(views[rng.integers(len(views))])
    index = int(cached.example[view])
    maps = {name: m[view] for name, m in zip(cached.names(), cached.maps, strict=True)}
    return {
        **maps,
        "labels": cached.labels[view],
        "share": ground.shares[index],
        "low": ground.low[index],
        "high": ground.high[index],
        "index": np.asarray(index, np.int32),
    }


def _first(array: jax.Array, *, count: int) -> np.ndarray:
    return np.asarray(array)[:count]


def _picture(said: Seen, ground: Ground, most: int = 6) -> np.ndarray:
    """Pictures over what was found, uint8 [2 S, n S, 3]: embryo green, fragments red."""
    rows = []
    for index in range(min(most, len(ground))):
        grey = np.repeat(ground.images[index][..., None], 3, axis=-1)
        found = grey.astype(float)
        found[np.asarray(said.logits[index, ..., EMBRYO]) > 0] *= (0.7, 1.0, 0.7)
        found[np.asarray(said.logits[index, ..., FRAGMENT]) > 0] *= (1.0, 0.5, 0.5)
        rows.append(np.concatenate([grey, found.astype(np.uint8)], axis=0))
    return np.concatenate(rows, axis=1)
