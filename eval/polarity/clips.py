"""Clips that start anywhere: where a frame's number says nothing of how old the embryo is.

Published recordings begin at the 8-cell stage, so that the number of a frame tells much of the
onset. A clip is cut at random out of a recording, and its onset found anew from what was predicted
of its frames; its rival is the frame's number within the clip.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from isl.polarity.embryo import Embryo
from isl.polarity.onset import find_onset

from ..statistics.bootstrap import Interval, Resampling, bootstrap
from ..statistics.classification import accuracy, auc
from .predictions import HeldOut

CLIPS = 20
"""Clips of every embryo."""
SHORTEST = 8
IN_TIME = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipScores:
    """How an arm does on clips, with intervals over embryos.

    Attributes:
        name: The arm.
        clips: How many.
        auc: Of P(onset at or before the frame), over the frames of all clips.
        auc_by_number: Of the frame's number in its clip.
        lead: The one less the other.
        accuracy: Of calls by P(onset at or before the frame).
        onset_error: Frames, of the median of the posterior; a censored onset counts as the frame
            after the last.
    """

    name: str
    clips: int
    auc: Interval
    auc_by_number: Interval
    lead: Interval
    accuracy: Interval
    onset_error: Interval


def judge_clips(
    name: str, held_out: Sequence[HeldOut], embryos: Sequence[Embryo], resampling: Resampling
) -> ClipScores | None:
    """Judges an arm on clips; None where every recording is too short.

    Args:
        name: The arm.
        held_out: Its predictions; together they hold every embryo once.
        embryos: With their annotation.
        resampling: How intervals are drawn; its seed places the clips, too.
    """
    rng = np.random.default_rng(resampling.seed)
    truth, after, number, groups, errors = [], [], [], [], []
    count = 0
    for embryo in embryos:
        made = next(made for made in held_out if embryo.name in made.logits)
        logits = np.asarray(made.logits[embryo.name], np.float64)
        for first, last in clips_of(len(embryo.after), rng):
            count += 1
            part = logits[:, first:last]
            found = find_onset(
                0.5 * (1 + np.tanh(0.5 * (part[..., 1] - part[..., 0]))),
                member_logits=part,
                combine=made.combine,
                rule="posterior",
                threshold=made.threshold,
                temper=made.temper,
                spread=made.spread,
            )
            own = embryo.after[first:last]
            length = last - first
            onset = int(np.argmax(own)) if own.any() else length
            truth.append(own)
            after.append(found.after)
            number.append(np.arange(length))
            groups.append(np.repeat(embryo.group, length))
            missed = abs((length if found.frame is None else found.frame) - onset)
            errors.append(np.full(length, missed / length))
    if not count:
        return None
    columns = [np.concatenate(parts) for parts in (truth, after, number, errors)]
    lengths = np.concatenate([np.full(len(part), 1 / len(part)) for part in truth])
    found = bootstrap(
        _statistics, [*columns, lengths], groups=np.concatenate(groups), **resampling.settings
    )
    return ClipScores(name=name, clips=count, **found)


def clips_of(frames: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """First frame, and the one after the last, of `CLIPS` clips of `SHORTEST` frames or more."""
    if frames < SHORTEST:
        return []
    found = []
    for _ in range(CLIPS):
        length = int(rng.integers(SHORTEST, frames + 1))
        first = int(rng.integers(0, frames - length + 1))
        found.append((first, first + length))
    return found


def _statistics(
    truth: np.ndarray,
    after: np.ndarray,
    number: np.ndarray,
    errors: np.ndarray,
    lengths: np.ndarray,
) -> dict[str, float | None]:
    own, by_number = auc(truth, after), auc(truth, number.astype(float))
    # Every frame of a clip holds its error over its length: their sum is the clip's error.
    return {
        "auc": own,
        "auc_by_number": by_number,
        "lead": None if own is None or by_number is None else own - by_number,
        "accuracy": accuracy(truth, after > IN_TIME),
        "onset_error": float(errors.sum() / lengths.sum()),
    }
