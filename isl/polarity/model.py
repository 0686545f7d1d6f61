"""A polarity model: an ensemble of classifiers, what they see, and how their word becomes an onset.

On disk it is a model folder like any other (`isl.model_folder`) of kind "polarity"; arrays of
member 2 are named `members/2/...`. It names the labeling model that predicts EZRIN: a bundled one,
or the folder `ezrin` within its own.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.config import Config
from isl.errors import InputError
from isl.labeling.model import Model, load_model
from isl.model_folder import (
    FolderConfig,
    KernelType,
    LoadedModel,
    fill_from,
    model_directory,
    read_folder_config,
    save_folder,
)
from isl.polarity.classifier import (
    AFTER,
    CLASSES,
    BackboneConfig,
    Classifier,
    abstract_classifier,
)
from isl.polarity.focus import stretched
from isl.polarity.onset import TEMPER, Combine, Rule
from isl.polarity.pretrained import FrozenFeatures, PretrainedConfig, Reader
from isl.polarity.view import SOFTNESS, locate, standardized, view

DEFAULT_MODEL = "polarity"
EZRIN_FOLDER = "ezrin"
Arm = Literal["dic", "ezrin", "dic+ezrin", "measured"]
ARMS: tuple[Arm, ...] = get_args(Arm)
WIDEST = 2.0
"""A view is at most as many frames wide; what lies beyond the frame is mirrored."""
_AT_ONCE = 32


class Calibration(Config):
    """What held-out embryos said of the intervals; see `isl.polarity.onset.find_onset`.

    Attributes:
        temper: Share of a frame's evidence that is its own.
        spread: Factor on the posterior's interval, of split conformal prediction by embryo.
        novelty: A recording is too unlike those learned from above it; see `novelty_of`.
        embryos: How many embryos it was found with, each held out in turn.
    """

    temper: float = pydantic.Field(gt=0, le=1)
    spread: float = pydantic.Field(ge=1)
    novelty: float = pydantic.Field(gt=0)
    embryos: int = pydantic.Field(ge=1)


class PolarityConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        arm: What the classifiers look at: the all-in-focus frame, EZRIN as predicted from it,
            both, or measured Ezrin (for evaluation only).
        backbone: What each of them is: a network of its own, or a logistic regression on what a
            pretrained encoder sees, which all of them share.
        members: How many there are.
        size: Width of what they see, in pixels.
        window: Width of what they see, in widths of the frame.
        width: The same in micrometres, for frames whose pixel size is known; None: it was not known
            of all that were learned from.
        centred: Whether the embryo, where predicted EZRIN shows it, is in the middle of the view;
            else the middle of the frame is.
        standardize: For the members in turn, whether views are brought to mean 0 and deviation 1
            before they are looked at. Members that differ in this err differently.
        symmetries: Whether each frame is seen in its eight orientations, which are averaged.
        combine: How members become one; see `isl.polarity.onset.find_onset`.
        rule: How calls become an onset; see there.
        threshold: A frame is called after onset above it.
        calibration: Of the onsets' intervals; None: nobody measured it.
        ezrin: The bundled labeling model that predicts EZRIN; None: the one in the folder `ezrin`.
        embryos: Whom it was trained on, so that nobody is judged by a model that knew them.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["polarity"] = "polarity"  # pyright: ignore[reportIncompatibleVariableOverride]
    arm: Arm
    backbone: BackboneConfig
    members: int = pydantic.Field(ge=1)
    size: int = pydantic.Field(ge=16)
    window: float = pydantic.Field(gt=0, le=WIDEST)
    width: float | None = pydantic.Field(default=None, gt=0)
    centred: bool = True
    standardize: tuple[bool, ...] = pydantic.Field(default=(True,), min_length=1)
    symmetries: bool = True
    combine: Combine = "mean"
    rule: Rule = "smoothed"
    threshold: float = pydantic.Field(default=0.5, gt=0, lt=1)
    calibration: Calibration | None = None
    ezrin: str | None = None
    embryos: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _a_member_for_every_look(self) -> "PolarityConfig":
        check_members(self.backbone, self.members)
        return self

    @property
    def for_intervals(self) -> dict[str, Any]:
        """Arguments of `isl.polarity.onset.find_onset`."""
        if self.calibration is None:
            return {"temper": TEMPER, "spread": None}
        return {"temper": self.calibration.temper, "spread": self.calibration.spread}


def check_members(backbone: BackboneConfig, members: int) -> None:
    """A pretrained encoder has a member for every look.

    Raises:
        ValueError: It has not.
    """
    if isinstance(backbone, PretrainedConfig) and members != len(backbone.looks):
        raise ValueError(
            f"members is {members}, but the backbone has {len(backbone.looks)} looks; give as many "
            "members"
        )


def channels_of(arm: Arm) -> tuple[str, ...]:
    """What an arm looks at, in order: "dic" and "ezrin" (measured Ezrin takes its place)."""
    return ("ezrin",) if arm == "measured" else tuple(arm.split("+"))


def views_of(
    arm: Arm,
    dic: np.ndarray,
    ezrin: np.ndarray,
    middles: np.ndarray,
    *,
    window: float,
    size: int,
    softness: float = SOFTNESS,
) -> np.ndarray:
    """What the classifiers of an arm see of some frames.

    Args:
        arm: Which images.
        dic: float [T, Y, X], all-in-focus frames.
        ezrin: float [T, Y, X], predicted EZRIN (measured for the arm "measured").
        middles: float [T, 2], where the embryos lie, y and x in pixels.
        window: Width of the view, in widths of the frame.
        size: Width of the view, in pixels.
        softness: Deviation of the blur of the finished view, in its pixels.

    Returns:
        float32 [T, size, size, C], in the images' range.
    """
    images = {"dic": dic, "ezrin": ezrin}
    return np.stack(
        [
            np.stack(
                [
                    view(images[name][t], (y, x), window, size, softness=softness)
                    for name in channels_of(arm)
                ],
                axis=-1,
            )
            for t, (y, x) in enumerate(middles)
        ]
    )


def middles_of(ezrin: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """Where the embryo lies in every frame of predicted EZRIN [T, Y, X]: float64 [T, 2].

    Unless views are `centred`, the middle of every frame.
    """
    if not centred:
        return np.tile((np.array(ezrin.shape[1:]) - 1) / 2, (len(ezrin), 1))
    return np.array([locate(frame) for frame in ezrin])


def middles_in(config: "Sight", place: np.ndarray, window: float) -> np.ndarray:
    """Where views of this window have their middle in every frame, float64 [T, 2].

    A view of less of the frame than was learned from would miss an embryo off the frame's middle,
    so it goes where the embryo is, too.

    Args:
        config: What is looked at.
        place: float [T, Y, X], predicted EZRIN; without any light the middle of the frame is taken.
        window: In widths of the frame; see `window_of`.
    """
    return middles_of(place, centred=config.centred or window < config.window)


def width_of(window: float, frames: Sequence[tuple[int, float | None]]) -> float | None:
    """The width of the view in micrometres that a window comes to: the median over recordings.

    Args:
        window: In widths of the frame.
        frames: Of every recording the longer side in pixels, and a pixel's size in micrometres.

    Returns:
        None where nobody knows the pixel size of one.
    """
    widths = [None if size is None else window * pixels * size for pixels, size in frames]
    known = [width for width in widths if width is not None]
    return float(np.median(known)) if known and len(known) == len(widths) else None


def window_of(config: "Sight", pixels: int, pixel_size: float | None) -> float:
    """Width of the view in widths of the frame, so that it shows as much as what was learned from.

    Args:
        config: What is looked at.
        pixels: The frame's longer side.
        pixel_size: Micrometres, or None; then, or where the model knows no width, its window.

    Raises:
        InputError: The frame is far too narrow to show as much.
    """
    if config.width is None or pixel_size is None:
        return config.window
    window = config.width / (pixels * pixel_size)
    if window > WIDEST:
        raise InputError(
            f"{pixels} pixels of {pixel_size:g} um make the frame {pixels * pixel_size:.4g} um "
            f"wide, and the model looks at {config.width:.4g} um; correct the pixel size, or give "
            "frames that show more"
        )
    return window


def seen_by(
    config: "Sight",
    dic: np.ndarray,
    ezrin: np.ndarray,
    place: np.ndarray,
    pixel_size: float | None = None,
) -> np.ndarray:
    """The views of a model, or of one that is trained.

    A pretrained encoder gets what photographs are: sharp, and EZRIN, whose brightest pixels no
    distribution's mean reaches, stretched frame by frame as measured Ezrin was.

    Args:
        config: What it looks at.
        dic: float [T, Y, X], all-in-focus frames.
        ezrin: float [T, Y, X], EZRIN as predicted, or as measured.
        place: float [T, Y, X], EZRIN as predicted, which shows where the embryo is.
        pixel_size: Micrometres, or None.

    Returns:
        float32 [T, size, size, C].

    Raises:
        InputError: As in `window_of`.
    """
    frozen = isinstance(config.backbone, PretrainedConfig)
    window = window_of(config, max(dic.shape[1:]), pixel_size)
    return views_of(
        config.arm,
        dic,
        stretched(ezrin) if frozen else ezrin,
        middles_in(config, place, window),
        window=window,
        size=config.size,
        softness=0.0 if frozen else SOFTNESS,
    )


class Sight(Protocol):
    """What `seen_by` is told; `PolarityConfig` says it."""

    @property
    def arm(self) -> Arm:
        """Which images."""
        ...

    @property
    def backbone(self) -> BackboneConfig:
        """What looks at them."""
        ...

    @property
    def size(self) -> int:
        """Width of the view, in pixels."""
        ...

    @property
    def window(self) -> float:
        """Width of the view, in widths of the frame."""
        ...

    @property
    def width(self) -> float | None:
        """The same in micrometres, where that is known."""
        ...

    @property
    def centred(self) -> bool:
        """Whether the embryo is in its middle."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PolarityModel(LoadedModel[PolarityConfig]):
    """A loaded model.

    Attributes:
        members: The classifiers, in evaluation mode; logistic regressions where a pretrained
            encoder looks.
    """

    members: tuple[Classifier | Reader, ...]

    def ezrin_model(self) -> Model:
        """The labeling model that predicts EZRIN."""
        return load_model(self.config.ezrin or self.directory / EZRIN_FOLDER)

    def views(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> np.ndarray:
        """What the members see; see `seen_by`. Images are float [T, Y, X]."""
        return seen_by(self.config, dic, ezrin, ezrin, pixel_size)

    def member_logits(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> np.ndarray:
        """What every member says of every frame, by itself.

        Args:
            dic: float [T, Y, X] in [0, 1], all-in-focus frames, each stretched to the whole range.
            ezrin: float [T, Y, X], EZRIN predicted from them.
            pixel_size: Micrometres, or None; then the view is a share of the frame.

        Returns:
            float32 [M, T, 2], logits of before and after the onset.

        Raises:
            InputError: As in `window_of`.
        """
        return self.logits_of_views(self.views(dic, ezrin, pixel_size))

    def logits_of_views(self, views: np.ndarray) -> np.ndarray:
        """As `member_logits`, of views float32 [T, size, size, C]."""
        if self.frozen is not None:
            return logits_of_features(
                self.readers,
                self.frozen.of_views(views),
            )
        turn = orientations if self.config.symmetries else lambda seen: [seen]
        return np.stack(
            [
                mean_of_orientations([_in_portions(_logits, *parts, each) for each in turn(seen)])
                for parts, seen in self._looks(views)
            ]
        )

    def unfamiliar(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> str | None:
        """Why a recording is too unlike those learned from to be judged; None: it is not.

        Arguments as in `member_logits`; networks of their own cannot tell.
        """
        calibration = self.config.calibration
        if self.frozen is None or calibration is None:
            return None
        novelty = novelty_of(self.readers, self.frozen.of_views(self.views(dic, ezrin, pixel_size)))
        if novelty <= calibration.novelty:
            return None
        return (
            "the frames do not look like the 8-cell embryos that the model learned from (novelty "
            f"{novelty:.2f}, limit {calibration.novelty:.2f}): another stage, another microscope, "
            "or no embryo"
        )

    @property
    def readers(self) -> list[Reader]:
        """The members that read a pretrained encoder."""
        return [member for member in self.members if isinstance(member, Reader)]

    def activation_maps(
        self,
        dic: np.ndarray,
        ezrin: np.ndarray,
        called: np.ndarray,
        *,
        difference: bool = False,
        pixel_size: float | None = None,
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
            pixel_size: As in `member_logits`.

        Returns:
            float32 [T, Y, X], above 0 where the image speaks for the call; 0 outside the view.
        """
        views = self.views(dic, ezrin, pixel_size)
        if self.frozen is not None:
            maps = self.frozen.contributions(
                views, [np.asarray(reader.kernel[...]) for reader in self.readers]
            )
        else:
            maps = self._maps_of_networks(views)
        after = np.asarray(called, bool)[:, None, None]
        before_map, after_map = maps[..., 1 - AFTER], maps[..., AFTER]
        spoken = np.where(after, after_map, before_map)
        if difference:
            spoken = spoken - np.where(after, before_map, after_map)
        window = window_of(self.config, max(dic.shape[1:]), pixel_size)
        middles = middles_in(self.config, ezrin, window)
        return _placed(spoken, middles, window, dic.shape)

    @functools.cached_property
    def frozen(self) -> FrozenFeatures | None:
        """The pretrained encoder; None: the members are networks of their own."""
        backbone = self.config.backbone
        return FrozenFeatures(backbone) if isinstance(backbone, PretrainedConfig) else None

    def _maps_of_networks(self, views: np.ndarray) -> np.ndarray:
        """Maps [T, y, x, 2] of what speaks for each class, the mean over members."""
        turn = orientations if self.config.symmetries else lambda seen: [seen]
        # Maps are asked for of some frames, as a rule always of as many.
        few = min(len(views), _AT_ONCE)
        return np.mean(
            [
                _turned_back(_in_portions(_activations, *parts, each, few)[1], number)
                for parts, seen in self._looks(views)
                for number, each in enumerate(turn(seen))
            ],
            axis=0,
        )

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
            assert isinstance(member, Classifier)
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
    members: Sequence[Classifier | Reader],
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
        if isinstance(member, Classifier):
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
    channels = len(channels_of(config.arm))
    ensemble = Ensemble(abstract_members(config.backbone, channels, config.members))
    card = fill_from(directory, config, ensemble)
    ensemble.eval()
    members = tuple(ensemble.members)
    return PolarityModel(config=config, card=card, directory=directory, members=members)


class Ensemble(nnx.Module):
    """Classifiers side by side, as they are stored."""

    def __init__(self, members: Sequence[Classifier | Reader]) -> None:
        """Keeps the members, in order."""
        self.members = nnx.List(members)


def logits_of_features(members: Sequence[Reader], features: Sequence[np.ndarray]) -> np.ndarray:
    """What logistic regressions say, each of its own features [T, F]: float32 [M, T, 2]."""
    return np.stack(
        [member.logits(own) for member, own in zip(members, features, strict=True)]
    ).astype(np.float32)


def novelty_of(members: Sequence[Reader], features: Sequence[np.ndarray]) -> float:
    """How unlike those that members were fitted on a recording is, by its median frame.

    Args:
        members: Logistic regressions.
        features: Of each, float32 [T, F].
    """
    of_looks = [member.novelty(own) for member, own in zip(members, features, strict=True)]
    return float(np.median(np.mean(of_looks, axis=0)))


def abstract_members(
    backbone: BackboneConfig, channels: int, members: int
) -> list[Classifier | Reader]:
    """Members with shapes in place of arrays, or zeros.

    Args:
        backbone: What they are.
        channels: Images that they look at.
        members: How many.
    """
    if isinstance(backbone, PretrainedConfig):
        return [Reader(channels * look.depth, len(CLASSES)) for look in backbone.looks]
    return [abstract_classifier(backbone, channels) for _ in range(members)]


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
