"""Many fields through one model: all that can be checked first, then field by field."""

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isl.commands.failures import report_failures
from isl.commands.preview import preview_panels
from isl.commands.progress import FieldProgress
from isl.devices import use_device
from isl.errors import InputError, unknown
from isl.imaging.image import PixelSize
from isl.imaging.preview import write_preview
from isl.imaging.read import find_inputs, open_transmitted
from isl.imaging.tiff import write_ome_tiff
from isl.labeling.memory import memory_budget
from isl.labeling.model import Model, ModelConfig, load_model, read_model_config
from isl.labeling.options import Options, check_options
from isl.labeling.outputs import (
    PIXEL_TYPES,
    FieldFiles,
    check_files,
    files_of,
    written_together,
)
from isl.labeling.plan import FieldPlan, plan_field
from isl.labeling.predict import Outcome, outcome, predict_into
from isl.labeling.provenance import Call, as_text, content_hash, is_done, record
from isl.labeling.source import TransmittedField, field_of_picture, held, measure
from isl.labeling.stored import StoredPrediction, thinned_plane, thinning
from isl.model_folder import model_directory

# The bundled model that was trained on real cells.
DEFAULT_MODEL = "neurons-phase"
# Shown in every preview beside the prediction.
UNCERTAINTY = "standard_deviation"


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
    tile: str = "auto"
    memory: float | None = None
    axes: str | None = None
    channel: str | None = None
    planes: tuple[int, ...] | None = None
    pixel_size: float | None = None
    resample: bool = False
    allow_mismatch: bool = False
    renormalize: bool = False
    device: str = "auto"
    dry_run: bool = False
    overwrite: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One input, and the files it becomes."""

    name: str
    path: Path
    files: FieldFiles


def predict_fields(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (every field failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only field failed; nothing was written.
    """
    directory = model_directory(request.model or DEFAULT_MODEL)
    config = read_model_config(directory)
    options = _options(request, config)
    budget = memory_budget(request.memory)
    fields = [
        Field(name=name, path=path, files=files_of(request.out, name, options.statistics))
        for name, path in find_inputs(request.inputs)
    ]
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
    model = load_model(directory)
    call = Call(
        model=model.name,
        model_hash=model.hash,
        options=options,
        dtype=request.dtype,
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
                _predict_field(field, model, call, device, budget, progress)
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


def _options(request: Request, config: ModelConfig) -> Options:
    if request.dtype not in PIXEL_TYPES:
        raise unknown("dtype", request.dtype, PIXEL_TYPES)
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


def _predict_field(
    field: Field, model: Model, call: Call, device: str, budget: int, progress: FieldProgress
) -> None:
    started = time.monotonic()
    options = _with_uncertainty(call.options)
    with (
        _within_memory(field),
        _opened(field.path, call.axes, call.channel, call.pixel_size) as opened,
    ):
        plan = plan_field(model.config, opened, options, budget=budget)
        pixels = held(opened, plan.fit.planes) if plan.hold else opened
        normalization = measure(pixels, plan.fit.planes, options.normalize, plan.window or 0)
        with (
            written_together(field.files) as staged,
            _results(staged.record.parent, opened, plan, call) as results,
        ):
            plan = predict_into(
                results.write, model, pixels, plan, options, normalization, progress.tiles
            )
            if options.renormalize:
                results.renormalize(model.config.label_statistics)
            made = outcome(model, opened, plan, options, normalization, results.renormalization)
            _write_preview(staged.preview, pixels, made, results)
            for statistic, path in staged.images.items():
                with results.picture(statistic, opened) as picture:
                    write_ome_tiff(path, picture, annotations=_annotations(call, statistic))
            written = record(
                call,
                made,
                field.files,
                source=field.path,
                source_hash=content_hash(field.path),
                stored=_as_read(opened),
                device=device,
                seconds=time.monotonic() - started,
            )
            staged.record.write_text(as_text(written), encoding="utf-8")


@contextmanager
def _within_memory(field: Field) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise InputError(
            f"{field.path}: does not fit into memory; give --memory less than is free"
        ) from error


def _with_uncertainty(options: Options) -> Options:
    wanted = tuple(dict.fromkeys((*options.statistics, UNCERTAINTY)))
    return dataclasses.replace(options, statistics=wanted)


@contextmanager
def _opened(
    path: Path, axes: str | None, channel: str | None, pixel_size: float | None
) -> Iterator[TransmittedField]:
    """A field none of whose pixels are in memory, with the pixel size that was given."""
    picture, index = open_transmitted(path, axes=axes, channel=channel)
    with picture:
        field = field_of_picture(picture, index)
        if pixel_size is not None:
            z = None if field.pixel_size is None else field.pixel_size.z
            size = PixelSize(y=pixel_size, x=pixel_size, z=z)
            field = dataclasses.replace(field, pixel_size=size)
        yield dataclasses.replace(field, source=path)


def _results(
    folder: Path, field: TransmittedField, plan: FieldPlan, call: Call
) -> StoredPrediction:
    options = call.options
    size = field.size if plan.fit.scale else plan.tiles.output_size
    return StoredPrediction(
        folder,
        (field.shape[0], len(options.labels), *size),
        labels=options.labels,
        statistics=options.statistics,
        shown=(options.statistics[0], UNCERTAINTY),
        dtype=call.dtype,
        renormalize=options.renormalize,
    )


def _annotations(call: Call, statistic: str) -> Mapping[str, str]:
    return {
        "model": call.model,
        "model_sha256": call.model_hash,
        "statistic": statistic,
        "renormalized": str(call.options.renormalize).lower(),
    }


def _write_preview(
    path: Path, field: TransmittedField, made: Outcome, results: StoredPrediction
) -> None:
    """Of a movie the first frame is shown."""
    size = results.shape[2:]
    middle = made.planes[len(made.planes) // 2]
    transmitted = thinned_plane(field, middle, made.offset, size)
    panels, columns = preview_panels(
        transmitted, results.shown, made.labels, made.options.statistics[0], UNCERTAINTY
    )
    shown = None
    if made.pixel_size is not None:
        step = thinning(size)
        shown = PixelSize(y=made.pixel_size.y * step, x=made.pixel_size.x * step)
    write_preview(path, panels, columns=columns, pixel_size=shown)


def _as_read(field: TransmittedField) -> Mapping[str, Any]:
    return {
        "axes": "TZYX" if field.movie else "ZYX",
        "shape": list(field.shape if field.movie else field.shape[1:]),
        "dtype": str(field.dtype),
        "modality": field.modality,
    }


def _dry_run(
    fields: Sequence[Field], config: ModelConfig, options: Options, request: Request, budget: int
) -> list[tuple[str, InputError]]:
    """Prints what would be done with each field; returns those that would fail."""
    failures = []
    print(f"model {config.name}: {', '.join(options.labels)}")
    print(f"statistics {', '.join(options.statistics)} as {request.dtype} to {request.out}")
    for field in fields:
        try:
            with _opened(field.path, request.axes, request.channel, request.pixel_size) as opened:
                plan = plan_field(config, opened, _with_uncertainty(options), budget=budget)
        except InputError as error:
            if len(fields) == 1:
                raise
            failures.append((field.name, error))
            continue
        rows, columns = opened.size if plan.fit.scale else plan.tiles.output_size
        stored = _as_read(opened)
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
