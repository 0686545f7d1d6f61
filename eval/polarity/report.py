"""The report of a polarity evaluation: what won, by how much, and every table behind it."""

from collections.abc import Callable, Mapping, Sequence

from isl.files.provenance import versions
from isl.files.records import as_json, plain
from isl.polarity.onset import Rule
from isl.polarity.outputs import PURPOSE
from isl.report import (
    Block,
    Cell,
    bullets,
    facts,
    figure,
    folded,
    notice,
    page,
    paragraph,
    records,
    section,
    table,
    verbatim,
)
from isl.report.words import number, percent, unbroken

from ..writing.cells import difference_cell, interval_cell
from .clips import CLIPS, SHORTEST
from .ezrin import FIGURES, PREDICTION, RIVALS, SEEN, SIDE
from .figures import draw_answered, draw_calibration, draw_curves, draw_ezrin, draw_onsets, draw_roc
from .judge import Comparison, Contender
from .paper_figures import draw_classes
from .paper_report import (
    as_in_the_paper,
    compaction,
    discrepancies,
    ensembles,
    examples,
    people,
)
from .tables import Findings
from .verdict import RULE_TITLES

_ARMS = {
    "dic": "reads the all-in-focus transmitted-light frame alone",
    "ezrin": "reads predicted EZRIN alone",
    "dic+ezrin": "reads both",
    "measured": "reads measured Ezrin, which no label-free recording has",
    "frame index": "the frame's number, with the threshold that suits the other embryos best",
    "median onset": "always the median onset of the other embryos",
}
_NAME: Mapping[str, Callable[[Contender], Cell]] = {"Arm": lambda each: unbroken(each.name)}
_PAIR: Mapping[str, Callable[[Comparison], Cell]] = {
    "Arm": lambda each: unbroken(each.name),
    "Less": lambda each: unbroken(each.against),
}


def polarity_page(findings: Findings) -> str:
    """The report as HTML."""
    blocks = [
        notice(PURPOSE),
        paragraph(findings.title + "."),
        bullets(list(findings.headlines)),
        paragraph(findings.decision.words if findings.decision else ""),
        _arms(findings),
        _frames(findings),
        _onsets(findings),
        section("Differences", [_differences(findings)]),
        *as_in_the_paper(findings),
        ensembles(findings),
        people(findings),
        discrepancies(findings),
        _clips(findings),
        _ezrin(findings),
        compaction(findings),
        examples(findings),
        _calibration(findings),
        _how(findings),
    ]
    isl = versions().get("isl", "")
    return page(
        "Polarization onset: evaluation", blocks, footer=f"Made by isl eval (isl {isl}). {PURPOSE}"
    )


def _arms(findings: Findings) -> Block:
    shown = {
        **_NAME,
        "AUC": lambda each: interval_cell(each.by_embryo.get("auc")),
        "Accuracy": lambda each: interval_cell(each.by_embryo["accuracy"]),
        "Sensitivity": lambda each: interval_cell(each.by_embryo["sensitivity"]),
        "Specificity": lambda each: interval_cell(each.by_embryo["specificity"]),
        "Onset error": lambda each: interval_cell(each.onset("smoothed").mean, 2),
        "Within 2": lambda each: (
            f"{each.onset('smoothed').summary.within_2} of {each.onset('smoothed').summary.count}"
        ),
        "By change point": lambda each: interval_cell(
            scores.mean if (scores := each.onsets.get("change_point")) else None, 2
        ),
        "By posterior": lambda each: interval_cell(
            scores.mean if (scores := each.onsets.get("posterior")) else None, 2
        ),
        "AUC in time": lambda each: interval_cell(each.in_time["auc"] if each.in_time else None),
        "Accuracy in time": lambda each: interval_cell(
            each.in_time["accuracy"] if each.in_time else None
        ),
    }
    return section(
        "Arms",
        [
            records(
                findings.contenders,
                shown,
                caption=f"In brackets: {percent(findings.resampling.level)} intervals by bootstrap "
                f"over embryos, {findings.resampling.replicates} replicates. Onset errors in "
                "frames, by the smoothed rule unless a column says otherwise.",
            ),
            facts({e.name: _ARMS[e.name] for e in findings.contenders if e.name in _ARMS}),
            paragraph(
                "Calls and AUC judge each frame by itself, without any use of time. The onset is "
                "the first call after smoothing over three frames, as in the paper. The change "
                "point takes it that an embryo goes from before to after once, which uses time "
                "order, so it stands apart. A censored onset counts as the frame after the last "
                "one."
            ),
        ],
    )


def _frames(findings: Findings) -> Block:
    shown = {
        **_NAME,
        "True neg.": lambda each: each.confusion.true_negative,
        "False pos.": lambda each: each.confusion.false_positive,
        "False neg.": lambda each: each.confusion.false_negative,
        "True pos.": lambda each: each.confusion.true_positive,
        "Accuracy by onset": lambda each: number(each.onset("smoothed").accuracy.estimate),
        "by change point": lambda each: number(
            scores.accuracy.estimate if (scores := each.onsets.get("change_point")) else None
        ),
        "AUC of members": lambda each: _range(each.members_auc),
    }
    undefined = {each.name: each.confusion.undefined for each in findings.contenders}
    return section(
        "Frames",
        [
            records(
                findings.contenders,
                shown,
                caption="Frames called by themselves; the share on the right side of the predicted "
                "onset; and the least and the greatest AUC of a single member.",
            ),
            bullets([f"{name}: {why}" for name, why in undefined.items() if why]),
            figure(
                draw_roc(findings.arms, findings.baselines, findings.bands, findings.people),
                alt="ROC curves",
                caption="ROC, all frames, with pointwise bounds over embryos. A star: the model's "
                "own threshold"
                + ("; circles: people." if findings.people and findings.people.raters else "."),
            ),
            figure(
                draw_classes(findings.embryos, findings.folds),
                alt="Frames before and after the onset",
                caption="How many frames lie before and after the annotated onset.",
            ),
            figure(
                draw_curves(findings.arms, findings.embryos),
                alt="P(after onset) of every frame, for every embryo",
                caption="P(after onset) of every frame, by ensembles that never saw the embryo. "
                "Shaded: at or after the annotated onset.",
                wide=True,
            ),
        ],
    )


def _onsets(findings: Findings) -> Block:
    columns: list[tuple[str, Callable[[int], Cell]]] = [
        ("Embryo", lambda number: findings.embryos[number].name),
        ("Frames", lambda number: len(findings.embryos[number].after)),
        ("Annotated", lambda number: _onset(findings.embryos[number].onset)),
        *((each.name, _onset_by(each)) for each in findings.contenders),
    ]
    errors: list[tuple[Contender, Rule]] = [
        (each, rule) for each in findings.contenders for rule in each.onsets
    ]
    return section(
        "Onsets",
        [
            records(
                range(len(findings.embryos)),
                columns,
                caption='In brackets: 90 % intervals. "?": the members disagree; the verdict is '
                '"cannot tell".',
            ),
            figure(
                draw_onsets(findings.arms, findings.embryos),
                alt="Predicted beside annotated onsets",
                caption="Predicted beside annotated onset; shaded: within 3 frames.",
                wide=True,
            ),
            table(
                _ERROR_COLUMNS,
                [_error_row(each, rule) for each, rule in errors],
                caption="Onset errors in frames, the mean in minutes too; how many onsets lie in "
                "their 90 % intervals, and how wide these are.",
            ),
            figure(
                draw_answered(findings.arms),
                alt="Onset error by the share of embryos answered",
                caption="Where only embryos with the narrowest intervals are answered: how far off "
                "their onsets are, by the median of the posterior. Single embryos at the left.",
            ),
        ],
    )


def _onset_by(each: Contender) -> Callable[[int], Cell]:
    """From an embryo's number to its onset, with the interval where there is one."""

    def cell(number: int) -> str:
        if each.found is None:
            return _onset(each.onset("smoothed").rows[number].predicted)
        found = each.found["smoothed"][number]
        last = "after" if found.high is None else found.high
        mark = " ?" if found.verdict == "cannot_tell" else ""
        return f"{_onset(found.frame)}{mark} {unbroken(f'({found.low} to {last})')}"

    return cell


_ERROR_COLUMNS = (
    *("Arm", "Rule", "Mean", "Median", "Largest", "RMSE"),
    *("Within 2", "Within 3", "Minutes", "Cannot tell", "Interval"),
)


def _error_row(each: Contender, rule: Rule) -> list[Cell]:
    scores = each.onsets[rule]
    summary, coverage = scores.summary, scores.coverage
    return [
        unbroken(each.name),
        RULE_TITLES[rule] if each.found is not None else "",
        interval_cell(scores.mean, 2),
        number(summary.median, 1),
        summary.maximum,
        number(summary.rmse, 2),
        summary.within_2,
        summary.within_3,
        interval_cell(scores.minutes, 0, undefined="not known"),
        scores.verdicts["cannot_tell"] if scores.verdicts else None,
        f"{unbroken(f'{coverage.covered} of {coverage.count}')}, "
        + unbroken(f"{coverage.mean_width:.1f} wide")
        if coverage
        else "",
    ]


def _differences(findings: Findings) -> Block:
    return records(
        findings.comparisons,
        {
            **_PAIR,
            "AUC": lambda each: difference_cell(each.auc),
            "Accuracy": lambda each: difference_cell(each.accuracy),
            "Onset error": lambda each: difference_cell(each.onset_error["smoothed"], 2),
            "By change point": lambda each: difference_cell(
                each.onset_error.get("change_point"), 2
            ),
        },
        caption="Paired bootstrap over embryos; * the interval excludes zero. Of onset errors, "
        "less is better.",
    )


def _ezrin(findings: Findings) -> Block:
    scores = findings.ezrin
    if scores is None:
        return section("Predicted EZRIN", [])
    means, leads = scores.means, scores.leads
    return section(
        "Predicted EZRIN",
        [
            paragraph(
                "Pearson's correlation with measured Ezrin frame by frame, mean over an embryo's "
                f"frames, then over embryos: {interval_cell(scores.means[PREDICTION]['frame'])}. "
                + (
                    "Every embryo was predicted by a network that had not seen it. "
                    if findings.folds
                    else "By the labeling model as it is, whatever it was trained on. "
                )
                + "Where frames were stretched one by one, their brightness says nothing, and "
                "correlation is all that can be asked. The embryo's own outline, filled, has "
                "most of what the whole frame asks for; so the table looks inside the embryo too."
            ),
            records(
                FIGURES,
                {
                    "Figure": lambda name: FIGURES[name],
                    **{
                        seen[0].upper() + seen[1:]: lambda name, seen=seen: interval_cell(
                            means[seen][name]
                        )
                        for seen in SEEN
                    },
                    **{
                        f"Lead over {rival}": lambda name, rival=rival: difference_cell(
                            leads[rival][name]
                        )
                        for rival in RIVALS
                    },
                },
                caption=f"Frames at {SIDE} pixels; means over frames, then over embryos, with "
                "intervals over embryos; * the interval excludes zero. Another time: the "
                "prediction of the frame half a recording away.",
            ),
            records(
                scores.embryos,
                {
                    "Embryo": lambda name: name,
                    "Mean over frames": lambda name: number(scores.embryos[name]),
                    "Lowest frame": lambda name: number(scores.lowest[name]),
                },
            ),
            figure(draw_ezrin(dict(scores.embryos)), alt="Pearson's correlation by embryo")
            if any(mean is not None for mean in scores.embryos.values())
            else paragraph("It is undefined for every embryo."),
        ],
    )


def _clips(findings: Findings) -> Block:
    return section(
        "Clips that start anywhere",
        [
            records(
                findings.clips,
                {
                    "Arm": lambda each: each.name,
                    "Clips": lambda each: each.clips,
                    "AUC in time": lambda each: interval_cell(each.auc),
                    "AUC of the frame's number": lambda each: interval_cell(each.auc_by_number),
                    "Lead": lambda each: difference_cell(each.lead),
                    "Accuracy in time": lambda each: interval_cell(each.accuracy),
                    "Onset error": lambda each: interval_cell(each.onset_error, 2),
                },
                caption=f"Clips of {SHORTEST} frames or more, {CLIPS} of each recording, cut at "
                "random and judged anew: there a frame's number says little of the embryo's age. "
                "Intervals over embryos; * the interval excludes zero.",
            )
        ],
    )


def _calibration(findings: Findings) -> Block:
    return section(
        "Calibration",
        [
            figure(
                draw_calibration(findings.arms),
                alt="Calibration of probabilities",
                caption="Of frames given a probability, the share that is after onset; larger dots "
                "hold more frames.",
            ),
            records(
                [(arm, arm.calibration) for arm in findings.arms if arm.calibration],
                {
                    "Arm": lambda each: each[0].name,
                    "Brier score": lambda each: number(each[1].brier),
                    "Calibration error": lambda each: number(each[1].error),
                    "Likeliest temper of the onset posterior": lambda each: each[0].temper,
                },
            ),
        ],
    )


def _how(findings: Findings) -> Block:
    folds = [(str(number), ", ".join(fold)) for number, fold in enumerate(findings.folds, 1)]
    times = [
        [arm.name, round(arm.seconds / 60, 1)] for arm in findings.arms if arm.seconds is not None
    ]
    return section(
        "How it was done",
        [
            paragraph(
                "Embryos were split, never frames. For every fold each arm was trained on the "
                "other folds' embryos, their EZRIN predicted by networks that had seen neither "
                "their own fold nor the held-out one."
                if folds
                else ""
            ),
            records(folds, {"Fold": lambda each: each[0], "Held out": lambda each: each[1]}),
            table(
                ("Arm", "Minutes"),
                times,
                caption="What training and predicting took, without EZRIN; of what was "
                "interrupted, since it was last taken up.",
            ),
            folded("Settings", [verbatim(as_json(plain(findings.settings)))]),
        ],
    )


def _range(values: Sequence[float | None] | None) -> str:
    defined = [value for value in values or () if value is not None]
    return f"{min(defined):.3f} to {max(defined):.3f}" if defined else ""


def _onset(frame: int | None) -> str:
    return "none" if frame is None else str(frame)
