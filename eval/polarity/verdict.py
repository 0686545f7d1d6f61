"""Which arm won, by how much, and which is to be the default, by rule and in words."""

import dataclasses
from collections.abc import Mapping, Sequence

from isl.polarity.onset import Rule

from ..statistics.bootstrap import Interval
from .config import Metric
from .judge import BASELINES, REFERENCE, Comparison, Contender

METRICS: tuple[Metric, ...] = ("auc", "accuracy", "onset_error")
TITLES: Mapping[Metric, str] = {
    "auc": "AUC per frame",
    "accuracy": "accuracy per frame",
    "onset_error": "mean onset error by the smoothed rule",
}
RULE_TITLES: Mapping[Rule, str] = {
    "smoothed": "smoothed",
    "change_point": "change point",
    "posterior": "median of posterior",
}
EZRIN_DRIVEN = ("ezrin", "dic+ezrin")
MEASURED = "measured"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """The default arm: the best that uses predicted EZRIN, unless DIC alone is clearly better.

    Attributes:
        default: The arm that the rule chooses.
        metric: What decides.
        best_ezrin: The best arm that uses predicted EZRIN.
        difference: That arm less DIC alone; None: DIC was not among the arms.
        words: The outcome and its reason.
    """

    default: str
    metric: Metric
    best_ezrin: str
    difference: Interval | None
    words: str


def decide(
    arms: Sequence[Contender], comparisons: Sequence[Comparison], metric: Metric
) -> Decision | None:
    """Applies the rule; None where no arm uses predicted EZRIN."""
    driven = [arm for arm in arms if arm.name in EZRIN_DRIVEN]
    if not driven:
        return None
    best = winner(driven, metric).name
    found = find(comparisons, best, REFERENCE)
    difference = None if found is None else found.by(metric)
    outside = difference is not None and difference.excludes(0.0)
    dic_wins = bool(outside) and difference is not None and not _better(difference, metric)
    default = REFERENCE if dic_wins else best
    return Decision(
        default=default,
        metric=metric,
        best_ezrin=best,
        difference=difference,
        words=_decision_words(default, best, difference, metric),
    )


def winner(arms: Sequence[Contender], metric: Metric) -> Contender:
    """The arm that does best; of equals the first."""
    sign = -1 if metric == "onset_error" else 1

    def worth(arm: Contender) -> float:
        found = _estimate(arm, metric)
        return float("-inf") if found is None else sign * found

    return max(arms, key=worth)


def score(arm: Contender, metric: Metric) -> Interval | None:
    """A contender's value with its interval over embryos; None: it has none."""
    if metric == "onset_error":
        return arm.onset("smoothed").mean
    return arm.by_embryo.get(metric)


def find(comparisons: Sequence[Comparison], name: str, against: str) -> Comparison | None:
    """The comparison of one with another, if it was made."""
    return next((c for c in comparisons if (c.name, c.against) == (name, against)), None)


def headlines(
    arms: Sequence[Contender], comparisons: Sequence[Comparison], reference: str
) -> list[str]:
    """For every measure, which arm won, by how much, and whether the interval excludes zero.

    Measured Ezrin, which no label-free recording has, is no candidate; it stands beside.
    """
    candidates = [arm for arm in arms if arm.name != MEASURED]
    said = []
    for metric in METRICS if candidates else ():
        best = winner(candidates, metric)
        title = TITLES[metric][0].upper() + TITLES[metric][1:]
        value = interval_words(score(best, metric), metric)
        first = [
            arm.name for arm in candidates if _estimate(arm, metric) == _estimate(best, metric)
        ]
        if _estimate(best, metric) is None:
            said.append(f"{title}: undefined.")
        elif len(candidates) == 1:
            said.append(f"{title}: {best.name} has {value}.")
        elif len(first) > 1:
            said.append(f"{title}: {' and '.join(first)} are equal and best, with {value}.")
        else:
            lead = _lead(best.name, candidates, comparisons, reference, metric)
            said.append(f"{title}: {best.name} wins with {value}. {lead}")
    return [
        *said,
        *_other_rules(candidates),
        *_measured_line(arms),
        *_baseline_lines(candidates, comparisons),
    ]


def difference_words(one: str, other: str, difference: Interval | None, metric: Metric) -> str:
    """How one does against the other, and what the interval says of it."""
    if difference is None or difference.estimate is None:
        return f"No difference between {one} and {other} can be given."
    better = _better(difference, metric)
    if difference.estimate == 0:
        amount = f"{one} and {other} are equal"
    else:
        amount = (
            f"{one} is {_amount(abs(difference.estimate), metric)} "
            f"{'better' if better else 'worse'} than {other}"
        )
    if difference.low is None or difference.high is None:
        return f"{amount}; {difference.note}."
    bounds = f"{_signed(difference.low, metric)} to {_signed(difference.high, metric)}"
    level = f"{difference.level:.0%}".replace("%", " %")
    if difference.excludes(0.0):
        return (
            f"{amount}; the {level} interval of the difference over embryos, {bounds}, excludes "
            "zero."
        )
    return (
        f"{amount}; the {level} interval of the difference over embryos, {bounds}, does not "
        "exclude zero: these embryos cannot tell the two apart."
    )


def interval_words(value: Interval | None, metric: Metric) -> str:
    """An estimate with its interval."""
    if value is None or value.estimate is None:
        return "undefined"
    text = _amount(value.estimate, metric)
    if value.low is None or value.high is None:
        return text
    return f"{text} ({_plain(value.low, metric)} to {_plain(value.high, metric)})"


def _estimate(arm: Contender, metric: Metric) -> float | None:
    found = score(arm, metric)
    return None if found is None else found.estimate


def _decision_words(default: str, best: str, difference: Interval | None, metric: Metric) -> str:
    rule = (
        "Rule: the default arm is the best one that uses predicted EZRIN, unless DIC alone is "
        f"better beyond its interval over embryos, judged by the {TITLES[metric]}."
    )
    if difference is None:
        return f"{rule} Outcome: {default}; DIC alone was not among the arms."
    against = difference_words(best, REFERENCE, difference, metric)
    if default == REFERENCE:
        return f"{rule} Outcome: DIC alone is the default. {against}"
    return f"{rule} Outcome: {default} is the default. {against}"


def _lead(
    best: str,
    candidates: Sequence[Contender],
    comparisons: Sequence[Comparison],
    reference: str,
    metric: Metric,
) -> str:
    """The winner against the reference; where that is the winner, against the next best."""
    if best != reference:
        found = find(comparisons, best, reference)
        return difference_words(best, reference, found.by(metric) if found else None, metric)
    second = winner([arm for arm in candidates if arm.name != best], metric).name
    found = find(comparisons, second, reference)
    return difference_words(second, reference, found.by(metric) if found else None, metric)


def _other_rules(candidates: Sequence[Contender]) -> list[str]:
    """The onset errors by what is not the paper's rule, of which a model may use one."""
    lines = []
    for rule, title in RULE_TITLES.items():
        told = [
            f"{arm.name} {interval_words(arm.onsets[rule].mean, 'onset_error')}"
            for arm in candidates
            if rule != "smoothed" and rule in arm.onsets
        ]
        if told:
            lines.append(f"Mean onset error by the {title}: {', '.join(told)}.")
    return lines


def _measured_line(arms: Sequence[Contender]) -> list[str]:
    for arm in arms:
        if arm.name == MEASURED:
            values = ", ".join(f"{TITLES[m]} {interval_words(score(arm, m), m)}" for m in METRICS)
            return [f"Measured Ezrin in place of transmitted light, for comparison: {values}."]
    return []


def _baseline_lines(
    candidates: Sequence[Contender], comparisons: Sequence[Comparison]
) -> list[str]:
    """The arm with the best onsets against what needs no picture."""
    lines = []
    for baseline in BASELINES if candidates else ():
        best = winner(candidates, "onset_error").name
        found = find(comparisons, best, baseline)
        if found is not None:
            words = difference_words(best, baseline, found.by("onset_error"), "onset_error")
            lines.append(f"Against the {baseline} alone, without any picture: {words}")
    return lines


def _better(difference: Interval, metric: Metric) -> bool:
    assert difference.estimate is not None
    return difference.estimate < 0 if metric == "onset_error" else difference.estimate > 0


def _plain(value: float, metric: Metric) -> str:
    if metric == "onset_error":
        return f"{value:.2f}"
    return f"{value:.3f}"


def _amount(value: float, metric: Metric) -> str:
    return f"{_plain(value, metric)}{' frames' if metric == 'onset_error' else ''}"


def _signed(value: float, metric: Metric) -> str:
    return f"{value:+.2f}" if metric == "onset_error" else f"{value:+.3f}"
