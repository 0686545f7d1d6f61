"""People who were asked the same as the model: each alone, their majority, and films in order.

Their answers are columns of the table that annotates the time-lapses, one for each person, of 0 and
1 for every frame. `frames`: frames were shown shuffled, without any time, and each was called by
itself. `ordered`: films were shown in order, and the first 1 is where the person put the onset.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from isl.errors import InputError
from isl.labeling.dataset import Manifest
from isl.labeling.timelapse import TimeLapse, numbers_of_frames, read_event
from isl.polarity.embryo import Embryo
from isl.polarity.onset import onset_from_calls, onset_of_labels

from ..statistics.bootstrap import Resampling
from ..statistics.tests import PairedTest, matched_pairs
from .config import RatersConfig
from .judge import Comparison, Contender, compare, judge_calls
from .onset import time_discrepancies

MAJORITY = "people, majority"
WITHOUT_TIME = "people without time"
WITH_TIME = "people with time"
COMPACTION = "compaction"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """What people said.

    Attributes:
        frames: By person, bool [T] of every embryo in order: calls of shuffled frames.
        ordered: By person, the onset of every embryo in order, seen as a film; None: never.
    """

    frames: Mapping[str, tuple[np.ndarray, ...]]
    ordered: Mapping[str, tuple[int | None, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """People, judged as the model is.

    Attributes:
        raters: Each alone, by calls of shuffled frames.
        majority: Of their calls, ties drawn; None: nobody called shuffled frames.
        ordered: Each alone, by films in order.
        comparisons: Of every arm with the majority and with each of `raters` and `ordered`.
    """

    raters: tuple[Contender, ...]
    majority: Contender | None
    ordered: tuple[Contender, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def all(self) -> tuple[Contender, ...]:
        """The majority first, then everybody."""
        return (*((self.majority,) if self.majority else ()), *self.raters, *self.ordered)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Discrepancies:
    """Time discrepancies of the arms, people and compaction, side by side (paper, Figures 5c, 6).

    Attributes:
        embryos: E groups.
        unit: "min" or "frames".
        values: By name, float64 [E]; nan where there is none.
        reference: The arm that the others are compared with.
        tests: Of it against each of the others, an embryo a pair.
    """

    embryos: tuple[str, ...]
    unit: str
    values: Mapping[str, np.ndarray]
    reference: str
    tests: Mapping[str, PairedTest]


def read_raters(
    config: RatersConfig, manifest: Manifest, embryos: Sequence[Embryo]
) -> Ratings | None:
    """Reads the columns of people.

    Raises:
        InputError: A column is missing or lacks a frame, or a film goes back to before the onset.
    """
    if not config.frames and not config.ordered:
        return None
    lapses = {lapse.name: lapse for lapse in manifest.time_lapses}
    mine = [lapses[embryo.name] for embryo in embryos]
    return Ratings(
        frames={
            person: tuple(_column(lapse, person, manifest) for lapse in mine)
            for person in config.frames
        },
        ordered={
            person: tuple(_onset(lapse, person, manifest) for lapse in mine)
            for person in config.ordered
        },
    )


def majority(calls: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """What more than half of some people call each frame; a tie is drawn (paper, Figure 3).

    Args:
        calls: bool [N] of each person.
        rng: For ties.
    """
    votes = 2 * np.sum(np.asarray(calls, dtype=np.int64), axis=0)
    drawn = rng.random(len(votes)) < 0.5
    return np.where(votes == len(calls), drawn, votes > len(calls))


def judge_people(
    ratings: Ratings,
    arms: Sequence[Contender],
    embryos: Sequence[Embryo],
    resampling: Resampling,
) -> People:
    """Judges people by the same measures as arms, and compares every arm with them.

    Args:
        ratings: What they said.
        arms: What they are compared with.
        embryos: With their annotation, in the order of the ratings.
        resampling: How intervals are drawn; its seed draws the ties, too.
    """
    raters = tuple(
        _judge(person, calls, embryos, resampling) for person, calls in ratings.frames.items()
    )
    together = None
    if raters:
        rng = np.random.default_rng(resampling.seed)
        drawn = majority([rater.calls for rater in raters], rng)
        ends = np.cumsum([len(embryo.after) for embryo in embryos])[:-1]
        together = _judge(MAJORITY, np.split(drawn, ends), embryos, resampling)
    ordered = tuple(
        judge_calls(
            f"{person}, with time",
            embryos,
            np.concatenate(
                [
                    np.arange(len(embryo.after)) >= (len(embryo.after) if at is None else at)
                    for at, embryo in zip(onsets, embryos, strict=True)
                ]
            ),
            onsets,
            resampling,
        )
        for person, onsets in ratings.ordered.items()
    )
    alone = People(raters=raters, majority=together, ordered=ordered, comparisons=())
    return dataclasses.replace(
        alone,
        comparisons=tuple(compare(arm, other, resampling) for arm in arms for other in alone.all),
    )


def compare_discrepancies(
    arms: Sequence[Contender], reference: str, people: People | None, embryos: Sequence[Embryo]
) -> Discrepancies:
    """Time discrepancies of all that has onsets; of people, the mean over them, as in the paper.

    Args:
        arms: Arms or models.
        reference: Which of them the others are tested against.
        people: Who was asked; None: nobody.
        embryos: With their annotation.
    """
    groups = [embryo.group for embryo in embryos]
    of_arms = {arm.name: time_discrepancies(arm.onset("smoothed").rows, groups) for arm in arms}
    first = next(iter(of_arms.values()))
    values = {name: found.values for name, found in of_arms.items()}
    for name, some in (
        (WITHOUT_TIME, people.raters if people else ()),
        (WITH_TIME, people.ordered if people else ()),
    ):
        if some:
            values[name] = np.mean([each.discrepancies("smoothed") for each in some], axis=0)
    compacted = _of_compaction(embryos, first.embryos)
    if np.isfinite(compacted).any():
        values[COMPACTION] = compacted
    mine = values[reference]
    tests = {}
    for name, other in values.items():
        both = np.isfinite(other)
        if name != reference and both.any():
            tests[name] = matched_pairs(mine[both], other[both])
    return Discrepancies(
        embryos=first.embryos, unit=first.unit, values=values, reference=reference, tests=tests
    )


def _of_compaction(embryos: Sequence[Embryo], groups: Sequence[str]) -> np.ndarray:
    """How far compaction, taken for the onset, lies from it, float64 [E]; nan: not looked for."""
    timed = all(embryo.interval is not None for embryo in embryos)
    found: dict[str, list[float]] = {group: [] for group in groups}
    for embryo in embryos:
        if embryo.compaction is None:
            continue
        onset = len(embryo.after) if embryo.onset is None else embryo.onset
        frames = float(abs(embryo.compaction - onset))
        found[embryo.group].append(frames * (embryo.interval or 1.0) if timed else frames)
    return np.array([float(np.mean(own)) if own else np.nan for own in found.values()])


def _judge(
    name: str, calls: Sequence[np.ndarray], embryos: Sequence[Embryo], resampling: Resampling
) -> Contender:
    """Calls of shuffled frames, put in order and smoothed like the model's."""
    onsets = [onset_from_calls(own) for own in calls]
    return judge_calls(name, embryos, np.concatenate(list(calls)), onsets, resampling)


def _column(lapse: TimeLapse, person: str, manifest: Manifest) -> np.ndarray:
    found = read_event(lapse, person)
    if found is None:
        table = None if lapse.annotation is None else lapse.annotation.table
        raise InputError(
            f"{table or manifest.path}: time-lapse '{lapse.name}' has no column '{person}' of 0 "
            "and 1; add it, or take it out of raters"
        )
    return found


def _onset(lapse: TimeLapse, person: str, manifest: Manifest) -> int | None:
    table = None if lapse.annotation is None else lapse.annotation.table
    return onset_of_labels(
        _column(lapse, person, manifest),
        embryo=lapse.name,
        frames=numbers_of_frames(lapse),
        source=f"column '{person}' of {table}",
    )
