"""The report of an evaluation of fragmentation models."""

import dataclasses
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from isl.fragmentation.drawing import contours
from isl.fragmentation.grades import GradeScale
from isl.report import Block, figure, heading, notice, page, paragraph, table
from isl.report.words import number

from ..statistics.bootstrap import Interval
from ..writing.cells import difference_cell, interval_cell
from .judge import SHARES, Rows

PURPOSE = "For research only; it decides nothing about any embryo."
_SEGMENTATION = (
    ("fragment_dice", "Dice, fragments"),
    ("fragment_iou", "IoU, fragments"),
    ("fragment_hd95", "Hausdorff 95, fragments"),
    ("embryo_dice", "Dice, embryo"),
    ("embryo_hd95", "Hausdorff 95, embryo"),
    ("false_inside", "false fragments in cells"),
)
_PUBLISHED = (
    "Published, on other embryos, by the authors of AttnRegDeepLab: Dice 0.729 of the decoupled "
    "model; error of the share 0.046 of another model, trained end to end, at the cost of its "
    "contours. The two are never of one model."
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A variant's figures.

    Attributes:
        name: Of the variant.
        rows: One entry a seed.
        seeds: Statistics of every seed.
        intervals: Of the mean over seeds, by embryo.
        bias: Mean error of each way to a share by the grade of the true share.
        sites: Statistics by site.
        conflict: For every seed that measured it: updates, and the cosine between the gradients of
            segmentation and regression in the encoder, float64 [N, 2].
    """

    name: str
    rows: tuple[Rows, ...]
    seeds: tuple[Mapping[str, float | None], ...]
    intervals: Mapping[str, Interval]
    bias: Mapping[str, Mapping[str, float | None]]
    sites: Mapping[str, Mapping[str, float | None]]
    conflict: tuple[np.ndarray, ...] = ()

    @property
    def cosine(self) -> list[float]:
        """The mean cosine of the two gradients, one a seed that measured it."""
        return [float(each[:, 1].mean()) for each in self.conflict]

    @property
    def headline(self) -> str:
        """One line."""
        return (
            f"Dice {interval_cell(self.intervals['fragment_dice'])}, error of the share "
            f"{interval_cell(self.intervals['given_mae'])}"
        )

    def deviation(self, name: str) -> float | None:
        """Deviation of a statistic over seeds; None for one seed."""
        values = [each[name] for each in self.seeds]
        known = [value for value in values if value is not None]
        return float(np.std(known, ddof=1)) if len(known) > 1 else None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What an evaluation found.

    Attributes:
        description: Of the configuration.
        reference: Name of the variant that others are compared with.
        left_out: Sites, each of which was judged by networks trained without it; () where all
            were trained once.
        scale: Of the grades.
        judged: The variants.
        differences: To the reference, by variant.
        mean_share: Error of always guessing the training embryos' mean share.
        pictures: Picture, truth and what was found, uint8 [S, S] each, by title.
    """

    description: str
    reference: str
    left_out: tuple[str, ...] = ()
    scale: GradeScale
    judged: tuple[Judged, ...]
    differences: Mapping[str, Mapping[str, Interval]]
    mean_share: float | None
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def evaluation_page(findings: Findings) -> str:
    """The report as one HTML file."""
    units = findings.judged[0].intervals["given_mae"].units
    blocks: list[Block] = [
        notice(PURPOSE),
        paragraph(findings.description or "Fragmentation models, judged."),
        paragraph(
            f"{units} embryos that no network was trained on. Figures are means over pictures, of "
            "the mean over seeds, with 95 % intervals by bootstrap over embryos; the deviation is "
            "over seeds. Hausdorff distances are in pixels of the view."
        ),
        *_left_out(findings),
        heading("Segmentation"),
        _table_of(findings, _SEGMENTATION),
        heading("Share of fragments"),
        _shares(findings),
    ]
    if findings.mean_share is not None:
        blocks.append(
            paragraph(f"Always guessing the training embryos' mean: {findings.mean_share:.3f}.")
        )
    blocks += [paragraph(_PUBLISHED), heading("Bias by grade"), _bias(findings)]
    if findings.differences:
        blocks += [heading(f"Differences to {findings.reference}"), _differences(findings)]
    if any(each.conflict for each in findings.judged):
        blocks += [heading("Conflict of the two tasks"), *_conflict(findings)]
    sites = {site for each in findings.judged for site in each.sites}
    if sites:
        blocks += [heading("By site"), _sites(findings, sorted(sites))]
    blocks += [heading("Best, median, worst"), *_pictures(findings)]
    return page("Fragmentation: evaluation", blocks, footer=PURPOSE)


def _left_out(findings: Findings) -> list[Block]:
    if not findings.left_out:
        return []
    sites = ", ".join(findings.left_out)
    return [
        paragraph(
            f"Every network was trained once without each site ({sites}), and each site was judged "
            "by the networks trained without it."
        )
    ]


def _table_of(findings: Findings, columns: tuple[tuple[str, str], ...]) -> Block:
    rows = []
    for each in findings.judged:
        cells = [interval_cell(each.intervals[name]) for name, _ in columns]
        rows.append([each.name, *cells, number(each.deviation(columns[0][0]))])
    titles = [title for _, title in columns]
    return table(["variant", *titles, f"deviation, {titles[0]}"], rows)


def _shares(findings: Findings) -> Block:
    rows = []
    for each in findings.judged:
        for way in SHARES:
            if each.intervals[f"{way}_mae"].estimate is None:
                continue
            found = {n: each.intervals[f"{way}_{n}"] for n in ("mae", "bias", "accuracy", "kappa")}
            limits = [each.intervals[f"{way}_{n}"].estimate for n in ("low", "high")]
            span = (
                f"{limits[0]:+.3f} to {limits[1]:+.3f}"
                if limits[0] is not None and limits[1] is not None
                else ""
            )
            coverage = interval_cell(each.intervals["coverage"]) if way == "given" else ""
            rows.append(
                [
                    each.name,
                    "as given" if way == "given" else f"by {way}",
                    *(interval_cell(found[n]) for n in ("mae", "bias")),
                    span,
                    *(interval_cell(found[n]) for n in ("accuracy", "kappa")),
                    coverage,
                    number(each.deviation(f"{way}_mae")),
                ]
            )
    titles = ["error", "bias", "limits of agreement", "accuracy of grades", "kappa (quadratic)"]
    return table(
        ["variant", "share", *titles, "coverage of 90 % intervals", "deviation, error"], rows
    )


def _bias(findings: Findings) -> Block:
    rows = [
        [each.name, f"by {way}" if way != "given" else "as given"]
        + [number(each.bias[grade][way]) for grade in findings.scale.grades]
        for each in findings.judged
        for way in SHARES
        if any(each.bias[grade][way] is not None for grade in findings.scale.grades)
    ]
    return table(["variant", "share", *findings.scale.grades], rows)


def _differences(findings: Findings) -> Block:
    names = ("fragment_dice", "embryo_dice", "area_mae", "regression_mae", "given_mae")
    rows = [
        [variant, *(difference_cell(found[name], 3) for name in names)]
        for variant, found in findings.differences.items()
    ]
    titles = ["Dice, fragments", "Dice, embryo", "error by area", "by regression", "as given"]
    return table(["variant", *titles], rows, caption="A star: the interval excludes zero.")


def _conflict(findings: Findings) -> list[Block]:
    """The cosine between the two tasks' gradients in the encoder, over the training."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7, 3), dpi=110, layout="constrained")
    axes = drawing.subplots()
    lines = []
    for place, each in enumerate(findings.judged):
        for seed, measured in enumerate(each.conflict):
            label = each.name if seed == 0 else None
            axes.plot(*measured.T, color=f"C{place}", linewidth=0.9, label=label)
        if each.conflict:
            against = np.mean([(measured[:, 1] < 0).mean() for measured in each.conflict])
            lines.append(
                f"{each.name}: mean cosine {np.mean(each.cosine):+.3f}; "
                f"{against:.0%} of the points below 0."
            )
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set_xlabel("update")
    axes.set_ylabel("cosine")
    axes.legend()
    stream = io.BytesIO()
    drawing.savefig(stream, format="png")
    caption = "Below 0 the gradients of segmentation and of regression pull the encoder apart."
    return [figure(stream.getvalue(), alt="cosine", caption=caption), *map(paragraph, lines)]


def _sites(findings: Findings, sites: list[str]) -> Block:
    rows = [
        [
            each.name,
            site,
            number(each.sites[site]["fragment_dice"]),
            number(each.sites[site]["given_mae"]),
        ]
        for each in findings.judged
        for site in sites
        if site in each.sites
    ]
    return table(["variant", "site", "Dice, fragments", "error of the share"], rows)


def _pictures(findings: Findings) -> list[Block]:
    blocks = []
    for title, (image, truth, found) in findings.pictures.items():
        grey = image.astype(np.float32) / 255
        shown = [contours(grey, np.where(labels == 255, 0, labels)) for labels in (truth, found)]
        stream = io.BytesIO()
        Image.fromarray(np.concatenate(shown, axis=1)).save(stream, "PNG")
        blocks.append(
            figure(stream.getvalue(), alt=title, caption=f"{title}: truth left, found right.")
        )
    return blocks
