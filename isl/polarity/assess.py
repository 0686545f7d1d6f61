"""From one recording to when the embryo polarized, and to all that lets a person judge that.

The chain (specification, section 1): stacks are fused to all-in-focus frames, EZRIN is predicted
for every frame, the ensemble says of every frame how likely it is after the onset, and the onset
follows from that. Nothing here touches the disk.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np

from isl.errors import InputError
from isl.labeling.model import Model
from isl.labeling.options import check_options
from isl.labeling.predict import Prediction, predict_field
from isl.labeling.source import TransmittedField
from isl.polarity.defects import SILENT, Defect, DefectKind, find_defects, words_of
from isl.polarity.focus import fuse, stretched
from isl.polarity.onset import Onset, Rule, find_onset
from isl.polarity.presence import Presence, watch_embryo
from isl.polarity.recording import Recording

RULES: tuple[Rule, ...] = get_args(Rule)
Activation = Literal["class", "difference"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
MODALITY = "DIC"
# The image first, and how unsure it is; both of every pixel's distribution.
EZRIN_STATISTICS = ("mean", "standard_deviation")
# Frames that pictures show, the onset in the middle.
SHOWN = 9
_AFTER = 1

logger = logging.getLogger(__name__)


class OnsetModel(Protocol):
    """What is asked of an `isl.polarity.model.PolarityModel`."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def hash(self) -> str:
        """sha256 of its weights."""
        ...

    @property
    def config(self) -> Any:
        """Its `arm`, `combine`, `rule`, `threshold`, `for_intervals`, and more."""
        ...

    @property
    def card(self) -> str:
        """What it says of itself."""
        ...

    def ezrin_model(self) -> Model:
        """The labeling model whose EZRIN it reads, at least to find the embryo."""
        ...

    def member_logits(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> np.ndarray:
        """Logits [M, T, 2] of frames and predicted EZRIN, float32 [T, Y, X] in [0, 1]."""
        ...

    def unfamiliar(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> str | None:
        """Why a recording cannot be judged, being unlike all it learned from; None: it is not."""
        ...

    def activation_maps(
        self,
        dic: np.ndarray,
        ezrin: np.ndarray,
        called: np.ndarray,
        *,
        difference: bool = False,
        pixel_size: float | None = None,
    ) -> np.ndarray:
        """What speaks for each frame's call (bool [T]), float32 [T, y, x] over the whole frame."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """What was found in one recording of T frames, by an ensemble of M members.

    Attributes:
        recording: What was assessed.
        frames: float32 [T, Y, X] in [0, 1], all in focus, each stretched to the whole range.
        presence: Where the embryo is.
        ezrin: Mean and standard deviation of its predicted distribution, [T, 1, Y, X].
        member_probabilities: float32 [M, T], P(after onset) of every member.
        onsets: The onset by each of `RULES`.
        rule: The one that counts.
        threshold: The ensemble's probability above which a frame is called after onset.
        defects: What is wrong with single frames.
        shown: Frames for pictures.
        activation: float32 [len(shown), y, x], what speaks for the class that each is called after
            smoothing, which is what pictures show, over the whole frame.
        warnings: One line for everything that a person should know.
        refused: Why it cannot be told, whatever the members say; None: they count.
    """

    recording: Recording
    frames: np.ndarray
    presence: Presence
    ezrin: Prediction
    member_probabilities: np.ndarray
    onsets: Mapping[Rule, Onset]
    rule: Rule
    threshold: float
    defects: tuple[Defect, ...]
    shown: tuple[int, ...]
    activation: np.ndarray
    warnings: tuple[str, ...]
    refused: str | None = None

    @property
    def onset(self) -> Onset:
        """The onset by the rule that counts."""
        return self.onsets[self.rule]


def assess(
    recording: Recording,
    model: OnsetModel,
    ezrin_model: Model,
    *,
    rule: Rule | None = None,
    activation: Activation = "class",
    leave_out: Sequence[DefectKind] = (),
    progress: Callable[[int, int], None] | None = None,
    memory: int | None = None,
) -> Assessment:
    """Assesses one recording; warnings are logged.

    Args:
        recording: Of two frames or more.
        model: The ensemble.
        ezrin_model: Predicts EZRIN from an all-in-focus frame, or from the recording's stacks.
        rule: How the onset follows from the probabilities; None: as the model says.
        leave_out: Kinds of defects for which a recording is refused; others are warned about.
        activation: Whether maps are of the called class's weights (paper), or of their difference
            from the other's.
        progress: Called with the number of EZRIN tiles done, and of all.
        memory: Bytes that predicting EZRIN may take, but for the images; None: as many as it likes.

    Raises:
        InputError: The embryo leaves the field, stacks do not fit the EZRIN model, or there is a
            defect for which it is left out.
    """
    frames = all_in_focus(recording)
    defects = find_defects(frames, recording.frames)
    _check_defects(recording, defects, leave_out)
    presence = watch_embryo(frames)
    _check_presence(recording, presence)
    warnings = _warnings(recording, presence, defects)
    warnings += _known(recording, model, ezrin_model)
    for warning in warnings:
        logger.warning("%s: %s", recording.source, warning)
    ezrin = _predict_ezrin(recording, frames, ezrin_model, progress, memory)
    seen = ezrin.statistics[EZRIN_STATISTICS[0]][:, 0]
    size = recording.pixel_size
    micrometres = None if size is None else size.side
    try:
        logits = np.asarray(model.member_logits(frames, seen, micrometres))
    except InputError as error:
        raise InputError(f"{recording.source}: {error}") from error
    probabilities = _softmax(logits)[..., _AFTER]
    counted = np.ones(len(recording), bool)
    counted[[each.frame for each in defects if each.kind in SILENT]] = False
    onsets: dict[Rule, Onset] = {
        each: find_onset(
            probabilities,
            member_logits=logits,
            combine=model.config.combine,
            rule=each,
            threshold=model.config.threshold,
            counted=counted,
            **model.config.for_intervals,
        )
        for each in RULES
    }
    refused = model.unfamiliar(frames, seen, micrometres)
    if refused is not None:
        onsets = {
            each: dataclasses.replace(onset, verdict="cannot_tell")
            for each, onset in onsets.items()
        }
    chosen: Rule = rule or model.config.rule
    shown = frames_to_show(onsets[chosen].frame, len(recording))
    some = list(shown)
    return Assessment(
        recording=recording,
        frames=frames,
        presence=presence,
        ezrin=ezrin,
        member_probabilities=probabilities,
        onsets=onsets,
        rule=chosen,
        threshold=0.5 if model.config.combine == "vote" else model.config.threshold,
        defects=defects,
        shown=shown,
        activation=np.asarray(
            model.activation_maps(
                frames[some],
                seen[some],
                onsets[chosen].smoothed[some],
                difference=activation == "difference",
                pixel_size=micrometres,
            )
        ),
        warnings=warnings + ezrin.warnings,
        refused=refused,
    )


def all_in_focus(recording: Recording) -> np.ndarray:
    """Every frame all in focus and stretched to the whole range; float32 [T, Y, X]."""
    return stretched(
        np.stack(
            [
                fuse(planes, source=f"{recording.source}: {recording.frame(t)}").image
                for t, planes in enumerate(recording.frames)
            ]
        )
    )


def frames_to_show(onset: int | None, count: int) -> tuple[int, ...]:
    """Frames around the onset; without one, frames spread over the whole recording.

    Args:
        onset: The onset's frame, or None.
        count: How many frames there are.
    """
    if count <= SHOWN:
        return tuple(range(count))
    if onset is None:
        return tuple(np.linspace(0, count - 1, SHOWN).round().astype(int).tolist())
    first = min(max(onset - SHOWN // 2, 0), count - SHOWN)
    return tuple(range(first, first + SHOWN))


def _check_presence(recording: Recording, presence: Presence) -> None:
    if presence.leaves is None:
        return
    number = recording.numbers[presence.leaves]
    remedy = f"give `frames={recording.numbers[0]}:{number}` to judge what comes before"
    if presence.leaves < 2:
        remedy = f"give `frames={number + 1}:` or later to judge what comes after"
    raise InputError(
        f"{recording.source}: the embryo leaves the field: at {recording.frame(presence.leaves)} "
        f"{presence.area[presence.leaves]:.0%} of it is seen; {remedy}"
    )


def _check_defects(
    recording: Recording, defects: Sequence[Defect], leave_out: Sequence[DefectKind]
) -> None:
    lines = words_of([each for each in defects if each.kind in leave_out], recording.frame)
    if lines:
        raise InputError(f"{recording.source}: is left out, as asked for; {'; '.join(lines)}")


def _warnings(
    recording: Recording, presence: Presence, defects: Sequence[Defect]
) -> tuple[str, ...]:
    warnings = words_of(defects, recording.frame)
    silent = tuple(sorted({each.frame for each in defects if each.kind in SILENT}))
    if silent and len(silent) < len(recording):
        warnings.append(f"has no say in the onset, for its defect: {_listed(recording, silent)}")
    if recording.modality not in (None, MODALITY):
        warnings.append(
            f"says that it is {recording.modality}; the models were made for {MODALITY}"
        )
    if not presence.found:
        warnings.append(
            "no embryo was told from its surroundings, so it may leave the field unseen"
        )
    beside = () if recording.window is None else recording.window.beside
    if beside:
        warnings.append(
            f"its square shows parts of embryo {' and '.join(map(str, beside))}, too, so what is "
            "said of it may be of both"
        )
    if presence.faint:
        faint = _listed(recording, presence.faint)
        warnings.append(f"the embryo is hardly seen, perhaps out of focus, in {faint}")
    if presence.across:
        across = _listed(recording, presence.across)
        warnings.append(f"the embryo lies across the border in {across}")
    return tuple(warnings)


def _known(recording: Recording, model: OnsetModel, ezrin_model: Model) -> tuple[str, ...]:
    """Says so where models learned from the embryo, which flatters what they say of it."""
    trained = {
        model.name: model.config.embryos,
        ezrin_model.name: ezrin_model.config.trained_on or (),
    }
    learned = [name for name, embryos in trained.items() if recording.name in embryos]
    if not learned:
        return ()
    return (
        f"an embryo of this name is among those that {' and '.join(learned)} learned from: what "
        "is said of it flatters",
    )


def _listed(recording: Recording, frames: tuple[int, ...]) -> str:
    if len(frames) > 3:
        return f"{len(frames)} frames, the first of them {recording.frame(frames[0])}"
    return ", ".join(recording.frame(t) for t in frames)


def _predict_ezrin(
    recording: Recording,
    frames: np.ndarray,
    model: Model,
    progress: Callable[[int, int], None] | None,
    memory: int | None,
) -> Prediction:
    """Mean and deviation of EZRIN, from frames in focus or from the stacks they come from."""
    planes = recording.frames.shape[1]
    expected = model.config.input.planes
    if expected not in (1, planes):
        raise InputError(
            f"{recording.source}: has {planes} planes; model '{model.name}' predicts EZRIN from "
            f"{expected} (give `axes` if these are no planes, or another `model`)"
        )
    # As they were stored where they can be: what is stretched may be normal, and the rest not.
    stacks = recording.frames if expected == planes else frames[:, None]
    times, depth, rows, columns = stacks.shape
    field = TransmittedField(
        name=recording.name,
        shape=(times, depth, rows, columns),
        dtype=stacks.dtype,
        # Of one time point after the other, each of which is then read once.
        read=lambda t, z, rows, columns: stacks[t][z, rows, columns],
        movie=True,
        pixel_size=recording.pixel_size,
        interval=recording.interval,
        modality=model.config.input.modality,
        source=recording.source,
    )
    options = check_options(
        model.config, labels=(_ezrin_label(model),), statistics=EZRIN_STATISTICS
    )
    return predict_field(model, field, options, progress, budget=memory)


def _ezrin_label(model: Model) -> str:
    named = [label for label in model.labels if "EZRIN" in label.upper()]
    if not named:
        raise InputError(
            f"model '{model.name}' predicts {', '.join(model.labels)}, not EZRIN; take another one"
        )
    return named[0]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)
