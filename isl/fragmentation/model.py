"""A fragmentation model: a network, how frames enter it, and how sure its numbers are.

On disk it is a model folder like any other (`isl.model_folder`) of kind "fragmentation".
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.errors import InputError
from isl.fragmentation.familiar import Familiar
from isl.fragmentation.grades import GradeScale, conformal_radius
from isl.fragmentation.network import (
    EMBRYO,
    FRAGMENT,
    FragmentationNetwork,
    NetworkConfig,
    Seen,
    abstract_network,
)
from isl.fragmentation.separation import close_up, separate
from isl.fragmentation.stages import StageHead
from isl.fragmentation.view import as_stored, seen, view_of
from isl.model_folder import (
    CONFIG_FILE,
    FolderConfig,
    KernelType,
    LoadedModel,
    fill_from,
    model_directory,
    read_folder_config,
    save_folder,
)

DEFAULT_MODEL = "fragmentation"
LEVEL = 0.9
_AT_ONCE = 8
# The first look may miss a part of an embryo, which the border of the closer one then cuts.
_LOOKS = 3


class FragmentationConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        network: What it is.
        size: Of what it sees, pixels.
        scale: Of its grades.
        segments: Whether segmentation was trained; a regression alone finds no embryo.
        share_from: Which of its two shares is the one it gives.
        residuals: Truth minus the share it gives, on embryos held out from training, one an embryo
            (the frame with the largest error).
        disagreement: Largest difference between the two shares at which it answers: the 95th
            percentile of held-out embryos; None: it does not compare.
        closer: Side of a second, closer look at the embryos found at the first, in the width of
            what was found; None: it looks once.
        smallest: Smallest embryo that it takes for one, as a share of the frame's area.
        familiar: What the embryos that it knows look like to its encoder; None: it compares none.
        stages: What tells cleavage stages from those that it does not grade; None: it grades all.
        trained_on: What it has seen.
    """

    # Narrowed, as a frozen value may be.
    kind: Literal["fragmentation"] = "fragmentation"  # pyright: ignore[reportIncompatibleVariableOverride]
    network: NetworkConfig
    size: int = pydantic.Field(ge=32, multiple_of=16)
    scale: GradeScale = GradeScale()
    segments: bool = True
    share_from: Literal["regression", "area"] = "regression"
    residuals: tuple[float, ...] = ()
    disagreement: float | None = pydantic.Field(default=None, ge=0)
    closer: float | None = pydantic.Field(default=None, ge=1)
    smallest: float = pydantic.Field(default=0.01, ge=0, lt=1)
    familiar: Familiar | None = None
    stages: StageHead | None = None
    trained_on: str = ""

    @property
    def radius(self) -> float:
        """Half the width of the 90 % interval; infinite where too few embryos were held out."""
        return conformal_radius(self.residuals, LEVEL)

    @property
    def rules_hash(self) -> str:
        """sha256 of what makes verdicts and intervals of what the network says."""
        rules = self.model_dump_json(
            exclude={"name", "scale", "sha256", "trained_on"}, exclude_defaults=True
        )
        return hashlib.sha256(rules.encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Alone:
    """What a look at one embryo says of it.

    Attributes:
        regressed: The share as the regression has it; None without regression.
        features: float32 [D], means of the encoder's maps; None where they are not known.
    """

    regressed: float | None
    features: np.ndarray | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model says of one frame, at the frame's own size.

    Attributes:
        probabilities: float32 [Y, X, 2] in [0, 1], of embryo and of fragment.
        attention: float32 [Y, X] in [0, 1]; None where the network has no gate.
        regressed: The share as the regression has it; None without regression.
        features: float32 [D], means of the encoder's maps; None where they are not known.
        each: Of several embryos, what a look at each alone says, from left to right; () where there
            is one, or none, or where the model looks once.
    """

    probabilities: np.ndarray
    attention: np.ndarray | None
    regressed: float | None
    features: np.ndarray | None = None
    each: tuple[Alone, ...] = ()

    def within(self, place: tuple[slice, slice], whole: "Prediction") -> "Prediction":
        """This, of a part of a frame, as a prediction of the whole: nothing is beyond the part."""
        probabilities = np.zeros_like(whole.probabilities)
        probabilities[place] = self.probabilities
        attention = None
        if self.attention is not None and whole.attention is not None:
            attention = np.zeros_like(whole.attention)
            attention[place] = self.attention
        return Prediction(
            probabilities=probabilities,
            attention=attention,
            regressed=self.regressed,
            features=self.features,
        )

    @property
    def labels(self) -> np.ndarray:
        """uint8 [Y, X]: 0 background, 1 embryo, 2 fragment."""
        embryo = self.probabilities[..., EMBRYO] > 0.5
        fragment = embryo & (self.probabilities[..., FRAGMENT] > 0.5)
        return embryo.astype(np.uint8) + fragment


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FragmentationModel(LoadedModel[FragmentationConfig]):
    """A loaded model.

    Attributes:
        network: In evaluation mode.
    """

    network: FragmentationNetwork

    def see(self, views: np.ndarray, *, at_once: int = _AT_ONCE) -> Seen:
        """What the network says of views float32 [B, S, S] as `isl.fragmentation.view.seen` makes.

        Batches have one size, `at_once`, so that the program is compiled once.
        """
        parts = []
        for first in range(0, len(views), at_once):
            part = views[first : first + at_once]
            padded = np.concatenate([part, np.repeat(part[-1:], at_once - len(part), axis=0)])
            said = _see(self.network, jnp.asarray(padded[..., None]))
            parts.append(jax.tree.map(functools.partial(_first, count=len(part)), said))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def look(self, images: np.ndarray) -> list[Prediction]:
        """What it says of frames, at the second look where it looks twice.

        Args:
            images: float32 [T, Y, X] in [0, 1].
        """
        at_once = 1 if len(images) == 1 else _AT_ONCE
        found = self._look(list(images), at_once)
        if self.config.closer is None or not self.config.segments:
            return found
        places = {t: self._place(each) for t, each in enumerate(found)}
        for _ in range(_LOOKS):
            near = {t: place for t, place in places.items() if place is not None}
            if not near:
                break
            closer = self._look([images[t][place] for t, place in near.items()], at_once)
            places = {}
            for (t, place), prediction in zip(near.items(), closer, strict=True):
                found[t] = prediction.within(place, found[t])
                if _is_cut_by(place, found[t].labels > 0):
                    places[t] = self._place(found[t])
        return [
            dataclasses.replace(said, each=self._each(image, said, at_once))
            for image, said in zip(images, found, strict=True)
        ]

    def _each(self, image: np.ndarray, said: Prediction, at_once: int) -> tuple[Alone, ...]:
        """A look at each embryo of a frame float32 [Y, X] in which there are several."""
        embryos = separate(said.labels, smallest=self.config.smallest)
        numbers = range(1, int(embryos.max()) + 1)
        if len(numbers) < 2:
            return ()
        closer = self.config.closer or 1.0
        near = self._look([image[close_up(embryos == n, closer)] for n in numbers], at_once)
        return tuple(Alone(regressed=p.regressed, features=p.features) for p in near)

    def _place(self, said: Prediction) -> tuple[slice, slice] | None:
        """Where a closer look is for; None where there is no embryo."""
        embryos = separate(said.labels, smallest=self.config.smallest) > 0
        return close_up(embryos, self.config.closer or 1.0) if embryos.any() else None

    def look_along(self, images: np.ndarray) -> Iterator[Prediction]:
        """The same of a film of any length, a few frames at a time; compiled once."""
        parts = -(-len(images) // _AT_ONCE)
        # Even parts: a last frame by itself would be a batch of another size.
        for part in np.array_split(images, parts):
            yield from self.look(part)

    def judged(self, images: np.ndarray) -> Seen:
        """The same as arrays [T, ...] of one `Seen`, whose logits are the log odds."""
        said = self.look(images)
        odds = np.clip(np.stack([each.probabilities for each in said]), 1e-6, 1 - 1e-6)
        shares = [each.regressed for each in said if each.regressed is not None]
        return Seen(
            logits=jnp.asarray(np.log(odds / (1 - odds))),
            share=jnp.asarray(shares) if shares else None,
            attention=None,
            means=jnp.stack([each.features for each in said if each.features is not None]),
        )

    @property
    def judged_size(self) -> int:
        """Of pictures to judge it by, pixels: as fine as its last look, or finer."""
        return self.config.size * (1 if self.config.closer is None else 2)

    def _look(self, images: Sequence[np.ndarray], at_once: int) -> list[Prediction]:
        """One look at frames float32 [Y, X] of any sizes."""
        size = self.config.size
        said = self.see(np.stack([seen(image, size) for image in images]), at_once=at_once)
        found = []
        for t, image in enumerate(images):
            view = view_of((image.shape[0], image.shape[1]), size)
            attention = None
            if said.attention is not None:
                enlarged = np.kron(np.asarray(said.attention[t, ..., 0]), np.ones((4, 4)))
                attention = as_stored(enlarged.astype(np.float32), view)
            found.append(
                Prediction(
                    probabilities=as_stored(_sigmoid(np.asarray(said.logits[t])), view),
                    attention=attention,
                    regressed=None if said.share is None else float(said.share[t]),
                    features=None if said.means is None else np.asarray(said.means[t]),
                )
            )
        return found


@nnx.jit
def _see(network: FragmentationNetwork, images: jax.Array) -> Seen:
    return network(images)


def load_fragmentation_model(name_or_directory: str | Path = DEFAULT_MODEL) -> FragmentationModel:
    """Loads a model folder, or a bundled model by name.

    Raises:
        InputError: There is no such model, it is damaged, or it is of another kind.
    """
    directory = model_directory(name_or_directory)
    config = read_folder_config(directory, FragmentationConfig)
    network = abstract_network(config.network)
    card = fill_from(directory, config, network)
    _check_features(config, network.features, directory)
    network.eval()
    return FragmentationModel(config=config, network=network, card=card, directory=directory)


def _check_features(config: FragmentationConfig, depth: int, directory: Path) -> None:
    """Compares what is known of features with how many the encoder has."""
    lengths = {}
    if config.familiar is not None:
        lengths = {"familiar.mean": config.familiar.mean}
        lengths["familiar.deviation"] = config.familiar.deviation
    if config.stages is not None:
        lengths["stages.weights"] = config.stages.weights
    for name, values in lengths.items():
        if len(values) != depth:
            raise InputError(
                f"{directory / CONFIG_FILE}: {name} has {len(values)} numbers; the encoder has "
                f"{depth} features"
            )


def save_fragmentation_model(
    directory: Path,
    network: FragmentationNetwork,
    config: FragmentationConfig,
    card: str,
    *,
    overwrite: bool = False,
    kernels: KernelType = "float16",
) -> None:
    """Writes a model folder, whole or not at all.

    Raises:
        InputError: The folder exists or cannot be written.
    """
    if network.config != config.network:
        raise InputError("the network is not the one that the model's configuration describes")
    save_folder(directory, network, config, card, overwrite=overwrite, kernels=kernels)


def _is_cut_by(place: tuple[slice, slice], inside: np.ndarray) -> bool:
    """Whether what is inside [Y, X] reaches an edge of a place that is none of the frame's."""
    own = inside[place]
    rows, columns = place
    return bool(
        (rows.start > 0 and own[0].any())
        or (rows.stop < inside.shape[0] and own[-1].any())
        or (columns.start > 0 and own[:, 0].any())
        or (columns.stop < inside.shape[1] and own[:, -1].any())
    )


def _first(array: jax.Array, *, count: int) -> np.ndarray:
    return np.asarray(array)[:count]


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(values, -60, 60)))).astype(np.float32)
