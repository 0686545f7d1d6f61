"""What the trainer needs to know of viability: films, outcomes, loss, judging, leaving a model."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.networks import Compute, count_parameters
from isl.backbones.video_swin import VideoSwin
from isl.backbones.video_swin_weights import load_video_swin_weights
from isl.errors import InputError
from isl.model_folder import arrays_of, fill
from isl.viability.films import CHANNELS
from isl.viability.frame_features import DEPTH, frame_encoder
from isl.viability.model import (
    TargetConfig,
    ViabilityConfig,
    load_viability_model,
    save_viability_model,
    shown,
)
from isl.viability.network import (
    FrameSequence,
    FrameSequenceConfig,
    Network,
    abstract_network,
    build_network,
    measure,
)

from ..ground_hash import hash_of
from ..parameters import Functional
from ..task import Batch, Evaluation, Selection, Sums, Tree
from .augment import augmented, augmented_sequence
from .card import card
from .config import ViabilityExperiment
from .ground import UNKNOWN, Case
from .loss import as_sums, divided, in_parts, masked_entropies
from .memory import fitting_micro_batch

_AT_ONCE = 8


class ViabilityTask:
    """See `isl_train.task.Task`, whose methods these are; one member."""

    def __init__(
        self,
        experiment: ViabilityExperiment,
        cases: Sequence[Case],
        *,
        folder: Path = Path(),
        say: Callable[[str], None] = print,
    ) -> None:
        """Lays out the network.

        Args:
            experiment: What and how.
            cases: Films with outcomes; those for training are learned from, those for validation
                choose the best checkpoint.
            folder: What paths in the experiment are relative to.
            say: Told what a person should know.
        """
        self._experiment = experiment
        self._folder = folder
        # The validation films' outcomes, too: true ones would choose among networks of chance.
        cases = shuffled(cases, experiment) if experiment.shuffle_outcomes else cases
        self._train = [case for case in cases if case.split == "train"]
        self._validation = [case for case in cases if case.split == "validation"]
        # Of every film for training, where frames are looked at by a frozen encoder.
        self._features: list[np.ndarray] = []
        if isinstance(experiment.network, FrameSequenceConfig):
            network = experiment.network
            encoder = frame_encoder(network.encoder, network.side)
            self._features = [encoder.features(case.film.pictures) for case in self._train]
        training = experiment.training
        self._compute = Compute(precision=training.precision)
        abstract = self._abstract()
        self._parameters = count_parameters(abstract)
        self._functional: Functional[Any] = Functional(abstract)
        weights = experiment.weights or (1.0,) * len(experiment.targets)
        self._weights = np.array(weights, np.float32)
        self._parts = 1
        self._parts = self._number_of_parts(say)

    @property
    def selection(self) -> Selection | None:
        """The main target's cross-entropy on validation films."""
        if not self._validation:
            return None
        metric = f"{self._experiment.targets[0]}/cross_entropy"
        return Selection(metric=metric, higher_is_better=False)

    @property
    def pixels_per_example(self) -> int:
        """Pixels of a film."""
        film = self._experiment.film
        return film.count * film.size**2

    def identity(self) -> str:
        """The network, what it is shown, and its size, in words."""
        network = self._experiment.network
        settings = ", ".join(f"{k} {v}" for k, v in network.model_dump(exclude={"kind"}).items())
        film = self._experiment.film
        return (
            f"{network.kind} ({settings}) of {film.count} frames at {film.size} pixels, for "
            f"{', '.join(self._experiment.targets)}, {self._parameters:,} parameters"
        )

    def ground_hash(self) -> str:
        """Of films and outcomes, for training and for validation."""
        return hash_of(
            array
            for cases in (self._train, self._validation)
            for case in cases
            for array in (case.film.pictures, case.film.hours, case.outcomes)
        )

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Fresh weights, or those that the experiment names."""
        experiment = self._experiment
        network = build_network(
            experiment.network, len(CHANNELS), self._outputs, self._compute, rngs=nnx.Rngs(key)
        )
        if experiment.start.weights is not None:
            if not isinstance(network, VideoSwin):
                raise InputError("start.weights are for a network of kind 'video_swin'")
            load_video_swin_weights(
                network,
                self._folder / experiment.start.weights,
                average_colours=True,
                keep_head=True,
            )
        if isinstance(network, FrameSequence):
            measure(network, np.concatenate(self._features))
        if experiment.start.model is not None:
            model = load_viability_model(self._folder / experiment.start.model)
            start_from(network, model.members[0], source=str(model.directory))
        return Functional.take_apart(network)

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Masked cross-entropy; a part of the batch at a time where memory is short."""

        def sums_of(films: jax.Array, key: jax.Array, outcomes: jax.Array) -> tuple[jax.Array, ...]:
            network = self._functional.put_together(params, model_state, training=True)
            logits = network(films, key).reshape(films.shape[0], -1, 2)
            return masked_entropies(logits, outcomes, outcomes != UNKNOWN)

        films, outcomes = (jnp.asarray(batch[name]) for name in ("films", "outcomes"))
        entropies, right, counts = in_parts(sums_of, self._parts, films, key, outcomes)
        total = divided(entropies, counts, jnp.asarray(self._weights))
        return total, (model_state, as_sums(self._experiment.targets, entropies, right, counts))

    def examples(self, seed: int) -> grain.MapDataset:
        """Films without end: all of them in each round, in another order."""
        draw = functools.partial(
            _draw, cases=self._train, features=self._features, experiment=self._experiment
        )
        shuffled = grain.MapDataset.range(len(self._train)).shuffle(seed).repeat()
        return shuffled.random_map(draw, seed=seed)

    def describe(self, batch: Batch) -> str:
        """Names of the recordings in a batch."""
        return ", ".join(self._train[int(i)].film.name for i in np.asarray(batch["case"]))

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Cross-entropy, accuracy and AUROC of every target on validation films."""
        if not self._validation:
            return Evaluation(metrics={}, pictures={})
        film, network = self._experiment.film, self._experiment.network
        inputs = [shown(case.film, film, network) for case in self._validation]
        logits = self._predicted(params, model_state, inputs)
        outcomes = np.stack([case.outcomes for case in self._validation])
        metrics: dict[str, float] = {}
        for number, target in enumerate(self._experiment.targets):
            known = outcomes[:, number] != UNKNOWN
            own, truth = logits[known, number], outcomes[known, number]
            score = own[:, 1] - own[:, 0]
            entropy = np.logaddexp(0, np.where(truth == 1, -score, score))
            metrics[f"{target}/cross_entropy"] = _mean(entropy)
            metrics[f"{target}/accuracy"] = _mean((score > 0) == (truth == 1))
            metrics[f"{target}/auroc"] = _auroc(score, truth)
        return Evaluation(metrics=metrics, pictures={})

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model of this member alone."""
        network = self._functional.put_together(params, model_state, training=False)
        config = viability_config(self._experiment, self._train, "member", 1)
        save_viability_model(
            directory, [network], config, card(self._experiment, self._train, config)
        )

    @property
    def _outputs(self) -> int:
        return 2 * len(self._experiment.targets)

    def _abstract(self) -> Network:
        return abstract_network(
            self._experiment.network,
            len(CHANNELS),
            self._outputs,
            self._compute,
            checkpoint=self._experiment.training.checkpoint,
        )

    def _predicted(self, params: Tree, model_state: Tree, inputs: list[np.ndarray]) -> np.ndarray:
        """Logits float32 [N, targets, 2]."""
        portions = []
        for first in range(0, len(inputs), _AT_ONCE):
            portion = inputs[first : first + _AT_ONCE]
            full = np.stack([*portion, *[portion[-1]] * (_AT_ONCE - len(portion))])
            made = np.asarray(self._apply(params, model_state, full))
            portions.append(made[: len(portion)])
        return np.concatenate(portions).reshape(len(inputs), -1, 2)

    @functools.partial(jax.jit, static_argnums=0)
    def _apply(self, params: Tree, model_state: Tree, films: jax.Array) -> jax.Array:
        return self._functional.put_together(params, model_state, training=False)(films)

    def _number_of_parts(self, say: Callable[[str], None]) -> int:
        training = self._experiment.training
        batch = training.batch_size // training.accumulate
        if training.films_in_memory == "auto":
            size = fitting_micro_batch(self._bytes_needed, batch)
            say(f"films_in_memory = {size}: so many of {batch} films are in memory at a time")
            return batch // size
        return batch // training.films_in_memory if training.films_in_memory else 1

    def _bytes_needed(self, films: int) -> int:
        """What the gradient of so many films at a time takes beside its arguments."""
        params, model_state = Functional.take_apart(self._fresh())
        film = self._experiment.film
        each = (film.size, film.size, len(CHANNELS))
        if isinstance(self._experiment.network, FrameSequenceConfig):
            each = (DEPTH + 1,)
        shape = (films, film.count, *each)
        batch = {
            "films": jax.ShapeDtypeStruct(shape, jnp.float32),
            "outcomes": jax.ShapeDtypeStruct((films, len(self._experiment.targets)), jnp.int32),
        }
        gradient = jax.jit(jax.grad(self._scalar_loss))
        compiled = gradient.lower(params, model_state, batch).compile()
        analysis: Any = compiled.memory_analysis()
        return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)

    def _scalar_loss(self, params: Tree, model_state: Tree, batch: Any) -> jax.Array:
        network = self._functional.put_together(params, model_state, training=True)
        films = batch["films"]
        logits = network(films, jax.random.key(0)).reshape(films.shape[0], -1, 2)
        known = batch["outcomes"] != UNKNOWN
        entropies, _, counts = masked_entropies(logits, batch["outcomes"], known)
        return divided(entropies, counts, jnp.asarray(self._weights))

    def _fresh(self) -> Network:
        return build_network(
            self._experiment.network, len(CHANNELS), self._outputs, rngs=nnx.Rngs(0)
        )


def start_from(network: Network, other: Network, *, source: str) -> None:
    """Another network's weights, but for the last layer where it has other outputs; in place.

    Raises:
        InputError: They are of another network.
    """
    own, theirs = arrays_of(network), arrays_of(other)
    heads = {name for name in own if name.startswith("head/")}
    if any(own[name].shape != theirs.get(name, own[name]).shape for name in heads):
        theirs |= {name: own[name] for name in heads}
    fill(network, theirs, source=source)


def shuffled(cases: Sequence[Case], experiment: ViabilityExperiment) -> list[Case]:
    """Cases whose outcomes are dealt out anew among those of the same split."""
    import dataclasses

    rng = np.random.default_rng([experiment.seed, 1])
    made = list(cases)
    for split in ("train", "validation"):
        own = [i for i, case in enumerate(cases) if case.split == split]
        for i, other in zip(own, rng.permutation(own), strict=True):
            made[i] = dataclasses.replace(cases[i], outcomes=cases[other].outcomes)
    return made


def viability_config(
    experiment: ViabilityExperiment, cases: Sequence[Case], name: str, members: int
) -> ViabilityConfig:
    """What the model folder's `model.toml` says of a finished ensemble."""
    outcomes = np.stack([case.outcomes for case in cases])
    targets = []
    for number, target in enumerate(experiment.targets):
        known = outcomes[outcomes[:, number] != UNKNOWN, number]
        share = round(float(known.mean()), 4) if len(known) else None
        unwanted = target in experiment.unwanted
        targets.append(TargetConfig(name=target, prevalence=share, unwanted=unwanted))
    return ViabilityConfig(
        name=name,
        targets=tuple(targets),
        film=experiment.film,
        network=experiment.network,
        members=members,
        simulated=experiment.simulated,
        patients=tuple(dict.fromkeys(case.patient for case in cases)),
    )


def _draw(
    index: int,
    rng: np.random.Generator,
    *,
    cases: Sequence[Case],
    features: Sequence[np.ndarray],
    experiment: ViabilityExperiment,
) -> dict[str, np.ndarray]:
    case = cases[index]
    settings = experiment.film, experiment.augment, rng
    films = (
        augmented_sequence(case.film, features[index], *settings)
        if features
        else augmented(case.film, *settings)
    )
    return {
        "films": films,
        "outcomes": case.outcomes.astype(np.int32),
        "case": np.asarray(index, np.int32),
    }


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs of a 1 and a 0 that are in order; ties count half. nan: no such pair."""
    pairs = score[truth == 1][:, None] - score[truth == 0][None, :]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0))) if pairs.size else float("nan")
