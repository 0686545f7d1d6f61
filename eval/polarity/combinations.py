"""What joining the members of an ensemble brings: each way of it, and every member alone.

The paper compares them in its Supplementary Table 2, and gives the mean of its six single networks
(82.6 %) beside the ensemble's accuracy (85.2 %).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from isl.polarity.embryo import Embryo
from isl.polarity.onset import Combine, find_onset

from ..statistics.bootstrap import Interval, Resampling, bootstrap
from ..statistics.classification import accuracy, auc, mean_of_defined
from .onset import onset_table, summarize
from .predictions import HeldOut, logits_of

WAYS: tuple[Combine, ...] = get_args(Combine)
SINGLE = "single members, mean"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Combination:
    """One way of joining the members, or one member, or the mean over single members.

    Attributes:
        name: What it is called.
        accuracy: Of frames, with its interval over embryos.
        auc: Likewise.
        onset_error: Mean error in frames by the smoothed rule.
        gain: What its accuracy has over the mean of the single members', paired over embryos; None:
            it is no ensemble.
        auc_gain: Likewise, of AUC.
    """

    name: str
    accuracy: Interval
    auc: Interval
    onset_error: float
    gain: Interval | None = None
    auc_gain: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Combinations:
    """All of one arm or model.

    Attributes:
        name: Of the arm.
        used: How it joins its members.
        rows: Every way, the mean over single members, and every member.
    """

    name: str
    used: Combine
    rows: tuple[Combination, ...]


def judge_combinations(
    name: str, held_out: Sequence[HeldOut], embryos: Sequence[Embryo], resampling: Resampling
) -> Combinations | None:
    """Judges what came of joining the members, and what had come of each alone.

    Args:
        name: Of the arm or model.
        held_out: Its predictions; together they hold every embryo once.
        embryos: With their annotation.
        resampling: How intervals are drawn; all of one arm share replicates.

    Returns:
        None where there is one member, or folds differ in their number.
    """
    members = {len(logits) for made in held_out for logits in made.logits.values()}
    if len(members) != 1 or members == {1}:
        return None
    count = members.pop()
    said = {way: _said(name, held_out, embryos, slice(None), way) for way in WAYS}
    alone = {
        f"member {m + 1}": _said(name, held_out, embryos, slice(m, m + 1), "mean")
        for m in range(count)
    }
    everything = {**said, **alone}
    found = _intervals(everything, tuple(alone), embryos, resampling)
    errors = {each: _onset_error(onsets, embryos) for each, (_, _, onsets) in everything.items()}
    errors[SINGLE] = float(np.mean([errors[each] for each in alone]))
    rows = tuple(
        Combination(
            name=each,
            accuracy=found[f"accuracy/{each}"],
            auc=found[f"auc/{each}"],
            onset_error=errors[each],
            gain=found.get(f"gain/{each}"),
            auc_gain=found.get(f"auc_gain/{each}"),
        )
        for each in (*said, SINGLE, *alone)
    )
    return Combinations(name=name, used=held_out[0].combine, rows=rows)


_Said = tuple[np.ndarray, np.ndarray, list[int | None]]


def _said(
    name: str,
    held_out: Sequence[HeldOut],
    embryos: Sequence[Embryo],
    members: slice,
    combine: Combine,
) -> _Said:
    """Calls bool [N] and P(after) float64 [N] of all frames, and the smoothed onsets."""
    found = []
    for embryo in embryos:
        made = logits_of(held_out, embryo, name)
        logits = np.asarray(made.logits[embryo.name], np.float64)[members]
        probabilities = 0.5 * (1 + np.tanh(0.5 * (logits[..., 1] - logits[..., 0])))
        found.append(
            find_onset(
                probabilities, member_logits=logits, combine=combine, threshold=made.threshold
            )
        )
    return (
        np.concatenate([onset.calls for onset in found]),
        np.concatenate([onset.probability for onset in found]),
        [onset.frame for onset in found],
    )


def _intervals(
    said: Mapping[str, _Said],
    alone: Sequence[str],
    embryos: Sequence[Embryo],
    resampling: Resampling,
) -> dict[str, Interval]:
    """Accuracy and AUC of everything, of the mean of single members, and what is gained on it."""
    names = list(said)
    truth = np.concatenate([embryo.after for embryo in embryos])
    groups = np.concatenate([np.repeat(embryo.group, len(embryo.after)) for embryo in embryos])

    def statistics(true: np.ndarray, *columns: Any) -> dict[str, float | None]:
        calls, scores = columns[: len(names)], columns[len(names) :]
        of_calls = {each: accuracy(true, own) for each, own in zip(names, calls, strict=True)}
        of_scores = {each: auc(true, own) for each, own in zip(names, scores, strict=True)}
        values: dict[str, float | None] = {}
        for measure, gained, by_name in (
            ("accuracy", "gain", of_calls),
            ("auc", "auc_gain", of_scores),
        ):
            single = mean_of_defined(by_name[each] for each in alone)
            for each, value in (*by_name.items(), (SINGLE, single)):
                values[f"{measure}/{each}"] = value
                if each not in (*alone, SINGLE):
                    values[f"{gained}/{each}"] = (
                        None if value is None or single is None else value - single
                    )
        return values

    columns = [truth, *(said[each][0] for each in names), *(said[each][1] for each in names)]
    return bootstrap(statistics, columns, groups=groups, **resampling.settings)


def _onset_error(onsets: Sequence[int | None], embryos: Sequence[Embryo]) -> float:
    rows = onset_table(
        [embryo.name for embryo in embryos],
        [embryo.onset for embryo in embryos],
        onsets,
        [len(embryo.after) for embryo in embryos],
    )
    mean = summarize(rows).mean
    assert mean is not None
    return mean
