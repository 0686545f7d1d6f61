"""One field through a model: opened, predicted on disk, and written whole."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.files.records import as_json
from isl.imaging.formats.imagej_tiff import check_fits_imagej, write_imagej
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import PixelSize
from isl.imaging.inputs.read import open_transmitted
from isl.imaging.inputs.stated import Stated
from isl.imaging.inputs.steady import SteadyInput, content_hash
from isl.imaging.lazy import LazyPicture
from isl.imaging.outputs.results import Input, ResultFiles, written_together
from isl.labeling.abstention import ABSTAINED
from isl.labeling.flicker import Flicker, flicker_of_input
from isl.labeling.label_scale import LabelScale
from isl.labeling.mixture import AnyModel
from isl.labeling.options import Options
from isl.labeling.plan import FieldPlan, plan_field, width_of
from isl.labeling.predict import Outcome, outcome, predict_into
from isl.labeling.run.preview import preview_panels
from isl.labeling.run.provenance import Call, record
from isl.labeling.run.stored import StoredPrediction, thinned_plane, thinning
from isl.labeling.source import TransmittedField, field_of_picture, held, measure
from isl.report.preview import write_preview
from isl.tiling.stream import Progress
from isl.warned import said_of, warnings_logged

# Shown in every preview beside the prediction.
UNCERTAINTY = "standard_deviation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field(Input):
    """One field, and the files it becomes.

    Attributes:
        batch: How many tiles are to be predicted together; None: as planned.
    """

    batch: int | None = None


def predict_one(
    field: Field, model: AnyModel, call: Call, device: str, budget: int, progress: Progress
) -> dict[str, Any]:
    """Predicts one field and writes its files, all of them or none.

    Args:
        field: What, and where to.
        model: A loaded model, or several.
        call: How, as it is recorded.
        device: Its name, for the record.
        budget: Bytes that pixels may take.
        progress: Called with the number of tiles done, and of all.

    Returns:
        The record written; see `isl.labeling.run.provenance.record`.

    Raises:
        InputError: The field cannot be read, predicted or written, or changed in the meantime.
    """
    started = time.monotonic()
    source = SteadyInput(field.path)
    options = with_uncertainty(call.options)
    with (
        warnings_logged("isl") as warnings,
        _within_memory(field),
        opened_field(field.path, call.stated) as opened,
    ):
        plan = plan_field(model.config, opened, options, budget=budget)
        plan = dataclasses.replace(plan, batch=field.batch or plan.batch)
        if field.files.format == "imagej":
            check_fits_imagej(field.path, _shape(opened, plan, options), call.dtype)
        pixels = held(opened, plan.fit.planes) if plan.hold else opened
        normalization = measure(
            pixels,
            plan.fit.planes,
            options.normalize,
            plan.window or 0,
            unit=options.normalized_by,
        )
        with (
            written_together(field.files) as staged,
            _results(staged.record.parent, opened, plan, call, model.config.label_scale) as results,
        ):
            plan = predict_into(
                results.write, model, pixels, plan, options, normalization, progress
            )
            if options.renormalize:
                results.renormalize(model.config.label_statistics)
            made = outcome(model, pixels, plan, options, normalization, results.renormalization)
            _write_preview(staged.preview, pixels, made, results)
            changes = _flicker(pixels, made, results) if opened.movie else None
            abstained = None if options.abstain is None else results.share(ABSTAINED)
            _write_images(staged, field, opened, results, call)
            written = record(
                call,
                dataclasses.replace(made, warnings=said_of(field.path, warnings)),
                field.files,
                source=field.path,
                source_hash=source.sha256(),
                stored=as_read(opened),
                flicker=changes,
                abstained=abstained,
                width=width_of(model.config, options, plan),
                batch=plan.batch,
                images={name: content_hash(path) for name, path in staged.images.items()},
                device=device,
                seconds=time.monotonic() - started,
            )
            staged.record.write_text(as_json(written, indent=2), encoding="utf-8")
    return written


@contextmanager
def _within_memory(field: Field) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise InputError(
            f"{field.path}: does not fit into memory; give `memory` less than is free"
        ) from error


def with_uncertainty(options: Options) -> Options:
    """What is predicted: what was asked for, and what a preview shows."""
    wanted = tuple(dict.fromkeys((*options.statistics, UNCERTAINTY)))
    return dataclasses.replace(options, statistics=wanted)


@contextmanager
def opened_field(path: Path, stated: Stated) -> Iterator[TransmittedField]:
    """A field none of whose pixels are in memory, with what was said of it."""
    with opened_picture(path, stated) as (picture, index):
        field = field_of_picture(picture, index)
        yield dataclasses.replace(field, source=path, modality=stated.modality or field.modality)


@contextmanager
def opened_picture(path: Path, stated: Stated) -> Iterator[tuple[LazyPicture, int]]:
    """As `opened_field`: all channels, and which is the transmitted one."""
    picture, index = open_transmitted(path, axes=stated.axes, channel=stated.channel)
    with picture:
        yield stated.of(picture), index


def _results(
    folder: Path,
    field: TransmittedField,
    plan: FieldPlan,
    call: Call,
    scales: Mapping[str, LabelScale],
) -> StoredPrediction:
    options = call.options
    return StoredPrediction(
        folder,
        _shape(field, plan, options),
        labels=options.labels,
        pixel_types={name: call.pixel_type(name) for name in options.statistics},
        shown=(options.statistics[0], UNCERTAINTY),
        renormalize=options.renormalize,
        scales=scales if options.original_unit else {},
    )


def _shape(field: TransmittedField, plan: FieldPlan, options: Options) -> tuple[int, int, int, int]:
    """T, L, Y, X of what is predicted."""
    size = field.size if plan.fit.scale else plan.tiles.output_size
    return field.shape[0], len(options.labels), *size


def _flicker(field: TransmittedField, made: Outcome, results: StoredPrediction) -> Flicker:
    statistic, middle = made.options.statistics[0], len(made.planes) // 2
    size = results.shape[2:]
    return Flicker(
        statistic=statistic,
        plane=made.planes[middle],
        input=flicker_of_input(field, made.normalization, made.offset, size),
        labels=results.flicker(statistic),
    )


def _write_images(
    staged: ResultFiles,
    field: Field,
    opened: TransmittedField,
    results: StoredPrediction,
    call: Call,
) -> None:
    if staged.into:
        from isl.imaging.zarr.added_channels import add_channels

        (path,) = staged.images.values()
        statistics = call.options.statistics
        with (
            opened_picture(field.path, call.stated) as (measured, _),
            results.picture(statistics, opened) as predicted,
        ):
            annotations = _annotations(call, opened, ", ".join(statistics), staged.format)
            add_channels(path, measured, predicted, name=measured.name, annotations=annotations)
        return
    for statistic, path in staged.images.items():
        annotations = _annotations(call, opened, statistic, staged.format)
        with results.picture((statistic,), opened) as picture:
            if staged.format == "ome-tiff":
                write_ome_tiff(path, picture, annotations=annotations)
            elif staged.format == "imagej":
                write_imagej(path, picture, annotations=annotations)
            else:
                # Zarr is slow to import.
                from isl.imaging.zarr.picture import write_ome_zarr

                write_ome_zarr(path, picture, name=picture.name, annotations=annotations)


def _annotations(
    call: Call, field: TransmittedField, statistic: str, format: str
) -> Mapping[str, str]:
    annotations = {
        "model": call.model,
        "model_sha256": call.model_hash,
        "statistic": statistic,
        "renormalized": str(call.options.renormalize).lower(),
    }
    if call.options.original_unit:
        annotations["unit"] = "of the training images"
    if call.options.abstain is not None:
        annotations["abstained_above_interval_90"] = f"{call.options.abstain:g}"
    if format == "ome-zarr" and field.pixel_size is not None and field.pixel_size.z is not None:
        # An image without a z axis has no other place for it.
        annotations["z_step_of_input_in_micrometers"] = f"{field.pixel_size.z:g}"
    return annotations


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


def as_read(field: TransmittedField) -> Mapping[str, Any]:
    """What a field is, for people and records."""
    return {
        "axes": "TZYX" if field.movie else "ZYX",
        "shape": list(field.shape if field.movie else field.shape[1:]),
        "dtype": str(field.dtype),
        "channel": field.channel,
        "modality": field.modality,
    }
