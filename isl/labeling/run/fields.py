"""Many fields through one model: all that can be checked first, then field by field."""

import contextlib
import dataclasses
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from isl.cluster import budget_of_workers, check_workers, workers_of
from isl.devices import use_device
from isl.errors import InputError, unknown
from isl.files.failures import report_failures
from isl.files.run_manifest import RunManifest, held_folder
from isl.imaging.inputs.read import find_inputs
from isl.imaging.inputs.stated import Stated
from isl.imaging.inputs.steady import content_hash
from isl.imaging.outputs.result_checks import check_files
from isl.labeling.contract import Planes
from isl.labeling.mixture import AnyModel
from isl.labeling.model import load_models, model_names, read_models_config
from isl.labeling.model_config import ModelConfig
from isl.labeling.options import Asked, Options, check_options
from isl.labeling.run.cluster import (
    PredictedElsewhere,
    predict_in_processes,
    predict_there,
)
from isl.labeling.run.datasets import STATED, without_datasets
from isl.labeling.run.dry_run import dry_run
from isl.labeling.run.one_field import Field, predict_one
from isl.labeling.run.outputs import FORMATS, PIXEL_TYPES, check_copy, files_of
from isl.labeling.run.provenance import FORMERLY, Call
from isl.model_folder import named_everywhere
from isl.progress import FieldProgress
from isl.tiling.memory import GIB, memory_budget
from isl.workers import Workers, share_of_machine

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

# The bundled model that was trained on real cells.
DEFAULT_MODEL = "neurons-phase"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl predict` was asked for, as typed; see its help.

    Attributes:
        batch: How many tiles are predicted together; None: as many as memory allows.
    """

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    labels: tuple[str, ...] | None = None
    statistics: tuple[str, ...] = ("median",)
    stitch: str | None = None
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
    z_step: float | None = None
    modality: str | None = None
    resample: bool = False
    allow_mismatch: bool = False
    symmetries: bool = False
    abstain: float | None = None
    seed: int = 0
    median: str | None = None
    renormalize: bool = False
    original_unit: bool = False
    device: str = "auto"
    dry_run: bool = False
    overwrite: bool = False
    resume: bool = False
    workers: int | None = None
    scheduler: str | None = None
    batch: int | None = None


def predict_fields(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (every field failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only field failed; nothing was written.
    """
    check_workers(request.workers, request.scheduler)
    request = _without_datasets(request)
    config = read_models_config(request.model or DEFAULT_MODEL)
    options = _options(request, config)
    fields = _fields(request, options)
    check_files(
        request.out,
        [(field.path, field.files) for field in fields],
        overwrite=request.overwrite,
        resume=request.resume,
    )
    if request.dry_run:
        use_device(request.device)
        failures = dry_run(
            fields,
            config,
            _call(request, config.name, "", options),
            out=request.out,
            budget=memory_budget(request.memory) // (request.workers or 1),
            processes=request.workers or 1,
        )
    else:
        try:
            with held_folder(request.out, "isl predict") as manifest:
                failures = _predict_all(fields, options, request, manifest)
        except KeyboardInterrupt:
            print("interrupted; the same call with --resume continues", file=sys.stderr)
            raise
        if request.model is None:
            print(
                f"predicted with {DEFAULT_MODEL}; --model names another (isl models lists them)",
                file=sys.stderr,
            )
    return report_failures(failures, len(fields), what="fields")


def _without_datasets(request: Request) -> Request:
    """The request with the fields of datasets among its inputs, and what these say of them."""
    given = [key for key in STATED if getattr(request, key) is not None]
    found = without_datasets(request.inputs, given)
    return dataclasses.replace(request, inputs=found.paths, **found.stated)


def _fields(request: Request, options: Options) -> list[Field]:
    found = find_inputs(request.inputs, axes=request.axes)
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
            batch=request.batch,
        )
        for name, path in found
    ]


def _predict_all(
    fields: Sequence[Field],
    options: Options,
    request: Request,
    manifest: RunManifest,
) -> list[tuple[str, InputError]]:
    """Predicts all fields that are left; returns those that failed."""
    processes = min(request.workers or 1, len(fields))
    elsewhere = processes > 1 or request.scheduler is not None
    with contextlib.ExitStack() as stack:
        client = None
        if request.scheduler is not None:
            client = stack.enter_context(workers_of(request.scheduler))
        # Where others compute, this process leaves the device to them.
        device = use_device("cpu" if elsewhere else request.device)
        model = load_models(request.model or DEFAULT_MODEL)
        call = _call(request, model.name, model.hash, options)
        begun = None
        if request.resume and not request.overwrite:
            begun = manifest.begun(call.model_hash, call.settings(), FORMERLY)
        if begun is not None and options.tile == "auto":
            call = dataclasses.replace(
                call, options=dataclasses.replace(options, tile=begun["tile"])
            )
        budget = _budget(request, begun, client)
        left = _left_to_do(fields, call, request, begun) if request.resume else fields
        progress = stack.enter_context(FieldProgress(len(left)))
        predicted = PredictedElsewhere(
            model=_named(request), call=call, device=request.device, budget=budget
        )
        if client is not None:
            results = predict_there(client, left, predicted)
        elif elsewhere:
            workers = stack.enter_context(Workers(processes, share_of_machine(processes)))
            results = predict_in_processes(workers, left, predicted)
        else:
            results = _predict_here(left, model, call, device, budget, progress)
        manifest.begin(
            {
                "model": {"name": call.model, "sha256": call.model_hash},
                "settings": call.settings(),
                "tile": call.options.tile,
                "memory": budget,
            }
        )
        return _collect(results, len(fields), options, manifest, progress)


def _collect(
    results: Iterator[tuple[Field, dict[str, Any] | InputError]],
    total: int,
    options: Options,
    manifest: RunManifest,
    progress: FieldProgress,
) -> list[tuple[str, InputError]]:
    """Writes down and says what becomes of each field; returns those that failed."""
    failures: list[tuple[str, InputError]] = []
    single: Counter[Path] = Counter()
    for field, made in results:
        if not isinstance(made, InputError):
            try:
                manifest.finished(field.name, _identified(made))
            except InputError as error:
                made = error
        if isinstance(made, InputError):
            if total == 1:
                raise made
            failures.append((field.name, made))
            progress.end("failed", field.name)
        else:
            progress.end(f"done{_abstained(made)}", field.name, made["seconds"])
            print(field.files.images[options.statistics[0]], flush=True)
            single[field.path.parent] += options.planes is None and _of_one_plane(made["input"])
    for folder, count in single.items():
        if count > 1:
            logger.warning(
                "%s: %d images of one plane each are predicted one by one; save them as one stack "
                "if they are its planes",
                folder,
                count,
            )
    return failures


def _of_one_plane(given: Mapping[str, Any]) -> bool:
    """Whether an image's only plane stood in the places of several."""
    planes = given["planes"]
    return "T" not in given["axes"] and len(set(planes)) == 1 < len(planes)


def _identified(made: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder's manifest says of a field, from its record."""
    return {
        "input": made["input"]["sha256"],
        "images": made["outputs"]["images"],
        "tiles": made["tiles"],
        "device": made["device"],
    }


def _abstained(made: Mapping[str, Any]) -> str:
    """What share of each label's pixels was abstained from, where that was asked for."""
    if made["abstained"] is None:
        return ""
    shares = made["abstained"]["share"].items()
    return ", abstained from " + ", ".join(f"{label} {share:.1%}" for label, share in shares)


def _predict_here(
    fields: Sequence[Field],
    model: AnyModel,
    call: Call,
    device: str,
    budget: int,
    progress: FieldProgress,
) -> Iterator[tuple[Field, dict[str, Any] | InputError]]:
    """One field after another, each with its record or why it failed."""
    for field in fields:
        progress.begin(field.name)
        try:
            made = predict_one(field, model, call, device, budget, progress.tiles)
        except InputError as error:
            made = error
        yield field, made


def _budget(request: Request, begun: Mapping[str, Any] | None, client: "Client | None") -> int:
    """Bytes that each process may take: those of the run that is resumed, if there is one.

    Tiles, and so rounding, depend on them.
    """
    processes = request.workers or 1
    # Asked in any case: it compares versions, too.
    theirs = None if client is None else budget_of_workers(client)
    if request.memory is not None:
        return memory_budget(request.memory) // processes
    if begun is not None:
        if request.scheduler is None and processes * begun["memory"] > 2 * memory_budget(None):
            logger.warning(
                "continuing with %.2g GiB in each process, as the run began, which is more than is "
                "free now; if it fails, give `memory` (results may then differ by rounding)",
                begun["memory"] / GIB,
            )
        return begun["memory"]
    return memory_budget(None) // processes if theirs is None else theirs


def _named(request: Request) -> str:
    """What the model can be loaded by from everywhere: a bundled one's name, or a full path."""
    return ",".join(map(named_everywhere, model_names(request.model or DEFAULT_MODEL)))


def _call(request: Request, name: str, sha256: str, options: Options) -> Call:
    return Call(
        model=name,
        model_hash=sha256,
        options=options,
        dtype=request.dtype,
        format="ome-tiff" if request.into is not None else request.format,
        into=request.into is not None,
        stated=Stated(
            axes=request.axes,
            channel=request.channel,
            pixel_size=request.pixel_size,
            z_step=request.z_step,
            modality=request.modality,
        ),
        origin=_named(request),
    )


def check_request(request: Request) -> None:
    """Refuses what can be known to be wrong before there are fields to look at.

    Raises:
        InputError: There is no such model, label, statistic or format, or options contradict.
    """
    check_workers(request.workers, request.scheduler)
    _checked_options(request, read_models_config(request.model or DEFAULT_MODEL))


def _options(request: Request, config: ModelConfig) -> Options:
    options = _checked_options(request, config)
    if request.stitch is None and options.stitch == "exact":
        logger.warning(
            "model '%s' learned from single patches and is predicted as these are, by "
            "`stitch=exact`",
            config.name,
        )
    return options


def _checked_options(request: Request, config: ModelConfig) -> Options:
    if request.dtype not in PIXEL_TYPES:
        raise unknown("dtype", request.dtype, PIXEL_TYPES)
    if request.format not in FORMATS:
        raise unknown("format", request.format, FORMATS)
    asked = {name: getattr(request, name) for name in Asked.__annotations__}
    return check_options(config, **cast(Asked, asked))


def _left_to_do(
    fields: Sequence[Field], call: Call, request: Request, begun: Mapping[str, Any] | None
) -> list[Field]:
    """Fields without results; results of another origin are never replaced unasked."""
    left = []
    for field in fields:
        if field.files.made_from(
            "isl predict",
            model_hash=call.model_hash,
            settings=call.settings(),
            source_hash=content_hash(field.path),
            formerly=FORMERLY,
        ):
            print(f"{field.name}: done before", file=sys.stderr)
            continue
        # A run that was killed may have left images that no record describes yet.
        unfinished = begun is not None and not field.files.record.exists()
        if not (request.overwrite or unfinished):
            field.files.check_replaceable(field.path)
        left.append(field)
    return left
