"""The report of a polarity evaluation: what won, by how much, and every table behind it."""

from collections.abc import Sequence
from typing import Any

from isl.files.provenance import versions
from isl.files.records import as_json, plain
from isl.polarity.outputs import PURPOSE
from isl.report import (
    Block,
    Cell,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    page,
    paragraph,
    table,
    verbatim,
)

from ..writing.cells import difference_cell, interval_cell, number_cell, p_cell, whole
from .figures import draw_calibration, draw_curves, draw_ezrin, draw_onsets, draw_roc
from .judge import Contender
from .tables import Findings

_RULES = {
    "smoothed": "smoothed",
    "change_point": "change point",
}
_ARMS = {
    "dic": "reads the all-in-focus transmitted-light frame alone",
    "ezrin": "reads predicted EZRIN alone",
    "dic+ezrin": "reads both",
    "measured": "reads measured Ezrin, which no label-free recording has",
    "frame index": "the frame's number, with the threshold that suits the other embryos best",
    "median onset": "always the median onset of the other embryos",
}


def polarity_page(findings: Findings) -> str:
    """The report as HTML."""
    blocks = [
        notice(PURPOSE),
        paragraph(findings.title + "."),
        bullets(list(findings.headlines)),
        *([paragraph(findings.decision.words)] if findings.decision else []),
        *_arms(findings),
        *_frames(findings),
        *_onsets(findings),
        *_differences(findings),
        *_paper(findings),
        *_ezrin(findings),
        *_compaction(findings),
        *_calibration(findings),
        *_how(findings),
    ]
    isl = versions().get("isl", "")
    return page(
        "Polarization onset: evaluation", blocks, footer=f"Made by isl eval (isl {isl}). {PURPOSE}"
    )


def _arms(findings: Findings) -> list[Block]:
    level = f"{findings.resampling.level:.0%}".replace("%", " %")
    rows: list[list[Cell]] = []
    for each in findings.contenders:
        onset, change = each.onset("smoothed"), each.onsets.get("change_point")
        rows.append(
            [
                whole(each.name),
                interval_cell(each.by_embryo.get("auc")),
                interval_cell(each.by_embryo["accuracy"]),
                interval_cell(each.by_embryo["sensitivity"]),
                interval_cell(each.by_embryo["specificity"]),
                interval_cell(onset.mean, 2),
                f"{onset.summary.within_2} of {onset.summary.count}",
                interval_cell(change.mean, 2) if change else "",
            ]
        )
    known = [each.name for each in findings.contenders if each.name in _ARMS]
    return [
        heading("Arms"),
        table(
            (
                "Arm",
                "AUC",
                "Accuracy",
                "Sensitivity",
                "Specificity",
                "Onset error",
                "Within 2",
                "By change point",
            ),
            rows,
            caption=f"In brackets: {level} intervals by bootstrap over embryos, "
            f"{findings.resampling.replicates} replicates. Onset errors in frames, by the smoothed "
            "rule and by the change point.",
        ),
        facts({name: _ARMS[name] for name in known}),
        paragraph(
            "Calls and AUC judge each frame by itself, without any use of time. The onset is the "
            "first call after smoothing over three frames, as in the paper. The change point "
            "takes it that an embryo goes from before to after once, which uses time order, so it "
            "stands apart. A censored onset counts as the frame after the last one."
        ),
    ]


def _frames(findings: Findings) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            whole(each.name),
            each.confusion.true_negative,
            each.confusion.false_positive,
            each.confusion.false_negative,
            each.confusion.true_positive,
            number_cell(each.onset("smoothed").accuracy.estimate),
            number_cell(each.onsets["change_point"].accuracy.estimate)
            if "change_point" in each.onsets
            else "",
            _range(each.members_auc),
        ]
        for each in findings.contenders
    ]
    notes = [
        f"{each.name}: {each.confusion.undefined}"
        for each in findings.contenders
        if each.confusion.undefined
    ]
    return [
        heading("Frames"),
        table(
            (
                "Arm",
                "True neg.",
                "False pos.",
                "False neg.",
                "True pos.",
                "Accuracy by onset",
                "by change point",
                "AUC of members",
            ),
            rows,
            caption="Frames called by themselves; the share on the right side of the predicted "
            "onset; and the least and the greatest AUC of a single member.",
        ),
        *([bullets(notes)] if notes else []),
        figure(
            draw_roc(findings.arms, findings.baselines),
            alt="ROC curves",
            caption="ROC, all frames.",
        ),
        figure(
            draw_curves(findings.arms, findings.embryos),
            alt="P(after onset) of every frame, for every embryo",
            caption="P(after onset) of every frame, by ensembles that never saw the embryo. "
            "Shaded: at or after the annotated onset.",
            wide=True,
        ),
    ]


def _onsets(findings: Findings) -> list[Block]:
    columns = ["Embryo", "Frames", "Annotated", *(each.name for each in findings.contenders)]
    rows: list[list[Cell]] = []
    for number, embryo in enumerate(findings.embryos):
        row: list[Cell] = [embryo.name, len(embryo.after), _onset(embryo.onset)]
        for arm in findings.arms:
            assert arm.found is not None
            found = arm.found["smoothed"][number]
            last = "after" if found.high is None else found.high
            mark = " ?" if found.verdict == "cannot_tell" else ""
            row.append(f"{_onset(found.frame)}{mark} {whole(f'({found.low} to {last})')}")
        row += [
            _onset(each.onset("smoothed").rows[number].predicted) for each in findings.baselines
        ]
        rows.append(row)
    return [
        heading("Onsets"),
        table(
            columns,
            rows,
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
            (
                "Arm",
                "Rule",
                "Mean",
                "Median",
                "Largest",
                "RMSE",
                "Within 2",
                "Within 3",
                "Minutes",
                "Cannot tell",
                "Interval",
            ),
            [_error_row(each, rule) for each in findings.contenders for rule in each.onsets],
            caption="Onset errors in frames, the mean in minutes too; how many onsets lie in their "
            "90 % intervals, and how wide these are.",
        ),
    ]


def _error_row(each: Contender, rule: Any) -> list[Cell]:
    scores = each.onsets[rule]
    summary, coverage = scores.summary, scores.coverage
    return [
        whole(each.name),
        _RULES[rule] if each.found is not None else "",
        interval_cell(scores.mean, 2),
        number_cell(summary.median, 1),
        summary.maximum,
        number_cell(summary.rmse, 2),
        summary.within_2,
        summary.within_3,
        interval_cell(scores.minutes, 0) if scores.minutes else "not known",
        scores.verdicts["cannot_tell"] if scores.verdicts else None,
        f"{whole(f'{coverage.covered} of {coverage.count}')}, "
        + whole(f"{coverage.mean_width:.1f} wide")
        if coverage
        else "",
    ]


def _differences(findings: Findings) -> list[Block]:
    rows: list[list[Cell]] = []
    for each in findings.comparisons:
        rows.append(
            [
                whole(each.name),
                whole(each.against),
                difference_cell(each.auc, 3),
                difference_cell(each.accuracy, 3),
                difference_cell(each.onset_error["smoothed"], 2),
                difference_cell(each.onset_error.get("change_point"), 2),
            ]
        )
    if not rows:
        return []
    return [
        heading("Differences"),
        table(
            ("Arm", "Less", "AUC", "Accuracy", "Onset error", "By change point"),
            rows,
            caption="Paired bootstrap over embryos; * the interval excludes zero. Of onset errors, "
            "less is better.",
        ),
    ]


def _paper(findings: Findings) -> list[Block]:
    by_frame = [
        [each.name, *(interval_cell(each.by_frame.get(name)) for name in _SHARES)]
        for each in findings.contenders
    ]
    tests: list[list[Cell]] = [
        [
            each.name,
            each.against,
            number_cell(each.z.z, 2) or each.z.note,
            p_cell(each.z.p),
            p_cell(each.wilcoxon["smoothed"].p) or each.wilcoxon["smoothed"].note,
        ]
        for each in findings.comparisons
    ]
    return [
        heading("As in the paper"),
        paragraph(
            "The paper drew frames, and tested proportions of frames. Frames of one embryo are not "
            "independent, so these intervals are too narrow and z too large; the table above is "
            "the one to go by."
        ),
        table(
            ("Arm", "AUC", "Accuracy", "Sensitivity", "Specificity"),
            by_frame,
            caption="Intervals by bootstrap over frames.",
        ),
        *(
            [table(("Arm", "Against", "z of accuracy", "p", "p of onset errors (Wilcoxon)"), tests)]
            if tests
            else []
        ),
    ]


_SHARES = ("auc", "accuracy", "sensitivity", "specificity")


def _ezrin(findings: Findings) -> list[Block]:
    scores = findings.ezrin
    if scores is None:
        return []
    rows = [
        [name, number_cell(mean), number_cell(scores.lowest[name])]
        for name, mean in scores.embryos.items()
    ]
    return [
        heading("Predicted EZRIN"),
        paragraph(
            "Pearson's correlation with measured Ezrin frame by frame, mean over an embryo's "
            f"frames, then over embryos: {interval_cell(scores.mean)}. "
            + (
                "Every embryo was predicted by a network that had not seen it. "
                if findings.folds
                else "By the labeling model as it is, whatever it was trained on. "
            )
            + "Where frames were stretched one by one, their brightness says nothing, and "
            "correlation is all that can be asked."
        ),
        table(("Embryo", "Mean over frames", "Lowest frame"), rows),
        figure(draw_ezrin(dict(scores.embryos)), alt="Pearson's correlation by embryo")
        if any(mean is not None for mean in scores.embryos.values())
        else paragraph("It is undefined for every embryo."),
    ]


def _compaction(findings: Findings) -> list[Block]:
    if not findings.compaction:
        return []
    rows: list[list[Cell]] = [
        [
            each.name,
            each.pearson.pairs,
            interval_cell(each.pearson.interval) if not each.pearson.note else each.pearson.note,
            p_cell(each.pearson.p),
            number_cell(each.proxy.mean, 2),
            p_cell(each.wilcoxon.p) or each.wilcoxon.note,
        ]
        for each in findings.compaction
    ]
    return [
        heading("Compaction"),
        table(
            (
                "Arm",
                "Embryos",
                "Pearson",
                "p",
                "Error of compaction",
                "p of errors (Wilcoxon)",
            ),
            rows,
            caption="Compaction, taken for the onset, is the cue that an eye would use: how far it "
            "goes with the predicted onset, how many frames it misses the annotated one by, and "
            "whether the arm's errors differ from its.",
        ),
    ]


def _calibration(findings: Findings) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            arm.name,
            number_cell(arm.calibration.brier),
            number_cell(arm.calibration.error),
            arm.temper,
        ]
        for arm in findings.arms
        if arm.calibration
    ]
    return [
        heading("Calibration"),
        figure(
            draw_calibration(findings.arms),
            alt="Calibration of probabilities",
            caption="Of frames given a probability, the share that is after onset; larger dots "
            "hold more frames.",
        ),
        table(
            ("Arm", "Brier score", "Calibration error", "Likeliest temper of the onset posterior"),
            rows,
        ),
    ]


def _how(findings: Findings) -> list[Block]:
    blocks = [heading("How it was done")]
    if findings.folds:
        blocks += [
            paragraph(
                "Embryos were split, never frames. For every fold each arm was trained on the "
                "other folds' embryos, their EZRIN predicted by networks that had seen neither "
                "their own fold nor the held-out one."
            ),
            table(
                ("Fold", "Held out"),
                [[str(n), ", ".join(fold)] for n, fold in enumerate(findings.folds, 1)],
            ),
        ]
    times = [
        [arm.name, round(arm.seconds / 60, 1)] for arm in findings.arms if arm.seconds is not None
    ]
    blocks.append(
        table(
            ("Arm", "Minutes"),
            times,
            caption="What training and predicting took, without EZRIN; of what was interrupted, "
            "since it was last taken up.",
        )
    )
    blocks.append(folded("Settings", [verbatim(as_json(plain(findings.settings)))]))
    return blocks


def _range(values: Sequence[float | None] | None) -> str:
    defined = [value for value in values or () if value is not None]
    return f"{min(defined):.3f} to {max(defined):.3f}" if defined else ""


def _onset(frame: int | None) -> str:
    return "none" if frame is None else str(frame)
