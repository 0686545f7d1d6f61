"""Many embryos through one model: what can be checked first, then one by one, and a report."""

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.devices import use_device
from isl.errors import InputError, as_options
from isl.files.provenance import made_by, results_in
from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts
from isl.fragmentation.assess import Assessed, assess_frame, sentence
from isl.fragmentation.correction import (
    DATASET,
    FOLDER,
    is_written,
    write_correction_dataset,
    write_for_correction,
)
from isl.fragmentation.drawing import attention_picture, contours, share_over_time, sheet
from isl.fragmentation.grades import GradeScale, read_scale
from isl.fragmentation.model import (
    DEFAULT_MODEL,
    FragmentationModel,
    load_fragmentation_model,
)
from isl.fragmentation.page import RecordingPictures, fragmentation_page
from isl.fragmentation.pictures import Frames, read_frames
from isl.fragmentation.record import (
    COLUMNS,
    SCHEMA_FILE,
    EmbryoRecord,
    Record,
    record_schema,
    rows_of,
)
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.table import field_name, format_of, is_stack_file
from isl.imaging.image import FluorescenceImage
from isl.imaging.inputs.containers import fields_in, is_container
from isl.imaging.inputs.photo import photos_in
from isl.imaging.inputs.read import by_name, natural_order
from isl.imaging.inputs.steady import content_hash
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import Input, ResultFiles, written_together
from isl.imaging.outputs.run import run_side_by_side
from isl.imaging.times import stated_interval
from isl.model_folder import model_or_default
from isl.warned import said_of, warnings_logged

logger = logging.getLogger(__name__)

MADE_BY = "isl fragmentation"
TABLE, REPORT = "fragmentation.csv", "report.html"
MASK, ATTENTION, TIME = "mask", "attention", "time"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl fragmentation` was asked for; see its help."""

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    grades: Path | None = None
    correct: bool = False
    interval: float | None = None
    axes: str | None = None
    channel: str | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False
    workers: int = 1


def grade_recordings(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only recording failed; nothing was written.
    """
    recordings = [
        Input(name=name, path=path, files=files_of(request.out, name))
        for name, path in find_recordings(request.inputs, leave_out=request.out)
    ]
    check_files(
        request.out,
        [(recording.path, recording.files) for recording in recordings],
        overwrite=request.overwrite,
        resume=request.resume,
        tables=[request.out / name for name in (TABLE, SCHEMA_FILE, REPORT)],
        also_read=[] if request.grades is None else [request.grades],
    )
    scale = None if request.grades is None else read_scale(request.grades)
    model, _ = _loaded(_named(request), request.device)
    if not model.config.segments:
        raise InputError(f"model '{model.name}' gives a share alone and finds no embryo")

    def conclude(done: Sequence[Input], failed: Mapping[str, str]) -> None:
        _write_tables(done, failed, model, scale or model.config.scale, request)
        if request.correct:
            write_correction_dataset(request.out / FOLDER, [each.name for each in done])

    return run_side_by_side(
        recordings,
        request,
        MADE_BY,
        functools.partial(_grade, request=request),
        conclude,
        what="recordings",
    )


def find_recordings(
    inputs: Sequence[Path], *, leave_out: Path | None = None
) -> list[tuple[str, Path]]:
    """Stills, movies and folders of one embryo's frames, as (name, path); none is read.

    A folder of pictures is one recording; a folder of folders or movies is searched one level deep.
    Each image of a microscope's own file, and each field of a plate, is a recording.

    Raises:
        InputError: A path is missing or nothing that can be read, or two have one name.
    """
    found: list[tuple[str, Path]] = []
    for path in inputs:
        if is_container(path):
            found += fields_in(path)
            continue
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        if not path.is_dir() and format_of(path) is None:
            raise InputError(f"{path}: is not a picture or movie that can be read")
        inside = _recordings_in(path, leave_out) if path.is_dir() else []
        if inside and (left := photos_in(path)):
            logger.warning(
                "%s: %d pictures beside %s are left out, such as %s; keep one embryo's frames in a "
                "folder of their own",
                path,
                len(left),
                inside[0].name,
                left[0].name,
            )
        for each in inside or [path]:
            found += fields_in(each) if is_container(each) else [(field_name(each), each)]
    if not found:
        raise InputError("no input: name pictures, movies, or folders of frames")
    return list(by_name(found).items())


def _recordings_in(folder: Path, leave_out: Path | None) -> list[Path]:
    """Folders and movies right below a folder, but what isl wrote there."""
    results = results_in(folder)
    avoided = None if leave_out is None else os.path.realpath(leave_out)
    return [
        entry
        for entry in sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name))
        if not entry.name.startswith(".")
        and entry.name not in results
        and os.path.realpath(entry) != avoided
        and not (entry.name == FOLDER and (entry / DATASET).is_file())
        and (entry.is_dir() or is_container(entry) or is_stack_file(entry))
    ]


def files_of(out: Path, name: str) -> ResultFiles:
    """What a recording becomes; the contours are its preview."""
    return ResultFiles(
        images={
            MASK: out / f"{name}.mask.ome.tif",
            ATTENTION: out / f"{name}.attention.png",
            TIME: out / f"{name}.share.png",
        },
        preview=out / f"{name}.contours.png",
        record=out / f"{name}.json",
        optional=frozenset({ATTENTION, TIME}),
    )


@functools.cache
def _loaded(model: str, device: str) -> tuple[FragmentationModel, str]:
    """The model of this process, and what computes."""
    name = use_device(device)
    return load_fragmentation_model(model), name


def _named(request: Request) -> str:
    model = model_or_default(
        request.model, DEFAULT_MODEL, configuration="configs/fragmentation_phantom.toml"
    )
    return str(model)


def _grade(recording: Input, *, request: Request) -> str:
    """Grades one recording and writes its files, unless that was done before; in any process."""
    name, files = recording.name, recording.files
    model, device = _loaded(_named(request), request.device)
    used = model.config.scale if request.grades is None else read_scale(request.grades)
    source_hash = content_hash(recording.path)
    # Weights may stay while what is refused changes, as where stages were learned later.
    settings = {
        "scale": used.model_dump(mode="json"),
        "interval": request.interval,
        "rules": model.config.rules_hash,
    }
    # Records without them stay as they were before there were such options.
    settings |= {
        key: said
        for key, said in (("axes", request.axes), ("channel", request.channel))
        if said is not None
    }
    corrected = not request.correct or is_written(request.out / FOLDER, name)
    same = {"model_hash": model.hash, "settings": settings, "source_hash": source_hash}
    if files.done_before(recording.path, request, MADE_BY, **same) and corrected:
        return "done before"
    with warnings_logged("isl") as warnings:
        frames = read_frames(recording.path, axes=request.axes, channel=request.channel)
        interval, times = stated_interval(
            request.interval, frames.interval, frames.times, recording.path
        )
        frames = dataclasses.replace(frames, interval=interval, times=times)
        assessed, labels, drawn, attended = _seen(frames, model, used)
    facts = {"sha256": source_hash, "frames": len(frames.images), "device": device}
    record = Record.model_validate(
        {
            **made_by(MADE_BY, source=recording.path, facts=facts, settings=settings),
            "name": name,
            "model": {"name": model.name, "sha256": model.hash},
            "scale": used.model_dump(mode="json"),
            "outputs": [
                path.name
                for path in files.all[:-1]
                if len(frames.images) > 1 or path != files.images[TIME]
            ],
            "warnings": [as_options(each) for each in said_of(recording.path, warnings)],
            "embryos": [_entry(each, frames, name, used) for each in assessed],
        }
    )
    image = FluorescenceImage(
        name=name,
        channels=labels[:, None],
        labels=("mask",),
        interval=frames.interval,
        times=frames.times if len(labels) > 1 else None,
    )
    values = {"0": "background", "1": "embryo", "2": "fragment", "model": model.name}
    with written_together(files) as staged:
        write_ome_tiff(staged.images[MASK], image, annotations=values)
        staged.preview.write_bytes(sheet(drawn))
        if attended:
            staged.images[ATTENTION].write_bytes(sheet(attended))
        if len(frames.images) > 1:
            staged.images[TIME].write_bytes(share_over_time(record.embryos, used.bounds))
        staged.record.write_text(as_json(record.model_dump(mode="json"), indent=2), "utf-8")
    for each in assessed:
        print(sentence(each, name), flush=True)
    if request.correct:
        write_for_correction(
            request.out / FOLDER, name, frames.images, labels, overwrite=request.overwrite
        )
    return "done"


def _seen(
    frames: Frames, model: FragmentationModel, scale: GradeScale
) -> tuple[list[Assessed], np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Embryos, labels uint8 [T, Y, X], and pictures of contours and attention, frame by frame."""
    assessed, labels, drawn, attended = [], [], [], []
    for t, said in enumerate(model.look_along(frames.images)):
        image = frames.images[t]
        found, mask = assess_frame(image, said, model.config, frame=t, scale=scale)
        assessed += found
        labels.append(mask)
        drawn.append(contours(image, mask))
        if said.attention is not None:
            attended.append(attention_picture(image, said.attention))
    return assessed, np.stack(labels), drawn, attended


def _entry(made: Assessed, frames: Frames, name: str, scale: GradeScale) -> EmbryoRecord:
    minutes = frames.minutes(made.frame)
    return EmbryoRecord(
        frame=made.frame,
        frame_name=frames.names[made.frame],
        minutes=minutes,
        embryo=made.embryo,
        verdict="graded" if made.verdict == "graded" else "cannot tell",
        reason=made.reason,
        area_pixels=made.area,
        share=made.share,
        low=made.low,
        high=made.high,
        share_by_area=made.by_area,
        share_by_regression=made.by_regression,
        grade=made.grade,
        probabilities=dict(zip(scale.grades, made.probabilities, strict=False)),
        points_to_next=made.to_next,
        next_grade=made.next_grade,
        fragments=made.fragments,
        largest_share=made.largest,
        sentence=sentence(made, name),
    )


def _write_tables(
    done: Sequence[Input],
    failed: Mapping[str, str],
    model: FragmentationModel,
    scale: GradeScale,
    request: Request,
) -> None:
    """The table, the schema and the report, from the records of all that are done."""
    records = [
        RecordingPictures(
            Record.model_validate(recording.files.read_record()),
            {
                what: path.read_bytes()
                for what, path in _pictures(recording.files).items()
                if path.exists()
            },
        )
        for recording in done
    ]
    columns = (*COLUMNS, *(f"P({grade})" for grade in scale.grades))
    rows = [row for each in records for row in rows_of(each.record)]
    write_texts(
        request.out,
        {
            TABLE: as_csv(columns, rows),
            SCHEMA_FILE: as_json(record_schema(), indent=2),
            REPORT: fragmentation_page(records, failed, card=model.card, scale=scale),
        },
    )
    print(f"look at {request.out / REPORT}", file=sys.stderr)


def _pictures(files: ResultFiles) -> dict[str, Path]:
    """What the report shows of a recording, where it is there."""
    return {"contours": files.preview, **{name: files.images[name] for name in (ATTENTION, TIME)}}
