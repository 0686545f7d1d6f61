"""The report of a colony evaluation: tables, curves, pictures, the paper's figures beside ours."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.colony.patches import cut_out
from isl.report import (
    Block,
    Cell,
    beside,
    bullets,
    figure,
    heading,
    notice,
    page,
    paragraph,
    table,
)
from isl_train.colony.images import Images

from ..statistics.bootstrap import Interval
from . import published
from .config import ArmConfig, ColonyEvaluation
from .drawing import draw_curves, draw_losses, draw_mistakes, draw_weights
from .figures import OVERALL, Figures, Run, both, differences, paired

_SIDE = 96


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """An arm at a share of labels.

    Attributes:
        arm: Which.
        share: Of labels.
        runs: Every fold of every seed.
        figures: By patches a colony.
        images: All images of the arm.
        history: training.csv of its first run.
        before: Likewise, of what went before it.
    """

    arm: ArmConfig
    share: float
    runs: tuple[Run, ...]
    figures: Mapping[int, Figures]
    images: Images
    history: Path
    before: Path


def report(results: Sequence[Result], evaluation: ColonyEvaluation) -> str:
    """The report as HTML, of what is there so far."""
    fewest = evaluation.patches[0]
    wanted = sum(len(evaluation.shares_of(arm)) for arm in evaluation.arms)
    blocks: list[Block] = [paragraph(evaluation.description or "Colonies, judged over folds.")]
    if len(results) < wanted:
        blocks.append(notice(f"{len(results)} of {wanted} arms and shares are trained so far."))
    blocks += [
        paragraph(
            f"Every figure is of images held out: {len(evaluation.held_out)} of {evaluation.folds} "
            f"folds, {len(evaluation.seeds)} seeds. Intervals hold {evaluation.level:.0%} of "
            f"{evaluation.replicates} bootstrap draws of "
            + ("groups." if results[0].images.grouped else "images; no groups are known.")
            + " The student of each run was chosen on validation images cut from its labels, never "
            "on the fold that it is judged on; the paper's published code chooses on that fold."
        ),
        _overview(results),
        *_curves(results, fewest),
        *_by_class(results, fewest),
        *_comparisons(results, evaluation, fewest),
        *_compositions(results, fewest),
        *_training(results),
        *_mistakes(results[-1], fewest),
        *_paper(results, fewest),
    ]
    return page("Colonies, evaluated", blocks, footer="Made by isl eval. For research only.")


def _overview(results: Sequence[Result]) -> Block:
    rows: list[list[Cell]] = []
    for result in results:
        for patches, figures in result.figures.items():
            rows.append(
                [
                    *(result.arm.name, f"{result.share:.0%}", patches),
                    *(shown(figures.intervals[name]) for name in OVERALL),
                    f"{figures.variance:.4f}",
                ]
            )
    names = [name.replace("_", " ").capitalize() for name in OVERALL]
    return table(
        ["Arm", "Labels", "Patches", *names, "Variance of recall over classes"],
        rows,
        caption="All classes together",
    )


def _curves(results: Sequence[Result], patches: int) -> list[Block]:
    curves: dict[str, dict[float, Interval]] = {}
    for result in results:
        own = curves.setdefault(result.arm.name, {})
        own[result.share] = result.figures[patches].intervals["balanced_accuracy"]
    if all(len(points) < 2 for points in curves.values()):
        return []
    drawn = draw_curves(curves, "balanced_accuracy")
    return [
        heading("Against the share of labels"),
        figure(drawn, alt="Balanced accuracy over the share of labels", wide=True),
    ]


def _by_class(results: Sequence[Result], patches: int) -> list[Block]:
    blocks = [heading("By class")]
    for what, caption in (
        ("recall", "Recall: share of a class's images that are called so (true positive rate)"),
        ("precision", "Precision: share of what is called so that is (the paper's code: TPR)"),
        ("f1", "F1"),
        ("auroc", "AUROC of each class against the rest"),
    ):
        classes = results[0].images.classes
        rows: list[list[Cell]] = [
            [
                result.arm.name,
                f"{result.share:.0%}",
                *(shown(result.figures[patches].intervals[f"{what}_{name}"]) for name in classes),
            ]
            for result in results
            if result.images.classes == classes
        ]
        blocks.append(table(["Arm", "Labels", *classes], rows, caption=caption))
    last = results[-1]
    counts = last.figures[patches].confusion.counts
    rows = [
        [name, *(int(count) for count in row)]
        for name, row in zip(last.images.classes, counts, strict=True)
    ]
    caption = f"Confusion of {last.arm.name} at {last.share:.0%}: rows are what images are"
    return [*blocks, table(["", *last.images.classes], rows, caption=caption)]


def _comparisons(
    results: Sequence[Result], evaluation: ColonyEvaluation, patches: int
) -> list[Block]:
    resampling = evaluation.resampling
    rows: list[list[Cell]] = []
    for one, other in evaluation.compare:
        for first in (result for result in results if result.arm.name == one):
            for second in results:
                if second.arm.name != other or second.share != first.share:
                    continue
                classes, grouped = first.images.classes, first.images.grouped
                counts = np.bincount(first.images.labels[first.images.labels >= 0])
                rarest = classes[int(np.argmin(counts))]
                names = ("balanced_accuracy", "macro_f1", f"recall_{rarest}")
                ours, theirs = both(first.runs, second.runs)
                gaps = differences(ours, theirs, classes, patches, resampling, grouped)
                for name in dict.fromkeys((*names, *(f"recall_{c}" for c in classes))):
                    gap = gaps[name]
                    tested = paired(ours, theirs, name, classes, patches)
                    p = "" if tested.p is None else f"{tested.p:.4f}"
                    sure = "yes" if gap.excludes(0.0) else "no"
                    rows.append(
                        [f"{one} - {other}", f"{first.share:.0%}", name, shown(gap), sure, p]
                    )
    if not rows:
        return []
    return [
        heading("Differences"),
        table(
            ["Arms", "Labels", "Figure", "Difference", "Excludes 0", "Paired t over runs, p"],
            rows,
            caption="The same held-out images and draws; folds are not independent, so p is too "
            "small",
        ),
    ]


def _compositions(results: Sequence[Result], patches: int) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            *(result.arm.name, f"{result.share:.0%}", shift),
            *(f"{error:.4f}" for error in errors),
        ]
        for result in results
        for shift, errors in result.figures[patches].composition.items()
    ]
    return [
        heading("Composition"),
        table(
            ["Arm", "Labels", "Classes", "Called", "Corrected", "Expected"],
            rows,
            caption="|share - true share|, mean over classes: as called, corrected by the "
            "confusion of the validation images, and as expected of calibrated probabilities",
        ),
    ]


def _training(results: Sequence[Result]) -> list[Block]:
    shown_arms: list[Block] = []
    for result in results:
        labels = result.images.labels[result.images.labels >= 0]
        true = np.bincount(labels, minlength=len(result.images.classes)) / len(labels)
        name = f"{result.arm.name}, {result.share:.0%}"
        losses = draw_losses(result.history, result.before)
        weights = draw_weights(result.history, result.images.classes, true.tolist())
        pictures = [
            figure(png, alt=f"{what} of {name}", caption=f"{name}: {what}.", wide=True)
            for png, what in ((losses, "losses"), (weights, "shares and weights"))
            if png is not None
        ]
        shown_arms += pictures
    if not shown_arms:
        return []
    return [heading("Training, first fold and seed"), beside(shown_arms, columns=2)]


def _mistakes(result: Result, patches: int) -> list[Block]:
    """The most confident error of every pair of classes."""
    best: dict[tuple[int, int], tuple[float, str]] = {}
    for run in result.runs:
        said = run.predictions.probabilities(patches)
        called = said.argmax(axis=1)
        for i in np.flatnonzero(called != run.predictions.truth):
            pair = (int(run.predictions.truth[i]), int(called[i]))
            sure = float(said[i].max())
            if sure > best.get(pair, (0.0, ""))[0]:
                best[pair] = (sure, str(run.predictions.names[i]))
    at = {name: index for index, name in enumerate(result.images.names)}
    shown_patches = {}
    for pair, (_, name) in best.items():
        image = result.images.images[at[name]]
        small = cut_out(image.pixels, image.mask, _SIDE)
        shown_patches[pair] = small.pixels[:_SIDE, :_SIDE, 0]
    drawn = draw_mistakes(shown_patches, result.images.classes)
    caption = f"The most confident errors of {result.arm.name} at {result.share:.0%}."
    return [heading("Mistakes"), figure(drawn, alt="Mistakes by pair of classes", caption=caption)]


def _paper(results: Sequence[Result], patches: int) -> list[Block]:
    """The paper's tables beside the arms that stand for their rows."""
    rates = {row.name: row.rate for row in published.ABLATION} | published.RELATED
    scores = {row.name: row.f1 for row in published.ABLATION}
    rows: list[list[Cell]] = []
    for result in results:
        known = result.arm.published
        if known not in rates or len(result.images.classes) != len(published.CLASSES):
            continue
        intervals = result.figures[patches].intervals
        for what, theirs in (("precision", rates), ("f1", scores)):
            if known not in theirs:
                continue
            ours = [intervals[f"{what}_{name}"].estimate for name in result.images.classes]
            rows.append(
                [
                    *(known, "F1" if what == "f1" else '"TPR"'),
                    *(f"{value:.3f}" for value in theirs[known]),
                    f"{np.mean(theirs[known]):.3f}",
                    *("" if value is None else f"{value:.3f}" for value in ours),
                ]
            )
    counts = published.CONFUSION
    by_row = np.diag(counts) / counts.sum(axis=1)
    by_column = np.diag(counts) / counts.sum(axis=0)
    golden = [
        [name, *(int(n) for n in row), f"{recall:.3f}", f"{precision:.3f}"]
        for name, row, recall, precision in zip(
            published.CLASSES, counts, by_row, by_column, strict=True
        )
    ]
    said = [f"{what}: p = {p}" for what, p in published.REPORTED_P.items()]
    said += [
        f"variance of the rate over classes, {what}: {variance}"
        for what, variance in published.REPORTED_VARIANCE.items()
    ]
    blocks = [
        heading("The paper"),
        paragraph(
            "Other images, other labels: what stands here is for orientation and not a comparison. "
            "The paper's true positive rate is computed as precision by its published code."
        ),
    ]
    if rows:
        head = [*published.CLASSES, "Mean", *(f"ours, {name}" for name in published.CLASSES)]
        blocks.append(table(["Row of the paper", "Figure", *head], rows, caption="Tables 2 and 3"))
    return [
        *blocks,
        table(
            ["", *published.CLASSES, "Of row (recall)", "Of column (precision)"],
            golden,
            caption="Table 4; rows are what images are, as their sums show, although its header "
            "says otherwise",
        ),
        bullets(said),
    ]


def shown(interval: Interval) -> str:
    """A figure with its bounds, e.g. "0.712 (0.690 to 0.731)"."""
    if interval.estimate is None:
        return ""
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.3f}"
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
