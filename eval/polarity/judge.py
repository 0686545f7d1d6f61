"""From held-out predictions to every number of the report; nothing here trains, reads or writes.

What is judged is a contender: an arm or model with a probability for every frame, or a baseline
that looks at no picture. All bootstraps draw from the same seed, so contenders share replicates.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from isl.calibration import Calibration, calibration
from isl.polarity.embryo import Embryo
from isl.polarity.onset import Onset, Rule, find_onset

from ..statistics.agreement import Correlation, correlation
from ..statistics.bootstrap import (
    Interval,
    Resampling,
    bootstrap,
    bootstrap_difference,
    bootstrap_one,
)
from ..statistics.classification import (
    Confusion,
    Roc,
    accuracy,
    auc,
    call_statistics,
    confusion,
    roc,
)
from ..statistics.tests import PairedTest, ProportionTest, matched_pairs, two_proportions
from .ezrin import FIGURES, RIVALS, SEEN
from .onset import (
    Coverage,
    OnsetError,
    OnsetErrorSummary,
    coverage,
    errors_of_the_surest,
    frame_index_baseline,
    likeliest_temper,
    median_onset_baseline,
    onset_table,
    summarize,
    time_discrepancies,
)
from .predictions import HeldOut, logits_of

RULES: tuple[Rule, ...] = ("smoothed", "change_point", "posterior")
REFERENCE = "dic"
IN_TIME_THRESHOLD = 0.5
FRAME_INDEX = "frame index"
MEDIAN_ONSET = "median onset"
BASELINES = (FRAME_INDEX, MEDIAN_ONSET)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OnsetScores:
    """Onsets by one rule.

    Attributes:
        rows: One for each embryo.
        summary: Of their errors.
        mean: The mean error in frames, with its interval over embryos.
        minutes: The same in minutes, over embryos with a known frame interval; None: there are
            none.
        accuracy: Share of frames that lie on the right side of the predicted onset.
        confusion: Of these.
        coverage: Of the onsets' 90 % intervals; None: there are no intervals.
        verdicts: How many embryos have each verdict; None: there are none.
        by_share: Share answered and mean error, the embryos with the narrowest intervals first;
            see `errors_of_the_surest`. None: there are no intervals.
    """

    rows: tuple[OnsetError, ...]
    summary: OnsetErrorSummary
    mean: Interval
    minutes: Interval | None
    accuracy: Interval
    confusion: Confusion
    coverage: Coverage | None
    verdicts: Mapping[str, int] | None
    by_share: tuple[tuple[float, float], ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One arm, model or baseline, judged; N frames in all, E embryos.

    Attributes:
        name: What it is called.
        truth: bool [N], after the annotated onset or not.
        calls: bool [N], each frame by itself.
        score: float64 [N], higher for after; None: it ranks no frames.
        groups: [N], the group of each frame.
        by_embryo: Accuracy, sensitivity, specificity and AUC with intervals over embryos.
        by_frame: The same with intervals over frames, as in the paper; they are too narrow.
        confusion: Of the frames' own calls.
        roc: Of the scores; None: undefined.
        onsets: By rule; a baseline has but "smoothed".
        in_time: AUC and accuracy of P(onset at or before the frame), which the whole recording
            gives, with intervals over embryos; None for baselines.
        of_embryo: Accuracy and AUC within each embryo, by its name; None: undefined.
        calibration: Of the probabilities; None for baselines.
        members_auc: AUC of each member alone; None for baselines.
        temper: The exponent under which the annotated onsets are likeliest; None for baselines.
        found: The onset of every embryo by each rule, in order; None for baselines.
        seconds: What training and predicting took; None: nothing.
    """

    name: str
    truth: np.ndarray
    calls: np.ndarray
    score: np.ndarray | None
    groups: np.ndarray
    by_embryo: Mapping[str, Interval]
    by_frame: Mapping[str, Interval]
    confusion: Confusion
    roc: Roc | None
    onsets: Mapping[Rule, OnsetScores]
    of_embryo: Mapping[str, Mapping[str, float | None]]
    in_time: Mapping[str, Interval] | None = None
    calibration: Calibration | None = None
    members_auc: tuple[float | None, ...] | None = None
    temper: float | None = None
    found: Mapping[Rule, tuple[Onset, ...]] | None = None
    seconds: float | None = None

    def onset(self, rule: Rule) -> OnsetScores:
        """Its onsets by a rule; a baseline's are the same by either."""
        return self.onsets.get(rule, self.onsets["smoothed"])

    def discrepancies(self, rule: Rule) -> np.ndarray:
        """Of its onsets by a rule, an embryo each; see `time_discrepancies`."""
        return time_discrepancies(self.onset(rule).rows, _groups_of_rows(self)).values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """One contender against another, on the same embryos.

    Attributes:
        name: The one.
        against: The other.
        auc: Difference of AUC, paired over embryos; above 0: the one is better. None: undefined.
        accuracy: Difference of the frames' accuracy, likewise.
        onset_error: Difference of the mean onset error in frames, by rule; below 0: the one is
            better.
        z: Two-proportion z-test of the accuracies, as in the paper: frames are taken for
            independent, which they are not.
        wilcoxon: Of the embryos' time discrepancies, in pairs, by rule.
    """

    name: str
    against: str
    auc: Interval | None
    accuracy: Interval
    onset_error: Mapping[Rule, Interval]
    z: ProportionTest
    wilcoxon: Mapping[Rule, PairedTest]

    def by(self, metric: str) -> Interval | None:
        """The difference in "auc", "accuracy" or "onset_error" (by the smoothed rule)."""
        if metric == "onset_error":
            return self.onset_error["smoothed"]
        return self.auc if metric == "auc" else self.accuracy


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompactionScores:
    """Predicted onsets beside compaction, the cue that an eye would use.

    Attributes:
        name: Of the arm.
        pearson: Of predicted onset and frame of compaction.
        proxy: Errors of compaction taken for the onset.
        wilcoxon: Time discrepancies of the arm against those of compaction, an embryo a pair.
    """

    name: str
    pearson: Correlation
    proxy: OnsetErrorSummary
    wilcoxon: PairedTest


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EzrinScores:
    """How well predicted EZRIN follows measured Ezrin, on embryos that the network never saw.

    Attributes:
        embryos: Mean over frames of Pearson's correlation over the whole frame, by embryo; None:
            undefined.
        lowest: The lowest frame of each.
        means: By what is seen (`ezrin.SEEN`) and figure (`ezrin.FIGURES`), the mean over embryos of
            the mean over frames, with its interval over embryos.
        leads: By rival and figure, how much more the prediction has, embryo by embryo.
    """

    embryos: Mapping[str, float | None]
    lowest: Mapping[str, float | None]
    means: Mapping[str, Mapping[str, Interval]]
    leads: Mapping[str, Mapping[str, Interval]]


def judge_arm(
    name: str, held_out: Sequence[HeldOut], embryos: Sequence[Embryo], resampling: Resampling
) -> Contender:
    """Judges an arm or model.

    Args:
        name: What it is called.
        held_out: Its predictions; together they hold every embryo once.
        embryos: With their annotation.
        resampling: How intervals are drawn.
    """
    found: dict[Rule, list[Onset]] = {rule: [] for rule in RULES}
    members = []
    for embryo in embryos:
        made = logits_of(held_out, embryo, name)
        logits = np.asarray(made.logits[embryo.name], np.float64)
        probabilities = _after(logits)
        members.append(probabilities)
        for rule in RULES:
            found[rule].append(
                find_onset(
                    probabilities,
                    member_logits=logits,
                    combine=made.combine,
                    rule=rule,
                    threshold=made.threshold,
                    temper=made.temper,
                    spread=made.spread,
                )
            )
    threshold = held_out[0].threshold
    score = np.concatenate([onset.probability for onset in found["smoothed"]])
    calls = np.concatenate([onset.calls for onset in found["smoothed"]])
    true = [embryo.onset for embryo in embryos]
    contender = _contender(
        name,
        embryos,
        calls,
        score,
        resampling,
        {
            rule: _onset_scores(embryos, [each.frame for each in onsets], resampling, onsets)
            for rule, onsets in found.items()
        },
    )
    after = np.concatenate([onset.after for onset in found["posterior"]])
    in_time = bootstrap(
        call_statistics,
        [contender.truth, after > IN_TIME_THRESHOLD, after],
        groups=contender.groups,
        **resampling.settings,
    )
    return dataclasses.replace(
        contender,
        in_time={name: in_time[name] for name in ("auc", "accuracy")},
        calibration=calibration(contender.truth, score),
        members_auc=_members_auc(contender.truth, members),
        temper=likeliest_temper(members, true, threshold=threshold),
        found={rule: tuple(onsets) for rule, onsets in found.items()},
        seconds=sum(made.seconds for made in held_out),
    )


def judge_baselines(
    embryos: Sequence[Embryo], resampling: Resampling
) -> tuple[Contender, Contender]:
    """What comes without looking at pictures: the frame's number, and always the median onset."""
    labels = {embryo.name: embryo.after.astype(int).tolist() for embryo in embryos}
    index = frame_index_baseline(labels)
    thresholds = [index.thresholds[embryo.name] for embryo in embryos]
    by_index = [
        at if at < len(embryo.after) else None
        for at, embryo in zip(thresholds, embryos, strict=True)
    ]
    medians = median_onset_baseline(labels)
    by_median = [medians[embryo.name] for embryo in embryos]
    return (
        _contender(
            FRAME_INDEX,
            embryos,
            index.calls,
            index.score,
            resampling,
            {"smoothed": _onset_scores(embryos, by_index, resampling)},
        ),
        judge_calls(MEDIAN_ONSET, embryos, _from(by_median, embryos), by_median, resampling),
    )


def judge_calls(
    name: str,
    embryos: Sequence[Embryo],
    calls: np.ndarray,
    onsets: Sequence[int | None],
    resampling: Resampling,
) -> Contender:
    """Judges calls without probabilities, such as people's.

    Args:
        name: Who makes them.
        embryos: With their annotation.
        calls: bool [N], of all embryos' frames in order.
        onsets: Of every embryo; None: censored.
        resampling: How intervals are drawn.
    """
    scores = _onset_scores(embryos, onsets, resampling)
    return _contender(name, embryos, calls, None, resampling, {"smoothed": scores})


def compare(one: Contender, other: Contender, resampling: Resampling) -> Comparison:
    """How much better `one` is than `other`, with intervals over embryos, and the paper's tests."""
    rules: tuple[Rule, ...] = RULES if len(one.onsets) + len(other.onsets) > 2 else ("smoothed",)
    return Comparison(
        name=one.name,
        against=other.name,
        auc=None
        if one.score is None or other.score is None
        else bootstrap_difference(
            auc, [one.truth], one.score, other.score, groups=one.groups, **resampling.settings
        ),
        accuracy=bootstrap_difference(
            accuracy, [one.truth], one.calls, other.calls, groups=one.groups, **resampling.settings
        ),
        onset_error={
            rule: bootstrap_difference(
                _mean,
                [],
                _errors(one, rule),
                _errors(other, rule),
                groups=_groups_of_rows(one),
                **resampling.settings,
            )
            for rule in rules
        },
        z=two_proportions(
            _right(one.confusion),
            one.confusion.total,
            _right(other.confusion),
            other.confusion.total,
        ),
        wilcoxon={
            rule: matched_pairs(one.discrepancies(rule), other.discrepancies(rule))
            for rule in rules
        },
    )


def judge_compaction(
    arm: Contender, embryos: Sequence[Embryo], resampling: Resampling
) -> CompactionScores | None:
    """An arm beside compaction, over embryos whose compaction is known; None: there are none."""
    known = [
        (embryo, row)
        for embryo, row in zip(embryos, arm.onset("smoothed").rows, strict=True)
        if embryo.compaction is not None
    ]
    if not known:
        return None
    some = [embryo for embryo, _ in known]
    proxy = onset_table(
        [embryo.name for embryo in some],
        [embryo.onset for embryo in some],
        [embryo.compaction for embryo in some],
        [len(embryo.after) for embryo in some],
        [embryo.interval for embryo in some],
    )
    predicted = [row.frames if row.predicted is None else row.predicted for _, row in known]
    return CompactionScores(
        name=arm.name,
        pearson=correlation(
            np.array(predicted),
            np.array([embryo.compaction for embryo in some]),
            **resampling.settings,
        ),
        proxy=summarize(proxy),
        wilcoxon=matched_pairs(
            time_discrepancies([row for _, row in known], [e.group for e in some]).values,
            time_discrepancies(proxy, [e.group for e in some]).values,
        ),
    )


def judge_ezrin(
    agreement: Mapping[str, np.ndarray], embryos: Sequence[Embryo], resampling: Resampling
) -> EzrinScores | None:
    """Every figure frame by frame, averaged over an embryo's frames, then over embryos.

    Args:
        agreement: float64 [T, SEEN, FIGURES] by embryo; nan where undefined.
        embryos: In the order of the report.
        resampling: How the intervals are drawn.

    Returns:
        The scores; None where no embryo has measured Ezrin.
    """
    there = [embryo for embryo in embryos if embryo.name in agreement]
    if not there:
        return None
    groups = [embryo.group for embryo in there]
    # float64 [E, SEEN, FIGURES].
    by_embryo = np.stack([_mean_of_frames(agreement[embryo.name]) for embryo in there])
    whole = {embryo.name: agreement[embryo.name][:, 0, 0] for embryo in there}
    defined = {name: values[np.isfinite(values)] for name, values in whole.items()}

    def interval(column: np.ndarray) -> Interval:
        return bootstrap_one(_mean_of_defined, [column], groups=groups, **resampling.settings)

    return EzrinScores(
        embryos={n: float(values.mean()) if values.size else None for n, values in defined.items()},
        lowest={n: float(values.min()) if values.size else None for n, values in defined.items()},
        means={
            seen: {name: interval(by_embryo[:, s, f]) for f, name in enumerate(FIGURES)}
            for s, seen in enumerate(SEEN)
        },
        leads={
            rival: {
                name: interval(by_embryo[:, 0, f] - by_embryo[:, SEEN.index(rival), f])
                for f, name in enumerate(FIGURES)
            }
            for rival in RIVALS
        },
    )


def _mean_of_frames(values: np.ndarray) -> np.ndarray:
    """Over the frames [T, ...] where it is defined; nan where it is nowhere."""
    there = np.isfinite(values)
    counts = there.sum(axis=0)
    sums = np.where(there, values, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _after(logits: np.ndarray) -> np.ndarray:
    """P(after onset), float64 [M, T], of logits [M, T, 2]."""
    return 0.5 * (1 + np.tanh(0.5 * (logits[..., 1] - logits[..., 0])))


def _contender(
    name: str,
    embryos: Sequence[Embryo],
    calls: np.ndarray,
    score: np.ndarray | None,
    resampling: Resampling,
    onsets: Mapping[Rule, OnsetScores],
) -> Contender:
    truth = np.concatenate([embryo.after for embryo in embryos])
    groups = np.concatenate([np.repeat(embryo.group, len(embryo.after)) for embryo in embryos])
    # Without a score, the calls stand in for it, and their AUC is dropped.
    columns = [truth, calls, calls if score is None else score]
    intervals = []
    for units in (groups, None):
        found = bootstrap(call_statistics, columns, groups=units, **resampling.settings)
        if score is None:
            del found["auc"]
        intervals.append(found)
    return Contender(
        name=name,
        truth=truth,
        calls=np.asarray(calls, bool),
        score=score,
        groups=groups,
        by_embryo=intervals[0],
        by_frame=intervals[1],
        confusion=confusion(truth, calls),
        roc=None if score is None else roc(truth, score),
        onsets=onsets,
        of_embryo=_of_embryo(embryos, calls, score),
    )


def _of_embryo(
    embryos: Sequence[Embryo], calls: np.ndarray, score: np.ndarray | None
) -> dict[str, dict[str, float | None]]:
    ends = np.cumsum([len(embryo.after) for embryo in embryos])[:-1]
    scores = [None] * len(embryos) if score is None else np.split(score, ends)
    return {
        embryo.name: {
            "accuracy": accuracy(embryo.after, own),
            "auc": None if own_score is None else auc(embryo.after, own_score),
        }
        for embryo, own, own_score in zip(embryos, np.split(calls, ends), scores, strict=True)
    }


def _onset_scores(
    embryos: Sequence[Embryo],
    predicted: Sequence[int | None],
    resampling: Resampling,
    found: Sequence[Onset] | None = None,
) -> OnsetScores:
    frames = [len(embryo.after) for embryo in embryos]
    true = [embryo.onset for embryo in embryos]
    rows = onset_table(
        [embryo.name for embryo in embryos],
        true,
        predicted,
        frames,
        [embryo.interval for embryo in embryos],
    )
    truth = np.concatenate([embryo.after for embryo in embryos])
    sides = _from(predicted, embryos)
    groups = np.concatenate([np.repeat(e.group, len(e.after)) for e in embryos])
    timed = [
        (e.group, row.minutes)
        for e, row in zip(embryos, rows, strict=True)
        if row.minutes is not None
    ]
    verdicts = by_share = None
    if found is not None:
        ends = [
            len(embryo.after) if each.high is None else each.high
            for each, embryo in zip(found, embryos, strict=True)
        ]
        widths = [end - each.low for each, end in zip(found, ends, strict=True)]
        by_share = errors_of_the_surest([row.error for row in rows], widths)
        names = [each.verdict for each in found]
        verdicts = {name: names.count(name) for name in ("onset", "censored", "cannot_tell")}
    return OnsetScores(
        rows=rows,
        summary=summarize(rows),
        mean=bootstrap_one(
            _mean,
            [[row.error for row in rows]],
            groups=[embryo.group for embryo in embryos],
            **resampling.settings,
        ),
        minutes=bootstrap_one(
            _mean,
            [[minutes for _, minutes in timed]],
            groups=[group for group, _ in timed],
            **resampling.settings,
        )
        if timed
        else None,
        accuracy=bootstrap_one(accuracy, [truth, sides], groups=groups, **resampling.settings),
        confusion=confusion(truth, sides),
        coverage=None
        if found is None
        else coverage([each.low for each in found], [each.high for each in found], true, frames),
        verdicts=verdicts,
        by_share=by_share,
    )


def _from(onsets: Sequence[int | None], embryos: Sequence[Embryo]) -> np.ndarray:
    """Which frames lie at or after the onsets, bool [N]."""
    return np.concatenate(
        [
            np.arange(len(embryo.after)) >= (len(embryo.after) if onset is None else onset)
            for onset, embryo in zip(onsets, embryos, strict=True)
        ]
    )


def _members_auc(
    truth: np.ndarray, members: Sequence[np.ndarray]
) -> tuple[float | None, ...] | None:
    """AUC of each member over all embryos; None where folds differ in their number."""
    if len({len(own) for own in members}) != 1:
        return None
    return tuple(auc(truth, own) for own in np.concatenate(members, axis=1))


def _errors(contender: Contender, rule: Rule) -> np.ndarray:
    return np.array([row.error for row in contender.onset(rule).rows])


def _groups_of_rows(contender: Contender) -> list[str]:
    """The group of every embryo, in order of the rows of its onsets."""
    lengths = [row.frames for row in contender.onset("smoothed").rows]
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return contender.groups[firsts].tolist()


def _right(cells: Confusion) -> int:
    return cells.true_negative + cells.true_positive


def _mean(values: np.ndarray) -> float:
    return statistics.fmean(values.tolist())


def _mean_of_defined(values: np.ndarray) -> float | None:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else None
