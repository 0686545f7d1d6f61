"""A polarity model: an ensemble of classifiers, what they see, and how their word becomes an onset.

On disk it is a model folder like any other (`isl.model_folder`) of kind "polarity"; arrays of
member 2 are named `members/2/...`. It names the labeling model that predicts EZRIN: a bundled one,
or the folder `ezrin` within its own.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.errors import InputError
from isl.labeling.model import Model, load_model
from isl.model_folder import (
    WEIGHTS_FILE,
    FolderConfig,
    KernelType,
    LoadedModel,
    check_folder,
    fill,
    model_directory,
    read_folder_config,
    read_weights,
    save_folder,
)
from isl.polarity.classifier import AFTER, BackboneConfig, Classifier, abstract_classifier
from isl.polarity.onset import Combine, Rule
from isl.polarity.view import locate, standardized, view

DEFAULT_MODEL = "polarity"
EZRIN_FOLDER = "ezrin"
Arm = Literal["dic", "ezrin", "dic+ezrin", "measured"]
ARMS: tuple[Arm, ...] = get_args(Arm)
_AT_ONCE = 32


class PolarityConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        arm: What the classifiers look at: the all-in-focus frame, EZRIN as predicted from it,
            both, or measured Ezrin (for evaluation only).
        backbone: What each of them is.
        members: How many there are.
        size: Width of what they see, in pixels.
        window: Width of what they see, in widths of the frame.
        standardize: For the members in turn, whether views are brought to mean 0 and deviation 1
            before they are looked at. Members that differ in this err differently.
        symmetries: Whether each frame is seen in its eight orientations, which are averaged.
        combine: How members become one; see `isl.polarity.onset.find_onset`.
        rule: How calls become an onset; see there.
        threshold: A frame is called after onset above it.
        ezrin: The bundled labeling model that predicts EZRIN; None: the one in the folder `ezrin`.
        embryos: Whom it was trained on, so that nobody is judged by a model that knew them.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["polarity"] = "polarity"  # pyright: ignore[reportIncompatibleVariableOverride]
    arm: Arm
    backbone: BackboneConfig
    members: int = pydantic.Field(ge=1)
    size: int = pydantic.Field(ge=16)
    window: float = pydantic.Field(gt=0, le=2)
    standardize: tuple[bool, ...] = pydantic.Field(default=(True,), min_length=1)
    symmetries: bool = True
    combine: Combine = "mean"
    rule: Rule = "smoothed"
    threshold: float = pydantic.Field(default=0.5, gt=0, lt=1)
    ezrin: str | None = None
    embryos: tuple[str, ...] = ()


def channels_of(arm: Arm) -> tuple[str, ...]:
    """What an arm looks at, in order: "dic" and "ezrin" (measured Ezrin takes its place)."""
    return ("ezrin",) if arm == "measured" else tuple(arm.split("+"))


def views_of(
    arm: Arm, dic: np.ndarray, ezrin: np.ndarray, middles: np.ndarray, *, window: float, size: int
) -> np.ndarray:
    """What the classifiers of an arm see of some frames.

    Args:
        arm: Which images.
        dic: float [T, Y, X], all-in-focus frames.
        ezrin: float [T, Y, X], predicted EZRIN (measured for the arm "measured").
        middles: float [T, 2], where the embryos lie, y and x in pixels.
        window: Width of the view, in widths of the frame.
        size: Width of the view, in pixels.

    Returns:
        float32 [T, size, size, C], in the images' range.
    """
    images = {"dic": dic, "ezrin": ezrin}
    return np.stack(
        [
            np.stack([view(images[name][t], (y, x), window, size) for name in channels_of(arm)], -1)
            for t, (y, x) in enumerate(middles)
        ]
    )


def middles_of(ezrin: np.ndarray) -> np.ndarray:
    """Where the embryo lies in every frame of predicted EZRIN [T, Y, X]: float64 [T, 2]."""
    return np.array([locate(frame) for frame in ezrin])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PolarityModel(LoadedModel[PolarityConfig]):
    """A loaded model.

    Attributes:
        members: The classifiers, in evaluation mode.
    """

    members: tuple[Classifier, ...]

    def ezrin_model(self) -> Model:
        """The labeling model that predicts EZRIN."""
        return load_model(self.config.ezrin or self.directory / EZRIN_FOLDER)

    def views(self, dic: np.ndarray, ezrin: np.ndarray) -> np.ndarray:
        """What the members see; see `views_of`. Both arguments are float [T, Y, X]."""
        window, size = self.config.window, self.config.size
        middles = middles_of(ezrin)
        return views_of(self.config.arm, dic, ezrin, middles, window=window, size=size)

    def member_logits(self, dic: np.ndarray, ezrin: np.ndarray) -> np.ndarray:
        """What every member says of every frame, by itself.

        Args:
            dic: float [T, Y, X] in [0, 1], all-in-focus frames, each stretched to the whole range.
            ezrin: float [T, Y, X], EZRIN predicted from them.

        Returns:
            float32 [M, T, 2], logits of before and after the onset.
        """
        return self.logits_of_views(self.views(dic, ezrin))

    def logits_of_views(self, views: np.ndarray) -> np.ndarray:
        """As `member_logits`, of views float32 [T, size, size, C]."""
        turn = orientations if self.config.symmetries else lambda seen: [seen]
        return np.stack(
            [
                mean_of_orientations([_in_portions(_logits, *parts, each) for each in turn(seen)])
                for parts, seen in self._looks(views)
            ]
        )

    def activation_maps(
        self, dic: np.ndarray, ezrin: np.ndarray, called: np.ndarray, *, difference: bool = False
    ) -> np.ndarray:
        """Where the frames speak for the class each of them is called, and where against it.

        Class activation maps as in the paper (Methods): the maps that enter the mean over the
        frame, weighted by the dense layer's weights of the called class and added up; the mean
        over members, and over the orientations where the model looks at all of them. The two
        classes' maps need not be opposite: both may speak for their class at one place.

        Args:
            dic: As in `member_logits`.
            ezrin: As there.
            called: bool [T], whether each frame is called after onset, as it is shown.
            difference: Whether the weights of the class that was not called are taken off, so that
                a map says what tells the two apart, and that of the other call is its negative.

        Returns:
            float32 [T, Y, X], above 0 where the image speaks for the call; 0 outside the view.
        """
        turn = orientations if self.config.symmetries else lambda seen: [seen]
        # Maps are asked for of some frames, as a rule always of as many.
        few = min(len(dic), _AT_ONCE)
        maps = np.mean(
            [
                _turned_back(_in_portions(_activations, *parts, each, few)[1], number)
                for parts, seen in self._looks(self.views(dic, ezrin))
                for number, each in enumerate(turn(seen))
            ],
            axis=0,
        )
        after = np.asarray(called, bool)[:, None, None]
        before_map, after_map = maps[..., 1 - AFTER], maps[..., AFTER]
        spoken = np.where(after, after_map, before_map)
        if difference:
            spoken = spoken - np.where(after, before_map, after_map)
        return _placed(spoken, middles_of(ezrin), self.config.window, dic.shape)

    def _looks(
        self, views: np.ndarray
    ) -> list[tuple[tuple[nnx.GraphDef[Classifier], nnx.State], np.ndarray]]:
        """Every member, taken apart, with the views as it sees them."""
        flags = self.config.standardize
        plain = standardized(views)
        return [
            (parts, plain if flags[member % len(flags)] else views)
            for member, parts in enumerate(self._parts)
        ]

    @functools.cached_property
    def _parts(self) -> list[tuple[nnx.GraphDef[Classifier], nnx.State]]:
        parts = []
        for member in self.members:
            graph, state = nnx.split(member)
            parts.append((graph, state))
        return parts


def orientations(views: np.ndarray) -> list[np.ndarray]:
    """Views [T, Y, X, C] in the eight orientations of a square."""
    mirrored = views[:, :, ::-1]
    return [np.rot90(each, turns, (1, 2)) for each in (views, mirrored) for turns in range(4)]


def _turned_back(maps: np.ndarray, number: int) -> np.ndarray:
    """Maps [T, y, x, C] of the orientation of that number as those of the first."""
    back = np.rot90(maps, -(number % 4), (1, 2))
    return back[:, :, ::-1] if number >= 4 else back


def mean_of_orientations(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Logits [T, 2] whose probabilities are the mean over the orientations' probabilities."""
    mean = np.mean([_softmax(each) for each in logits], axis=0)
    return np.log(np.clip(mean, 1e-12, 1.0)).astype(np.float32)


def save_polarity_model(
    directory: Path,
    members: Sequence[Classifier],
    config: PolarityConfig,
    card: str,
    *,
    overwrite: bool = False,
    kernels: KernelType = "float32",
) -> None:
    """Writes a model folder, whole or not at all; see `isl.model_folder.save_folder`.

    Args:
        directory: The folder, which must not exist unless `overwrite`.
        members: The classifiers; auxiliary heads are left out.
        config: All but `sha256`, which is filled in.
        card: Markdown.
        overwrite: Whether an existing model folder is replaced.
        kernels: What kernels are stored as.
    """
    for member in members:
        member.auxiliary = None
    ensemble = Ensemble(members)
    save_folder(directory, ensemble, config, card, overwrite=overwrite, kernels=kernels)


def load_polarity_model(name_or_directory: str | Path = DEFAULT_MODEL) -> PolarityModel:
    """Loads a bundled model by its name, or a model folder.

    Raises:
        InputError: There is none, it is no polarity model, or a file is missing or damaged.
    """
    directory = model_directory(name_or_directory)
    config = read_folder_config(directory, PolarityConfig)
    if config.ezrin is None and not (directory / EZRIN_FOLDER).is_dir():
        raise InputError(
            f"{directory}: holds no folder '{EZRIN_FOLDER}', the model that predicts EZRIN; copy "
            "the whole folder again"
        )
    card = check_folder(directory, config)
    channels = len(channels_of(config.arm))
    ensemble = Ensemble(
        [abstract_classifier(config.backbone, channels) for _ in range(config.members)]
    )
    path = directory / WEIGHTS_FILE
    fill(ensemble, read_weights(path), source=str(path))
    ensemble.eval()
    members = tuple(ensemble.members)
    return PolarityModel(config=config, card=card, directory=directory, members=members)


class Ensemble(nnx.Module):
    """Classifiers side by side, as they are stored."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        """Keeps the members, in order."""
        self.members = nnx.List(members)


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph: nnx.GraphDef[Classifier], state: nnx.State, views: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(views)


@functools.partial(jax.jit, static_argnums=0)
def _activations(
    graph: nnx.GraphDef[Classifier], state: nnx.State, views: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return nnx.merge(graph, state).activation_maps(views)


def _in_portions(
    function: Callable[[nnx.GraphDef[Classifier], nnx.State, jax.Array], Any],
    graph: nnx.GraphDef[Classifier],
    state: nnx.State,
    views: np.ndarray,
    at_once: int = _AT_ONCE,
) -> Any:
    """Applies a function to a few views at a time, always the same number, and joins what it says.

    One shape means one compiled program, whatever the number of frames.
    """
    results = []
    for start in range(0, len(views), at_once):
        portion = views[start : start + at_once]
        lacking = at_once - len(portion)
        full = np.concatenate([portion, np.repeat(portion[-1:], lacking, axis=0)])
        results.append(function(graph, state, jnp.asarray(full)))
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *results)
    return jax.tree.map(lambda array: array[: len(views)], joined)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _placed(
    maps: np.ndarray, middles: np.ndarray, window: float, shape: tuple[int, ...]
) -> np.ndarray:
    """Maps [T, y, x] of views, enlarged and put where the views were cut, float32 [T, Y, X]."""
    from PIL import Image

    width = round(window * max(shape[1:]))
    placed = np.zeros(shape, np.float32)
    for t, (y, x) in enumerate(middles):
        enlarged = Image.fromarray(maps[t].astype(np.float32)).resize(
            (width, width), Image.Resampling.BICUBIC
        )
        top, left = (round(place + 0.5 - width / 2) for place in (y, x))
        rows = slice(max(top, 0), min(top + width, shape[1]))
        columns = slice(max(left, 0), min(left + width, shape[2]))
        inside = np.asarray(enlarged)[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        placed[t, rows, columns] = inside
    return placed
