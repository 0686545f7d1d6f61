"""Many embryos through one ensemble: what can be checked first, then embryo by embryo, a report."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from isl.cluster import budget_of_workers, check_workers, workers_of
from isl.devices import use_device
from isl.errors import InputError
from isl.files.failures import report_failures
from isl.files.locks import alone_in
from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.table import field_name
from isl.imaging.inputs.steady import content_hash
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import Input, written_together
from isl.labeling.model import Model
from isl.model_folder import named_everywhere
from isl.polarity.assess import EZRIN_STATISTICS, Activation, Assessment, OnsetModel, assess
from isl.polarity.defects import DefectKind
from isl.polarity.embryo_page import EmbryoPictures, embryo_page
from isl.polarity.embryos_in_field import Window, draw_field, find_windows
from isl.polarity.film_strip import draw_film_strip
from isl.polarity.finding import find_recordings
from isl.polarity.frame_range import FrameRange, limit_of
from isl.polarity.model import DEFAULT_MODEL, load_polarity_model
from isl.polarity.onset import Rule
from isl.polarity.outputs import (
    FRAME_COLUMNS,
    ONSET_COLUMNS,
    OVERLAYS,
    ezrin_image,
    files_of,
    frame_rows,
    onset_row,
    record,
    sentence,
)
from isl.polarity.overlays import draw_overlays
from isl.polarity.recording import name_in_field, read_recording
from isl.progress import one_by_one
from isl.tiling.memory import memory_budget
from isl.tiling.stream import Progress
from isl.warned import said_of, warnings_logged
from isl.workers import side_by_side, stop_if_unwanted

MEASURED = "measured"
ONSETS, FRAMES, REPORT = "onsets.csv", "frames.csv", "report.html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl polarity` was asked for; see its help.

    Attributes:
        frames: Frames to use of every embryo, or by embryo; None: all.
        rule: None: as the model says.
        leave_out: Kinds of defects for which a recording is not assessed.
        diameter: Of an embryo, micrometres; None: the usual one; 0: all recordings are of one.
        pixel_size: Micrometres, whatever files say.
        workers: Processes that share the embryos.
        scheduler: Address of a Dask scheduler whose workers share them instead.
        memory: GiB that all processes may take, or each of a scheduler's workers; None: half of
            what is free.
    """

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    interval: float | None = None
    frames: FrameRange | Mapping[str, FrameRange] | None = None
    rule: Rule | None = None
    activation: Activation = "class"
    leave_out: tuple[DefectKind, ...] = ()
    diameter: float | None = None
    pixel_size: float | None = None
    axes: str | None = None
    channel: str | None = None
    device: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    memory: float | None = None
    overwrite: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbryoInput(Input):
    """One embryo: a recording, or its place in a recording of several.

    Attributes:
        window: Its square, where there are several.
        wrong: Why the recording cannot be assessed, where that is known before.
    """

    window: Window | None = None
    wrong: InputError | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """What every recording goes through.

    Attributes:
        model: The ensemble.
        ezrin_model: Whose EZRIN it reads.
        device: What computes.
    """

    model: OnsetModel
    ezrin_model: Model
    device: str


def assess_recordings(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only recording failed; nothing was written.
    """
    check_workers(request.workers, request.scheduler)
    elsewhere = request.scheduler is not None or (request.workers or 1) > 1
    found = find_recordings(request.inputs, axes=request.axes, leave_out=request.out)
    embryos = [embryo for name, path in found for embryo in _embryos_of(name, path, request)]
    check_files(
        request.out,
        [(embryo.path, embryo.files) for embryo in embryos],
        overwrite=request.overwrite,
        resume=request.resume,
        tables=[request.out / name for name in (ONSETS, FRAMES, REPORT)],
    )
    chain = _chain(request.model or DEFAULT_MODEL, "cpu" if elsewhere else request.device)
    memory = memory_budget(request.memory)
    with alone_in(request.out, "isl polarity"):
        if elsewhere:
            failed = _assess_all_elsewhere(embryos, chain, request, memory)
        else:
            failures = one_by_one(
                embryos,
                lambda embryo, progress: _assess_one(
                    embryo, chain, request, memory, progress.tiles
                ),
            )
            failed = {name: str(error) for name, error in failures.items()}
        done = [embryo for embryo in embryos if embryo.name not in failed]
        if done:
            _write_tables(done, failed, chain, request)
    return report_failures(list(failed.items()), len(embryos), what="embryos")


def _chain(model: str, device: str) -> Chain:
    """Loads what every recording goes through."""
    computes = use_device(device)
    loaded = load_polarity_model(model)
    if loaded.config.arm == MEASURED:
        raise InputError(
            f"model '{loaded.name}' reads measured Ezrin, which is for evaluation only; take "
            "another"
        )
    return Chain(model=loaded, ezrin_model=loaded.ezrin_model(), device=computes)


# Of a process that assesses embryos for another.
_chain_of_process = functools.cache(_chain)


def _assess_all_elsewhere(
    embryos: Sequence[EmbryoInput], chain: Chain, request: Request, memory: int
) -> dict[str, str]:
    """Has embryos assessed by other processes; those that failed, by name, with the reasons."""
    there = dataclasses.replace(
        request, model=named_everywhere(request.model or DEFAULT_MODEL), out=request.out.absolute()
    )
    with contextlib.ExitStack() as stack:
        client = None
        if request.scheduler is not None:
            client = stack.enter_context(workers_of(request.scheduler))
            # Asked in any case: it compares versions, too.
            theirs = budget_of_workers(client)
            memory = theirs if request.memory is None else memory
        memory //= request.workers or 1
        work = functools.partial(
            _assess_elsewhere, hashes=_hashes(chain), request=there, memory=memory
        )
        return side_by_side(
            [embryo.everywhere() for embryo in embryos],
            work,
            workers=request.workers or 1,
            client=client,
            finished=_say,
        )


def _assess_elsewhere(
    embryo: EmbryoInput, *, hashes: tuple[str, str], request: Request, memory: int
) -> str:
    """Assesses an embryo in a process of its own."""
    chain = _chain_of_process(request.model or DEFAULT_MODEL, request.device)
    if _hashes(chain) != hashes:
        raise InputError(
            f"{request.model}: the worker has another model under this name, or of EZRIN; give "
            "`model` a folder that all machines share, with the same isl"
        )
    return _assess(embryo, chain, request, memory, stop_if_unwanted)


def _hashes(chain: Chain) -> tuple[str, str]:
    return chain.model.hash, chain.ezrin_model.hash


def _assess_one(
    embryo: EmbryoInput, chain: Chain, request: Request, memory: int, progress: Progress
) -> str:
    """Assesses an embryo here, and says what was found."""
    outcome = _assess(embryo, chain, request, memory, progress)
    _say(embryo)
    return outcome


def _say(embryo: EmbryoInput) -> None:
    print(f"{embryo.name}: {sentence(_read(embryo))}", flush=True)


def _embryos_of(name: str, path: Path, request: Request) -> list[EmbryoInput]:
    """Every embryo of a recording."""
    whole = EmbryoInput(name=name, path=path, files=files_of(request.out, name))
    if request.diameter == 0:
        return [whole]
    try:
        windows = find_windows(
            path,
            diameter=request.diameter,
            axes=request.axes,
            channel=request.channel,
            pixel_size=request.pixel_size,
        )
    except InputError as error:
        return [dataclasses.replace(whole, wrong=error)]
    named = [(name_in_field(name, window), window) for window in windows]
    return [
        EmbryoInput(name=own, path=path, files=files_of(request.out, own), window=window)
        for own, window in named
    ] or [whole]


def _assess(
    embryo: EmbryoInput, chain: Chain, request: Request, memory: int, progress: Progress | None
) -> str:
    """Assesses one embryo and writes its files, unless that was done before."""
    if embryo.wrong is not None:
        raise embryo.wrong
    started = time.monotonic()
    limit = limit_of(embryo.name, embryo.path, request.frames)
    source_hash = content_hash(embryo.path)
    settings = _settings(limit, chain, request, embryo.window)
    same = {"model_hash": chain.model.hash, "settings": settings, "source_hash": source_hash}
    if embryo.files.done_before(embryo.path, request, "isl polarity", **same):
        return "done before"
    with warnings_logged("isl") as warnings:
        recording = read_recording(
            embryo.path,
            frames=limit,
            interval=request.interval,
            axes=request.axes,
            channel=request.channel,
            pixel_size=request.pixel_size,
            window=embryo.window,
            memory=memory // 4,
        )
        assessment = _within_memory(
            lambda: assess(
                recording,
                chain.model,
                chain.ezrin_model,
                rule=request.rule,
                activation=request.activation,
                leave_out=request.leave_out,
                progress=progress,
                memory=memory,
            ),
            embryo,
        )
    assessment = dataclasses.replace(assessment, warnings=said_of(recording.source, warnings))
    with written_together(embryo.files) as staged:
        made = record(
            assessment,
            chain.model,
            ezrin_model=_named(chain.ezrin_model),
            settings=settings,
            source_hash=source_hash,
            files=embryo.files,
            device=chain.device,
            seconds=time.monotonic() - started,
        )
        for statistic in EZRIN_STATISTICS:
            write_ome_tiff(
                staged.images[statistic],
                ezrin_image(assessment, statistic),
                annotations={"statistic": statistic, **_named(chain.ezrin_model)},
            )
        headline = f"{embryo.name}: {sentence(made)}"
        staged.preview.write_bytes(draw_film_strip(assessment, headline))
        looked = f"{embryo.name}: what speaks for and against the calls ({chain.model.name})"
        staged.images[OVERLAYS].write_bytes(draw_overlays(assessment, looked))
        staged.record.write_text(as_json(made, indent=2), encoding="utf-8")
    return "done"


def _settings(
    limit: FrameRange, chain: Chain, request: Request, window: Window | None
) -> dict[str, Any]:
    """Everything but the model and the input that changes a result."""
    # Records of recordings of one embryo are as they were before there were windows.
    place: dict[str, Any] = {}
    if window is not None:
        corners = hashlib.sha256(window.corners.astype("<i8").tobytes()).hexdigest()
        place = {"embryo": window.number, "diameter": request.diameter, "corners": corners}
    if request.pixel_size is not None:
        place["pixel_size"] = request.pixel_size
    return place | {
        "onset": request.rule or chain.model.config.rule,
        "activation": request.activation,
        "leave_out": sorted(request.leave_out),
        "frames": [limit.start, limit.stop],
        "interval_minutes": request.interval,
        "axes": request.axes,
        "channel": request.channel,
        "ezrin_model": chain.ezrin_model.hash,
    }


def _named(model: Model) -> dict[str, str]:
    return {"name": model.name, "sha256": model.hash}


def _within_memory(compute: Callable[[], Assessment], embryo: Input) -> Assessment:
    try:
        return compute()
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise InputError(
                f"{embryo.path}: does not fit into memory; give fewer frames with `frames=A:B`"
            ) from error
        raise


def _read(embryo: Input) -> dict[str, Any]:
    return json.loads(embryo.files.record.read_text(encoding="utf-8"))


def _write_tables(
    done: Sequence[EmbryoInput], failed: Mapping[str, str], chain: Chain, request: Request
) -> None:
    """The two tables and the report, from the records and pictures of all that are done."""
    records = [_read(embryo) for embryo in done]
    rows = [row for made in records for row in frame_rows(made)]
    shown = [
        EmbryoPictures(
            made=made,
            film_strip=embryo.files.preview.read_bytes(),
            overlays=embryo.files.images[OVERLAYS].read_bytes(),
        )
        for embryo, made in zip(done, records, strict=True)
    ]
    write_texts(
        request.out,
        {
            ONSETS: as_csv(ONSET_COLUMNS, [onset_row(made) for made in records]),
            FRAMES: as_csv(FRAME_COLUMNS, rows),
            REPORT: embryo_page(
                shown, failed, card=chain.model.card, fields=_fields(done, request)
            ),
        },
    )
    print(f"look at {request.out / REPORT}", file=sys.stderr)


def _fields(done: Sequence[EmbryoInput], request: Request) -> dict[str, bytes]:
    """Pictures of the fields that hold several embryos, by the fields' names; PNGs."""
    windows: dict[Path, list[Window]] = {}
    for embryo in done:
        if embryo.window is not None:
            windows.setdefault(embryo.path, []).append(embryo.window)
    return {
        field_name(path): draw_field(path, own, axes=request.axes, channel=request.channel)
        for path, own in windows.items()
    }
