"""One image checked with one model: read, predicted in many ways, and given as a table and JSON."""

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isl.devices import use_device
from isl.errors import InputError
from isl.files.provenance import made_by
from isl.files.records import as_json
from isl.files.whole import write_text
from isl.imaging.formats.table import field_name
from isl.imaging.inputs.stated import UNSTATED, Stated
from isl.imaging.inputs.steady import content_hash
from isl.labeling.check import Agreement, Check, check, memory_to_check, part_to_check
from isl.labeling.contract import Planes
from isl.labeling.mixture import AnyModel
from isl.labeling.model import load_models
from isl.labeling.options import Options, check_options
from isl.labeling.plan import plan_field
from isl.labeling.run.one_field import as_read, opened_field
from isl.labeling.source import measure, normalized
from isl.progress import FieldProgress
from isl.tiling.memory import GIB, memory_budget

logger = logging.getLogger(__name__)

# The image was predicted, and differs with the tiles.
FAILED = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl check` was asked for, as typed; see its help."""

    model: str
    image: Path
    out: Path | None = None
    everything: bool = False
    labels: tuple[str, ...] | None = None
    symmetries: bool = False
    stated: Stated = UNSTATED
    planes: Planes | None = None
    allow_mismatch: bool = False
    device: str = "auto"
    overwrite: bool = False


def check_image(request: Request) -> int:
    """Does what was asked, prints the table, and returns the exit code: 0, or 3 if it failed.

    Raises:
        InputError: The request is wrong, or the image cannot be read or does not fit.
    """
    device = use_device(request.device)
    record = None
    if request.out is not None:
        record = request.out / f"{field_name(request.image)}.check.json"
        if record.exists() and not request.overwrite:
            raise InputError(f"{record}: exists already (give `overwrite` to replace it)")
    model = load_models(request.model)
    options = check_options(
        model.config,
        labels=request.labels,
        planes=request.planes,
        allow_mismatch=request.allow_mismatch,
        symmetries=request.symmetries,
    )
    budget = memory_budget(None)
    with opened_field(request.image, request.stated) as field:
        fit = plan_field(model.config, field, options, budget=budget).fit
        where = part_to_check(field.size, model.geometry.step)
        if request.everything:
            where = slice(0, field.size[0]), slice(0, field.size[1])
            needed = memory_to_check(field.size, len(fit.planes), len(options.labels))
            if needed > budget:
                raise InputError(
                    f"{request.image}: `all` needs {needed / GIB:.2g} GiB of memory, more than the "
                    f"{budget / GIB:.2g} GiB that may be taken; leave it out to check the middle"
                )
        first = dataclasses.replace(field, shape=(1, *field.shape[1:]))
        (planes,) = measure(first, fit.planes, options.normalize, unit=options.normalized_by)
        rows, columns = ((part.start, part.stop) for part in where)
        pixels = normalized(first, 0, planes, (rows, columns))
        part = {"rows": rows, "columns": columns, "of": field.size, "time point": 0}
        stored = as_read(field)
    print(f"{model.name} on {request.image}: {_said(part)}")
    for warning in fit.warnings:
        logger.warning("%s: %s", request.image, warning)
    with FieldProgress(1) as progress:
        progress.begin(field_name(request.image))
        found = check(model, pixels, options, budget, progress=progress.tiles)
        progress.end("checked")
    print("\n".join(_table(found)))
    if record is not None:
        made = _record(request, model, options, found, part, stored, device)
        write_text(record, as_json(made, indent=2), overwrite=request.overwrite)
        print(record)
    return 0 if found.passed else FAILED


def _said(part: Mapping[str, Any]) -> str:
    rows, columns, size = part["rows"], part["columns"], part["of"]
    if (rows[1] - rows[0], columns[1] - columns[0]) == tuple(size):
        return f"all of {size[0]} x {size[1]} pixels"
    return (
        f"rows {rows[0]} to {rows[1] - 1}, columns {columns[0]} to {columns[1] - 1} of {size[0]} x "
        f"{size[1]} pixels (--all: all of them)"
    )


def _table(found: Check) -> Iterator[str]:
    """What was found, for people."""
    line = "{:<24}{:>16}{:>16}{:>10}{:>16}".format
    yield line("tiles", "largest change", "medians changed", "seams", "seams without")
    for place, tiling in enumerate(found.tilings):
        name = "{} x {} of {} x {}".format(*tiling.tiles, *tiling.reads)
        seams, without = (
            "-" if score is None else f"{score:.3f}"
            for score in (tiling.seams, tiling.seams_without)
        )
        largest = f"{tiling.largest:.1e}" if place else "reference"
        yield line(name, largest, f"{tiling.medians:.4%}" if place else "", seams, without)
    compared = [*found.shifts.values(), *found.turns.values()]
    labels = [agreement.label for agreement in (compared[0] if compared else ())]
    widths = [max(20, len(label) + 2) for label in labels]
    for what, agreements in (
        ("moved by", {f"{n} pixel{'s' * (n > 1)}": found.shifts[n] for n in found.shifts}),
        ("turned", found.turns),
    ):
        if not agreements:
            continue
        yield ""
        yield f"{what:<18}" + "".join(
            f"{label:>{width}}" for label, width in zip(labels, widths, strict=True)
        )
        for name, of_labels in agreements.items():
            yield f"{name:<18}" + "".join(
                f"{_agreement(one):>{width}}" for one, width in zip(of_labels, widths, strict=True)
            )
    if compared:
        yield "(mean absolute difference of the median in [0, 1], Pearson)"
    yield ""
    said = "passed" if found.passed else "FAILED"
    yield (
        f"{said}: tilings differ by at most {found.largest:.1e}; rounding is up to "
        f"{found.tolerance:.1e}"
    )


def _agreement(of: Agreement) -> str:
    return f"{of.mean:.4f} " + ("constant" if of.pearson is None else f"{of.pearson:.4f}")


def _record(
    request: Request,
    model: AnyModel,
    options: Options,
    found: Check,
    part: Mapping[str, Any],
    stored: Mapping[str, Any],
    device: str,
) -> Mapping[str, Any]:
    """Every figure, and what it is of."""
    facts = {"sha256": content_hash(request.image), **stored, "part": dict(part)}
    settings = {"labels": list(options.labels), "symmetries": options.symmetries}
    made = made_by("isl check", source=request.image, facts=facts, settings=settings)
    return made | {
        "model": {"name": model.name, "sha256": model.hash},
        "passed": found.passed,
        "largest": found.largest,
        **json.loads(json.dumps(dataclasses.asdict(found))),
        "device": device,
    }
