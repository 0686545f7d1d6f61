"""The fields of a labeling experiment, normalized once and kept: in memory, or in files."""

import dataclasses
import functools
import itertools
import logging
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from isl.data.computed import Computed
from isl.data.splits import Split
from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.normalize import (
    PlaneNormalization,
    apply_normalization,
    chosen,
    measure_stack,
    normalize_label,
)
from isl.labeling.agreement import compare_fields, describe_experiments
from isl.labeling.dataset import Field, Manifest
from isl.labeling.familiarity import LearnedField, side_of_light
from isl.labeling.fields import LoadedField, load_field
from isl.labeling.label_scale import LabelScale, fit_label_scales, stretch
from isl.warned import warnings_logged

from ..ground_hash import hash_of
from .augment import AugmentConfig
from .crops import TrainingField, bounding_box
from .ground_part import part_of
from .kept import KeptLoadedField
from .store import GroundFacts, Place, Store, Writer, open_store, place_for, require_room
from .validation_field import ValidationField

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """All fields of an experiment.

    Attributes:
        labels: L names, the order of every label axis.
        planes: Z, the number of planes every field has.
        training: Fields to draw crops from.
        validation: Fields to judge on; may be empty.
        modality: What all fields have, or None.
        pixel_size: Micrometres, what all fields have, or None.
        training_groups: Whom the training fields belong to.
        validation_groups: Whom the validation fields belong to.
        label_scale: By label, what its targets 0 and 1 are; {}: the types' full scale, or
        label_scales: By experiment and label, the same, where there are several experiments.
        experiments: Of several experiments, a line each: what they are like.
        kept_in: The folder whose files hold the fields; None: memory does.
        sha256: Of all pixels as they are stored, and of where they count for what.
    """

    labels: tuple[str, ...]
    planes: int
    training: tuple[TrainingField, ...]
    validation: tuple[ValidationField, ...]
    modality: str | None
    pixel_size: PixelSize | None
    training_groups: tuple[str, ...] = ()
    validation_groups: tuple[str, ...] = ()
    label_scale: Mapping[str, LabelScale] = dataclasses.field(default_factory=dict)
    label_scales: Mapping[str, Mapping[str, LabelScale]] = dataclasses.field(default_factory=dict)
    experiments: tuple[str, ...] = ()
    kept_in: Path | None = None
    sha256: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the training fields."""
        return sum(field.nbytes for field in self.training)

    @functools.cached_property
    def side_of_light(self) -> tuple[float, float] | None:
        """Where light comes from in the training images; see `isl.labeling.familiarity`.

        All that training may look at says so, whatever of it is labeled.
        """

        def visible(index: int) -> LearnedField:
            field = self.training[index]
            return field.looked_at(field.visible)

        return side_of_light(Computed(visible, len(self.training)))

    def settled(self, augment: AugmentConfig) -> AugmentConfig:
        """What happens to crops of this ground."""
        if "auto" not in (augment.flip, augment.rotate):
            return augment
        return augment.settled(one_sided=self.side_of_light is not None)

    def lines(self) -> list[str]:
        """Every field in words: split, planes, size, and how much of which label is measured."""
        said = []
        for field in self.training:
            size = "x".join(map(str, field.transmitted.shape[:2]))
            shares = field.measured.mean(axis=(0, 1))
            said.append(f"train {field.name}: {self.planes} x {size}, {self._measured(shares)}")
        for held in self.validation:
            size = "x".join(map(str, held.targets.shape[1:]))
            shares = held.measured.mean(axis=(1, 2))
            said.append(f"validation {held.name}: {self.planes} x {size}, {self._measured(shares)}")
        return said

    def _measured(self, shares: np.ndarray) -> str:
        known = zip(self.labels, shares, strict=True)
        return "measured " + ", ".join(f"{label} {share:.0%}" for label, share in known if share)

    def part(self, share: float, seed: int) -> "Ground":
        """With labels on a share of every training field only; see `part_of`."""
        fields = (
            part_of(field, share, np.random.default_rng([seed, index]))
            for index, field in enumerate(self.training)
        )
        return dataclasses.replace(self, training=tuple(fields))


def with_planes(
    manifest: Manifest, planes: tuple[int, ...] | None, planes_of: int | None = None
) -> Manifest:
    """The dataset with other planes.

    Args:
        manifest: The dataset.
        planes: Which planes of every field to take; None: those that it names itself.
        planes_of: How many planes every field must have, or it is refused when it is read; None:
            any number.

    Raises:
        InputError: Fields name planes of their own, and not the same ones: no choice fits all.
    """
    if planes is None and planes_of is None:
        return manifest
    own = {field.planes: field.name for field in manifest.fields}
    if planes is not None and len(own) > 1:
        one, other = list(own.values())[:2]
        raise InputError(
            f"{manifest.path or 'the dataset'}: fields name planes of their own, {one} others than "
            f"{other}; leave the experiment's planes out, or the fields'"
        )
    update = {"planes_of": planes_of} | ({} if planes is None else {"planes": planes})
    fields = (field.model_copy(update=update) for field in manifest.fields)
    return dataclasses.replace(manifest, fields=tuple(fields))


def load_ground(
    manifest: Manifest,
    labels: Sequence[str] | None = None,
    normalization: str = "auto",
    label_scale: tuple[float, float] | None = None,
    label_moments: tuple[float, float] | None = None,
    memory: int | None = None,
) -> Ground:
    """Reads and normalizes every field that training or validation looks at.

    Args:
        manifest: The dataset.
        labels: Labels to learn; None: every label some training or validation field holds.
        normalization: The rule for transmitted planes, "auto" or "off".
        label_scale: Percentiles that become 0 and 1; None: the types' full scale.
        label_moments: Mean and deviation that labels are brought to; None: likewise.
        memory: Bytes that all fields may take together; what would take more is kept in files,
            for the next run, too, and never in memory together. None: as many as it takes.

    Raises:
        InputError: A file cannot be read, a label is unknown, fields differ in their number of
            planes, or nothing is measured on the training ground; files cannot be kept; or as in
            `compare_fields`.
    """
    if labels is not None:
        manifest.require_labels(labels)
    wanted = tuple(labels) if labels is not None else manifest.labels()
    used = {field.name: field for split in _SPLITS for field in manifest.fields_for(split)}
    source = manifest.path or "the dataset"
    if not manifest.fields_for("train"):
        raise InputError(f"{source}: no field has split 'train'; training needs one")
    rule = _Rule(wanted, normalization, label_scale, label_moments, source)
    if memory is None:
        return _in_memory([load_field(field, wanted) for field in used.values()], rule)
    stated = tuple(used.values())
    settings = (wanted, normalization, label_scale, label_moments)
    with place_for(stated, settings) as place:
        store = open_store(place.store)
        if store is None or store.in_memory <= memory:
            return _read_anew(memory, stated, rule, place)
        for warning in store.warnings:
            logger.warning("%s", warning)
        return _of_store(store)


@dataclasses.dataclass(frozen=True)
class _Rule:
    """What is made of pixels as they are stored; see `load_ground`."""

    wanted: tuple[str, ...]
    normalization: str
    label_scale: tuple[float, float] | None
    label_moments: tuple[float, float] | None
    source: object


_Parts = tuple[TrainingField | None, ValidationField | None]


def _read_anew(memory: int, stated: Sequence[Field], rule: _Rule, place: Place) -> Ground:
    """All fields: in memory if they fit there, or in a store that is made of them."""
    with warnings_logged("isl", "isl_train") as warnings:
        fields = _read_within(memory, stated, rule.wanted, place)
        if not any(isinstance(field, KeptLoadedField) for field in fields):
            return _in_memory(fields, rule)
        facts, parts = _survey(fields, rule)
        require_room(place.staging, sum(map(_bytes_in_files, fields)))
        writer = Writer(place.staging / "fields")
        for training, validation in parts:
            writer.add(training, validation)
    place.check_unchanged()
    shutil.rmtree(place.store, ignore_errors=True)
    in_memory = sum(map(_bytes_in_memory, fields))
    return _of_store(writer.finish(place.store, facts, in_memory=in_memory, warnings=warnings))


def _read_within(
    memory: int, stated: Sequence[Field], wanted: Sequence[str], place: Place
) -> list[LoadedField]:
    """All fields as they are stored: in memory if they fit there normalized, or all in files."""
    fields: list[LoadedField] = []
    total, fits = 0, True
    for field in stated:
        fields.append(load_field(field, wanted))
        total += _bytes_in_memory(fields[-1])
        fits = fits and total <= memory
        if not fits:
            folder = place.staging / "read"
            fields = [_in_a_file(each, folder / str(number)) for number, each in enumerate(fields)]
    return fields


def _in_a_file(field: LoadedField, folder: Path) -> KeptLoadedField:
    """As it is if it lies in a file already."""
    return field if isinstance(field, KeptLoadedField) else KeptLoadedField(field, folder)


def _bytes_in_memory(field: LoadedField) -> int:
    """Of a field once it is normalized, with the table that crops are counted by."""
    labels, (planes, *size) = len(field.labels.labels), field.transmitted.planes.shape
    sides = 1 if field.validation_region is None else 2
    return math.prod(size) * sides * (_FLOAT * (planes + labels) + labels + 1 + _COUNT)


def _bytes_in_files(field: LoadedField) -> int:
    labels, (planes, *size) = len(field.labels.labels), field.transmitted.planes.shape
    sides = 1 if field.validation_region is None else 2
    return math.prod(size) * (_FLOAT * planes + sides * (_FLOAT + 1) * labels + 1)


def _in_memory(fields: Sequence[LoadedField], rule: _Rule) -> Ground:
    facts, parts = _survey(fields, rule)
    both = list(parts)
    return _ground(
        facts,
        tuple(training for training, _ in both if training is not None),
        tuple(validation for _, validation in both if validation is not None),
    )


def _of_store(store: Store) -> Ground:
    return _ground(store.facts, store.training(), store.validation(), kept_in=store.folder)


def _ground(
    facts: GroundFacts,
    training: tuple[TrainingField, ...],
    validation: tuple[ValidationField, ...],
    kept_in: Path | None = None,
) -> Ground:
    size = None
    if facts.pixel_size is not None:
        y, x, z = facts.pixel_size
        size = PixelSize(y=y, x=x, z=z)
    return Ground(
        labels=facts.labels,
        planes=facts.planes,
        training=training,
        validation=validation,
        modality=facts.modality,
        pixel_size=size,
        training_groups=facts.training_groups,
        validation_groups=facts.validation_groups,
        label_scale=facts.label_scale,
        label_scales=facts.label_scales,
        experiments=facts.experiments,
        kept_in=kept_in,
        sha256=facts.sha256,
    )


def _survey(fields: Sequence[LoadedField], rule: _Rule) -> tuple[GroundFacts, Iterator[_Parts]]:
    """What must be known of all fields before any is normalized, and then one after the other."""
    source = rule.source
    for field in fields:
        _check_planes(fields[0], field, source)
    scales = _scales(fields, rule.label_scale, rule.label_moments, source)
    records = _records(fields, rule.normalization)
    several = len(scales) > 1
    one = {} if several else next(iter(scales.values()))
    for warning in compare_fields(fields, source, one):
        logger.warning("%s", warning)
    if not any(field.measured_for("train").any() for field in fields):
        raise InputError(f"{source}: no label is measured anywhere on the training ground")
    size = _common([field.transmitted.pixel_size for field in fields])
    facts = GroundFacts(
        labels=rule.wanted,
        planes=fields[0].transmitted.planes.shape[0],
        modality=_common([field.transmitted.modality for field in fields]),
        pixel_size=None if size is None else (size.y, size.x, size.z),
        training_groups=_groups(field for field in fields if field.split == "train"),
        validation_groups=_groups(
            field for field in fields if field.measured_for("validation").any()
        ),
        label_scale=one,
        label_scales=scales if several and any(scales.values()) else {},
        experiments=describe_experiments(fields) if several else (),
        sha256=hash_of(itertools.chain.from_iterable(map(_stored, fields))),
    )
    return facts, _normalized(fields, rule, records, scales)


def _stored(field: LoadedField) -> Iterator[np.ndarray]:
    """What a field's hash is of."""
    yield field.transmitted.planes
    yield field.labels.channels
    yield from (field.measured_for(split) for split in _SPLITS)
    yield np.array([field.weight], np.float64)


def _normalized(
    fields: Sequence[LoadedField],
    rule: _Rule,
    records: Mapping[str, tuple[PlaneNormalization, ...]],
    scales: Mapping[str, Mapping[str, LabelScale]],
) -> Iterator[_Parts]:
    """Of each field what training and what validation looks at."""
    for field in fields:
        planes = apply_normalization(field.transmitted.planes, records[field.name])
        targets = normalize_label(field.labels.channels, source=field.name)
        targets = stretch(targets, rule.wanted, scales[field.experiment])
        training = None
        if field.split == "train":
            training = _training_field(field, planes, targets)
        yield training, _validation_field(field, planes, targets)


# Bytes of a float32, and of a number in the table of counts.
_FLOAT, _COUNT = 4, 8
_SPLITS: tuple[Split, ...] = ("train", "validation")
Value = TypeVar("Value")


def _records(
    fields: Sequence[LoadedField], normalization: str
) -> dict[str, tuple[PlaneNormalization, ...]]:
    """How the planes of every field, by its name, are normalized.

    One choice holds for all frames of a recording, as it does where a movie is predicted.
    """
    recordings: dict[tuple[str, str], list[LoadedField]] = {}
    for field in fields:
        alone = "" if field.recording else field.name
        recordings.setdefault((field.recording, alone), []).append(field)
    found = {}
    for frames in recordings.values():
        measured = [
            measure_stack(field.transmitted.planes, normalization, source=field.name)
            for field in frames
        ]
        records = iter(chosen(record for stack in measured for record in stack))
        for field, stack in zip(frames, measured, strict=True):
            found[field.name] = tuple(itertools.islice(records, len(stack)))
    return found


def _scales(
    fields: Sequence[LoadedField],
    percentiles: tuple[float, float] | None,
    moments: tuple[float, float] | None,
    source: object,
) -> dict[str, dict[str, LabelScale]]:
    """By experiment, the scales of its labels, from its own ground; {} where none is asked."""
    found: dict[str, dict[str, LabelScale]] = {}
    for experiment in dict.fromkeys(field.experiment for field in fields):
        own = [field for field in fields if field.experiment == experiment]
        found[experiment] = {}
        if percentiles is None and moments is None:
            continue
        found[experiment] = fit_label_scales(
            _label_ground(own), own[0].labels.labels, percentiles, source, moments=moments
        )
    return found


def _label_ground(
    fields: Sequence[LoadedField],
) -> Sequence[tuple[str, np.ndarray, np.ndarray]]:
    """Of each field its name, its labels, and where training may look at them.

    A label that is all held out has no training ground, and is taken as it is.
    """
    learned = np.any([field.measured_for("train").any(axis=(1, 2)) for field in fields], axis=0)

    def of(index: int) -> tuple[str, np.ndarray, np.ndarray]:
        field = fields[index]
        train, held_out = (field.measured_for(split) for split in _SPLITS)
        return field.name, field.labels.channels, np.where(learned[:, None, None], train, held_out)

    return Computed(of, len(fields))


def _training_field(field: LoadedField, planes: np.ndarray, targets: np.ndarray) -> TrainingField:
    visible = np.ones(planes.shape[1:], bool)
    if field.validation_region is not None:
        y0, y1, x0, x1 = field.validation_region
        visible[y0:y1, x0:x1] = False
    return TrainingField(
        name=field.name,
        group=field.group,
        transmitted=np.ascontiguousarray(np.moveaxis(planes, 0, -1)),
        targets=np.ascontiguousarray(np.moveaxis(targets, 0, -1)),
        measured=np.ascontiguousarray(np.moveaxis(field.measured_for("train"), 0, -1)),
        visible=visible,
        weight=field.weight,
    )


def _validation_field(
    field: LoadedField, planes: np.ndarray, targets: np.ndarray
) -> ValidationField | None:
    measured = field.measured_for("validation")
    region = bounding_box(np.any(measured, axis=0))
    if region is None:
        return None
    window = (slice(None), slice(*region[0]), slice(*region[1]))
    return ValidationField(
        name=field.name,
        transmitted=planes,
        region=region,
        targets=targets[window],
        measured=measured[window],
    )


def _check_planes(first: LoadedField, field: LoadedField, source: object) -> None:
    expected, found = (f.transmitted.planes.shape[0] for f in (first, field))
    if found != expected:
        raise InputError(
            f"{source}: field '{field.name}' has {found} planes, field '{first.name}' has "
            f"{expected}; name as many for each with 'planes'"
        )


def _groups(fields: Iterable[LoadedField]) -> tuple[str, ...]:
    return tuple(sorted({field.group for field in fields}))


def _common(values: Sequence[Value]) -> Value | None:
    return values[0] if all(value == values[0] for value in values) else None
