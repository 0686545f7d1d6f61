"""Colony tasks for the trainer: labels alone, FixMatch, contrast, teacher and student."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.networks import count_parameters
from isl.calibration import at_temperature, class_calibration, fit_temperature
from isl.colony.model import ColonyConfig, save_colony_model
from isl.colony.network import (
    ColonyNetwork,
    build_network,
    draw_first,
    without_backbone,
)

from ..ground_hash import hash_of
from ..optimizer import build_optimizer
from ..parameters import Functional
from ..state import TrainState
from ..task import Batch, Evaluation, Selection, Sums, Tree
from .balance import drawn
from .calibration import confusion_of, recalls
from .config import ColonyExperiment
from .contrast import Contrast
from .frozen import hold_statistics
from .ground import Ground, Judge, endless
from .losses import confident, cross_entropy, sharpened
from .meta import Pair, Patches, meta_update

# Images whose patches are held at a time while an epoch is chosen.
_PORTION = 1024

Start = Callable[[], ColonyNetwork]
"""A network to begin with."""


class SupervisedTask:
    """Cross-entropy on labelled patches; the pre-training of a teacher, too.

    Attributes:
        judge: The network's structure.
        learned: Indices of the images whose labels are learned.
    """

    def __init__(
        self,
        experiment: ColonyExperiment,
        ground: Ground,
        *,
        start: Start | None = None,
        ceiling: bool = False,
        title: str = "supervised",
        judge: Judge | None = None,
    ) -> None:
        """A task of one network; with `ceiling`, the unlabelled images' true labels are learned.

        Tasks of one structure may share a judge, and with it what was compiled.
        """
        self.experiment = experiment
        self.ground = ground
        self.title = title
        images, split = ground.images, ground.split
        self.judge = judge or Judge(experiment, len(images.channels), len(images.classes))
        self._start = start
        learned = split.labelled
        if ceiling:
            known = split.unlabelled[images.labels[split.unlabelled] >= 0]
            learned = np.union1d(learned, known)
        self.learned = learned

    @property
    def selection(self) -> Selection | None:
        """Balanced accuracy on validation images, where there are any."""
        return Selection(metric="balanced_accuracy") if len(self.ground.split.validation) else None

    @property
    def pixels_per_example(self) -> int:
        """Of one patch."""
        return self.ground.patch**2

    def identity(self) -> str:
        """The network and the method."""
        size = count_parameters(self.judge.network)
        kind = self.experiment.network.backbone.kind
        return f"{self.title}: {kind}, {self.experiment.network.scales} scales, {size} parameters"

    def ground_hash(self) -> str:
        """Of the images, their labels and their split."""
        images, split = self.ground.images, self.ground.split
        known = hash_of([images.labels, split.labelled, split.validation, split.unlabelled])
        return f"{images.fingerprint} {known}"

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, or those of the network to begin with."""
        return Functional.take_apart(self._network(key))

    def _network(self, key: jax.Array) -> ColonyNetwork:
        """The network to begin with; behind a frozen backbone, what comes after its vectors."""
        if self._start is not None:
            network = self._start()
            return without_backbone(network) if self.judge.frozen else network
        return self._fresh(key)

    def _fresh(self, key: jax.Array) -> ColonyNetwork:
        images = self.ground.images
        sizes = len(images.channels), len(images.classes)
        rngs = nnx.Rngs(key)
        if images.vectors is None:
            return build_network(self.experiment.network, *sizes, rngs=rngs)
        network = nnx.clone(self.judge.network)
        draw_first(network, rngs)
        known = np.concatenate(dataclasses.astuple(self.ground.split))
        hold_statistics(network, images.vectors[known, :, 0])
        return network

    def examples(self, seed: int) -> grain.MapDataset:
        """Labelled patches."""

        def draw(_: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            return self._labelled(rng)

        return endless(draw, seed)

    def _labelled(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        index = self.ground.labelled(rng, self.learned)
        return {
            "labelled": self.ground.drawn(index, rng),
            "label": np.asarray(self.ground.images.labels[index], np.int32),
            "image": np.asarray(index, np.int32),
        }

    def describe(self, batch: Batch) -> str:
        """Names of the labelled images of a batch."""
        names = self.ground.images.names
        return ", ".join(names[int(index)] for index in np.asarray(batch["image"])[:8])

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Cross-entropy of augmented patches."""
        patches = self.judge.augmented(batch["labelled"], key)
        logits, model_state = self.judge.apply(params, model_state, patches)
        labels = jnp.asarray(batch["label"])
        value = cross_entropy(logits, labels).mean()
        right = (logits.argmax(axis=-1) == labels).astype(jnp.float32)
        return value, (model_state, {"accuracy": (right.sum(), _count(right))})

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """How validation images are classified."""
        params, model_state = self.finished(params, model_state)
        split, images = self.ground.split, self.ground.images
        if not len(split.validation):
            return Evaluation(metrics={}, pictures={})
        logits = self.judge.of_images(
            params, model_state, self.ground, split.validation, self.experiment.patches
        )
        truth = images.labels[split.validation]
        by_class = recalls(truth, logits.argmax(axis=1), len(images.classes))
        metrics = {
            "balanced_accuracy": float(np.nanmean(by_class)),
            "accuracy": float((logits.argmax(axis=1) == truth).mean()),
            "cross_entropy": float(
                np.asarray(cross_entropy(jnp.asarray(logits), jnp.asarray(truth))).mean()
            ),
            **{
                f"recall_{name}": float(value)
                for name, value in zip(images.classes, by_class, strict=True)
            },
        }
        return Evaluation(metrics=metrics, pictures={})

    def finished(self, params: Tree, model_state: Tree) -> tuple[Tree, Tree]:
        """Parameters and state of the network that is judged and left behind, of all trained."""
        return params, model_state

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """A model folder with temperature and confusion as measured on the validation images."""
        params, model_state = self.finished(params, model_state)
        network = self.judge.functional.put_together(params, model_state, training=False)
        if self.judge.frozen:
            network.backbone = self.ground.images.backbone
        config = self.config_of(params, model_state)
        save_colony_model(
            directory,
            network,
            config,
            card(self.experiment, self.ground, config, metrics),
            overwrite=True,
            kernels=self.experiment.kernels,
        )

    def config_of(self, params: Tree, model_state: Tree) -> ColonyConfig:
        """What a finished network is, with temperature and confusion on the validation images."""
        experiment, images = self.experiment, self.ground.images
        held = self.ground.split.validation
        temperature, confusion, errors = 1.0, (), ()
        if len(held):
            logits = self.judge.of_images(
                params, model_state, self.ground, held, experiment.patches
            )
            truth = images.labels[held]
            temperature = fit_temperature(logits, truth)
            errors = tuple(
                class_calibration(truth, at_temperature(logits, t)).error
                for t in (1.0, temperature)
            )
            confusion = confusion_of(truth, logits.argmax(axis=1), len(images.classes))
        groups = sorted(set(images.groups)) if images.grouped else []
        return ColonyConfig(
            name=experiment.name,
            network=experiment.network,
            classes=images.classes,
            channels=images.channels,
            patch=experiment.patch,
            pixel_size=experiment.pixel_size,
            subject=experiment.subject,
            temperature=temperature,
            undecided=experiment.undecided,
            patches=experiment.patches,
            confusion=confusion,
            calibration_error=errors,
            groups=tuple(groups),
        )


class FixMatchTask(SupervisedTask):
    """One network that learns labels, and its own sure calls on unlabelled patches."""

    def examples(self, seed: int) -> grain.MapDataset:
        """Pairs of a labelled and an unlabelled patch."""
        unlabelled = self.ground.split.unlabelled

        def draw(_: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            return {
                **self._labelled(rng),
                "unlabelled": self.ground.drawn(int(rng.choice(unlabelled)), rng),
            }

        return endless(draw, seed)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """FixMatch (Sohn et al. 2020): the call on the plain patch is learned on the augmented."""
        of_labelled, of_unlabelled = jax.random.split(key)
        settings = self.experiment.meta
        together = jnp.concatenate(
            [
                self.judge.augmented(batch["labelled"], of_labelled),
                self.judge.plain(batch["unlabelled"]),
                self.judge.augmented(batch["unlabelled"], of_unlabelled),
            ]
        )
        logits, model_state = self.judge.apply(params, model_state, together)
        labelled, weak, strong = jnp.split(logits, 3)
        soft = jax.lax.stop_gradient(sharpened(weak, settings.temperature))
        sure = confident(soft, settings.threshold)
        supervised = cross_entropy(labelled, jnp.asarray(batch["label"])).mean()
        own = (cross_entropy(strong, soft.argmax(axis=-1)) * sure).mean()
        return supervised + own, (
            model_state,
            {"supervised": (supervised, jnp.ones(())), "kept": (sure.sum(), _count(sure))},
        )


class ContrastTask(SupervisedTask):
    """A network that learns to know images again, no label being looked at.

    It is judged by nothing: what it leaves behind goes into `SupervisedTask` as a start.
    """

    def __init__(
        self,
        experiment: ColonyExperiment,
        ground: Ground,
        *,
        start: Start | None = None,
        judge: Judge | None = None,
    ) -> None:
        """A task of one network and the heads that its vectors are compared by."""
        super().__init__(experiment, ground, start=start, title=experiment.method, judge=judge)
        self.contrast = Contrast(experiment, self.judge)

    @property
    def selection(self) -> Selection | None:
        """Nothing says which update is best."""
        return None

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """The network's parameters under "network", the heads' under "heads"."""
        of_network, of_heads = jax.random.split(key)
        params, state = Functional.take_apart(self._network(of_network))
        return {"network": params, "heads": self.contrast.initial(of_heads)}, state

    def examples(self, seed: int) -> grain.MapDataset:
        """Two patches of one image: the same place twice, or a neighbouring place."""
        split, ground = self.ground.split, self.ground
        pool = np.concatenate([split.labelled, split.unlabelled])

        def draw(_: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            index = int(rng.choice(pool))
            return {
                "patch": ground.drawn(index, rng),
                "neighbour": ground.drawn(index, rng),
                "image": np.asarray(index, np.int32),
            }

        return endless(draw, seed)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """What the method compares."""
        value, model_state = self.contrast.loss(params, model_state, batch, key)
        return value, (model_state, {})

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Nothing: there is no class yet."""
        return Evaluation(metrics={}, pictures={})

    def finished(self, params: Tree, model_state: Tree) -> tuple[Tree, Tree]:
        """The network, without the heads."""
        return params["network"], model_state


class MetaTask(SupervisedTask):
    """Teacher and student; each epoch is drawn anew by what the teacher says.

    Parameters and batch statistics are those of both, by name; beside the latter stands what was
    drawn, so that a run resumes in the middle of an epoch.
    """

    def __init__(
        self,
        experiment: ColonyExperiment,
        ground: Ground,
        *,
        start: Start | None = None,
        judge: Judge | None = None,
    ) -> None:
        """A task whose teacher begins as `start`, and whose student begins with fresh weights."""
        title = f"meta, {experiment.balance.balance}"
        super().__init__(experiment, ground, start=start, title=title, judge=judge)
        self._optimizer = build_optimizer(
            experiment.optimizer,
            nnx.state(self.judge.network, nnx.Param),
            steps=experiment.training.steps,
        )

    @property
    def renew_every(self) -> int:
        """Updates of an epoch, in which the student sees as many images as there are."""
        batch = self.experiment.training.batch_size
        return max(1, len(self.ground.split.unlabelled) // batch)

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Both networks, and nothing drawn yet."""
        of_teacher, of_student = jax.random.split(key)
        teacher, teacher_state = Functional.take_apart(self._network(of_teacher))
        student, student_state = Functional.take_apart(self._fresh(of_student))
        images, many = self.ground.images, len(self.ground.split.unlabelled)
        nothing = {name: jnp.zeros(many, jnp.int32) for name in ("image", "top", "left", "called")}
        return (
            {"teacher": teacher, "student": student},
            {
                "teacher": teacher_state,
                "student": student_state,
                "chosen": {
                    **nothing,
                    "size": jnp.asarray(many, jnp.int32),
                    "counts": jnp.zeros(len(images.classes), jnp.float32),
                },
            },
        )

    def optimizer_states(self, params: Tree) -> Tree:
        """Those of both networks."""
        return {name: self._optimizer.init(params[name]) for name in ("teacher", "student")}

    def renewed(self, params: Tree, model_state: Tree, key: jax.Array) -> Tree:
        """Labels a patch of every unlabelled image by the teacher, and draws an epoch of them."""
        seed = np.asarray(jax.random.key_data(key)).tolist()
        rng = np.random.default_rng(seed)
        ground, settings = self.ground, self.experiment.balance
        unlabelled = ground.split.unlabelled
        teacher = params["teacher"], model_state["teacher"]
        places = ground.many_places(unlabelled, rng)
        called = np.concatenate(
            [
                self._called(teacher, unlabelled[first : first + _PORTION], places[first:])
                for first in range(0, len(unlabelled), _PORTION)
            ]
        )
        classes = len(ground.images.classes)
        counts = np.bincount(called, minlength=classes)
        proportions = confusion = None
        if settings.proportions_from == "labelled":
            said = self.judge.of_images(*teacher, ground, ground.split.labelled, 1)
            proportions = np.bincount(said.argmax(axis=1), minlength=classes)
        if settings.balance == "prior_corrected":
            # Validation images are the only ones that the teacher did not learn by heart.
            judged = (
                ground.split.validation if len(ground.split.validation) else (ground.split.labelled)
            )
            said = self.judge.of_images(*teacher, ground, judged, 1)
            measured = confusion_of(ground.images.labels[judged], said.argmax(axis=1), classes)
            confusion = np.array(measured)
        index = drawn(
            called,
            classes,
            settings.balance,
            rng,
            size=settings.epoch_size,
            proportions=proportions,
            confusion=confusion,
        )
        top, left = places.T
        chosen = {"image": unlabelled, "top": top, "left": left, "called": called}
        padded = np.resize(index, len(unlabelled))
        return {
            **model_state,
            "chosen": {
                **{name: jnp.asarray(array[padded], jnp.int32) for name, array in chosen.items()},
                "size": jnp.asarray(len(index), jnp.int32),
                "counts": jnp.asarray(counts, jnp.float32),
            },
        }

    def _called(
        self, teacher: tuple[Tree, Tree], which: np.ndarray, places: np.ndarray
    ) -> np.ndarray:
        """What the teacher calls a patch of each of some images, int64 [N]."""
        patches = self.ground.many_plain(which, places[: len(which)])
        return self.judge.logits(*teacher, patches).argmax(axis=1)

    def examples_chosen(self, seed: int, model_state: Tree) -> grain.MapDataset:
        """Labelled patches beside the unlabelled ones of the epoch, at the places labelled."""
        chosen = {name: np.asarray(array) for name, array in model_state["chosen"].items()}
        size = int(chosen["size"])

        def draw(number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            place = number % size
            patch = self.ground.cut(
                int(chosen["image"][place]), (int(chosen["top"][place]), int(chosen["left"][place]))
            )
            return {**self._labelled(rng), "unlabelled": patch}

        return endless(draw, seed)

    def update(
        self, state: TrainState, batch: Batch, key: jax.Array, learning_rate: jax.Array | None
    ) -> tuple[TrainState, Sums]:
        """One update of both networks; see `isl_train.colony.meta`."""
        of_labelled, of_unlabelled = jax.random.split(key)
        settings = self.experiment.meta
        patches = Patches(
            labelled=self.judge.augmented(batch["labelled"], of_labelled),
            labels=jnp.asarray(batch["label"]),
            plain=self.judge.plain(batch["unlabelled"]),
            augmented=self.judge.augmented(batch["unlabelled"], of_unlabelled),
        )
        rate = jnp.asarray(
            self.experiment.optimizer.learning_rate if learning_rate is None else learning_rate
        )
        warm = max(settings.warmup_epochs * self.renew_every, 1e-9)
        risen = jnp.minimum(1.0, state.step / warm) if settings.warmup_epochs else 1.0
        teaching = 1.0 if settings.teacher_in_warmup else jnp.where(risen < 1, 0.0, 1.0)
        states = state.model_state
        params, networks, moments, sums = meta_update(
            self.judge.apply,
            self._optimizer,
            _pair(state.params),
            _pair(states),
            _pair(state.opt_state),
            patches,
            state.step,
            Pair(teacher=rate * teaching, student=rate * risen),
            settings,
        )
        counts = states["chosen"]["counts"]
        total = jnp.maximum(counts.sum(), 1.0)
        for number in range(len(self.ground.images.classes)):
            sums[f"share_{number}"] = (counts[number] / total, jnp.ones(()))
        return dataclasses.replace(
            state,
            params=_by_name(params),
            model_state={**_by_name(networks), "chosen": states["chosen"]},
            opt_state=_by_name(moments),
        ), sums

    def finished(self, params: Tree, model_state: Tree) -> tuple[Tree, Tree]:
        """The student."""
        return params["student"], model_state["student"]


def card(
    experiment: ColonyExperiment,
    ground: Ground,
    config: ColonyConfig,
    metrics: Mapping[str, float],
) -> str:
    """What a person must know before trusting the model, in Markdown."""
    images, split = ground.images, ground.split

    def of_class(which: np.ndarray) -> str:
        counts = [int((images.labels[which] == i).sum()) for i in range(len(images.classes))]
        named = zip(images.classes, counts, strict=True)
        return ", ".join(f"{name} {count}" for name, count in named)

    measured = [
        f"- {name.replace('_', ' ')}: {value:.3f}"
        for name, value in metrics.items()
        if np.isfinite(value) and name != "updates"
    ]
    simulated = experiment.data.kind == "phantom"
    frozen = experiment.frozen is not None
    return "\n".join(
        [
            f"# {config.name}",
            "",
            experiment.description or f"Classes of {experiment.subject}s in transmitted light.",
            "",
            *(["It was trained on simulated colonies and never saw a real one.", ""] * simulated),
            f"Classes: {', '.join(config.classes)}. Method: {experiment.method}"
            + (f", balance {experiment.balance.balance}" if experiment.method == "meta" else "")
            + f". Patches of {config.patch} pixels."
            + " The backbone is ImageNet's, as it was; what stands behind it was trained." * frozen,
            "",
            "## Training",
            "",
            f"Labelled images: {of_class(split.labelled)}. Images without a label: "
            f"{len(split.unlabelled)}. {experiment.training.steps} updates of "
            f"{experiment.training.batch_size} patches; seed {experiment.seed}.",
            "",
            "## Measured on validation images",
            "",
            f"Images: {of_class(split.validation)}. They chose the update that was kept, so the "
            "figures are a little too good; `isl eval` judges on images that chose nothing.",
            "",
            *(measured or ["- nothing: no image was kept for validation"]),
            "",
            "## Limits",
            "",
            "For research only. It knows no class but those above: what is none of them is called "
            "one of them, or cannot be told.",
            "",
        ]
    )


def _pair(tree: Tree) -> Pair:
    return Pair(teacher=tree["teacher"], student=tree["student"])


def _by_name(pair: Pair) -> dict[str, Any]:
    return {"teacher": pair.teacher, "student": pair.student}


def _count(values: jax.Array) -> jax.Array:
    return jnp.asarray(len(values), jnp.float32)


__all__ = ["ContrastTask", "FixMatchTask", "MetaTask", "SupervisedTask", "card"]
