"""The outcome of a labeling evaluation in words."""

from collections.abc import Sequence

from .blocks import BLOCK, FEWEST_GROUPS, Over
from .ground import Ground
from .judge import BASELINE, Comparison, LabelScores

# Intervals of fewer are markedly too narrow: see `isl_eval.statistics.bootstrap`.
_MANY = 12


def headlines(
    scores: Sequence[LabelScores], comparisons: Sequence[Comparison], ground: Ground
) -> tuple[str, ...]:
    """A sentence for each label and contender, and one for each comparison of models."""
    lines = []
    for label in ground.labels:
        of_label = [each for each in scores if each.label == label]
        baseline = next(each for each in of_label if each.contender == BASELINE)
        lines += [_of(each, baseline) for each in of_label if each is not baseline]
        lines += [
            _difference(each)
            for each in comparisons
            if each.label == label and each.second != BASELINE
        ]
    return tuple(lines)


def drawn_over(over: Over, units: int) -> str:
    """What intervals were drawn over, in words."""
    if over == "groups":
        return f"{units} groups"
    blocks = f"{units} block{'' if units == 1 else 's'} of {BLOCK} pixels"
    return f"nothing: {blocks} are too few" if units < FEWEST_GROUPS else blocks


def _of(each: LabelScores, baseline: LabelScores) -> str:
    pearson = each.figures["pearson"]
    if pearson.estimate is None:
        parts = ["its correlation is undefined (an image is constant)"]
    else:
        bounds = ""
        if pearson.low is not None and pearson.high is not None:
            over = drawn_over(each.over, each.units)
            bounds = f" ({pearson.low:.3f} to {pearson.high:.3f} over {over})"
        parts = [f"Pearson {pearson.estimate:.3f}{bounds}"]
    score, constant = (s.figures["cross_entropy"].estimate for s in (each, baseline))
    if score is not None and constant is not None:
        parts.append(f"cross-entropy {score:.3f}, the best constant's {constant:.3f}")
    within = each.figures["coverage_90"].estimate
    if within is not None:
        parts.append(f"{100 * within:.1f} % of the pixels lie in their 90 % intervals")
    if each.objects is not None and each.objects.accuracy.estimate is not None:
        counts = each.objects.counts
        parts.append(
            f"{counts['predicted_count']} nuclei for {counts['true_count']}, accuracy "
            f"{each.objects.accuracy.estimate:.2f}"
        )
    return f"{each.label}, {each.contender}: {'; '.join(parts)}."


def _reservation(each: Comparison, units: int) -> str:
    """What a difference that is clear of zero leaves open."""
    if each.over == "blocks":
        return " on this ground; groups are too few to say more"
    return f", as far as {units} groups can tell" if units < _MANY else ""


def _difference(each: Comparison) -> str:
    found = each.figures["pearson"]
    if found.estimate is None:
        return f"{each.label}: {each.first} and {each.second} cannot be compared by Pearson."
    outside = found.excludes(0.0)
    if outside is None:
        verdict = "by how much it varies is not known"
    elif not outside:
        verdict = "which may be chance"
    else:
        verdict = f"more than chance{_reservation(each, found.units)}"
    more = "above" if found.estimate >= 0 else "below"
    return (
        f"{each.label}: Pearson of {each.first} is {abs(found.estimate):.3f} {more} that of "
        f"{each.second}, {verdict}."
    )
