"""The report of a labeling evaluation: how good, where it fails, how sure, and every table."""

from collections.abc import Callable, Mapping, Sequence

from isl.files.provenance import versions
from isl.files.records import as_json, plain
from isl.labeling.familiarity import Unfamiliarity
from isl.report import (
    Badge,
    Block,
    Cell,
    beside,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    notices,
    page,
    paragraph,
    records,
    section,
    table,
    verbatim,
)
from isl.report.words import number, percent, unbroken

from ..metrics.heat_map import draw_heat_map
from ..writing.cells import difference_cell, interval_cell
from .blocks import BLOCK, FEWEST_GROUPS
from .calibration_report import calibration_blocks
from .condition_report import condition_blocks
from .figures import draw_spectral, some
from .findings import HIGHER_IS_BETTER, TITLES, Findings, field_figures
from .judge import BASELINE, SAMPLES, Comparison, LabelScores
from .live_dead_report import live_dead_blocks
from .models import Contender
from .object_report import object_blocks, point_blocks
from .picture_report import crop_blocks, field_blocks
from .verdict import drawn_over

PURPOSE = "For research; not for diagnosis or treatment."
_OF_GROUPS = {
    "pearson": "Pearson",
    "foreground_pearson": "Foreground",
    "mae": "MAE",
    "ssim": "SSIM",
    "cross_entropy": "Cross-entropy",
    "coverage_90": "Within 90 %",
}
_DIGITS = {"psnr": 2, "mae": 4, "ranked_probability_score": 4}
_OF_IMAGE = ("pearson", "foreground_pearson", "nrmse", "ssim", "psnr")


def labeling_page(findings: Findings) -> str:
    """The report as HTML."""
    blocks = [
        *_seen(findings),
        paragraph(findings.title + "."),
        paragraph(findings.settings["description"]),
        bullets([line.replace(" %", "\u00a0%") for line in findings.headlines]),
        _ground(findings),
        _familiarity(findings),
        *_figures(findings),
        section("Differences", [_differences(findings)]),
        section("Groups and fields", _groups(findings)),
        *condition_blocks(findings),
        _heat_maps(findings),
        _frequencies(findings),
        *calibration_blocks(findings),
        *field_blocks(findings),
        *crop_blocks(findings),
        object_blocks(findings),
        live_dead_blocks(findings),
        point_blocks(findings),
        section("Warnings", [bullets(_warnings(findings))]),
        heading("Models"),
        *(_model(contender, findings.ground.groups) for contender in findings.contenders),
        *_how(findings),
    ]
    isl = versions().get("isl", "")
    return page(
        "Fluorescence prediction: evaluation",
        blocks,
        footer=f"Made by isl eval (isl {isl}). {PURPOSE}",
    )


def _seen(findings: Findings) -> list[Block]:
    blocks = []
    if findings.seen:
        blocks.append(heading("NOT HELD OUT: these models have seen this ground"))
    blocks.append(
        notices(
            f"{name} was trained on {', '.join(groups)}. Its figures here say how well it "
            "remembers, not how well it predicts images that it never saw."
            for name, groups in findings.seen.items()
        )
    )
    for contender in findings.contenders:
        chosen = [group for group in findings.ground.groups if group in contender.chosen_on]
        if chosen and contender.name not in findings.seen:
            blocks.append(
                notice(
                    f"The weights of {contender.name} were chosen by how they did on "
                    f"{', '.join(chosen)}, so its figures on that ground are a little too good."
                )
            )
        if contender.silent:
            blocks.append(
                notice(
                    f"Nothing says which groups {contender.name} was trained on: whether this "
                    "ground is new to it cannot be told."
                )
            )
    return blocks


def _ground(findings: Findings) -> Block:
    ground = findings.ground
    held = {
        label: [field for field in ground.fields if label in field.pixels]
        for label in ground.labels
    }
    side = "every side of the splits" if ground.split is None else f"split '{ground.split}'"
    return section(
        "Ground",
        [
            paragraph(f"{ground.extent}; {side}. Only pixels where a label was measured count."),
            records(
                ground.labels,
                {
                    "Label": lambda label: label,
                    "Groups": lambda label: len(ground.groups_of(label)),
                    "Fields": lambda label: len(held[label]),
                    "Pixels": lambda label: f"{sum(f.pixels[label] for f in held[label]):,}",
                },
            ),
            folded(
                "Groups and their fields",
                [
                    records(
                        [f for group in ground.groups for f in ground.fields if f.group == group],
                        {
                            "Group": lambda field: field.group,
                            "Field": lambda field: field.name,
                            "Pixels": lambda field: unbroken("{} x {}".format(*field.size)),
                            "Hash": lambda field: field.fingerprint,
                        },
                    )
                ],
            ),
            bullets(ground.notes),
        ],
    )


def _familiarity(findings: Findings) -> Block:
    """How far each field is from what each model learned from."""
    blocks: list[Block] = []
    for contender in findings.contenders:
        name, found = contender.name, findings.familiarity[contender.name]
        if contender.model is None:
            continue
        if not any(member.familiarity for member in contender.members):
            blocks.append(paragraph(f"{name} does not say what its training ground looks like."))
            continue
        beyond = sum(each.unlike for each in found.values())
        rows = [
            _familiarity_row(field.name, field.group, found.get(field.name))
            for field in findings.ground.fields
        ]
        columns = ("Field", "Group", "Score", "Limit", "Beyond it", "Deviates most")
        blocks += [
            paragraph(f"{name}: {beyond} of {len(rows)} fields are beyond the limit."),
            folded(f"Fields: {name}", [table(columns, rows)]),
        ]
    return section(
        "Familiarity",
        blocks,
        about="How unlike what a model learned from each field looks, and in what, in deviations. "
        "Beyond the limit isl predict warns; below it, nothing is proved.",
    )


_NOT_TOLD = "not known: too small, or a plane stands for several"


def _familiarity_row(field: str, group: str, each: Unfamiliarity | None) -> list[Cell]:
    if each is None:
        return [field, group, None, None, None, _NOT_TOLD]
    deviations = ", ".join(f"{name} {value:+.1f}" for name, value in each.largest.items())
    mark = Badge("beyond", "attention") if each.unlike else None
    return [field, group, f"{each.score:.2f}", f"{each.limit:.2f}", mark, deviations]


def _figures(findings: Findings) -> list[Block]:
    settings = findings.settings
    few = any(each.over == "blocks" for each in findings.scores)
    return [
        heading("Figures"),
        paragraph(
            f"Of the {settings['image']} image and of the distributions, over all pixels. "
            f"In brackets: {percent(settings['level'])} intervals by bootstrap, "
            f"{settings['replicates']} replicates."
        ),
        *(
            section(label, [_figures_of(findings.of_label(label))], level=3)
            for label in findings.ground.labels
        ),
        notice(
            f"There are fewer than {FEWEST_GROUPS} groups, so blocks of {BLOCK} pixels were "
            "drawn for the intervals. They say how much a figure depends on the ground within "
            "these groups, and nothing of how other groups would differ."
            if few
            else ""
        ),
        paragraph(
            f"{BASELINE}: the mean of this very ground as the image, and its histogram as every "
            "pixel's distribution. No constant has a smaller squared error or cross-entropy. "
            f"Random pixels: {SAMPLES:,} over all fields, as in the paper, or all where there are "
            "fewer."
        ),
    ]


def _figures_of(scores: Sequence[LabelScores]) -> Block:
    shown: dict[str, Callable[[LabelScores], Cell]] = {
        TITLES[name]: lambda each, name=name: _figure(each, name)
        for name in TITLES
        if any(each.figures[name].estimate is not None for each in scores)
    }
    first, *others = shown.items()
    rows = dict(
        [
            first,
            (
                "Pearson, random pixels",
                lambda each: number(each.pearson_sampled, undefined="undefined"),
            ),
            *others,
            ("Intervals over", lambda each: drawn_over(each.over, each.units)),
        ]
    )
    return table(
        ("Figure", *(unbroken(each.contender) for each in scores)),
        [[name, *(cell(each) for each in scores)] for name, cell in rows.items()],
    )


def _figure(each: LabelScores, name: str) -> Cell:
    value = each.figures[name]
    if value.estimate is None:
        return "undefined" if name in _OF_IMAGE else ""
    if not name.startswith("coverage"):
        return interval_cell(value, _DIGITS.get(name, 3))
    text = percent(value.estimate, 1)
    if value.low is None or value.high is None:
        return text
    return f"{text} ({unbroken(f'{100 * value.low:.1f} to {100 * value.high:.1f}')})"


def _differences(findings: Findings) -> Block:
    shown = {"pearson": "Pearson", "mae": "MAE", "ssim": "SSIM", "cross_entropy": "Cross-entropy"}
    better = ", ".join(TITLES[name] for name in shown if name in HIGHER_IS_BETTER)
    return records(
        findings.comparisons,
        {
            "Label": lambda each: each.label,
            "Model": lambda each: unbroken(each.first),
            "Less": lambda each: unbroken(each.second),
            **{title: _difference(name) for name, title in shown.items()},
        },
        caption="Paired: both on the same replicates. * the interval excludes zero. More is "
        f"better of {better}; less of the others.",
    )


def _difference(name: str) -> Callable[[Comparison], Cell]:
    undefined = "" if name == "cross_entropy" else "undefined"
    digits = _DIGITS.get(name, 3)
    return lambda each: difference_cell(each.figures[name], digits, undefined=undefined)


def _groups(findings: Findings) -> list[Block]:
    blocks: list[Block] = []
    for each in findings.judged:
        shown = [name for name in _OF_GROUPS if each.figures[name].estimate is not None]
        titles = [unbroken(_OF_GROUPS[name]) for name in shown]
        of_groups: list[list[Cell]] = [
            [group, *_numbers(figures, shown)] for group, figures in each.by_group.items()
        ]
        of_fields: list[list[Cell]] = [
            [f.field, f.group, *_numbers(field_figures(f), shown)] for f in each.fields
        ]
        name = f"{each.label}, {each.contender}"
        if len(of_groups) > 1:
            blocks.append(table(("Group", *titles), of_groups, caption=name))
        if len(of_fields) > len(of_groups):
            fields = table(("Field", "Group", *titles), of_fields)
            blocks.append(folded(f"Fields: {name}", [fields]))
    return blocks


def _numbers(figures: Mapping[str, float | None], shown: Sequence[str]) -> list[Cell]:
    return [number(figures[name], _DIGITS.get(name, 3), undefined="undefined") for name in shown]


def _heat_maps(findings: Findings) -> Block:
    maps = [
        figure(draw_heat_map(each.heat_map, name), alt=f"Predicted against measured: {name}")
        for each in findings.judged
        if each.heat_map is not None
        for name in [f"{each.label}, {each.contender}"]
    ]
    return section(
        "Predicted against measured intensity",
        [beside(maps, columns=2)],
        about="Random pixels of all fields in bins of 0.1, of 1000 pixels each, with the line of "
        "regression. On the dotted diagonal predicted and measured agree.",
    )


def _frequencies(findings: Findings) -> Block:
    labels = {
        label: some(findings.of_label(label), lambda each: each.fields[0].spectral)
        for label in findings.ground.labels
    }
    curves = [
        figure(draw_spectral(label, scores), alt=f"{label}: correlation by frequency")
        for label, scores in labels.items()
        if scores
    ]
    return section(
        "Frequencies",
        [beside(curves, columns=3)],
        about="Correlation of the two images within bands of spatial frequency, coarse to the "
        "left: how fine the detail is that a prediction still has right. Shades are intervals, "
        "faint lines fields.",
    )


def _warnings(findings: Findings) -> list[str]:
    lines = [
        f"{each.label}, {each.contender}: {note}" for each in findings.judged for note in each.notes
    ]
    return lines + [
        f"{name}: {line}" for name, found in findings.warnings.items() for line in found
    ]


def _model(contender: Contender, groups: Sequence[str]) -> Block:
    folder = contender.folder
    blocks = [paragraph(f"Images that were predicted elsewhere: {folder}." if folder else "")]
    for member, card, digest in zip(
        contender.members, contender.cards, contender.hashes, strict=True
    ):
        said: Mapping[str, Cell] = {
            "name": member.name,
            "sha256": digest,
            "labels": ", ".join(member.labels),
            "trained on": "does not say"
            if member.trained_on is None
            else ", ".join(member.trained_on) or "nothing",
            "chosen by": ", ".join(member.chosen_on) or "nothing that it names",
            "of this ground": Badge("seen", "attention")
            if set(member.trained_on or ()) & set(groups)
            else "none that it names",
        }
        blocks += [facts(said), folded(f"Card of {member.name}", [verbatim(card)])]
    return section(contender.name, blocks, level=3)


def _how(findings: Findings) -> list[Block]:
    return [
        heading("How it was done"),
        paragraph(
            "Fields were predicted in tiles, as isl predict does. Figures of several fields are "
            "over all their pixels. SSIM, PSNR and NRMSE are scikit-image's, with full scale 1.0; "
            "NRMSE is over the range of the measured intensities. Foreground: above Otsu's "
            "threshold of each measured image. Cross-entropy is in nats over ln 256; the ranked "
            "probability score is the mean over 256 bins of the squared difference of cumulative "
            "distributions. Every number stands in metrics.json and in the CSV files beside this "
            "report."
        ),
        facts(versions()),
        folded("Settings", [verbatim(as_json(plain(findings.settings)))]),
    ]
