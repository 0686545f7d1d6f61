"""A z-stack or a movie in, statistics of every label's distribution at every pixel out."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from isl.devices import keep_programs
from isl.errors import unknown
from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
from isl.imaging.inputs.stated import as_stack
from isl.imaging.normalize import PlaneNormalization
from isl.imaging.resample import resample
from isl.labeling.abstention import abstaining
from isl.labeling.contract import compare_intensity
from isl.labeling.familiarity import Unfamiliarity, look_at
from isl.labeling.medians import named_median
from isl.labeling.mixture import AnyModel
from isl.labeling.options import Asked, Options, check_options
from isl.labeling.plan import FieldPlan, plan_field
from isl.labeling.renormalize import Renormalization, plan_renormalization, renormalized
from isl.labeling.source import TransmittedField, field_of, measure
from isl.labeling.stream import predict_tiles
from isl.tiling.stream import Progress, Sink

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """All there is to know of a prediction but its pixels.

    Attributes:
        name: Name of the field.
        labels: L names.
        offset: Row and column of the input at which the result's pixel (0, 0) lies.
        pixel_size: Micrometres, the input's; or None.
        interval: Minutes between frames; or None.
        times: Minutes of each frame since the first, or None where none has a time of its own.
        planes: The planes used; 1.25 is a quarter of the way from plane 1 to plane 2.
        normalization: What was done to each plane, one tuple a time point (a z-stack has one).
        renormalization: What `renormalize` did, empty where it was not asked for.
        tiles: Number of tiles a time point, and what each read (Y, X).
        tile_size: Y, X of what every tile read.
        options: What was asked for.
        warnings: Everything about the input that differs from what the model expects.
        familiarity: How far the field is from the training ground; None: the model does not say
            what it learned from, the field is too small to tell, or a plane stands for several.
        source: The file or folder predicted.
    """

    name: str
    labels: tuple[str, ...]
    offset: int
    pixel_size: PixelSize | None
    interval: float | None
    times: tuple[float, ...] | None
    planes: tuple[float, ...]
    normalization: tuple[tuple[PlaneNormalization, ...], ...]
    renormalization: tuple[Renormalization, ...]
    tiles: int
    tile_size: tuple[int, int]
    options: Options
    warnings: tuple[str, ...]
    familiarity: Unfamiliarity | None = None
    source: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction(Outcome):
    """What a model says about one field.

    Attributes:
        statistics: For every statistic asked for, in that order, float32 [L, Y, X] in [0, 1], or
            [T, L, Y, X] for a movie.
    """

    statistics: Mapping[str, np.ndarray]

    def image(self, statistic: str | None = None) -> FluorescenceImage:
        """One statistic, the first by default, as a fluorescence image."""
        name = statistic or next(iter(self.statistics))
        if name not in self.statistics:
            raise unknown("statistic", name, self.statistics)
        return FluorescenceImage(
            name=self.name,
            channels=self.statistics[name],
            labels=self.labels,
            pixel_size=self.pixel_size,
            interval=self.interval,
            times=self.times,
            source=self.source,
        )


def predict(
    model: AnyModel,
    stack: ZStack | Movie | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    z_step: float | None = None,
    modality: str | None = None,
    progress: Progress | None = None,
    **asked: Unpack[Asked],
) -> Prediction:
    """Predicts fluorescence from transmitted light, in tiles.

    Args:
        model: A loaded model, or several (`isl.labeling.model.Ensemble`).
        stack: As stored; it is normalized here. An array of uint8, uint16 or floats is a z-stack
            [Z, Y, X], a plane [Y, X] or a movie [T, Z, Y, X], unless `axes` says what it is. A path
            is read.
        axes: As in `isl.imaging.inputs.stated.as_stack`, as what follows.
        channel: The transmitted channel, where a file has several.
        pixel_size: Micrometres.
        z_step: Micrometres between planes.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        progress: Called with the number of tiles done, and of all.
        **asked: Labels, statistics, tiles and so on by the names of `isl.labeling.options.Options`,
            which says what each is.

    Raises:
        InputError: An option or the image does not fit the model.
    """
    keep_programs()
    options = check_options(model.config, **asked)
    image = as_stack(
        stack,
        axes=axes,
        channel=channel,
        pixel_size=pixel_size,
        z_step=z_step,
        modality=modality,
    )
    return predict_field(model, image, options, progress)


def predict_field(
    model: AnyModel,
    stack: ZStack | Movie | TransmittedField,
    options: Options,
    progress: Progress | None = None,
    *,
    budget: int | None = None,
) -> Prediction:
    """`predict`, with options that were checked before.

    Args:
        model: As in `predict`.
        stack: What is predicted; pixels of a field need not be in memory, results are.
        options: What is predicted of it.
        progress: As in `predict`.
        budget: Bytes that it may take, but for its results; None: as many as it likes.
    """
    field = stack if isinstance(stack, TransmittedField) else field_of(stack)
    plan = plan_field(model.config, field, options, budget=budget)
    normalization = measure(field, plan.fit.planes, options.normalize, unit=options.normalized_by)
    size = field.size if plan.fit.scale else plan.tiles.output_size
    values, write = _arrays(options.statistics, (field.shape[0], len(options.labels), *size))
    plan = predict_into(write, model, field, plan, options, normalization, progress)
    renormalization: tuple[Renormalization, ...] = ()
    if options.renormalize:
        renormalization = plan_renormalization(
            lambda statistic, t, label, rows: values[statistic][t, label, rows],
            next(iter(values.values())).shape,
            values,
            options.labels,
            model.config.label_statistics,
        )
        for done in renormalization:
            image = values[done.statistic][:, options.labels.index(done.label)]
            image[:] = renormalized(image, done)
    if options.original_unit:
        for name, images in values.items():
            for index, label in enumerate(options.labels):
                if label in model.config.label_scale:
                    scale = model.config.label_scale[label]
                    images[:, index] = scale.original(images[:, index], name)
    facts = outcome(model, field, plan, options, normalization, renormalization)
    return Prediction(
        **{name.name: getattr(facts, name.name) for name in dataclasses.fields(facts)},
        statistics=values if field.movie else {name: value[0] for name, value in values.items()},
    )


def predict_into(
    sink: Sink,
    model: AnyModel,
    field: TransmittedField,
    plan: FieldPlan,
    options: Options,
    normalization: Sequence[Sequence[PlaneNormalization]],
    progress: Progress | None = None,
) -> FieldPlan:
    """Predicts a field at its own pixel size; see `isl.labeling.stream.predict_tiles`."""
    sink = named_median(abstaining(sink, options.statistics, options.abstain))
    if plan.fit.scale is None:
        return predict_tiles(model, field, plan, options, normalization, sink, progress)
    # Resampling needs results whole, as it does the image.
    shape = (field.shape[0], len(options.labels), *plan.tiles.output_size)
    values, write = _arrays(options.from_distributions, shape)
    plan = predict_tiles(model, field, plan, options, normalization, write, progress)
    rows, columns = map(np.arange, field.size)
    for name, frames in values.items():
        for t, frame in enumerate(frames):
            sink(name, t, rows, columns, resample(frame, field.size))
    return plan


def _arrays(
    statistics: Sequence[str], shape: tuple[int, int, int, int]
) -> tuple[dict[str, np.ndarray], Sink]:
    """float32 [T, L, Y, X] for every statistic, and what writes to them."""
    values = {name: np.empty(shape, np.float32) for name in statistics}

    def write(
        statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray
    ) -> None:
        values[statistic][t][:, rows[:, None], columns] = pixels

    return values, write


def outcome(
    model: AnyModel,
    field: TransmittedField,
    plan: FieldPlan,
    options: Options,
    normalization: tuple[tuple[PlaneNormalization, ...], ...],
    renormalization: tuple[Renormalization, ...],
) -> Outcome:
    """What is known once a field is predicted; warnings are logged."""
    warnings = plan.fit.warnings + compare_intensity(
        [plane for planes in normalization for plane in planes],
        model.config.input,
        normalize=options.normalize,
    )
    familiarity = familiarity_of(model, field, plan, normalization[0])
    warnings += unlike_warnings(model, familiarity)
    for warning in warnings:
        logger.warning("%s: %s", field.source or field.name, warning)
    return Outcome(
        name=field.name,
        labels=options.labels,
        offset=plan.tiles.offset,
        pixel_size=field.pixel_size,
        interval=field.interval,
        times=field.times,
        planes=plan.fit.planes,
        normalization=normalization,
        renormalization=renormalization,
        tiles=len(plan.tiles),
        tile_size=plan.tiles.tile_size,
        options=options,
        warnings=warnings,
        familiarity=familiarity,
        source=field.source,
    )


def familiarity_of(
    model: AnyModel,
    field: TransmittedField,
    plan: FieldPlan,
    records: Sequence[PlaneNormalization],
) -> Unfamiliarity | None:
    """How far a field is from the training ground: of several models, from the strangest one's.

    Args:
        model: A loaded model, or several.
        field: Windows of it are read.
        plan: How it is predicted.
        records: How its planes are normalized; of a movie, those of the first time point.

    Returns:
        None where no model says what it learned from, the field is too small to tell, or a plane
        stands for several: training ground is described by all planes.
    """
    if len(set(plan.fit.planes)) < len(plan.fit.planes):
        return None
    found = [
        look_at(
            member.config.familiarity, field, records, plan.fit.scale, plane_loss=member.plane_loss
        )
        for member in model.members
        if member.config.familiarity is not None
    ]
    known = (each for each in found if each is not None)
    return max(known, key=lambda each: each.score / each.limit, default=None)


def unlike_warnings(model: AnyModel, familiarity: Unfamiliarity | None) -> tuple[str, ...]:
    """What a person is told of a field that is unlike the training ground."""
    if familiarity is None or not familiarity.unlike:
        return ()
    return (f"is unlike what model '{model.config.name}' learned from: {familiarity.reason}",)
