"""The report of a run: which fields are kept and why, and the pictures to judge that by."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from isl.config import to_toml
from isl.errors import InputError
from isl.files.whole import write_text
from isl.preprocess.config import STAGES, PreprocessConfig
from isl.preprocess.contact_sheet import Shown, contact_sheet, thumbnail_of
from isl.preprocess.correction import Estimates
from isl.preprocess.field import files_of
from isl.preprocess.quality import Decision
from isl.preprocess.record import FieldRecord
from isl.preprocess.stages.normalization import Normalization
from isl.preprocess.stages.registration import Shift
from isl.report import (
    NOTHING,
    Badge,
    Block,
    Cell,
    Link,
    bullets,
    facts,
    figure,
    folded,
    notice,
    notices,
    page,
    paragraph,
    section,
    verbatim,
)
from isl.report import records as table
from isl.report.pictures import png_of
from isl.report.words import counted, sentence, unbroken

# Fields on one contact sheet: browsers draw no picture of any length.
_A_SHEET = 60
# Previews as wide as the text, or less where so many would make a file that no browser likes.
_WIDTH, _LEAST_WIDTH, _AT_FULL_WIDTH = 1088, 400, 60
_MANY_NAMES = 12

# The folders of a path; a report that is handed on says nothing of one machine.
_FOLDERS = re.compile(r"(?<![^\s'\"(=])/(?:[^/\s:'\"]+/)+")

_CHANGE = (
    "Look at the fields below. Where you decide otherwise, copy quality.csv beside the "
    "configuration, change the column keep in the copy to yes or no, name it in the configuration "
    '(decisions = "my_decisions.csv") and run the same command again: no field is done anew, only '
    "the dataset and this report are written again."
)
_BACK = (
    "The files hold value x 65535. A value goes back to counts, those of the corrected raw images, "
    "as the table says; so do predictions, in the units of this field's camera. The field's JSON "
    "has the exact numbers."
)
_FLAT = "Flat field: light that falls unevenly; images are divided by it. "
_TAKES = "Dust that takes light: what is left of the median image; images are divided by it. "
_ADDS = "Dust that adds light (outlined): the same in all images; it is taken off. "


def write_report(
    path: Path,
    *,
    config: PreprocessConfig,
    records: Sequence[FieldRecord],
    decisions: Sequence[Decision],
    failed: Sequence[tuple[str, str]],
    estimates: Mapping[str, Estimates],
    split: Mapping[str, str],
    folder: Path,
    manifest: Path | None,
) -> None:
    """Writes the report as one HTML file that holds all its pictures.

    Args:
        path: The file; one that is there is replaced.
        config: What was to be done.
        records: The finished fields.
        decisions: One for each of `records`, in the same order.
        failed: Names of fields that could not be done, each with the reason.
        estimates: Of each channel for which something was estimated.
        split: Of each group that has a field which is kept.
        folder: Where the fields' files are; pictures that are not there are left out.
        manifest: The dataset; None where no field is kept.

    Raises:
        InputError: It cannot be written.
    """
    judged = list(zip(records, decisions, strict=True))
    blocks = [
        paragraph(config.description),
        paragraph(resolution_of(config)),
        *_summary(config, judged, failed, estimates, split, manifest),
        *_left_out(judged, failed),
        _overview(judged, split, folder),
        section("What images share", [_shared(name, one) for name, one in estimates.items()]),
        _fields(config, judged, split, folder),
        section("Settings", [verbatim(to_toml(_without_folders(config)))]),
    ]
    text = page(
        f"Preprocessing of {path.resolve().parent.name}",
        blocks,
        footer=f"Made by isl preprocess (isl {version('isl')}).",
    )
    write_text(path, text, overwrite=True)


def resolution_of(config: PreprocessConfig) -> str:
    """Whether results are coarser than the images, in words."""
    if config.factor == 1:
        return "Results have every pixel of the images."
    return (
        f"Results are coarser than the images: {config.factor} x {config.factor} pixels became "
        f"one, and a pixel is {config.factor} times as wide. Unless told otherwise, resolution is "
        "halved; set downscale = 1 in the configuration to keep every pixel."
    )


_Judged = Sequence[tuple[FieldRecord, Decision]]


def _summary(
    config: PreprocessConfig,
    judged: _Judged,
    failed: Sequence[tuple[str, str]],
    estimates: Mapping[str, Estimates],
    split: Mapping[str, str],
    manifest: Path | None,
) -> list[Block]:
    kept = [record for record, decision in judged if decision.keep]
    off = [stage for stage in STAGES if not config.runs(stage)]
    counts = [
        f"{len(kept)} kept",
        f"{len(judged) - len(kept)} rejected",
        *([f"{len(failed)} failed"] if failed else []),
    ]
    values: dict[str, Cell] = {
        "Fields": ", ".join(counts),
        "Dataset": manifest.name if manifest else "none",
        **{
            f"Estimated for {channel}": f"from {one.images} of {one.of} images"
            for channel, one in estimates.items()
        },
        "Stages left out": ", ".join(off).replace("_", " ") if off else "none",
    }
    if config.decisions is not None:
        by_hand = sum(_is_by_hand(decision) for _, decision in judged)
        values["Decided by hand"] = (
            f"{counted(by_hand, 'field')} other than judged, by {config.decisions.name}"
        )
    return [
        notice("" if manifest else "No field is kept, so there is no dataset."),
        facts(values),
        _splits(kept, split),
        paragraph(_CHANGE if judged else ""),
    ]


def _splits(kept: Sequence[FieldRecord], split: Mapping[str, str]) -> Block:
    """How many groups and fields are for training, validation and test."""
    groups: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for group, its in split.items():
        groups.setdefault(its, []).append(group)

    def which(its: list[str]) -> str:
        more = f" and {len(its) - _MANY_NAMES} more" if len(its) > _MANY_NAMES else ""
        return ", ".join(its[:_MANY_NAMES]) + more

    return table(
        [(name, its) for name, its in groups.items() if its],
        {
            "Split": lambda each: each[0],
            "Groups": lambda each: len(each[1]),
            "Fields kept": lambda each: sum(record.group in each[1] for record in kept),
            "Which groups": lambda each: which(each[1]),
        },
    )


def _left_out(judged: _Judged, failed: Sequence[tuple[str, str]]) -> list[Block]:
    """Fields that are rejected or failed, and why."""
    rejected = table(
        [(record, decision) for record, decision in judged if not decision.keep],
        {
            "Field": lambda each: Link(each[0].name, each[0].name),
            "Why": lambda each: "; ".join(each[1].reasons) or "no reason given",
        },
    )
    broken = table(
        failed, {"Field": lambda each: each[0], "Why": lambda each: _FOLDERS.sub("", each[1])}
    )
    return [section("Rejected", [rejected]), section("Failed", [broken])]


def _overview(judged: _Judged, split: Mapping[str, str], folder: Path) -> Block:
    """All fields as a contact sheet and as a table."""
    shown = [
        Shown(
            name=record.name,
            keep=decision.keep,
            thumbnail=_thumbnail(record, folder),
            words=_first_words(record, decision, split),
        )
        for record, decision in judged
    ]
    sheets = [
        figure(contact_sheet(part), alt=f"{counted(len(part), 'field')}, small", wide=True)
        for start in range(0, len(shown), _A_SHEET)
        for part in [shown[start : start + _A_SHEET]]
    ]
    return section(
        "All fields",
        [*sheets, _table(judged, split), folded("What the columns mean", [paragraph(_MEANING)])]
        if judged
        else [],
        about="The sharpest plane that was kept. Blue: kept; orange and crossed: rejected.",
    )


def _first_words(record: FieldRecord, decision: Decision, split: Mapping[str, str]) -> str:
    if decision.keep:
        return ", ".join(("kept", *([split[record.group]] if record.group in split else [])))
    return decision.reasons[0] if decision.reasons else "rejected"


_MEANING = (
    "Sharpness: of the sharpest plane. Saturated: share of pixels, of the channel that has most. "
    "Offsets: between neighbouring tiles, how many could be believed. Residual, largest: the "
    "median and the largest distance of these from where the tiles lie, pixels. Shift: of the "
    "label that lies farthest from transmitted light, pixels; empty where it is not known."
)


def _table(judged: _Judged, split: Mapping[str, str]) -> Block:
    """A row for each field."""

    def shown(value: float | None, look: str) -> str | None:
        return None if value is None else format(value, look)

    def residual(record: FieldRecord, of: Callable[[list[float]], float]) -> str | None:
        return shown(of(residuals) if (residuals := record.residuals) else None, ".2f")

    def believed(record: FieldRecord) -> str | None:
        return f"{len(record.residuals)} of {len(record.links)}" if record.links else None

    # Of each reason the first words; the others would make the table too wide.
    def why(decision: Decision) -> str:
        return ", ".join(dict.fromkeys(each.partition(":")[0] for each in decision.reasons))

    return table(
        judged,
        {
            "Field": lambda each: Link(each[0].name, each[0].name),
            "Verdict": lambda each: _verdict(each[1]),
            "Split": lambda each: split.get(each[0].group) if each[1].keep else None,
            "Sharpness": lambda each: shown(each[0].measures.sharpness, ".3f"),
            "Saturated": lambda each: shown(each[0].measures.saturated, ".2%"),
            "Offsets": lambda each: believed(each[0]),
            "Residual": lambda each: residual(each[0], median),
            "Largest": lambda each: residual(each[0], max),
            "Shift": lambda each: shown(each[0].measures.registration_shift, ".1f"),
            "Why": lambda each: why(each[1]),
        },
    )


def _verdict(decision: Decision) -> Badge:
    word, tone = ("kept", "good") if decision.keep else ("rejected", "attention")
    return Badge(word, tone)


def _is_by_hand(decision: Decision) -> bool:
    return any(reason.endswith("by hand") for reason in decision.reasons)


def _shared(channel: str, one: Estimates) -> Block:
    """What all images of a channel share."""
    # matplotlib, which workers and a dry run do without.
    from isl.preprocess.drawings import draw_estimates

    picture = draw_estimates(one)
    words = [
        *([_FLAT] if one.flat_field is not None else []),
        *([_TAKES] if one.dust is not None else []),
        *([_ADDS] if one.additive_dust is not None and one.additive_dust.mask.any() else []),
    ]
    caption = "".join(words) + f"From {one.images} of {one.of} images."
    alt = f"What all images of {channel} share: flat field and dust"
    return section(
        channel,
        [
            notices(map(_sentence, one.notes)),
            NOTHING
            if picture is None
            else figure(picture, alt=alt, caption=caption, wide=len(words) > 1),
        ],
        level=3,
    )


def _fields(
    config: PreprocessConfig, judged: _Judged, split: Mapping[str, str], folder: Path
) -> Block:
    width = max(
        _LEAST_WIDTH, round(_WIDTH * min(1.0, (_AT_FULL_WIDTH / max(len(judged), 1)) ** 0.5))
    )
    return section(
        "Field by field",
        [_field(config, *each, split, folder, width) for each in judged],
    )


def _field(
    config: PreprocessConfig,
    record: FieldRecord,
    decision: Decision,
    split: Mapping[str, str],
    folder: Path,
    width: int,
) -> Block:
    files = files_of(folder, record.name)
    group = "" if record.group == record.name else f" Group {record.group}."
    its_split = f" Split: {split[record.group]}." if decision.keep and record.group in split else ""
    # A drawing takes little room at any width, and its words must be read.
    preview, offsets = _embedded(files.preview, width), _embedded(files.offsets, _WIDTH)
    inside = []
    if preview is not None:
        alt = f"{record.name} as acquired and as it is now"
        inside.append(figure(preview, alt=alt, caption="Before and after.", wide=True))
    if offsets is not None:
        alt = f"Where the {counted(len(record.tiles), 'tile')} of {record.name} lie"
        inside.append(figure(offsets, alt=alt, wide=True))
    return section(
        record.name,
        [
            paragraph(_verdict(decision), f"{group}{its_split}"),
            bullets(decision.reasons),
            notices(map(_sentence, record.warnings)),
            folded(
                "Before and after, tiles and intensities",
                [*inside, facts(_facts(record)), _intensities(config, record)],
            ),
        ],
        level=3,
        anchor=record.name,
    )


def _facts(record: FieldRecord) -> dict[str, Cell]:
    pixel = "" if record.pixel_size is None else f", {record.pixel_size:.4g} µm a pixel"
    step = "" if record.z_step is None else f", {record.z_step:.4g} µm apart"
    planes = ", ".join(map(str, record.planes))
    residuals = record.residuals
    anchored = [tile.name for tile in record.tiles if tile.anchored]
    found: dict[str, Cell] = {
        "Size": f"{record.size[0]} x {record.size[1]} pixels{pixel}",
        "Tiles": f"{len(record.tiles)} of {record.tile_size[0]} x {record.tile_size[1]} pixels; "
        f"they cover {record.covered:.1%}",
        "Planes kept": f"{planes} of 0 to {len(record.sharpness) - 1}{step}",
        "Sharpest plane": record.sharpest,
        "Sharpness of planes": ", ".join(f"{value:.3f}" for value in record.sharpness),
        "Exposures summed": ", ".join(
            f"{channel} {count}" for channel, count in record.exposures.items()
        ),
    }
    if record.links:
        found["Offsets believed"] = f"{len(residuals)} of {len(record.links)}"
    if residuals:
        found["Their residuals"] = (
            f"median {median(residuals):.2f}, at most {max(residuals):.2f} pixels"
        )
    if anchored and len(record.tiles) > 1:
        found["Placed by the layout alone"] = ", ".join(anchored)
    for label, shift in record.registration.items():
        found[f"{label} lies"] = _shift(shift)
    measures = record.measures
    for name, share in (
        ("Transmitted image that shows something", measures.content),
        ("Label that shows something", measures.label_content),
        ("Saturated", measures.saturated),
        ("Illumination left over", measures.uneven),
    ):
        if share is not None:
            found[name] = f"{share:.2%}"
    return found


def _shift(shift: Shift) -> str:
    """Where a label lies, in words."""
    if not shift.known:
        return "not known; nothing stands out that both show"
    down, right = ("down" if shift.y >= 0 else "up"), ("right" if shift.x >= 0 else "left")
    return (
        f"{abs(shift.y):.1f} pixels {down} and {abs(shift.x):.1f} {right} of transmitted light "
        f"(confidence {shift.confidence:.2f})"
    )


def _intensities(config: PreprocessConfig, record: FieldRecord) -> Block:
    """What each image's values stand for."""

    def name(channel: str, index: int) -> str:
        plane = record.planes[index] if channel == config.transmitted else index
        several = len(record.normalization[channel]) > 1
        return f"{channel}, plane {plane}" if several else channel

    done = table(
        [
            (name(channel, index), each)
            for channel, images in record.normalization.items()
            for index, each in enumerate(images)
        ],
        {
            "Image": lambda each: each[0],
            "Counts of a value": lambda each: _to_counts(each[1]),
            "Mean, counts": lambda each: _counts(each[1].mean),
            "Deviation": lambda each: _counts(each[1].deviation),
            "Clipped": lambda each: None if each[1].clipped is None else f"{each[1].clipped:.2%}",
        },
    )
    return section("Intensities", [done], level=4, about=_BACK)


def _to_counts(done: Normalization) -> str:
    """The inverse of a normalization, e.g. "8000 x value - 240"."""
    least = -done.offset / done.scale
    sign = "-" if least < 0 else "+"
    return unbroken(f"{_counts(1 / done.scale)} x value {sign} {_counts(abs(least))}")


def _counts(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _thumbnail(record: FieldRecord, folder: Path) -> np.ndarray | None:
    """The sharpest plane that was kept, small; None where it cannot be read."""
    nearest = min(record.planes, key=lambda plane: abs(plane - record.sharpest))
    try:
        return thumbnail_of(files_of(folder, record.name).stack, plane=record.planes.index(nearest))
    except InputError:
        return None


def _embedded(file: Path, width: int) -> bytes | None:
    """A PNG, made no wider than `width` and of 256 colors; None where there is none."""
    try:
        png = file.read_bytes()
        picture = Image.open(io.BytesIO(png))
        if picture.width <= width and picture.mode == "P":
            return png
        picture = picture.convert("RGB")
    except OSError:
        return None
    if picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return png_of(picture, colors=256)


def _without_folders(config: PreprocessConfig) -> PreprocessConfig:
    """The configuration without the places on one machine that a report has no business with."""
    layout, decisions = config.layout, config.decisions
    if Path(layout.root).is_absolute():
        layout = layout.model_copy(update={"root": Path(layout.root).name})
    if decisions is not None:
        decisions = Path(decisions.name)
    return config.model_copy(update={"layout": layout, "decisions": decisions})


def _sentence(text: str) -> str:
    return sentence(_FOLDERS.sub("", text))
