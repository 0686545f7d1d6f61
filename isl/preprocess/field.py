"""One field from raw tiles to a stack, its labels and a record of what was done."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.preprocess import scratch
from isl.preprocess.canvas import plan_canvas
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout import RawField
from isl.preprocess.mosaic import Work, covered_by_tiles, put_together
from isl.preprocess.placement import Placed, place_tiles
from isl.preprocess.plane_choice import PlaneChoice, choose_planes
from isl.preprocess.previews import write_previews
from isl.preprocess.quality import Measures, content, uneven
from isl.preprocess.record import FieldRecord, MeasuredLink, PlacedTile, write_record
from isl.preprocess.registration import Shift
from isl.preprocess.sharpness import index_of_sharpest, sharpness
from isl.preprocess.stored import (
    Canvases,
    measure_registration,
    store_labels,
    store_transmitted,
    write_images,
)
from isl.preprocess.tiles import CorrectedTiles, correct_tiles
from isl.preprocess.workers import Workers

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


def channels_of(field: RawField, config: PreprocessConfig) -> dict[str, bool]:
    """The channels of a field that are worked on, and whether each is fluorescence.

    Raises:
        InputError: The field lacks one that the configuration names, or a label of it has several
            planes that are not projected.
    """
    labels = config.labels or tuple(each for each in field.planes if each != config.transmitted)
    for channel in (config.transmitted, *labels):
        if channel not in field.planes:
            raise InputError(f"field '{field.name}': {unknown('channel', channel, field.planes)}")
    for label in labels:
        if field.planes[label] > 1 and not config.runs("projection"):
            raise InputError(
                f"field '{field.name}': '{label}' has {field.planes[label]} planes, and a label is "
                "one image; add the stage projection to 'stages'"
            )
    return {config.transmitted: False, **dict.fromkeys(labels, True)}


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
    canvases = _put_together(field, channels, tiles, placed, config, folder, workers)

    found = _measured_planes(canvases, config.transmitted, workers)
    sharpest = index_of_sharpest([sharp for sharp, _ in found])
    planes = _chosen(field, len(found), sharpest, config)
    shifts = measure_registration(
        canvases, config.transmitted, sharpest, labels, config.registration.search
    )
    light = store_transmitted(canvases, config.transmitted, planes.planes, config)
    dyes, measured = store_labels(canvases, shifts, config)

    pixel_size = _scaled(config.pixel_size or field.pixel_size, config.factor)
    z_step = _scaled(config.z_step or field.z_step, planes.spacing)
    size = None if pixel_size is None else PixelSize(y=pixel_size, x=pixel_size, z=z_step)
    stack = ZStack(name=field.name, planes=light.images, pixel_size=size, modality=config.modality)
    fluorescence = FluorescenceImage(
        name=field.name,
        channels=dyes.images,
        labels=labels,
        measured=np.broadcast_to(measured, dyes.images.shape) if labels else measured[None],
        pixel_size=None if size is None else dataclasses.replace(size, z=None),
    )
    files = files_of(run / FIELDS, field.name)
    write_images(files.stack, files.labels, files.measured, stack, fluorescence)
    record = FieldRecord(
        name=field.name,
        group=field.group,
        inputs=inputs,
        size=canvases.canvas.size,
        tile_size=canvases.canvas.tile,
        pixel_size=pixel_size,
        z_step=z_step,
        planes=planes.planes,
        sharpness=tuple(sharp for sharp, _ in found),
        sharpest=sharpest,
        tiles=_placed_tiles(field, placed),
        links=_measured_links(placed),
        covered=float(canvases.covered.mean()),
        exposures={channel: tiles[channel].exposures for channel in channels},
        normalization={
            config.transmitted: light.normalization,
            **{label: (each,) for label, each in zip(labels, dyes.normalization, strict=True)},
        },
        registration=shifts,
        measures=_measures(field.name, canvases, config, tiles, placed, found, labels, shifts),
        warnings=(*field.warnings, *filter(None, (planes.note,)), *_shift_warnings(shifts, config)),
    )
    write_previews(files.preview, files.offsets, field, record, stack, fluorescence, config)
    write_record(files.record, record)
    scratch.remove(folder)
    return record


def _put_together(
    field: RawField,
    channels: Mapping[str, bool],
    tiles: Mapping[str, CorrectedTiles],
    placed: Placed,
    config: PreprocessConfig,
    folder: Path,
    workers: Workers,
) -> Canvases:
    size = (field.size[0] // config.factor, field.size[1] // config.factor)
    canvas = plan_canvas(placed.placement.positions, size)
    files = {channel: folder / f"{channel}.canvas.npy" for channel in channels}
    work = [
        Work(
            files=tiles[channel].files,
            canvas=canvas,
            file=files[channel],
            percentile=config.percentile if fluorescence and config.runs("projection") else None,
        )
        for channel, fluorescence in channels.items()
    ]
    list(workers.map(put_together, work))
    full = config.full_pixel or (
        float(np.iinfo(field.dtype).max) if field.dtype.kind == "u" else 1.0
    )
    return Canvases(
        canvas=canvas,
        files=files,
        covered=covered_by_tiles(canvas),
        full_scale={channel: full * tiles[channel].exposures for channel in channels},
    )


def _measured_planes(
    canvases: Canvases, channel: str, workers: Workers
) -> list[tuple[float, float]]:
    """Sharpness and content of every plane of a channel."""
    file = canvases.files[channel]
    one = functools.partial(_measured_plane, file=file, covered=canvases.covered)
    return list(workers.map(one, range(scratch.shape_of(file)[0])))


def _measured_plane(plane: int, *, file: Path, covered: np.ndarray) -> tuple[float, float]:
    image = scratch.load(file, plane=plane)
    return sharpness(image, covered), content(image, covered)


def _chosen(
    field: RawField, available: int, sharpest: int, config: PreprocessConfig
) -> PlaneChoice:
    if config.planes.count is None:
        return PlaneChoice(planes=tuple(range(available)), spacing=1, shifted=0)
    return choose_planes(
        available,
        config.planes.count,
        sharpest,
        config.planes.spacing,
        source=f"field '{field.name}'",
    )


def _scaled(length: float | None, factor: int) -> float | None:
    return None if length is None else length * factor


def _placed_tiles(field: RawField, placed: Placed) -> tuple[PlacedTile, ...]:
    nominal = placed.nominal - placed.nominal.min(axis=0)
    return tuple(
        PlacedTile(
            name=tile.name,
            nominal=(float(nominal[number, 0]), float(nominal[number, 1])),
            position=(
                float(placed.placement.positions[number, 0]),
                float(placed.placement.positions[number, 1]),
            ),
            anchored=number in placed.placement.anchored,
        )
        for number, tile in enumerate(field.tiles)
    )


def _measured_links(placed: Placed) -> tuple[MeasuredLink, ...]:
    found = zip(placed.links, placed.placement.residuals, placed.placement.trusted, strict=True)
    return tuple(
        MeasuredLink(
            tiles=(link.i, link.j),
            offset=(float(link.offset[0]), float(link.offset[1])),
            confidence=float(link.confidence),
            residual=float(residual),
            trusted=bool(trusted),
        )
        for link, residual, trusted in found
    )


def _measures(
    name: str,
    canvases: Canvases,
    config: PreprocessConfig,
    tiles: Mapping[str, CorrectedTiles],
    placed: Placed,
    found: Sequence[tuple[float, float]],
    labels: Sequence[str],
    shifts: Mapping[str, Shift],
) -> Measures:
    sharp = [each for each, _ in found]
    sharpest = index_of_sharpest(sharp)
    trusted = placed.placement.trusted
    residuals = placed.placement.residuals[trusted]
    known = [shift.length for shift in shifts.values() if shift.known]
    in_labels = [
        content(scratch.load(canvases.files[label], plane=0), canvases.covered, tiles[label].noise)
        for label in labels
    ]
    light = scratch.load(canvases.files[config.transmitted], plane=sharpest)
    return Measures(
        field=name,
        sharpness=sharp[sharpest],
        sharpest_plane=sharpest,
        content=max(each for _, each in found),
        label_content=min(in_labels) if in_labels else None,
        saturated=max(each.saturated for each in tiles.values()),
        uneven=uneven(light, canvases.covered),
        stitching_residual=float(np.sqrt(np.mean(residuals**2))) if len(residuals) else None,
        trusted_links=float(np.mean(trusted)) if len(trusted) else None,
        registration_shift=max(known) if known else None,
    )


def _shift_warnings(shifts: Mapping[str, Shift], config: PreprocessConfig) -> list[str]:
    done = "moved back" if config.registration.correct else "left there"
    return [
        f"{label} lies {shift.y:+.1f} rows, {shift.x:+.1f} columns from transmitted light; {done}"
        for label, shift in shifts.items()
        if shift.known and shift.length > 1
    ]
