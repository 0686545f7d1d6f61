"""Which fields are good enough to learn from, with the reason for each that is not.

Fields are measured one by one and judged together, since sharpness has no absolute scale. The
decisions go into a table that people may edit and hand back.
"""

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from isl.config import Config
from isl.errors import InputError, unknown
from isl.files.whole import written_whole

KEPT, REJECTED = ("yes", "true", "1"), ("no", "false", "0")


class QualityConfig(Config):
    """What a field must be like to be kept; a key without value is not judged.

    Attributes:
        least_sharpness: Of its sharpest plane, relative to the median of all fields that hold
            something.
        least_content: Share of the transmitted image's pixels that show more than noise.
        least_label_content: The same of each fluorescence label.
        most_saturated: Share of pixels at the camera's limit, in any channel.
        most_uneven: Relative deviation of the strongly blurred transmitted image.
        most_stitching_residual: Pixels of the canvas between where neighbours say a tile lies and
            where it was put, root mean square.
        least_trusted_links: Share of overlaps that stitching could rely on.
        most_registration_shift: Pixels between transmitted light and a label, where it is known.
    """

    least_sharpness: float | None = pydantic.Field(default=0.5, ge=0, le=1)
    least_content: float | None = pydantic.Field(default=0.005, ge=0, le=1)
    least_label_content: float | None = pydantic.Field(default=0.001, ge=0, le=1)
    most_saturated: float | None = pydantic.Field(default=0.02, ge=0, le=1)
    most_uneven: float | None = pydantic.Field(default=0.1, ge=0)
    most_stitching_residual: float | None = pydantic.Field(default=2.0, ge=0)
    least_trusted_links: float | None = pydantic.Field(default=0.5, ge=0, le=1)
    most_registration_shift: float | None = pydantic.Field(default=8.0, ge=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measures:
    """What was measured of one field; None: not measured, and then not judged.

    Attributes:
        field: Its name.
        sharpness: Of the sharpest plane, see `isl.imaging.sharpness`.
        sharpest_plane: Its index, from 0.
        content: See `content`; of the transmitted plane that shows most.
        label_content: The same, of the label that shows least.
        saturated: See `saturated`; of the channel that has most.
        uneven: See `uneven`; of the transmitted image.
        stitching_residual: Root mean square, pixels of the canvas.
        trusted_links: Share of overlaps, 0 to 1.
        registration_shift: Of the label that lies farthest off, pixels.
    """

    field: str
    sharpness: float | None = None
    sharpest_plane: int | None = None
    content: float | None = None
    label_content: float | None = None
    saturated: float | None = None
    uneven: float | None = None
    stitching_residual: float | None = None
    trusted_links: float | None = None
    registration_shift: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a field is kept.

    Attributes:
        field: Its name.
        keep: Whether it is.
        reasons: A sentence for each thing that speaks against it; of a field that a person
            decided on, that too.
    """

    field: str
    keep: bool
    reasons: tuple[str, ...] = ()


def judge(measures: Sequence[Measures], config: QualityConfig) -> tuple[Decision, ...]:
    """Decides on every field, in the order given.

    Args:
        measures: Of all fields of the set.
        config: What they must be like.
    """
    usual = _usual_sharpness(measures, config)
    decisions = []
    for one in measures:
        reasons = tuple(_reasons(one, config, usual))
        decisions.append(Decision(field=one.field, keep=not reasons, reasons=reasons))
    return tuple(decisions)


def decided_by_hand(
    decisions: Sequence[Decision], keep: Mapping[str, bool]
) -> tuple[Decision, ...]:
    """Decisions with those that a person made instead.

    Args:
        decisions: As judged.
        keep: By field, as `read_decisions` gives it; the other fields stay as they were judged.
    """
    changed = []
    for decision in decisions:
        wanted = keep.get(decision.field, decision.keep)
        if wanted != decision.keep:
            word = "kept by hand" if wanted else "rejected by hand"
            decision = Decision(
                field=decision.field, keep=wanted, reasons=(word, *decision.reasons)
            )
        changed.append(decision)
    return tuple(changed)


def write_decisions(
    path: Path,
    decisions: Sequence[Decision],
    measures: Sequence[Measures],
    *,
    overwrite: bool = False,
) -> None:
    """Writes the table that people may edit: field, keep (yes or no), reasons, then the measures.

    Args:
        path: The CSV file.
        decisions: One for each of `measures`, in the same order.
        measures: What was measured.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written.
    """
    names = [field.name for field in dataclasses.fields(Measures) if field.name != "field"]
    with (
        written_whole(path, overwrite) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["field", "keep", "reasons", *names])
        for decision, one in zip(decisions, measures, strict=True):
            values = [getattr(one, name) for name in names]
            shown = [f"{value:.6g}" if isinstance(value, float) else value for value in values]
            keep = KEPT[0] if decision.keep else REJECTED[0]
            writer.writerow([decision.field, keep, "; ".join(decision.reasons), *shown])


def read_decisions(path: Path, fields: Sequence[str]) -> dict[str, bool]:
    """What a person decided: of the table, only the columns `field` and `keep` are believed.

    Columns may be divided by commas or, as spreadsheets do in some countries, by semicolons.

    Args:
        path: The CSV file, UTF-8.
        fields: Names of all fields of the set; those the table lacks are not in the result.

    Raises:
        InputError: The file is missing, unreadable or no such table, or names a field that is not
            known, or twice, or a value that is neither yes nor no.
    """
    lines = _table(path)
    header = [cell.strip().casefold() for cell in lines[0][1]] if lines else []
    for column in ("field", "keep"):
        if header.count(column) != 1:
            raise InputError(
                f"{path}: has no column '{column}'; its first line must name the columns, as in "
                "the table that was written"
            )
    where = {column: header.index(column) for column in ("field", "keep")}
    keep: dict[str, bool] = {}
    for number, cells in lines[1:]:
        field, word = (
            cells[where[column]].strip() if where[column] < len(cells) else ""
            for column in ("field", "keep")
        )
        if field not in fields:
            raise InputError(f"{path}, line {number}: {unknown('field', field, fields)}")
        if field in keep:
            raise InputError(f"{path}, line {number}: field '{field}' is there twice; keep one")
        if word.casefold() not in KEPT + REJECTED:
            raise InputError(f"{path}, line {number}: keep is '{word}'; write yes or no")
        keep[field] = word.casefold() in KEPT
    return keep


def _table(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of all lines of a CSV file that hold anything."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8; save it as 'CSV UTF-8'") from error
    first = text.partition("\n")[0]
    rows = csv.reader(text.splitlines(keepends=True), delimiter=";" if ";" in first else ",")
    lines = []
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                lines.append((rows.line_num, cells))
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: is no CSV ({error})") from error
    return lines


def _usual_sharpness(measures: Sequence[Measures], config: QualityConfig) -> float:
    """The median of the fields that hold something: of noise, sharpness means nothing."""
    holding = [
        one.sharpness
        for one in measures
        if one.sharpness is not None
        and not _misses(one.content, config.least_content, at_least=True)
        and not _misses(one.saturated, config.most_saturated, at_least=False)
    ]
    return float(np.median(holding)) if holding else 0.0


# What is judged: the measure (sharpness stands for itself relative to the usual one), its limit in
# the configuration, what a field beyond it is like, and how both are written.
_RULES = (
    (
        "content",
        "least_content",
        "empty: {} of the transmitted image shows more than noise",
        ".2%",
    ),
    (
        "label_content",
        "least_label_content",
        "a label is empty: {} of it shows more than noise",
        ".2%",
    ),
    ("saturated", "most_saturated", "saturated: {} of the pixels", ".2%"),
    ("sharpness", "least_sharpness", "out of focus: sharpness is {} of the set's median", ".2f"),
    ("uneven", "most_uneven", "unevenly lit: illumination varies by {}", ".1%"),
    (
        "stitching_residual",
        "most_stitching_residual",
        "badly stitched: tiles miss their neighbours by {} pixels",
        ".2f",
    ),
    (
        "trusted_links",
        "least_trusted_links",
        "badly stitched: {} of the overlaps could be trusted",
        ".0%",
    ),
    (
        "registration_shift",
        "most_registration_shift",
        "badly registered: a label lies {} pixels off",
        ".1f",
    ),
)


def _reasons(one: Measures, config: QualityConfig, usual: float) -> Iterator[str]:
    """What speaks against a field."""
    for name, limit_name, words, look in _RULES:
        measured, limit = getattr(one, name), getattr(config, limit_name)
        if name == "sharpness" and measured is not None:
            measured = measured / usual if usual > 0 else 1.0
        at_least = limit_name.startswith("least")
        if _misses(measured, limit, at_least=at_least):
            bound = f"(at {'least' if at_least else 'most'} {format(limit, look)})"
            yield f"{words.format(format(measured, look))} {bound}"


def _misses(measured: float | None, limit: float | None, *, at_least: bool) -> bool:
    """Whether a measure is on the wrong side of its limit; what is None is not judged."""
    if measured is None or limit is None:
        return False
    return measured < limit if at_least else measured > limit
