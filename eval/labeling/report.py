"""The report of a labeling evaluation: how good, where it fails, how sure, and every table."""

from collections.abc import Mapping, Sequence

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
    page,
    paragraph,
    table,
    verbatim,
)

from ..metrics.heat_map import draw_heat_map
from ..statistics.bootstrap import Interval
from ..writing.cells import difference_cell, interval_cell, number_cell, whole
from .blocks import BLOCK, FEWEST_GROUPS
from .calibration_report import calibration_blocks
from .figures import draw_field, draw_spectral, some
from .findings import HIGHER_IS_BETTER, TITLES, Findings, field_figures
from .judge import BASELINE, SAMPLES, Comparison, LabelScores
from .live_dead_report import live_dead_blocks
from .models import Contender
from .object_report import object_blocks, point_blocks
from .verdict import drawn_over

PURPOSE = "For research; not for diagnosis or treatment."
_IN_TABLE = tuple(TITLES)
_OF_GROUPS = {
    "pearson": "Pearson",
    "foreground_pearson": "Foreground",
    "mae": "MAE",
    "ssim": "SSIM",
    "cross_entropy": "Cross-entropy",
    "coverage_90": "Within 90 %",
}
_DIGITS = {"psnr": 2, "mae": 4, "ranked_probability_score": 4}


def labeling_page(findings: Findings) -> str:
    """The report as HTML."""
    blocks = [
        *_seen(findings),
        paragraph(findings.title + "."),
        *([paragraph(about)] if (about := findings.settings["description"]) else []),
        bullets([line.replace(" %", "\u00a0%") for line in findings.headlines]),
        *_ground(findings),
        *_familiarity(findings),
        *_figures(findings),
        *_differences(findings),
        *_groups(findings),
        *_heat_maps(findings),
        *_frequencies(findings),
        *calibration_blocks(findings),
        *_fields(findings),
        *object_blocks(findings),
        *live_dead_blocks(findings),
        *point_blocks(findings),
        *_notes(findings),
        *_models(findings),
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
    for name, groups in findings.seen.items():
        listed = ", ".join(groups)
        blocks.append(
            notice(
                f"{name} was trained on {listed}. Its figures here say how well it remembers, not "
                "how well it predicts images that it never saw."
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


def _ground(findings: Findings) -> list[Block]:
    ground = findings.ground
    rows: list[list[Cell]] = []
    for label in ground.labels:
        held = [field for field in ground.fields if label in field.pixels]
        rows.append(
            [
                label,
                len(ground.groups_of(label)),
                len(held),
                f"{sum(field.pixels[label] for field in held):,}",
            ]
        )
    groups: list[list[Cell]] = [
        [field.group, field.name, whole("{} x {}".format(*field.size)), field.fingerprint]
        for group in ground.groups
        for field in ground.fields
        if field.group == group
    ]
    side = "every side of the splits" if ground.split is None else f"split '{ground.split}'"
    return [
        heading("Ground"),
        paragraph(f"{ground.extent}; {side}. Only pixels where a label was measured count."),
        table(("Label", "Groups", "Fields", "Pixels"), rows),
        folded("Groups and their fields", [table(("Group", "Field", "Pixels", "Hash"), groups)]),
        *([bullets(list(ground.notes))] if ground.notes else []),
    ]


def _familiarity(findings: Findings) -> list[Block]:
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
    about = paragraph(
        "How unlike what a model learned from each field looks, and in what, in deviations. Beyond "
        "the limit isl predict warns; below it, nothing is proved."
    )
    return [heading("Familiarity"), about, *blocks] if blocks else []


def _familiarity_row(field: str, group: str, each: Unfamiliarity | None) -> list[Cell]:
    if each is None:
        return [field, group, None, None, None, "too small to tell"]
    deviations = ", ".join(f"{name} {value:+.1f}" for name, value in each.largest.items())
    mark = Badge("beyond", "attention") if each.unlike else None
    return [field, group, f"{each.score:.2f}", f"{each.limit:.2f}", mark, deviations]


def _figures(findings: Findings) -> list[Block]:
    level = f"{findings.settings['level']:.0%}".replace("%", "\u00a0%")
    blocks = [
        heading("Figures"),
        paragraph(
            f"Of the {findings.settings['image']} image and of the distributions, over all pixels. "
            f"In brackets: {level} intervals by bootstrap, {findings.settings['replicates']} "
            "replicates."
        ),
    ]
    few = False
    for label in findings.ground.labels:
        scores = findings.of_label(label)
        few = few or scores[0].over == "blocks"
        rows: list[list[Cell]] = [
            [TITLES[name], *(_figure(each, name) for each in scores)]
            for name in _IN_TABLE
            if any(each.figures[name].estimate is not None for each in scores)
        ]
        rows.insert(1, ["Pearson, random pixels", *(_sampled(each) for each in scores)])
        rows.append(["Intervals over", *(drawn_over(each.over, each.units) for each in scores)])
        names = (whole(each.contender) for each in scores)
        blocks += [heading(label, level=3), table(("Figure", *names), rows)]
    if few:
        blocks.append(
            notice(
                f"There are fewer than {FEWEST_GROUPS} groups, so blocks of {BLOCK} pixels were "
                "drawn for the intervals. They tell how much a figure depends on the ground within "
                "these groups, and nothing of how other groups would differ."
            )
        )
    blocks.append(
        paragraph(
            f"{BASELINE}: the mean of this very ground as the image, and its histogram as every "
            "pixel's distribution. No constant has a smaller squared error or cross-entropy. "
            f"Random pixels: {SAMPLES:,} over all fields, as in the paper, or all where there are "
            "fewer."
        )
    )
    return blocks


def _figure(each: LabelScores, name: str) -> Cell:
    value = each.figures[name]
    if value.estimate is None:
        of_image = name in ("pearson", "foreground_pearson", "nrmse", "ssim", "psnr")
        return "undefined" if of_image else ""
    if name.startswith("coverage"):
        return _share(value)
    return interval_cell(value, _DIGITS.get(name, 3))


def _share(value: Interval) -> str:
    assert value.estimate is not None
    text = f"{100 * value.estimate:.1f} %"
    if value.low is None or value.high is None:
        return whole(text)
    return f"{whole(text)} ({whole(f'{100 * value.low:.1f} to {100 * value.high:.1f}')})"


def _sampled(each: LabelScores) -> Cell:
    return "undefined" if each.pearson_sampled is None else number_cell(each.pearson_sampled)


def _differences(findings: Findings) -> list[Block]:
    if not findings.comparisons:
        return []
    shown = ("pearson", "mae", "ssim", "cross_entropy")
    rows: list[list[Cell]] = [
        [
            each.label,
            whole(each.first),
            whole(each.second),
            *(_difference(each, name) for name in shown),
        ]
        for each in findings.comparisons
    ]
    better = ", ".join(TITLES[name] for name in shown if name in HIGHER_IS_BETTER)
    return [
        heading("Differences"),
        table(
            ("Label", "Model", "Less", "Pearson", "MAE", "SSIM", "Cross-entropy"),
            rows,
            caption="Paired: both on the same replicates. * the interval excludes zero. More is "
            f"better of {better}; less of the others.",
        ),
    ]


def _difference(each: Comparison, name: str) -> Cell:
    if each.figures[name].estimate is None:
        return "" if name == "cross_entropy" else "undefined"
    return difference_cell(each.figures[name], _DIGITS.get(name, 3))


def _groups(findings: Findings) -> list[Block]:
    blocks: list[Block] = []
    for label in findings.ground.labels:
        for each in findings.of_label(label):
            if each.contender == BASELINE:
                continue
            shown = [name for name in _OF_GROUPS if each.figures[name].estimate is not None]
            titles = [whole(_OF_GROUPS[name]) for name in shown]
            of_groups: list[list[Cell]] = [
                [group, *_numbers(figures, shown)] for group, figures in each.by_group.items()
            ]
            of_fields: list[list[Cell]] = [
                [f.field, f.group, *_numbers(field_figures(f), shown)] for f in each.fields
            ]
            name = f"{label}, {each.contender}"
            if len(of_groups) > 1:
                blocks.append(table(("Group", *titles), of_groups, caption=name))
            if len(of_fields) > len(of_groups):
                fields = table(("Field", "Group", *titles), of_fields)
                blocks.append(folded(f"Fields: {name}", [fields]))
    return [heading("Groups and fields"), *blocks] if blocks else []


def _numbers(figures: Mapping[str, float | None], shown: Sequence[str]) -> list[Cell]:
    return [number_cell(figures[name], _DIGITS.get(name, 3)) or "undefined" for name in shown]


def _heat_maps(findings: Findings) -> list[Block]:
    blocks = [
        heading("Predicted against measured intensity"),
        paragraph(
            "Random pixels of all fields in bins of 0.1, of 1000 pixels each, with the line of "
            "regression. On the dotted diagonal predicted and measured agree."
        ),
    ]
    maps = [
        figure(draw_heat_map(each.heat_map, name), alt=f"Predicted against measured: {name}")
        for each in findings.judged
        if each.heat_map is not None
        for name in [f"{each.label}, {each.contender}"]
    ]
    return [*blocks, beside(maps, columns=2)]


def _frequencies(findings: Findings) -> list[Block]:
    labels = {
        label: some(findings.of_label(label), lambda each: each.fields[0].spectral)
        for label in findings.ground.labels
    }
    return [
        heading("Frequencies"),
        paragraph(
            "Correlation of the two images within bands of spatial frequency, coarse to the left: "
            "how fine the detail is that a prediction still has right. Shades are "
            "intervals, faint lines fields."
        ),
        beside(
            [
                figure(draw_spectral(label, scores), alt=f"{label}: correlation by frequency")
                for label, scores in labels.items()
                if scores
            ],
            columns=3,
        ),
    ]


def _fields(findings: Findings) -> list[Block]:
    blocks: list[Block] = [
        heading("Best, median and worst fields"),
        paragraph(
            "By Pearson's correlation. As in the paper, measured and predicted are each brought to "
            "the same mean and deviation, and the noise floor is cut off, but not of the errors: "
            "magenta where too much was predicted, teal where too little. Dark grey: not measured."
        ),
    ]
    for index, contender in enumerate(findings.contenders):
        inside: list[Block] = []
        for picture in findings.pictures:
            if picture.contender != contender.name:
                continue
            pearson = "undefined" if picture.pearson is None else f"{picture.pearson:.3f}"
            text = f"{picture.label}, {picture.rank}: {picture.field}, Pearson {pearson}"
            shown = [
                figure(image, alt=f"{text}, {name}", caption=name)
                for name, image in draw_field(picture).items()
            ]
            inside += [heading(text, level=4), beside(shown, columns=3)]
        if len(findings.contenders) > 1:
            inside.insert(0, heading(contender.name, level=3))
        # Of several models the first one's are open.
        blocks += inside if index == 0 else [folded(f"Fields of {contender.name}", inside)]
    return blocks


def _notes(findings: Findings) -> list[Block]:
    lines = [
        f"{each.label}, {each.contender}: {note}" for each in findings.judged for note in each.notes
    ]
    lines += [f"{name}: {line}" for name, found in findings.warnings.items() for line in found]
    return [heading("Warnings"), bullets(lines)] if lines else []


def _models(findings: Findings) -> list[Block]:
    blocks: list[Block] = [heading("Models")]
    for contender in findings.contenders:
        blocks.append(heading(contender.name, level=3))
        if contender.folder is not None:
            blocks.append(paragraph(f"Images that were predicted elsewhere: {contender.folder}."))
        blocks += _members(contender, findings.ground.groups)
    return blocks


def _members(contender: Contender, groups: Sequence[str]) -> list[Block]:
    blocks: list[Block] = []
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
    return blocks


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
