"""Which fields are good enough to learn from, with the reason for each that is not.

Fields are measured one by one and judged together, since sharpness has no absolute scale. The
decisions go into a table that people may edit and hand back.
"""

import csv
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from isl.config import Config
from isl.errors import InputError, unknown
from isl.files.whole import written_whole
from isl.imaging.sharpness import Noise, blocks, estimate_noise, smoothed

# Pixels: detail between these two scales is content, where it exceeds so many deviations of noise.
CONTENT_SCALES = (1.5, 8.0)
CONTENT_DEVIATIONS = 6.0
KEPT, REJECTED = ("yes", "true", "1"), ("no", "false", "0")
# What float32 cannot tell from nothing, relative to the brightest pixel.
_ROUNDING = 1e-6
# The illumination left over is what a blur over this share of the height leaves.
UNEVEN_DIVISOR = 8


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


def content(
    image: np.ndarray,
    covered: np.ndarray | None = None,
    noise: Noise | None = None,
    *,
    imprint: float = 0.0,
) -> float:
    """Share of pixels that show more than noise.

    Noise is measured at the image's own scale and at half of it, so that noise which blending or
    resampling has made smoother than the camera's is not taken for cells. What a median filter
    leaves is smoother still, and has to be told apart by `noise`. Large images are measured block
    by block.

    Args:
        image: Integers or floats [Y, X], in any unit.
        covered: bool [Y, X], where the image shows something; None: everywhere.
        noise: Of the image, had its slow part been white; None: measured.
        imprint: Deviation, in the image's unit and between `CONTENT_SCALES`, of what corrections
            left in it of other images' cells; no more content than noise is.
    """
    pixels = shown = 0
    for block, mask in blocks(image, covered):
        pixels += block.size if mask is None else int(mask.sum())
        shown += _shown(block, mask, noise, imprint)
    return shown / pixels if pixels else 0.0


def _shown(
    image: np.ndarray, covered: np.ndarray | None, noise: Noise | None, imprint: float
) -> int:
    """Pixels of a block that show more than noise."""
    seen = image if covered is None else image[covered]
    brightest = float(np.abs(seen).max())
    image = image - seen.mean(dtype=np.float64).astype(np.float32)
    if covered is not None:
        image = np.where(covered, image, np.float32(0))
    narrow, wide = (smoothed(image, scale, covered) for scale in CONTENT_SCALES)
    if noise is None:
        own, halved = estimate_noise(image, covered), _halved_noise(image, covered)
        noise = Noise(deviation=max(own.deviation, 2 * halved.deviation))
    threshold = CONTENT_DEVIATIONS * math.hypot(noise.after(*CONTENT_SCALES), imprint)
    shown = np.abs(narrow - wide) > max(threshold, _ROUNDING * brightest)
    return int(np.count_nonzero(shown if covered is None else shown[covered]))


def saturated(image: np.ndarray, limit: float | None = None) -> float:
    """Share of pixels at the camera's limit.

    Args:
        image: Integers or floats, any shape, raw.
        limit: Counts of a full pixel, e.g. 4095 for a camera of 12 bits; None: the largest value
            of the integer type; floats have none, and are never saturated.
    """
    if limit is None:
        if image.dtype.kind not in "ui":
            return 0.0
        limit = float(np.iinfo(image.dtype).max)
    return float(np.count_nonzero(image >= limit) / max(image.size, 1))


def uneven(image: np.ndarray, covered: np.ndarray | None = None) -> float:
    """Illumination left over: relative deviation of the strongly blurred image.

    Args:
        image: Integers or floats [Y, X], without the camera's offset.
        covered: bool [Y, X], where the image shows something; None: everywhere.

    Returns:
        0 for an image without light.
    """
    # Averaged over blocks first: the blur is far wider than they are.
    block = max(1, min(image.shape) // 64)
    means, weights = _binned(image.astype(np.float32), covered, block)
    known = weights > 0
    if not known.any():
        return 0.0
    blurred = smoothed(means, min(means.shape) / UNEVEN_DIVISOR, known)[known]
    mean = float(blurred.mean(dtype=np.float64))
    return float(blurred.std(dtype=np.float64)) / mean if mean > 0 else 0.0


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
        and not (_below(one.content, config.least_content))
        and not (_above(one.saturated, config.most_saturated))
    ]
    return float(np.median(holding)) if holding else 0.0


def _reasons(one: Measures, config: QualityConfig, usual: float) -> Iterator[str]:
    """What speaks against a field."""
    if _below(one.content, config.least_content):
        yield (
            f"empty: {one.content:.2%} of the transmitted image shows more than noise "
            f"(at least {config.least_content:.2%})"
        )
    if _below(one.label_content, config.least_label_content):
        yield (
            f"a label is empty: {one.label_content:.2%} of it shows more than noise "
            f"(at least {config.least_label_content:.2%})"
        )
    if _above(one.saturated, config.most_saturated):
        yield f"saturated: {one.saturated:.2%} of the pixels (at most {config.most_saturated:.2%})"
    if one.sharpness is not None and config.least_sharpness is not None:
        relative = one.sharpness / usual if usual > 0 else 1.0
        if relative < config.least_sharpness:
            yield (
                f"out of focus: sharpness is {relative:.2f} of the set's median "
                f"(at least {config.least_sharpness:.2f})"
            )
    if _above(one.uneven, config.most_uneven):
        yield (
            f"unevenly lit: illumination varies by {one.uneven:.1%} (at most "
            f"{config.most_uneven:.1%})"
        )
    if _above(one.stitching_residual, config.most_stitching_residual):
        yield (
            f"badly stitched: tiles miss their neighbours by {one.stitching_residual:.2f} pixels "
            f"(at most {config.most_stitching_residual:.2f})"
        )
    if _below(one.trusted_links, config.least_trusted_links):
        yield (
            f"badly stitched: {one.trusted_links:.0%} of the overlaps could be trusted (at least "
            f"{config.least_trusted_links:.0%})"
        )
    if _above(one.registration_shift, config.most_registration_shift):
        yield (
            f"badly registered: a label lies {one.registration_shift:.1f} pixels off (at most "
            f"{config.most_registration_shift:.1f})"
        )


def _below(measured: float | None, least: float | None) -> bool:
    return measured is not None and least is not None and measured < least


def _above(measured: float | None, most: float | None) -> bool:
    return measured is not None and most is not None and measured > most


def _halved_noise(image: np.ndarray, covered: np.ndarray | None) -> Noise:
    """White noise of the image at half its size."""
    means, weights = _binned(image, covered, 2)
    return estimate_noise(means, weights == 1) if means.size else Noise(deviation=0.0)


def _binned(
    image: np.ndarray, covered: np.ndarray | None, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means over squares of `factor` pixels a side, and the covered share of each."""
    rows, columns = (length // factor for length in image.shape)
    shape = (rows, factor, columns, factor)
    cut = np.s_[: rows * factor, : columns * factor]
    if covered is None:
        return image[cut].reshape(shape).mean(axis=(1, 3)), np.ones((rows, columns), np.float32)
    weights = covered[cut].reshape(shape).mean(axis=(1, 3), dtype=np.float32)
    total = np.where(covered, image, np.float32(0))[cut].reshape(shape).mean(axis=(1, 3))
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), weights
