"""Where the network looked, of one frame for each outcome: TN, FP, FN, TP (paper, Figure 4).

No frame is chosen by hand or by how it looks: of every outcome the one whose confidence is nearest
to the median of that outcome is shown.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from isl.polarity.embryo import Embryo
from isl.polarity.onset import find_onset
from isl.polarity.overlays import overlaid
from isl.report.plots import INK, bare, canvas, png

from .predictions import HeldOut, KeptPredictions, logits_of

Outcome = Literal["TN", "FP", "FN", "TP"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_SIDE = 2.5

Explain = Callable[[Path, Embryo, np.ndarray, Sequence[int], Sequence[bool]], np.ndarray]
"""From a model's folder, an embryo, the EZRIN of some of its frames [n, Y, X], their numbers, and
whether each is called after onset, to class activation maps float32 [n, Y, X]."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One frame that a model was asked about without knowing its embryo.

    Attributes:
        outcome: Of its call.
        embryo: Name of the recording.
        frame: From 0.
        confidence: What the ensemble gives the class that it calls.
        map: float [Y, X]: EZRIN while a frame is a candidate, then what speaks for the call.
    """

    outcome: Outcome
    embryo: str
    frame: int
    confidence: float
    map: np.ndarray

    @property
    def called(self) -> bool:
        """Whether it is called after onset."""
        return self.outcome in ("FP", "TP")

    @property
    def after(self) -> bool:
        """Whether it is annotated so."""
        return self.outcome in ("FN", "TP")


def held_out_maps(
    folder: Path,
    embryo: Embryo,
    ezrin: np.ndarray,
    frames: Sequence[int],
    called: Sequence[bool],
) -> np.ndarray:
    """Class activation maps of a polarity model; see `Explain`."""
    from isl.polarity.model import load_polarity_model

    model = load_polarity_model(folder)
    return model.activation_maps(
        embryo.dic[list(frames)], ezrin, np.array(called), pixel_size=embryo.pixel_size
    )


def candidates_of(embryo: Embryo, made: HeldOut, ezrin: np.ndarray) -> list[Example]:
    """An embryo's typical frame of every outcome that it has, with its EZRIN in place of a map.

    Args:
        embryo: Which.
        made: What was predicted of it.
        ezrin: float [T, Y, X], the EZRIN that it was predicted with.
    """
    outcomes, confidences = _outcomes(embryo, made)
    found = []
    for outcome in OUTCOMES:
        those = [t for t, own in enumerate(outcomes) if own == outcome]
        if those:
            t = _nearest(those, confidences, statistics.median_low([confidences[t] for t in those]))
            found.append(
                Example(
                    outcome=outcome,
                    embryo=embryo.name,
                    frame=t,
                    confidence=confidences[t],
                    map=np.asarray(ezrin[t], np.float16),
                )
            )
    return found


def typical(
    candidates: Sequence[Example], held_out: Sequence[HeldOut], embryos: Sequence[Embryo]
) -> list[Example]:
    """Of every outcome the candidate nearest in confidence to the median of all its frames.

    Args:
        candidates: To choose from.
        held_out: The predictions, of all embryos that count for the median.
        embryos: These.
    """
    pooled: dict[Outcome, list[float]] = {outcome: [] for outcome in OUTCOMES}
    for embryo in embryos:
        for outcome, confidence in zip(
            *_outcomes(embryo, logits_of(held_out, embryo, "examples")), strict=True
        ):
            pooled[outcome].append(confidence)
    found = []
    for outcome in OUTCOMES:
        those = [each for each in candidates if each.outcome == outcome]
        if those:
            median = statistics.median_low(pooled[outcome])
            found.append(min(those, key=lambda each: abs(each.confidence - median)))
    return found


def explained(
    candidates: Sequence[Example], folder: Path, embryos: Sequence[Embryo], explain: Explain
) -> list[Example]:
    """Candidates with their maps in place of their EZRIN."""
    by_name = {embryo.name: embryo for embryo in embryos}
    made = []
    for each in candidates:
        ezrin = each.map[None].astype(np.float32)
        (found,) = explain(folder, by_name[each.embryo], ezrin, [each.frame], [each.called])
        made.append(dataclasses.replace(each, map=np.asarray(found, np.float16)))
    return made


def keep(kept: KeptPredictions, fold: str, arm: str, examples: Sequence[Example]) -> None:
    """Keeps examples beside the predictions."""
    facts = [
        {
            "outcome": each.outcome,
            "embryo": each.embryo,
            "frame": each.frame,
            "confidence": each.confidence,
        }
        for each in examples
    ]
    kept.put_maps(fold, arm, facts, [each.map for each in examples])


def kept_examples(kept: KeptPredictions, folds: Iterable[str], arm: str) -> list[Example]:
    """The examples of an arm that were kept, of all folds."""
    return [
        Example(**facts, map=values)
        for fold in folds
        for facts, values in kept.take_maps(fold, arm)
    ]


def draw_examples(examples: Sequence[Example], embryos: Mapping[str, Embryo]) -> bytes:
    """A row for each outcome: the frame, the map over it, and measured Ezrin where it is known.

    Args:
        examples: One for each outcome that there is.
        embryos: By name.
    """
    figure = canvas(3 * _SIDE + 0.6, len(examples) * (_SIDE + 0.35))
    for row, each in enumerate(examples):
        embryo = embryos[each.embryo]
        image = embryo.dic[each.frame]
        activation = each.map.astype(np.float32)
        top = max(float(np.percentile(np.abs(activation), 99.5)), 1e-6)
        said = "after" if each.called else "before"
        annotated = "after" if each.after else "before"
        shown: list[tuple[np.ndarray | None, str]] = [
            (image, f"called {said}, {100 * each.confidence:.0f} %"),
            (overlaid(image, activation / top), f"{each.embryo}, frame {each.frame}"),
            (
                None if embryo.measured is None else embryo.measured[each.frame],
                f"annotated {annotated}",
            ),
        ]
        for column, (picture, title) in enumerate(shown):
            axes = bare(figure.add_subplot(len(examples), 3, 3 * row + column + 1))
            axes.set_title(title, fontsize=10, color=INK)
            if picture is not None:
                axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="lanczos")
            else:
                axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
            if column == 0:
                axes.set_ylabel(each.outcome, fontsize=13, color=INK)
    return png(figure, colors=256)


def _outcomes(embryo: Embryo, made: HeldOut) -> tuple[list[Outcome], list[float]]:
    """Of every frame by itself: its outcome, and what the called class was given."""
    logits = np.asarray(made.logits[embryo.name], np.float64)
    probabilities = 0.5 * (1 + np.tanh(0.5 * (logits[..., 1] - logits[..., 0])))
    onset = find_onset(
        probabilities, member_logits=logits, combine=made.combine, threshold=made.threshold
    )
    outcomes: list[Outcome] = [
        OUTCOMES[2 * int(after) + int(called)]
        for after, called in zip(embryo.after, onset.calls, strict=True)
    ]
    confidence = np.where(onset.calls, onset.probability, 1 - onset.probability)
    return outcomes, confidence.tolist()


def _nearest(those: Sequence[int], confidences: Sequence[float], median: float) -> int:
    return min(those, key=lambda t: abs(confidences[t] - median))
