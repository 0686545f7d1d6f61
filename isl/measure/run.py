"""Many predictions measured: what can be checked first, then field by field, tables, a report."""

import dataclasses
import functools
import hashlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.data.points import read_points
from isl.errors import InputError
from isl.files.records import as_json
from isl.files.whole import write_text
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.inputs.label_image import ENDINGS, checked_labels, read_label_image, remarks_on
from isl.imaging.inputs.steady import content_hash
from isl.imaging.nuclei import segment_at, segment_nuclei
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import Input, ResultFiles, written_together
from isl.imaging.outputs.run import run_side_by_side
from isl.imaging.plane_file import PlaneFile
from isl.measure.drawing import draw_distributions, outlined, shown_pixel, write_outlines
from isl.measure.following import follow, linker, overlapping
from isl.measure.objects import Columns, measure_objects
from isl.measure.page import FieldPictures, measure_page
from isl.measure.record import (
    cell_rows,
    columns_of,
    field_rows,
    files_of,
    record,
    sentence,
    track_rows,
)
from isl.measure.sources import (
    OpenedSource,
    Source,
    as_picture,
    dead_label,
    find_sources,
    nuclear_label,
    stated,
)
from isl.measure.tables import arrow, write_parquet, write_table
from isl.measure.wells import Row, Well, condition_rows, read_wells, well_of, well_rows
from isl.warned import said_of, warnings_logged

logger = logging.getLogger(__name__)

CELLS, WELLS, CONDITIONS, TRACKS = "cells.csv", "wells.csv", "conditions.csv", "tracks.csv"
REPORT, PARQUET = "report.html", "cells.parquet"
_MOST_IN_INTEGERS = 2**16 - 1
_EMPTY = ("image", "well", "condition", "time", "minutes", "cell", "y", "x", "area_pixels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl measure` was asked for; see its help.

    Attributes:
        nuclei: Label whose objects are measured.
        dead: Label of dead cells.
        objects: Label images, or tables of centres, of another program: one, or a folder of them.
        wells: Table of wells and conditions, or a manifest.
        diameter: Of a typical nucleus, micrometres.
        ring: Micrometres around each object.
        reach: Micrometres within which centres are neighbours.
        motion: Micrometres that a cell may move from frame to frame; None: its typical diameter.
        gap: Frames that a cell may be missing for.
        follow: Whether cells of movies are followed.
    """

    inputs: tuple[Path, ...]
    out: Path
    nuclei: str | None = None
    dead: str | None = None
    objects: Path | None = None
    wells: Path | None = None
    diameter: float | None = None
    ring: float | None = None
    reach: float | None = None
    motion: float | None = None
    gap: int = 1
    follow: bool = True
    pixel_size: float | None = None
    interval: float | None = None
    parquet: bool = False
    workers: int = 1
    overwrite: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field(Input):
    """One field, what it becomes, and what was said of it.

    Attributes:
        source: Its images.
        well: Where it was taken.
        objects: Label image or table of another program; None: nuclei are found.
    """

    source: Source
    well: Well
    objects: Path | None


def measure_predictions(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only field failed; nothing was written.
    """
    if request.parquet:
        arrow()
    sources = find_sources(request.inputs)
    names = [source.name for source in sources]
    wells = {} if request.wells is None else read_wells(request.wells, names)
    objects = _objects(request.objects, names)
    fields = [
        Field(
            name=source.name,
            path=source.path,
            files=files_of(request.out, source.name),
            source=source,
            well=well_of(source.name, source.place, wells, request.wells),
            objects=objects.get(source.name),
        )
        for source in sources
    ]
    tables = [CELLS, WELLS, CONDITIONS, TRACKS, REPORT] + [PARQUET] * request.parquet
    read = [path for source in sources for path in source.images.values()]
    check_files(
        request.out,
        [(field.path, field.files) for field in fields],
        overwrite=request.overwrite,
        resume=request.resume,
        tables=[request.out / name for name in tables],
        also_read=[*read, *objects.values(), *([request.wells] if request.wells else [])],
    )
    return run_side_by_side(
        fields,
        request,
        "isl measure",
        functools.partial(_measure, request=request),
        functools.partial(_write_tables, request=request),
        what="fields",
    )


def _objects(given: Path | None, names: Sequence[str]) -> dict[str, Path]:
    """The label image or table of every field: a file for the only one, or a folder by name.

    Raises:
        InputError: There is none for some field.
    """
    if given is None:
        return {}
    if given.is_file():
        if len(names) > 1:
            raise InputError(
                f"{given}: is one file, and there are {len(names)} fields; give a folder that "
                "holds a file of each field's name"
            )
        return {names[0]: given}
    if not given.is_dir():
        raise InputError(f"{given}: there is no such file or folder")
    found = {}
    for name in names:
        # As the tools name what they make of NAME: cellpose NAME_cp_masks.png, and so on.
        fitting = [
            path
            for ending in (*ENDINGS, ".csv")
            for stem in (name, f"{name}_cp_masks", f"{name}_masks", f"{name}_labels")
            if (path := given / f"{stem}{ending}").is_file()
        ]
        if len(fitting) != 1:
            many = " and ".join(path.name for path in fitting[:2])
            raise InputError(
                f"{given}: holds {many or 'no label image or table'} of '{name}'; give one named "
                f"{name}.tif, .png, .npy or .csv"
            )
        found[name] = fitting[0]
    return found


def _measure(field: Field, *, request: Request) -> str:
    """Measures a field and writes its files, unless that was done before."""
    began = time.monotonic()
    source_hash = _hash_of(field)
    settings = _settings(field, request)
    model = "" if field.source.record is None else field.source.record["model"]["sha256"]
    same = {"model_hash": model, "settings": settings, "source_hash": source_hash}
    if field.files.done_before(field.path, request, "isl measure", **same):
        return "done before"
    with warnings_logged("isl") as heard, OpenedSource(field.source) as opened:
        stated(opened, request.pixel_size, request.interval)
        # Label images of a movie may be tracked already; what they are is known once they are read.
        if opened.frames > 1 and request.follow and not _has_label_images(field):
            linker()
        with written_together(field.files) as staged:
            made = _written(field, opened, request, staged, settings, source_hash, began, heard)
    return sentence(made)


def _written(
    field: Field,
    opened: OpenedSource,
    request: Request,
    staged: ResultFiles,
    settings: Mapping[str, Any],
    source_hash: str,
    began: float,
    heard: Sequence[str],
) -> dict[str, Any]:
    nuclei = nuclear_label(opened.labels, request.nuclei, field.path)
    dead = dead_label(opened.labels, request.dead, field.path)
    lengths = _Lengths(request, opened, field.path)
    warnings = _warnings(field, opened, nuclei)
    shape = (opened.frames, *opened.size)
    given = None
    if field.objects is not None and _has_label_images(field):
        stored = read_label_image(field.objects)
        given, numbered = checked_labels(stored, shape, source=field.objects)
        warnings += remarks_on(given, numbered, what="cell")
    with PlaneFile(staged.record.parent, shape, "int32") as kept:
        columns: list[Columns] = []
        for t in range(opened.frames):
            frame = opened.frame(t)
            if given is not None:
                labels = given[t]
            else:
                labels = _found(field, opened, frame.intensities[nuclei], nuclei, lengths, warnings)
            _keep(kept, t, labels)
            columns.append(
                measure_objects(
                    labels,
                    frame,
                    nuclei=nuclei,
                    dead=dead,
                    ring=lengths.ring,
                    reach=lengths.reach,
                )
            )
        numbers = _identities(
            kept, columns, lengths, request, tracked=given is not None, warnings=warnings
        )
        for warning in warnings:
            logger.warning("%s: %s", field.path, warning)
        together = _together(columns, numbers)
        lookup = [_lookup(own["cell"], given) for own, given in zip(columns, numbers, strict=True)]
        made = record(
            field.source,
            opened,
            together,
            well=field.well,
            nuclei=nuclei,
            dead=dead,
            settings=settings,
            source_hash=source_hash,
            files=field.files,
            warnings=said_of(field.path, heard),
            seconds=time.monotonic() - began,
        )

        def read(t: int, rows: slice, columns: slice) -> np.ndarray:
            return lookup[t][kept.read(t, rows, columns)]

        highest = max((int(each.max(initial=0)) for each in numbers), default=0)
        dtype = np.dtype(np.uint16 if highest <= _MOST_IN_INTEGERS else np.float32)
        write_ome_tiff(staged.images["cells"], as_picture(field.source, opened, read, dtype))
        _draw(staged.preview, made, opened, nuclei, read)
        staged.record.write_text(as_json(made), encoding="utf-8")
    return made


class _Lengths:
    """What was said in micrometres, in pixels."""

    def __init__(self, request: Request, opened: OpenedSource, source: Path) -> None:
        size = opened.pixel_size
        self.size = size
        self.pixel = None if size is None else size.side
        self.diameter = request.diameter
        said = {
            "diameter": request.diameter,
            "ring": request.ring,
            "reach": request.reach,
            "motion": request.motion,
        }
        for name, value in said.items():
            if value is not None and self.pixel is None:
                raise InputError(
                    f"{source}: does not say how large a pixel is, which `{name}={value:g}` needs; "
                    "give `pixel_size=UM` too"
                )
        self.ring = 0 if request.ring is None else max(1, round(self._pixels(request.ring)))
        self.reach = None if request.reach is None else self._pixels(request.reach)
        self.motion = None if request.motion is None else self._pixels(request.motion)

    def _pixels(self, micrometres: float) -> float:
        return micrometres / (self.pixel or 1.0)


def _found(
    field: Field,
    opened: OpenedSource,
    image: np.ndarray,
    nuclei: str,
    lengths: _Lengths,
    warnings: list[str],
) -> np.ndarray:
    """The objects of one frame in its image of nuclei, int32 [Y, X]."""
    if field.objects is None:
        return segment_nuclei(image, pixel_size=lengths.size, diameter=lengths.diameter)
    if opened.frames > 1:
        raise InputError(f"{field.objects}: is a table of one image, and {field.path} is a movie")
    points = read_points(field.objects, size=opened.size)
    labels = segment_at(image, points.yx)
    lost = len(points.yx) - len(np.unique(labels[labels > 0]))
    if lost and lost == len(points.yx):
        raise InputError(
            f"{field.objects}: none of its {lost} points lies where {nuclei} has foreground; are "
            "they pixels of this image? Save them in pixels (Fiji: Image > Properties, unit pixel)"
        )
    if lost:
        warnings.append(
            f"{lost} of {len(points.yx)} points of {field.objects.name} lie where {nuclei} has no "
            "foreground, and were left out"
        )
    return labels


def _keep(kept: PlaneFile, t: int, labels: np.ndarray) -> None:
    rows, columns = (np.arange(length) for length in labels.shape)
    kept.write(t, rows, columns, labels)


def _has_label_images(field: Field) -> bool:
    return field.objects is not None and field.objects.suffix.lower() != ".csv"


def _identities(
    kept: PlaneFile,
    columns: Sequence[Columns],
    lengths: _Lengths,
    request: Request,
    *,
    tracked: bool,
    warnings: list[str],
) -> list[np.ndarray]:
    """The number of every object of every frame: over time where cells are followed.

    Of label images (`tracked`) in which whatever overlaps from frame to frame has one number, the
    numbers are identities already: they stay, whatever is missing for how long.
    """
    if len(columns) == 1 or not request.follow:
        return [own["cell"] for own in columns]
    same = list(_same(kept, columns))
    if tracked:
        numbers = [own["cell"] for own in columns]
        pairs = [
            (numbers[t][one], numbers[t + 1][other])
            for t, overlaps in enumerate(same)
            for one, other in overlaps
        ]
        if pairs and all(one == other for one, other in pairs):
            warnings.append("cells keep their numbers, which are the same from frame to frame")
            return numbers
    linker()
    diameters = np.concatenate([own["diameter"] for own in columns])
    motion = lengths.motion or (float(np.median(diameters)) if len(diameters) else 1.0)
    centers = [np.stack([own["y"], own["x"]], axis=1) for own in columns]
    return follow(centers, same, reach=motion, gap=request.gap)


def _same(kept: PlaneFile, columns: Sequence[Columns]) -> Iterator[list[tuple[int, int]]]:
    """Objects that overlap from frame to frame, as indices."""
    everything = slice(None)
    before = kept.read(0, everything, everything)
    for t in range(1, len(columns)):
        after = kept.read(t, everything, everything)
        places = [{int(n): i for i, n in enumerate(columns[u]["cell"])} for u in (t - 1, t)]
        yield [
            (places[0][one], places[1][other]) for one, other in overlapping(before, after).items()
        ]
        before = after


def _together(columns: Sequence[Columns], numbers: Sequence[np.ndarray]) -> Columns:
    """Columns of all frames, with `time` first and identities in place of numbers."""
    times = np.concatenate([np.full(len(n), t) for t, n in enumerate(numbers)])
    names = max((list(own) for own in columns), key=len)
    found: Columns = {"time": times.astype(int)}
    for name in names:
        found[name] = np.concatenate(
            [own.get(name, np.full(len(own["cell"]), np.nan)) for own in columns]
        )
    found["cell"] = np.concatenate(numbers).astype(int)
    for name in ("border", "dead"):
        if name in found:
            found[name] = found[name].astype(int)
    return found


def _lookup(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """By an object's number in its frame, its identity."""
    table = np.zeros(int(before.max(initial=0)) + 1, np.int64)
    table[before] = after
    return table


def _draw(
    path: Path, made: Mapping[str, Any], opened: OpenedSource, nuclei: str, read: Any
) -> None:
    everything = slice(None)
    cells = cell_rows(made)
    frames, titles = {}, {}
    for t in sorted({0, (opened.frames - 1) // 2, opened.frames - 1}):
        own = [cell for cell in cells if cell["time"] == t]
        image = opened.frame(t).intensities[nuclei]
        frames[t] = outlined(image, read(t, everything, everything), own)
        titles[t] = f"{nuclei}: {len(own)} cells" + (f", frame {t}" if opened.frames > 1 else "")
    write_outlines(path, frames, titles, shown_pixel(opened.pixel_size, opened.size))


def _warnings(field: Field, opened: OpenedSource, nuclei: str) -> list[str]:
    found = []
    if opened.pixel_size is None:
        found.append("the pixel size is not known: lengths and areas are given in pixels only")
    if field.source.record is None:
        found.append(
            "not predicted by isl: intensities are measured as they are, without uncertainty"
        )
    elif not {"standard_deviation", "interval_90"} & set(field.source.images):
        found.append(
            "predicted without uncertainty; predict with `statistics=mean,standard_deviation`"
        )
    if field.source.record is not None:
        found += [f"prediction: {warning}" for warning in field.source.record.get("warnings", [])]
    return found


def _hash_of(field: Field) -> str:
    """Of all images that are read."""
    digest = hashlib.sha256()
    for path in (*dict.fromkeys(field.source.images.values()), field.objects):
        if path is not None:
            digest.update(content_hash(path).encode())
    return digest.hexdigest()


def _settings(field: Field, request: Request) -> dict[str, Any]:
    """Everything but the images that changes a result."""
    return {
        "nuclei": request.nuclei,
        "dead": request.dead,
        "objects": None if field.objects is None else field.objects.name,
        "well": field.well.well,
        "condition": field.well.condition,
        "diameter": request.diameter,
        "ring": request.ring,
        "reach": request.reach,
        "motion": request.motion,
        "gap": request.gap,
        "follow": request.follow,
        "pixel_size": request.pixel_size,
        "interval_minutes": request.interval,
    }


def _write_tables(done: Sequence[Field], failed: Mapping[str, str], request: Request) -> None:
    """The tables and the report, from the records and pictures of all that are done."""
    out = request.out
    made = [field.files.read_record() for field in done]
    cells = [row for each in made for row in cell_rows(each)]
    columns = columns_of(cells)
    wells = well_rows(cells, [row for each in made for row in field_rows(each)], columns)
    conditions = condition_rows(wells, columns)
    write_table(out / CELLS, cells, _EMPTY)
    write_table(out / WELLS, wells)
    write_table(out / CONDITIONS, conditions)
    if movies := [each for each in made if each["frames"] > 1 and request.follow]:
        write_table(out / TRACKS, [row for each in movies for row in track_rows(each)])
    if request.parquet:
        write_parquet(out / PARQUET, cells, _EMPTY)
    page = measure_page(
        [
            FieldPictures(made=each, outlines=field.files.preview.read_bytes())
            for each, field in zip(made, done, strict=True)
        ],
        failed,
        wells=wells,
        conditions=conditions,
        distributions=_distributions(cells, made[0]["nuclei"]),
    )
    write_text(out / REPORT, page, overwrite=True)
    print(f"look at {out / REPORT}", file=sys.stderr)


def _distributions(cells: Sequence[Row], nuclei: str) -> bytes | None:
    whole = [cell for cell in cells if not cell["border"]]
    if not whole:
        return None
    area = "area_um2" if "area_um2" in whole[0] else "area_pixels"
    measures = {
        area: f"area ({'um2' if area == 'area_um2' else 'pixels'})",
        nuclei: f"mean {nuclei}",
        "eccentricity": "eccentricity",
        "certainty": "certainty",
    }
    present = {name: text for name, text in measures.items() if name in whole[0]}
    return draw_distributions(whole, present)
