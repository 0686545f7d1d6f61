"""Many wells through one model: what can be checked first, then well by well, tables, a report."""

import dataclasses
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.colony.assess import Assessment, Settings, assess
from isl.colony.detection import as_bytes, full_scale
from isl.colony.drawing import draw_composition, draw_overlay, reduced, shown_frames
from isl.colony.following import Follower
from isl.colony.masks import GivenMask, read_mask
from isl.colony.model import DEFAULT_MODEL, ColonyModel, load_colony_model
from isl.colony.page import WellPictures, colony_page
from isl.colony.record import (
    COMPOSITION_COLUMNS,
    colony_columns,
    colony_rows,
    composition_rows,
    files_of,
    record,
    sentence,
)
from isl.devices import use_device
from isl.errors import InputError
from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.imaging.inputs.frames import frames_in, open_transmitted_frames, steps_in
from isl.imaging.inputs.label_image import read_label_image
from isl.imaging.inputs.read import by_name, find_inputs, open_transmitted
from isl.imaging.inputs.steady import content_hash
from isl.imaging.lazy import LazyPicture
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import Input, written_together
from isl.imaging.outputs.run import run_side_by_side
from isl.imaging.times import known_times
from isl.model_folder import model_or_default
from isl.warned import said_of, warnings_logged

COLONIES, COMPOSITION, REPORT = "colonies.csv", "composition.csv", "report.html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl colony` was asked for; see its help."""

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    mask: Path | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)
    axes: str | None = None
    channel: str | None = None
    device: str = "auto"
    workers: int = 1
    overwrite: bool = False
    resume: bool = False
    time_lapse: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Well(Input):
    """One picture or time-lapse, the files it becomes, and its label image if one was given."""

    mask: Path | None


def assess_wells(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only well failed; nothing was written.
    """
    found = _time_lapses(request) if request.time_lapse else find_inputs(request.inputs)
    masks = _masks(request.mask, [name for name, _ in found])
    wells = [
        Well(name=name, path=path, mask=masks.get(name), files=files_of(request.out, name))
        for name, path in found
    ]
    check_files(
        request.out,
        [(well.path, well.files) for well in wells],
        overwrite=request.overwrite,
        resume=request.resume,
        tables=[request.out / name for name in (COLONIES, COMPOSITION, REPORT)],
        also_read=list(masks.values()),
    )
    model, _ = _loaded(_named(request), request.device)
    if model.config.subject == "cell":
        raise InputError(
            f"model '{model.name}' classifies single cells; give `cells` where each picture is one "
            "cell, or another model"
        )
    return run_side_by_side(
        wells,
        request,
        "isl colony",
        functools.partial(_assess, request=request),
        functools.partial(_write_tables, model=model, out=request.out),
        what="wells",
    )


def _time_lapses(request: Request) -> list[tuple[str, Path]]:
    """Every folder that was given, as one time-lapse."""
    for path in request.inputs:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        if not path.is_dir():
            raise InputError(
                f"{path}: is no folder; with `time_lapse` give folders with one picture a frame"
            )
        frames_in(path)
    return list(by_name((path.resolve().name, path) for path in request.inputs).items())


@functools.cache
def _loaded(model: str, device: str) -> tuple[ColonyModel, str]:
    """The model of this process, and what computes."""
    name = use_device(device)
    return load_colony_model(model), name


def _named(request: Request) -> str:
    model = model_or_default(
        request.model, DEFAULT_MODEL, configuration="configs/colony_phantom.toml"
    )
    return str(model)


def _assess(well: Well, *, request: Request) -> str:
    """Assesses a well and writes its files, unless that was done before, in whatever process."""
    began = time.monotonic()
    model, device = _loaded(_named(request), request.device)
    source_hash = content_hash(well.path)
    settings = _settings(well, request)
    same = {"model_hash": model.hash, "settings": settings, "source_hash": source_hash}
    if well.files.done_before(well.path, request, "isl colony", **same):
        return "done before"
    with warnings_logged("isl") as warnings:
        found, shown = _looked_at(well, model, request)
    found = dataclasses.replace(found, warnings=said_of(found.source, warnings))
    classes = model.config.classes
    image = FluorescenceImage(
        name=well.name,
        channels=found.labels[:, None] if len(found.labels) > 1 else found.labels,
        labels=("colonies",),
        pixel_size=None
        if found.pixel_size is None
        else PixelSize(y=found.pixel_size, x=found.pixel_size),
        interval=found.interval,
        times=known_times(found.minutes),
    )
    with written_together(well.files) as staged:
        made = record(
            found,
            model,
            settings=settings,
            source_hash=source_hash,
            files=well.files,
            device=device,
            seconds=time.monotonic() - began,
        )
        write_ome_tiff(staged.images["colonies"], image)
        staged.preview.write_bytes(draw_overlay(shown, found, classes))
        staged.record.write_text(as_json(made), encoding="utf-8")
    return sentence(made)


def _looked_at(
    well: Well, model: ColonyModel, request: Request
) -> tuple[Assessment, dict[int, np.ndarray]]:
    """What is found in a well, and frames to show it on, uint8 [y, x] by time."""
    opened = open_transmitted_frames if request.time_lapse else open_transmitted
    picture, index = opened(well.path, axes=request.axes, channel=request.channel)
    with picture:
        channels = model_channels(picture, index, model)
        mask = None if well.mask is None else _read_mask(well.mask, picture, request)
        steps = steps_in(well.path) if request.time_lapse else None
        found = assess(picture, channels, model, request.settings, mask=mask, steps=steps)
        shown = {
            t: _shown(picture, t, channels[0], found.planes[t][0])
            for t in shown_frames(picture.shape[0])
        }
    return found, shown


def model_channels(picture: LazyPicture, index: int, model: ColonyModel) -> list[int]:
    """Which of a picture's channels the model's are: by name, or the only one asked for."""
    wanted = model.config.channels
    if len(wanted) == 1:
        return [index]
    names = picture.channel_names or ()
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"{picture.source}: model '{model.name}' looks at the channels {', '.join(wanted)}; "
            f"'{missing[0]}' is not among the file's ({', '.join(names) or 'unnamed'})"
        )
    return [names.index(name) for name in wanted]


def _shown(picture: LazyPicture, t: int, channel: int, z: int) -> np.ndarray:
    """A frame's plane, small enough to be drawn, uint8 [y, x]."""
    plane = picture.read(t=t, c=channel, z=z)
    return reduced(as_bytes(plane, full_scale(lambda r, c: plane[r, c], plane.shape)))


def _settings(well: Well, request: Request) -> dict[str, Any]:
    """Everything but the model and the input that changes a result."""
    asked = request.settings
    return {
        **{f"detection_{key}": value for key, value in asked.detection.model_dump().items()},
        "patches": asked.patches,
        "gap": asked.gap,
        "pixel_size": asked.pixel_size,
        "interval_minutes": asked.interval,
        "mask": None if well.mask is None else content_hash(well.mask),
        "axes": request.axes,
        "channel": request.channel,
    }


def _masks(mask: Path | None, names: Sequence[str]) -> dict[str, Path]:
    """The label image of every well: a file for the only one, or a folder of files by name.

    Raises:
        InputError: There is none for some well.
    """
    if mask is None:
        return {}
    if not mask.is_dir():
        if len(names) > 1:
            raise InputError(
                f"`mask={mask}`: is one label image, and there are {len(names)} wells; give a "
                "folder that holds one of each well's name"
            )
        return {names[0]: mask}
    stored = {name: path for name, path in find_inputs([mask])}
    lacking = [name for name in names if name not in stored]
    if lacking:
        raise InputError(f"`mask={mask}`: holds no label image called '{lacking[0]}'")
    return stored


def _read_mask(path: Path, picture: LazyPicture, request: Request) -> GivenMask:
    stored = read_label_image(path)
    frames_of, _, _, height, width = picture.shape
    given = read_mask(stored, (frames_of, height, width), source=path)
    if len(stored) > 1 and given.numbered:
        # Numbers of one frame's parts say nothing of the next one's.
        follower = Follower(gap=request.settings.gap)
        followed = [follower.follow(labels) for labels in given.labels]
        return dataclasses.replace(given, labels=np.stack(followed).astype(np.uint16))
    return given


def _write_tables(
    done: Sequence[Well], failed: Mapping[str, str], *, model: ColonyModel, out: Path
) -> None:
    """The tables and the report, from the records and pictures of all that are done."""
    classes = model.config.classes
    records = [well.files.read_record() for well in done]
    compositions = [composition_rows(made) for made in records]
    shown = [
        WellPictures(
            made=made,
            overlay=well.files.preview.read_bytes(),
            composition=draw_composition(rows, classes),
        )
        for well, made, rows in zip(done, records, compositions, strict=True)
    ]
    rows = [row for made in records for row in colony_rows(made)]
    write_texts(
        out,
        {
            COLONIES: as_csv(colony_columns(classes), rows),
            COMPOSITION: as_csv(COMPOSITION_COLUMNS, [row for own in compositions for row in own]),
            REPORT: colony_page(shown, failed, card=model.card),
        },
    )
    print(f"look at {out / REPORT}", file=sys.stderr)
