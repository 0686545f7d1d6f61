"""Many fields through one model: all that can be checked first, then field by field."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from isl.commands.failures import report_failures
from isl.commands.preview import preview_panels
from isl.commands.progress import FieldProgress
from isl.devices import use_device
from isl.errors import InputError, unknown
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.preview import write_preview
from isl.imaging.read import find_inputs, read_transmitted
from isl.imaging.tiff import write_ome_tiff
from isl.labeling.model import Model, ModelConfig, load_model, read_model_config
from isl.labeling.options import Options, check_options
from isl.labeling.outputs import (
    PIXEL_TYPES,
    FieldFiles,
    as_stored,
    check_files,
    files_of,
    written_together,
)
from isl.labeling.predict import Prediction, plan_field, predict_field
from isl.labeling.provenance import Call, as_text, content_hash, is_done, record
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
            _dry_run(fields, config, options, request), len(fields), what="fields"
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
                _predict_field(field, model, call, device, progress)
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
    field: Field, model: Model, call: Call, device: str, progress: FieldProgress
) -> None:
    started = time.monotonic()
    stack = _read(field, call.axes, call.channel, call.pixel_size)
    wanted = tuple(dict.fromkeys((*call.options.statistics, UNCERTAINTY)))
    prediction = _within_memory(
        model, stack, dataclasses.replace(call.options, statistics=wanted), progress
    )
    source_hash = content_hash(field.path)
    with written_together(field.files) as staged:
        for statistic, path in staged.images.items():
            image = as_stored(prediction.image(statistic), call.dtype)
            annotations = {
                "model": call.model,
                "model_sha256": call.model_hash,
                "statistic": statistic,
                "renormalized": str(call.options.renormalize).lower(),
            }
            write_ome_tiff(path, image, annotations=annotations)
        panels, columns = preview_panels(stack, prediction, call.options.statistics[0], UNCERTAINTY)
        write_preview(staged.preview, panels, columns=columns, pixel_size=stack.pixel_size)
        made = record(
            call,
            prediction,
            field.files,
            source=field.path,
            source_hash=source_hash,
            stored=_as_read(stack),
            device=device,
            seconds=time.monotonic() - started,
        )
        staged.record.write_text(as_text(made), encoding="utf-8")


def _within_memory(
    model: Model, stack: ZStack | Movie, options: Options, progress: FieldProgress
) -> Prediction:
    try:
        return predict_field(model, stack, options, progress.tiles)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise InputError(
                f"{stack.source}: does not fit into memory with --tile {options.tile}; give a "
                "smaller --tile, such as 128"
            ) from error
        raise


def _read(
    field: Field, axes: str | None, channel: str | None, pixel_size: float | None
) -> ZStack | Movie:
    stack = read_transmitted(field.path, axes=axes, channel=channel)
    if pixel_size is None:
        return stack
    z = None if stack.pixel_size is None else stack.pixel_size.z
    return dataclasses.replace(stack, pixel_size=PixelSize(y=pixel_size, x=pixel_size, z=z))


def _as_read(stack: ZStack | Movie) -> Mapping[str, Any]:
    pixels = stack.frames if isinstance(stack, Movie) else stack.planes
    return {
        "axes": "TZYX" if isinstance(stack, Movie) else "ZYX",
        "shape": list(pixels.shape),
        "dtype": str(pixels.dtype),
        "modality": stack.modality,
    }


def _dry_run(
    fields: Sequence[Field], config: ModelConfig, options: Options, request: Request
) -> list[tuple[str, InputError]]:
    """Prints what would be done with each field; returns those that would fail."""
    failures = []
    print(f"model {config.name}: {', '.join(options.labels)}")
    print(f"statistics {', '.join(options.statistics)} as {request.dtype} to {request.out}")
    for field in fields:
        try:
            stack = _read(field, request.axes, request.channel, request.pixel_size)
            fit, plan = plan_field(config, stack, options)
        except InputError as error:
            if len(fields) == 1:
                raise
            failures.append((field.name, error))
            continue
        rows, columns = plan.image_size if fit.scale else plan.output_size
        shape = " x ".join(map(str, _as_read(stack)["shape"]))
        print(
            f"{field.name}: {_as_read(stack)['axes']} {shape}, planes "
            f"{','.join(map(str, fit.planes))}, {len(plan)} tiles reading {plan.tile_size[0]} x "
            f"{plan.tile_size[1]}, output {rows} x {columns}"
        )
        for path in field.files.all:
            print(f"  {path}")
        for warning in fit.warnings:
            print(f"  warning: {warning}")
    return failures
