"""Many embryos through one model: what can be checked first, then one by one, and a report."""

import dataclasses
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.devices import use_device
from isl.errors import InputError
from isl.files.failures import report_failures
from isl.files.provenance import versions
from isl.files.records import as_csv, as_json
from isl.files.staging import staging_folder
from isl.files.whole import check_output_folder, settle, write_texts
from isl.fragmentation.assess import Assessed, assess_frame, sentence
from isl.fragmentation.correction import (
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
from isl.fragmentation.pictures import Frames, is_readable, read_frames
from isl.fragmentation.record import (
    COLUMNS,
    SCHEMA_FILE,
    EmbryoRecord,
    Record,
    record_schema,
    rows_of,
)
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage
from isl.imaging.steady import content_hash
from isl.model_folder import model_or_default
from isl.workers import side_by_side

TABLE, REPORT = "fragmentation.csv", "report.html"
_ENDINGS = {
    "mask": ".mask.ome.tif",
    "contours": ".contours.png",
    "attention": ".attention.png",
    "time": ".share.png",
    "record": ".json",
}
_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl fragmentation` was asked for; see its help."""

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    grades: Path | None = None
    correct: bool = False
    interval: float | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False
    workers: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
    """One embryo's frames, not read yet."""

    name: str
    path: Path


def grade_recordings(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only recording failed; nothing was written.
    """
    found = find_recordings(request.inputs, leave_out=request.out)
    check_output_folder(request.out, "out")
    _check_free(found, request)
    scale = None if request.grades is None else read_scale(request.grades)
    model = _loaded(_named(request), request.device)
    if not model.config.segments:
        raise InputError(f"model '{model.name}' gives a share alone and finds no embryo")
    recordings = [Recording(name=name, path=path) for name, path in found]
    request.out.mkdir(parents=True, exist_ok=True)
    failed = side_by_side(
        recordings, functools.partial(_grade, request=request), workers=request.workers
    )
    done = [name for name, _ in found if name not in failed]
    if done:
        _write_tables(done, failed, model, scale or model.config.scale, request)
        if request.correct:
            write_correction_dataset(request.out / FOLDER, done)
    return report_failures(list(failed.items()), len(found), what="recordings")


def find_recordings(
    inputs: Sequence[Path], *, leave_out: Path | None = None
) -> list[tuple[str, Path]]:
    """Stills, movies and folders of one embryo's frames, as (name, path); none is read.

    A folder of pictures is one recording; a folder of folders or movies is searched one level deep.

    Raises:
        InputError: A path is missing or nothing that can be read, or two have one name.
    """
    paths: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        if not path.is_dir() or path.suffix == ".zarr":
            if not is_readable(path):
                raise InputError(f"{path}: is no picture or movie that can be read")
            paths.append(path)
            continue
        inner = [p for p in sorted(path.iterdir()) if not p.name.startswith(".") and p != leave_out]
        nested = [p for p in inner if p.is_dir() or p.suffix.lower() in (".tif", ".tiff")]
        paths += nested or [path]
    if not paths:
        raise InputError("no input: name pictures, movies, or folders of frames")
    names: dict[str, Path] = {}
    for path in paths:
        name = path.name if path.is_dir() else path.name.split(".")[0]
        if name in names:
            raise InputError(
                f"{path}: has the same name '{name}' as {names[name]}, and their results would "
                "collide; rename one"
            )
        names[name] = path
    return list(names.items())


def files_of(out: Path, name: str) -> dict[str, Path]:
    """What a recording becomes."""
    return {what: out / f"{name}{ending}" for what, ending in _ENDINGS.items()}


def _check_free(found: Sequence[tuple[str, Path]], request: Request) -> None:
    if request.overwrite or request.resume:
        return
    wanted = [request.out / TABLE, request.out / REPORT]
    wanted += [path for name, _ in found for path in files_of(request.out, name).values()]
    for path in wanted:
        if path.exists():
            raise InputError(
                f"{path}: exists already (give `overwrite` to replace it, or `resume` to keep "
                "recordings that are done)"
            )


@functools.cache
def _loaded(model: str, device: str) -> FragmentationModel:
    """The model of this process."""
    use_device(device)
    return load_fragmentation_model(model)


def _named(request: Request) -> str:
    model = model_or_default(
        request.model, DEFAULT_MODEL, configuration="configs/fragmentation_phantom.toml"
    )
    return str(model)


def _grade(recording: Recording, *, request: Request) -> str:
    """Grades one recording and writes its files, unless that was done before; in any process."""
    name, path = recording.name, recording.path
    model = _loaded(_named(request), request.device)
    scale = None if request.grades is None else read_scale(request.grades)
    files = files_of(request.out, name)
    source_hash = content_hash(path)
    used = scale or model.config.scale
    settings = {"scale": used.model_dump(mode="json"), "interval": request.interval}
    corrected = not request.correct or is_written(request.out / FOLDER, name)
    if request.resume and corrected and _is_done(files, source_hash, model.hash, settings):
        return "done before"
    frames = read_frames(path)
    if request.interval is not None:
        frames = dataclasses.replace(frames, interval=request.interval)
    assessed, labels, drawn, attended = _seen(frames, model, used)
    record = Record(
        name=name,
        source=str(path),
        source_sha256=source_hash,
        model={"name": model.name, "sha256": model.hash},
        scale=used.model_dump(mode="json"),
        settings=settings,
        versions=versions(),
        embryos=[_entry(each, frames, name, used) for each in assessed],
    )
    with staging_folder(request.out) as temporary:
        staged = {what: temporary / final.name for what, final in files.items()}
        image = FluorescenceImage(
            name=name, channels=labels[:, None], labels=("mask",), interval=frames.interval
        )
        write_ome_tiff(
            staged["mask"],
            image,
            annotations={"0": "background", "1": "embryo", "2": "fragment", "model": model.name},
        )
        staged["contours"].write_bytes(sheet(drawn))
        if attended:
            staged["attention"].write_bytes(sheet(attended))
        if len(frames.images) > 1:
            staged["time"].write_bytes(share_over_time(record.embryos, used.bounds))
        staged["record"].write_text(as_json(record.model_dump(mode="json"), indent=2), "utf-8")
        files["record"].unlink(missing_ok=True)
        for what, source in staged.items():
            if source.exists():
                settle(source)
                source.replace(files[what])
            else:
                files[what].unlink(missing_ok=True)
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
    for first in range(0, len(frames.images), _AT_ONCE):
        images = frames.images[first : first + _AT_ONCE]
        for offset, said in enumerate(model.predict(images)):
            image = images[offset]
            found, mask = assess_frame(image, said, model.config, frame=first + offset, scale=scale)
            assessed += found
            labels.append(mask)
            drawn.append(contours(image, mask))
            if said.attention is not None:
                attended.append(attention_picture(image, said.attention))
    return assessed, np.stack(labels), drawn, attended


def _entry(made: Assessed, frames: Frames, name: str, scale: GradeScale) -> EmbryoRecord:
    minutes = None if frames.interval is None else made.frame * frames.interval
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


def _is_done(
    files: Mapping[str, Path], source_hash: str, model_hash: str, settings: Mapping[str, Any]
) -> bool:
    if not all(files[what].is_file() for what in ("mask", "contours", "record")):
        return False
    try:
        made = json.loads(files["record"].read_text(encoding="utf-8"))
        same = (made["source_sha256"], made["model"]["sha256"], made["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same == (source_hash, model_hash, json.loads(as_json(settings)))


def _write_tables(
    done: Sequence[str],
    failed: Mapping[str, str],
    model: FragmentationModel,
    scale: GradeScale,
    request: Request,
) -> None:
    """The table, the schema and the report, from the records of all that are done."""
    records = []
    for name in done:
        files = files_of(request.out, name)
        text = files["record"].read_text(encoding="utf-8")
        pictures = {
            what: files[what].read_bytes()
            for what in ("contours", "attention", "time")
            if files[what].exists()
        }
        records.append(RecordingPictures(Record.model_validate_json(text), pictures))
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
