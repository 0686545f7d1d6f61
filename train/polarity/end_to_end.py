"""The onset's loss through predicted EZRIN, into the network that predicts it.

Stages teach EZRIN first, and then the onset from what is predicted. Here the network of EZRIN is
taught further: its predictions should tell the onset to the members that read them, while they
still have to show what was measured, in crops of the embryos that it learned from.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from rich.console import Console

from isl.config import to_toml
from isl.errors import InputError
from isl.files.whole import write_texts
from isl.imaging.image import Movie
from isl.labeling import bins
from isl.labeling.model import Model, load_model
from isl.labeling.network import LabelingNetwork
from isl.labeling.source import field_of, measure, normalized
from isl.model_folder import WEIGHTS_FILE
from isl.polarity.embryo import EZRIN, Embryo
from isl.polarity.model import channels_of
from isl.polarity.pretrained import FrozenFeatures, PretrainedConfig
from isl.tiling.plan import reflected

from ..data import endless
from ..experiment import check_same_run
from ..labeling.config import LabelingConfig
from ..labeling.task import LabelingTask
from ..loop import fit
from ..task import Batch, Sums
from .config import PolarityExperiment
from .crossfit import seen_by_labeling
from .ground import recordings_hash
from .logistic import Features, alike, fit_members

ONSET_FILE = "onset.toml"
"""What the run's folder calls the settings of the onset whose loss is taken."""
_FEWEST = 1e-6


class OnsetFrames:
    """Whole frames of embryos, as the network of EZRIN is given them, and what is known of them.

    Attributes:
        size: Rows and columns of a frame.
        members: What reads them.
        sha256: Of the recordings.
    """

    def __init__(
        self,
        experiment: PolarityExperiment,
        embryos: Sequence[Embryo],
        features: Features,
        model: Model,
    ) -> None:
        """Reads and normalizes all frames.

        Args:
            experiment: What the members look at.
            embryos: Whom the onset is learned from.
            features: What the members read of them, with EZRIN as it was predicted so far.
            model: What predicts EZRIN so far.

        Raises:
            InputError: Frames are not square or of unlike sizes, or recordings lack the planes that
                EZRIN is predicted from.
        """
        sizes = {embryo.dic.shape[1:] for embryo in embryos}
        scales = {embryo.pixel_size for embryo in embryos}
        if len(sizes) > 1 or len(scales) > 1 or any(y != x for y, x in sizes):
            raise InputError(
                "end_to_end looks at whole frames, square and all alike, and the recordings are of "
                f"{' and '.join(f'{y} x {x}' for y, x in sorted(sizes))} pixels of "
                f"{' and '.join(sorted(map(str, scales)))} um; leave it out"
            )
        (self.size,) = sizes
        self.sha256 = recordings_hash(embryos)
        self.members = fit_members(embryos, features, experiment.penalty)
        self._geometry = model.geometry
        self._stacks = np.concatenate([_normalized(embryo, model) for embryo in embryos])
        self._after = np.concatenate([embryo.after for embryo in embryos])
        weights = np.concatenate([alike(embryo.after) for embryo in embryos])
        self._chances = weights / weights.sum()
        looks = len(self.members)
        # Of images that stay as they are the members read what they read before.
        self._read = [
            np.concatenate([features[embryo.name][look] for embryo in embryos])
            for look in range(looks)
        ]

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One frame, before the onset as often as after it.

        Returns:
            `frame` float32 [Y, X, Z] with the network's margin around it; `after` int32; `read_0`
            and so on, what each member read of it.
        """
        index = int(rng.choice(len(self._chances), p=self._chances))
        geometry = self._geometry
        width = geometry.input_size(max(self.size))
        rows, columns = (reflected(np.arange(width) - geometry.margin, n) for n in self.size)
        return {
            "frame": self._stacks[index][rows[:, None], columns],
            "after": np.asarray(self._after[index], np.int32),
            **{f"read_{look}": read[index] for look, read in enumerate(self._read)},
        }


class OnsetThroughEzrin(LabelingTask):
    """A labeling task whose crops come with frames of embryos whose onset is known."""

    losses = LabelingTask.losses | {"onset"}

    def __init__(
        self,
        config: LabelingConfig,
        folder: Path,
        experiment: PolarityExperiment,
        frames: OnsetFrames,
    ) -> None:
        """See `LabelingTask`; `experiment` says what the members look at."""
        super().__init__(config, folder, name="ezrin")
        assert isinstance(experiment.backbone, PretrainedConfig)
        self._frames = frames
        self._frozen = FrozenFeatures(experiment.backbone)
        self._looks = experiment.backbone.looks
        self._channel = channels_of(experiment.arm).index("ezrin")
        self._view = experiment.sight.size
        assert experiment.end_to_end is not None
        self._weight = experiment.end_to_end.weight
        self._label = EZRIN if EZRIN in self.ground.labels else self.ground.labels[0]

    def ground_hash(self) -> str:
        """Of the fields and the recordings."""
        return f"{super().ground_hash()} {self._frames.sha256}"

    def examples(self, seed: int) -> grain.MapDataset:
        """A crop and a frame, without end."""
        draw = functools.partial(_draw, crops=self.fields.draw)
        return endless(functools.partial(draw, frames=self._frames), seed)

    def objective(
        self, network: LabelingNetwork, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Sums]:
        """That of the labels, and the cross-entropy of what the members say of the frames."""
        total, sums = super().objective(network, batch, key)
        # As it predicts, with the statistics of many batches.
        predicting = nnx.merge(*nnx.split(network))
        predicting.eval()
        logits = predicting.label_logits(
            predicting.embed(jnp.asarray(batch["frame"])), (self._label,)
        )
        rows, columns = self._frames.size
        ezrin = bins.mean(jax.nn.softmax(logits[:, :rows, :columns, 0]))
        entropy = self._entropy(ezrin, batch).mean()
        sums["onset"] = (entropy, jnp.float32(1))
        return total + self.weight_of("onset", self._weight) * entropy, sums

    def _entropy(self, ezrin: jax.Array, batch: Batch) -> jax.Array:
        """Cross-entropy [B] of EZRIN [B, Y, X], the mean over members."""
        seen = self._frozen.of_images(viewed(ezrin, self._view))
        after = jnp.asarray(batch["after"])
        found = []
        for look, (member, features) in enumerate(zip(self._frames.members, seen, strict=True)):
            first = self._channel * self._looks[look].depth
            read = jax.lax.dynamic_update_slice_in_dim(
                jnp.asarray(batch[f"read_{look}"]), features, first, axis=1
            )
            logits = read @ member.kernel[...] + member.bias[...][None]
            found.append(optax.softmax_cross_entropy_with_integer_labels(logits, after))
        return jnp.mean(jnp.stack(found), axis=0)


def viewed(ezrin: jax.Array, size: int) -> jax.Array:
    """What members see of EZRIN, within a program: float32 [B, Y, X] to [B, size, size].

    The same as `isl.polarity.model.seen_by` where views are whole square frames.
    """
    low = ezrin.min(axis=(1, 2), keepdims=True)
    high = ezrin.max(axis=(1, 2), keepdims=True)
    stretched = (ezrin - low) / jnp.maximum(high - low, _FEWEST)
    return jax.image.resize(stretched, (len(ezrin), size, size), "linear")


def trained_end_to_end(
    experiment: PolarityExperiment,
    labeling: LabelingConfig,
    folder: Path,
    embryos: Sequence[Embryo],
    features: Features,
    start: Path,
    workdir: Path,
    *,
    console: Console | None = None,
) -> Path:
    """The folder of the network of EZRIN that the onset's loss has reached; trained if need be.

    Args:
        experiment: Of the onset, with its table `end_to_end`.
        labeling: How EZRIN was learned, and from whom.
        folder: What paths in it are relative to.
        embryos: Whom the onset is learned from.
        features: What the members read of them, with EZRIN as `start` predicts it.
        start: The folder of the network to go on from.
        workdir: Where the run is kept.
        console: Where progress is shown; None: nowhere.

    Raises:
        InputError: Recordings do not fit, or the folder holds a run of other settings.
        KeyboardInterrupt: It was stopped; it resumes from there the next time.
    """
    further = experiment.end_to_end
    assert further is not None
    config = further.of(labeling, start)
    settings = to_toml(experiment.model_copy(update={"description": "", "name": ""}))
    _check_same_onset(workdir, settings)
    check_same_run(workdir, config)
    if (workdir / "model" / WEIGHTS_FILE).is_file():
        return workdir / "model"
    frames = OnsetFrames(experiment, embryos, features, load_model(start))
    task = OnsetThroughEzrin(config, folder, experiment, frames)
    write_texts(workdir, {ONSET_FILE: settings})
    progress = fit(task, config, workdir, freeze=config.start.freeze, console=console)
    if progress.update < config.training.steps:
        raise KeyboardInterrupt
    return workdir / "model"


def _check_same_onset(workdir: Path, settings: str) -> None:
    """Refuses a run that another experiment of the onset has begun."""
    kept = workdir / ONSET_FILE
    if kept.is_file() and kept.read_text(encoding="utf-8") != settings:
        raise InputError(
            f"{workdir}: holds the network of another experiment of the onset; give another folder"
        )


def _draw(
    rng: np.random.Generator,
    *,
    crops: Callable[[np.random.Generator], Mapping[str, np.ndarray]],
    frames: OnsetFrames,
) -> Mapping[str, np.ndarray]:
    return {**crops(rng), **frames.draw(rng)}


def _normalized(embryo: Embryo, model: Model) -> np.ndarray:
    """Frames as the network is given them, float32 [T, Y, X, Z]."""
    contract = model.config.input
    stacks = seen_by_labeling(contract.planes, embryo)
    field = field_of(Movie(name=embryo.name, frames=stacks, modality="DIC"))
    planes = range(contract.planes)
    records = measure(field, planes, contract.normalization, unit=contract.normalized_by)
    rows, columns = field.size
    whole = ((0, rows), (0, columns))
    return np.stack(
        [
            np.moveaxis(normalized(field, t, of_planes, whole), 0, -1)
            for t, of_planes in enumerate(records)
        ]
    )
