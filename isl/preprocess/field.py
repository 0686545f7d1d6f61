"""One field from raw tiles to a stack, its labels and a record of what was done."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.imaging.sharpness import index_of_sharpest
from isl.preprocess import estimate_files, scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout.fields import LayoutConfig, RawField
from isl.preprocess.measures import measure_field, measure_planes
from isl.preprocess.mosaic import Work, covered_by_tiles, measure_gains, put_together
from isl.preprocess.placement import Placed, place_tiles, scaled_size
from isl.preprocess.plan import channels_of, choose
from isl.preprocess.previews import write_previews
from isl.preprocess.record import FieldRecord, write_record
from isl.preprocess.stages.canvas import Canvas, plan_canvas
from isl.preprocess.stages.orientation import Orientation
from isl.preprocess.stages.registration import Shift
from isl.preprocess.stored import (
    Canvases,
    Stored,
    measure_registration,
    store_labels,
    store_transmitted,
    write_images,
)
from isl.preprocess.tiles import CorrectedTiles, correct_tiles
from isl.workers import Workers

logger = logging.getLogger(__name__)

FIELDS = "fields"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldFiles:
    """Where a field's results belong; the record is written last.

    Attributes:
        stack: Transmitted light, uint16 [Z, Y, X].
        labels: Fluorescence, uint16 [C, Y, X], channels named by label; absent without labels.
        measured: uint8 [Y, X], full where tiles lie; absent where they lie everywhere.
        preview: A PNG: before and after.
        offsets: A PNG: how the tiles lie.
        record: JSON.
    """

    stack: Path
    labels: Path
    measured: Path
    preview: Path
    offsets: Path
    record: Path


def files_of(folder: Path, name: str) -> FieldFiles:
    """The files of the field `name` in `folder`."""
    return FieldFiles(
        stack=folder / f"{name}.tif",
        labels=folder / f"{name}.labels.ome.tif",
        measured=folder / f"{name}.measured.tif",
        preview=folder / f"{name}.preview.png",
        offsets=folder / f"{name}.offsets.png",
        record=folder / f"{name}.json",
    )


def process_field(
    field: RawField,
    config: PreprocessConfig,
    run: Path,
    inputs: str,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> FieldRecord:
    """Stages 1 to 8 of one field; writes its files, the record last.

    Args:
        field: The field.
        config: What to do.
        run: The run's folder.
        inputs: Digest of the field's files.
        workers: Who does it.
        progress: Called with tiles done and to do.

    Raises:
        InputError: A file cannot be read or written, or the field cannot be put together.
    """
    channels = channels_of(field, config)
    labels = tuple(channel for channel, fluorescence in channels.items() if fluorescence)
    folder = run / scratch.FOLDER / f"{field.name}-{inputs[:12]}"
    tiles = correct_tiles(field, channels, config, run, folder, workers, progress)
    placed = place_tiles(field, tiles, config, workers)
    canvas = plan_canvas(placed.placement.positions, scaled_size(field, config))
    gains = _gains(tiles, canvas, placed, config)
    canvases = _put_together(channels, tiles, canvas, gains, config, folder, workers)

    shared = estimate_files.load_estimates(run / estimate_files.FOLDER, config.transmitted)
    found = measure_planes(canvases, config.transmitted, shared.error, workers)
    sharpest = index_of_sharpest([plane.sharpness for plane in found])
    planes = choose(field, sharpest, config)
    shifts = measure_registration(
        canvases, config.transmitted, sharpest, labels, config.registration.search
    )
    light = store_transmitted(canvases, config.transmitted, planes.planes, config)
    dyes, measured = store_labels(canvases, shifts, config)

    pixel_size = _scaled(config.pixel_size or field.pixel_size, config.factor)
    z_step = _scaled(config.z_step or field.z_step, planes.spacing)
    size = None if pixel_size is None else PixelSize(y=pixel_size, x=pixel_size, z=z_step)
    stack = ZStack(name=field.name, planes=light.images, pixel_size=size, modality=config.modality)
    fluorescence = _fluorescence(field.name, dyes, labels, measured, size)
    files = files_of(run / FIELDS, field.name)
    write_images(files.stack, files.labels, files.measured, stack, fluorescence)
    measures = measure_field(
        field.name, canvases, config.transmitted, tiles, placed.placement, found, shifts
    )
    doubted = placed.doubted_direction()
    misplaced = (
        _direction_warnings(placed.fitting, doubted, config.layout)
        or _exchange_warnings(field, placed)
        or _anchored_warnings(field, placed)
    )
    for warning in misplaced:
        logger.warning("field '%s': %s", field.name, warning)
    record = FieldRecord(
        name=field.name,
        group=field.group,
        condition=field.condition,
        inputs=inputs,
        size=canvases.canvas.size,
        tile_size=canvases.canvas.tile,
        pixel_size=pixel_size,
        z_step=z_step,
        planes=planes.planes,
        sharpness=tuple(plane.sharpness for plane in found),
        sharpest=sharpest,
        tiles=placed.tiles(field),
        links=placed.measured_links(),
        covered=float(canvases.covered.mean()),
        exposures={channel: tiles[channel].exposures for channel in channels},
        gains=gains,
        normalization={
            config.transmitted: light.normalization,
            **{label: (each,) for label, each in zip(labels, dyes.normalization, strict=True)},
        },
        registration=shifts,
        measures=measures
        if doubted is None and placed.fitting is None and placed.exchanged is None
        else dataclasses.replace(measures, trusted_links=0.0),
        warnings=(
            *field.warnings,
            *filter(None, (planes.note,)),
            *_shift_warnings(shifts, config),
            *misplaced,
        ),
    )
    write_previews(files.preview, files.offsets, field, record, stack, fluorescence, config)
    beside = (files.labels, files.measured, files.preview, files.offsets)
    write_record(files.record, record, beside)
    scratch.remove(folder)
    return record


def _direction_warnings(
    fitting: Orientation | None, doubted: str | None, layout: LayoutConfig
) -> list[str]:
    if fitting is not None:
        stated = Orientation(swapped=layout.stage_swapped, direction=layout.stage_direction)
        right = fitting.after(stated)
        remedy = (
            f"set layout.stage_direction = [{right.direction[0]}, {right.direction[1]}]"
            f" and layout.stage_swapped = {str(right.swapped).lower()}"
            if layout.positions != "grid"
            else "correct layout.start"
            + (" and exchange {row} and {col} in layout.pattern" if fitting.swapped else "")
        )
        return [
            f"tiles fit their neighbours with {fitting.words}, and not as they are said to lie; "
            f"{remedy}"
        ]
    if doubted is None:
        return []
    directions = [-1, 1] if doubted == "rows" else [1, -1]
    return [
        f"tiles fit none of their neighbours in other {doubted}; does the stage run against the "
        f"image there? Set layout.stage_direction, e.g. {directions}"
    ]


def _exchange_warnings(field: RawField, placed: Placed) -> list[str]:
    if placed.exchanged is None:
        return []
    tile, place = (field.tiles[number].name for number in placed.exchanged)
    return [
        f"tile {tile} fits no neighbour where it is said to lie, and all where tile {place} is; "
        "correct layout.order, layout.rows and layout.columns, or the files' names"
    ]


def _anchored_warnings(field: RawField, placed: Placed) -> list[str]:
    """Which tiles lie where they are said to, as nothing in them says otherwise."""
    names = [field.tiles[number].name for number in placed.placement.anchored]
    if not names or not placed.placement.trusted.any():
        return []
    fit, lie = ("fit", "lie") if len(names) > 1 else ("fits", "lies")
    return [
        f"tile{'s' if len(names) > 1 else ''} {', '.join(names)} {fit} no neighbour (blank, "
        f"saturated, or elsewhere than the layout says?) and {lie} where the layout says"
    ]


def _gains(
    tiles: Mapping[str, CorrectedTiles], canvas: Canvas, placed: Placed, config: PreprocessConfig
) -> dict[str, tuple[float, ...]]:
    """What each tile of each channel is divided by, by the neighbors that are believed."""
    chosen = {"all": tuple(tiles), "transmitted": (config.transmitted,), "none": ()}
    trusted = zip(placed.links, placed.placement.trusted, strict=True)
    pairs = [(link.i, link.j) for link, believed in trusted if believed]
    return {
        channel: measure_gains(
            each.files, canvas, pairs, fluorescence=channel != config.transmitted
        )
        if channel in chosen[config.stitching.equalize]
        else (1.0,) * len(each.files)
        for channel, each in tiles.items()
    }


def _put_together(
    channels: Mapping[str, bool],
    tiles: Mapping[str, CorrectedTiles],
    canvas: Canvas,
    gains: Mapping[str, tuple[float, ...]],
    config: PreprocessConfig,
    folder: Path,
    workers: Workers,
) -> Canvases:
    files = {
        channel: folder / f"{scratch.file_name_of(channel)}.canvas.npy" for channel in channels
    }
    work = [
        Work(
            files=tiles[channel].files,
            canvas=canvas,
            file=files[channel],
            percentile=config.percentile if fluorescence and config.runs("projection") else None,
            gains=gains[channel],
        )
        for channel, fluorescence in channels.items()
    ]
    list(workers.map(put_together, work))
    return Canvases(
        canvas=canvas,
        files=files,
        covered=covered_by_tiles(canvas),
        full_scale={channel: tiles[channel].full for channel in channels},
    )


def _fluorescence(
    name: str,
    dyes: Stored,
    labels: tuple[str, ...],
    measured: np.ndarray,
    size: PixelSize | None,
) -> FluorescenceImage:
    return FluorescenceImage(
        name=name,
        channels=dyes.images,
        labels=labels,
        measured=np.broadcast_to(measured, dyes.images.shape) if labels else measured[None],
        pixel_size=None if size is None else dataclasses.replace(size, z=None),
    )


def _scaled(length: float | None, factor: int) -> float | None:
    return None if length is None else length * factor


def _shift_warnings(shifts: Mapping[str, Shift], config: PreprocessConfig) -> list[str]:
    done = "moved back" if config.registration.correct else "left there"
    return [
        f"{label} lies {shift.y:+.1f} rows, {shift.x:+.1f} columns from transmitted light; {done}"
        for label, shift in shifts.items()
        if shift.known and shift.length > 1
    ]
