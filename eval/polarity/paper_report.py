"""What the paper shows of its model, as parts of the report."""

from collections.abc import Callable, Mapping

from isl.report import (
    Block,
    Cell,
    bullets,
    figure,
    heading,
    paragraph,
    records,
    section,
    table,
)
from isl.report.words import number, p_value, unbroken

from ..writing.cells import difference_cell, interval_cell
from .combinations import SINGLE, Combination, Combinations
from .examples import draw_examples
from .judge import Comparison
from .paper_figures import draw_compaction, draw_discrepancies, draw_skill, stars
from .raters import COMPACTION, WITH_TIME, WITHOUT_TIME
from .skill import Skill
from .tables import Findings

_SHARES = {name.lower(): name for name in ("AUC", "Accuracy", "Sensitivity", "Specificity")}
_MEANINGS = {
    WITHOUT_TIME: "calls of shuffled frames, put in order and smoothed; of every embryo the mean "
    "over people",
    WITH_TIME: "onsets told from the film in order; of every embryo the mean over people",
    COMPACTION: "compaction taken for the onset",
}


def as_in_the_paper(findings: Findings) -> list[Block]:
    """Intervals over frames, tests of proportions, odds, and accuracy beside no skill."""
    return [
        heading("As in the paper"),
        paragraph(
            "The paper drew frames, and tested proportions of frames. Frames of one embryo are not "
            "independent, so these intervals are too narrow and z too large; the table above is "
            "the one to go by."
        ),
        table(
            ("Arm", *_SHARES.values()),
            [
                [each.name, *(interval_cell(each.by_frame.get(name)) for name in _SHARES)]
                for each in findings.contenders
            ],
            caption="Intervals by bootstrap over frames.",
        ),
        records(findings.comparisons, _TESTS),
        records(
            findings.skill,
            _SKILL,
            caption="How often a call is right for each time it is wrong, with the bounds of the "
            "accuracy over frames; z against calls that are right half the time.",
        ),
        figure(
            draw_skill(findings.skill),
            alt="Accuracy beside no skill",
            caption="Accuracy of frames with bounds over frames; stars: how far it is from no "
            "skill (two-proportion test; * p < 0.05, ** 0.01, *** 0.001, **** 0.0001, NS: not).",
        ),
    ]


_TESTS: Mapping[str, Callable[[Comparison], Cell]] = {
    "Arm": lambda each: each.name,
    "Against": lambda each: each.against,
    "z of accuracy": lambda each: number(each.z.z, 2, undefined=each.z.note),
    "p": lambda each: p_value(each.z.p),
    "p of time discrepancies (Wilcoxon)": lambda each: p_value(
        each.wilcoxon["smoothed"].p, undefined=each.wilcoxon["smoothed"].note
    ),
}
_SKILL: Mapping[str, Callable[[Skill], Cell]] = {
    "Who calls": lambda each: each.name,
    "Accuracy": lambda each: interval_cell(each.accuracy),
    "Odds of a right call": lambda each: interval_cell(each.odds, 2),
    "z against no skill": lambda each: (
        number(each.against_chance.z, 2) if each.against_chance else ""
    ),
    "p": lambda each: p_value(each.against_chance.p) if each.against_chance else "",
}


def ensembles(findings: Findings) -> Block:
    """Ways of joining members, and members alone."""
    rows = [(arm, row) for arm in findings.combinations for row in arm.rows]
    return section(
        "Ensembles",
        [
            records(
                rows,
                {
                    "Arm": lambda each: unbroken(each[0].name),
                    "Members": _way,
                    "Accuracy": lambda each: interval_cell(each[1].accuracy),
                    "AUC": lambda each: interval_cell(each[1].auc),
                    "Onset error": lambda each: number(each[1].onset_error, 2),
                    "Accuracy gained": lambda each: difference_cell(each[1].gain),
                    "AUC gained": lambda each: difference_cell(each[1].auc_gain),
                },
                caption="The mean of the members' probabilities, their vote, and the softmax of "
                "their summed logits; below, the mean over single members, and each of them. "
                "Gained: over the mean of single members, paired over embryos; * the interval "
                "excludes zero.",
            ),
        ],
    )


def _way(each: tuple[Combinations, Combination]) -> Cell:
    arm, row = each
    named = {"mean": "mean probability", "vote": "vote", "logits": "summed logits", SINGLE: SINGLE}
    return named.get(row.name, row.name) + (" (used)" if row.name == arm.used else "")


def people(findings: Findings) -> Block:
    """People beside the model."""
    asked = findings.people
    if asked is None:
        return section("People", [])
    said = []
    if asked.raters:
        said.append(
            f"{len(asked.raters)} people called shuffled frames, without any time; "
            "where as many said before as after, the majority was drawn."
            if len(asked.raters) > 1
            else "One person called shuffled frames, without any time."
        )
    if asked.ordered:
        said.append(f"{len(asked.ordered)} told the onset from films in order.")
    return section(
        "People",
        [
            paragraph(" ".join(said)),
            records(
                asked.all,
                {
                    "Who": lambda each: each.name,
                    "Accuracy": lambda each: interval_cell(each.by_embryo["accuracy"]),
                    "Sensitivity": lambda each: interval_cell(each.by_embryo["sensitivity"]),
                    "Specificity": lambda each: interval_cell(each.by_embryo["specificity"]),
                    "True neg.": lambda each: each.confusion.true_negative,
                    "False pos.": lambda each: each.confusion.false_positive,
                    "False neg.": lambda each: each.confusion.false_negative,
                    "True pos.": lambda each: each.confusion.true_positive,
                    "Onset error": lambda each: interval_cell(each.onset("smoothed").mean, 2),
                },
                caption="In brackets: intervals over embryos. Of films in order, frames from the "
                "onset on count as called after it.",
            ),
            records(
                asked.comparisons,
                {
                    "Arm": lambda each: unbroken(each.name),
                    "Less": lambda each: each.against,
                    "Accuracy": lambda each: difference_cell(each.accuracy),
                    "z": lambda each: number(each.z.z, 2, undefined=each.z.note),
                    "p": lambda each: p_value(each.z.p),
                    "Onset error": lambda each: difference_cell(each.onset_error["smoothed"], 2),
                    "p of time discrepancies (Wilcoxon)": lambda each: p_value(
                        each.wilcoxon["smoothed"].p, undefined=each.wilcoxon["smoothed"].note
                    ),
                },
                caption="Accuracy by paired bootstrap over embryos, and by the paper's z of two "
                "proportions, for which frames are independent, which they are not.",
            ),
        ],
    )


def discrepancies(findings: Findings) -> Block:
    """How far everything lies from the annotated onset in time, embryo by embryo."""
    found = findings.discrepancies
    unit = "minutes" if found.unit == "min" else "frames (no interval is known of some recording)"
    others = [name for name in found.values if name != found.reference]
    return section(
        "Time discrepancies",
        [
            figure(
                draw_discrepancies(found),
                alt="Violins of time discrepancies",
                caption=f"|predicted - annotated onset| of every embryo in {unit}: a line an "
                "embryo across the columns, a bar the median. Above: Wilcoxon's signed ranks "
                f"against {found.reference}, an embryo a pair. What never happens within a "
                "recording counts as the frame after its last.",
                wide=True,
            ),
            records(
                others,
                {
                    f"{found.reference} against": lambda name: name,
                    "Embryos": lambda name: found.tests[name].pairs if name in found.tests else 0,
                    "Median difference": lambda name: number(
                        found.tests[name].median_difference if name in found.tests else None, 2
                    ),
                    "p": lambda name: (
                        p_value(found.tests[name].p, undefined=found.tests[name].note)
                        if name in found.tests
                        else ""
                    ),
                    "": lambda name: stars(found.tests[name].p) if name in found.tests else "",
                },
            ),
            bullets([f"{name}: {_MEANINGS[name]}." for name in others if name in _MEANINGS]),
        ],
    )


def compaction(findings: Findings) -> Block:
    """Predicted onsets beside compaction."""
    scores = findings.compaction
    if not scores:
        return section("Compaction", [])
    return section(
        "Compaction",
        [
            records(
                scores,
                {
                    "Arm": lambda each: each.name,
                    "Embryos": lambda each: each.pearson.pairs,
                    "Pearson": lambda each: (
                        each.pearson.note or interval_cell(each.pearson.interval)
                    ),
                    "p": lambda each: p_value(each.pearson.p),
                    "Error of compaction": lambda each: number(each.proxy.mean, 2),
                    "p of time discrepancies (Wilcoxon)": lambda each: p_value(
                        each.wilcoxon.p, undefined=each.wilcoxon.note
                    ),
                },
                caption="Compaction, taken for the onset, is the cue that an eye would use: how "
                "far it goes with the predicted onset, how many frames it misses the annotated one "
                "by, and whether the arm's errors differ from its.",
            ),
            figure(
                draw_compaction(scores, findings.arms, findings.embryos),
                alt="Compaction against predicted onsets",
                caption="Compaction against the predicted onset; what did not happen within a "
                "recording stands at the frame after its last.",
                wide=True,
            ),
        ],
    )


def examples(findings: Findings) -> Block:
    """Where networks looked, of one frame for each outcome."""
    by_name = {embryo.name: embryo for embryo in findings.embryos}
    return section(
        "Where the networks looked",
        [
            *(
                figure(
                    draw_examples(shown, by_name),
                    alt=f"Class activation maps of {arm}, a frame for each outcome",
                    caption=f"{arm}: the frame with its call and confidence, the class activation "
                    "map (red speaks for the call, blue against it), and measured Ezrin with the "
                    "annotation. Of every outcome the frame of median confidence.",
                )
                for arm, shown in findings.examples.items()
                if shown
            ),
        ],
    )
