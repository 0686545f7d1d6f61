"""Many fields through one model: all that can be checked first, then field by field."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from isl.commands.failures import report_failures
from isl.commands.one_field import Field, as_read, opened_field, predict_one, with_uncertainty
from isl.commands.progress import FieldProgress
from isl.devices import use_device
from isl.errors import InputError, unknown
from isl.imaging.read import find_inputs
from isl.labeling.contract import Planes
from isl.labeling.memory import memory_budget
from isl.labeling.mixture import load_models, read_models_config
from isl.labeling.model import ModelConfig
from isl.labeling.options import Options, check_options
from isl.labeling.outputs import FORMATS, PIXEL_TYPES, check_copy, check_files, files_of
from isl.labeling.plan import plan_field
from isl.labeling.provenance import Call, content_hash, is_done

# The bundled model that was trained on real cells.
DEFAULT_MODEL = "neurons-phase"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl predict` was asked for, as typed; see its help."""

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    labels: tuple[str, ...] | None = None
    statistics: tuple[str, ...] = ("median",)
    stitch: str = "dense"
    border: str = "reflect"
    normalize: str | None = None
    dtype: str = "uint16"
    format: str = "ome-tiff"
    into: Path | None = None
    tile: str = "auto"
    memory: float | None = None
    axes: str | None = None
    channel: str | None = None
    planes: Planes | None = None
    pixel_size: float | None = None
    resample: bool = False
    allow_mismatch: bool = False
    symmetries: bool = False
    renormalize: bool = False
    device: str = "auto"
    dry_run: bool = False
    overwrite: bool = False
    resume: bool = False


def predict_fields(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (every field failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only field failed; nothing was written.
    """
    config = read_models_config(request.model or DEFAULT_MODEL)
    options = _options(request, config)
    budget = memory_budget(request.memory)
    fields = _fields(request, options)
    check_files(
        request.out,
        [(field.path, field.files) for field in fields],
        replace=request.overwrite or request.resume,
    )
    if request.dry_run:
        use_device(request.device)
        return report_failures(
            _dry_run(fields, config, options, request, budget), len(fields), what="fields"
        )
    device = use_device(request.device)
    model = load_models(request.model or DEFAULT_MODEL)
    call = Call(
        model=model.name,
        model_hash=model.hash,
        options=options,
        dtype=request.dtype,
        format="ome-tiff" if request.into is not None else request.format,
        into=request.into is not None,
        axes=request.axes,
        channel=request.channel,
        pixel_size=request.pixel_size,
    )
    left = _left_to_do(fields, call, request) if request.resume else fields
    failures: list[tuple[str, InputError]] = []
    with FieldProgress(len(left)) as progress:
        for field in left:
            progress.begin(field.name)
            try:
                predict_one(field, model, call, device, budget, progress.tiles)
            except InputError as error:
                if len(fields) == 1:
                    raise
                failures.append((field.name, error))
                progress.end("failed")
            else:
                progress.end("done")
                print(field.files.images[options.statistics[0]])
    if request.model is None:
        print(
            f"predicted with {DEFAULT_MODEL}; --model names another (isl models lists them)",
            file=sys.stderr,
        )
    return report_failures(failures, len(fields), what="fields")


def _fields(request: Request, options: Options) -> list[Field]:
    found = find_inputs(request.inputs)
    if request.into is not None:
        check_copy(request.into, [path for _, path in found], options.border)
    return [
        Field(
            name=name,
            path=path,
            files=files_of(
                request.out,
                name,
                options.statistics,
                source=path,
                format=request.format,
                into=request.into,
            ),
        )
        for name, path in found
    ]


def _options(request: Request, config: ModelConfig) -> Options:
    if request.dtype not in PIXEL_TYPES:
        raise unknown("dtype", request.dtype, PIXEL_TYPES)
    if request.format not in FORMATS:
        raise unknown("format", request.format, FORMATS)
    return check_options(
        config,
        labels=request.labels,
        statistics=request.statistics,
        stitch=request.stitch,
        border=request.border,
        normalize=request.normalize,
        tile=request.tile,
        planes=request.planes,
        renormalize=request.renormalize,
        resample=request.resample,
        allow_mismatch=request.allow_mismatch,
        symmetries=request.symmetries,
    )


def _left_to_do(fields: Sequence[Field], call: Call, request: Request) -> list[Field]:
    """Fields without results; results of another origin are never replaced unasked."""
    left = []
    for field in fields:
        present = [path for path in field.files.all if path.exists()]
        if present and is_done(call, field.files, content_hash(field.path)):
            print(f"{field.name}: done before", file=sys.stderr)
            continue
        if present and not request.overwrite:
            raise InputError(
                f"{present[0]}: exists, and was not made from {field.path} in this way; give "
                "--overwrite to replace it"
            )
        left.append(field)
    return left


def _dry_run(
    fields: Sequence[Field], config: ModelConfig, options: Options, request: Request, budget: int
) -> list[tuple[str, InputError]]:
    """Prints what would be done with each field; returns those that would fail."""
    failures = []
    print(f"model {config.name}: {', '.join(options.labels)}")
    print(f"statistics {', '.join(options.statistics)} as {request.dtype} to {request.out}")
    for field in fields:
        try:
            with opened_field(
                field.path, request.axes, request.channel, request.pixel_size
            ) as opened:
                plan = plan_field(config, opened, with_uncertainty(options), budget=budget)
        except InputError as error:
            if len(fields) == 1:
                raise
            failures.append((field.name, error))
            continue
        rows, columns = opened.size if plan.fit.scale else plan.tiles.output_size
        stored = as_read(opened)
        shape = " x ".join(map(str, stored["shape"]))
        print(
            f"{field.name}: {stored['axes']} {shape}, planes "
            f"{','.join(map(str, plan.fit.planes))}, {len(plan.tiles)} tiles reading "
            f"{plan.tiles.tile_size[0]} x {plan.tiles.tile_size[1]}, output {rows} x {columns}"
        )
        for path in field.files.all:
            print(f"  {path}")
        for warning in plan.fit.warnings:
            print(f"  warning: {warning}")
    return failures
