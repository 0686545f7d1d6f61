"""The fields of a labeling experiment, normalized once and kept in memory."""

import dataclasses
import functools
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

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
from isl.labeling.dataset import Manifest
from isl.labeling.familiarity import side_of_light
from isl.labeling.fields import LoadedField, load_field
from isl.labeling.label_scale import LabelScale, fit_label_scales, stretch

from .augment import AugmentConfig
from .crops import TrainingField, bounding_box
from .ground_part import part_of

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ValidationField:
    """Ground to judge on.

    Attributes:
        name: Name of the field.
        transmitted: float32 [Z, Y, X] in [0, 1], the whole field.
        region: Rows and columns around the measured ground: ((y0, y1), (x0, x1)).
        targets: float32 [L, y, x] in [0, 1], of the region.
        measured: bool [L, y, x], of the region.
    """

    name: str
    transmitted: np.ndarray
    region: tuple[tuple[int, int], tuple[int, int]]
    targets: np.ndarray
    measured: np.ndarray


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

    @property
    def nbytes(self) -> int:
        """Bytes of the training fields."""
        return sum(field.nbytes for field in self.training)

    @functools.cached_property
    def side_of_light(self) -> tuple[float, float] | None:
        """Where light comes from in the training images; see `isl.labeling.familiarity`.

        All that training may look at says so, whatever of it is labeled.
        """
        fields = [
            dataclasses.replace(field.learned, usable=field.visible) for field in self.training
        ]
        return side_of_light(fields)

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
    """
    if planes is None and planes_of is None:
        return manifest
    update = {"planes_of": planes_of} | ({} if planes is None else {"planes": planes})
    fields = (field.model_copy(update=update) for field in manifest.fields)
    return dataclasses.replace(manifest, fields=tuple(fields))


def load_ground(
    manifest: Manifest,
    labels: Sequence[str] | None = None,
    normalization: str = "auto",
    label_scale: tuple[float, float] | None = None,
    label_moments: tuple[float, float] | None = None,
) -> Ground:
    """Reads and normalizes every field that training or validation looks at.

    Args:
        manifest: The dataset.
        labels: Labels to learn; None: every label some training or validation field holds.
        normalization: The rule for transmitted planes, "auto" or "off".
        label_scale: Percentiles that become 0 and 1; None: the types' full scale.
        label_moments: Mean and deviation that labels are brought to; None: likewise.

    Raises:
        InputError: A file cannot be read, a label is unknown, fields differ in their number of
            planes, or nothing is measured on the training ground; or as in `compare_fields`.
    """
    if labels is not None:
        manifest.require_labels(labels)
    wanted = tuple(labels) if labels is not None else manifest.labels()
    used = {field.name: field for split in _SPLITS for field in manifest.fields_for(split)}
    source = manifest.path or "the dataset"
    if not manifest.fields_for("train"):
        raise InputError(f"{source}: no field has split 'train'; training needs one")
    loaded_fields = [load_field(field, wanted) for field in used.values()]
    scales = _scales(loaded_fields, label_scale, label_moments, source)
    records = _records(loaded_fields, normalization)
    training, validation = [], []
    for loaded in loaded_fields:
        _check_planes(loaded_fields[0], loaded, source)
        planes = apply_normalization(loaded.transmitted.planes, records[loaded.name])
        targets = normalize_label(loaded.labels.channels, source=loaded.name)
        targets = stretch(targets, wanted, scales[loaded.experiment])
        if loaded.split == "train":
            training.append(_training_field(loaded, planes, targets))
        held_out = _validation_field(loaded, planes, targets)
        if held_out is not None:
            validation.append(held_out)
    several = len(scales) > 1
    one = {} if several else next(iter(scales.values()))
    for warning in compare_fields(loaded_fields, source, one):
        logger.warning("%s", warning)
    if not any(field.measured.any() for field in training):
        raise InputError(f"{source}: no label is measured anywhere on the training ground")
    return Ground(
        labels=wanted,
        planes=loaded_fields[0].transmitted.planes.shape[0],
        training=tuple(training),
        validation=tuple(validation),
        modality=_common([field.transmitted.modality for field in loaded_fields]),
        pixel_size=_common([field.transmitted.pixel_size for field in loaded_fields]),
        training_groups=_groups(loaded_fields, training),
        validation_groups=_groups(loaded_fields, validation),
        label_scale=one,
        label_scales=scales if several and any(scales.values()) else {},
        experiments=describe_experiments(loaded_fields) if several else (),
    )


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
    """By experiment, the scales of its labels, from its training ground; {} where none is asked."""
    found: dict[str, dict[str, LabelScale]] = {}
    for experiment in dict.fromkeys(field.experiment for field in fields):
        own = [field for field in fields if field.experiment == experiment]
        found[experiment] = {}
        if percentiles is None and moments is None:
            continue
        # An experiment that is all held out has no training ground, and is taken as it is.
        split: Split = "train" if any(f.split == "train" for f in own) else "validation"
        ground = [(field.name, field.labels.channels, field.measured_for(split)) for field in own]
        found[experiment] = fit_label_scales(
            ground, own[0].labels.labels, percentiles, source, moments=moments
        )
    return found


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


def _groups(
    fields: Sequence[LoadedField], used: Sequence[TrainingField | ValidationField]
) -> tuple[str, ...]:
    names = {field.name for field in used}
    return tuple(sorted({field.group for field in fields if field.name in names}))


def _common(values: Sequence[Value]) -> Value | None:
    return values[0] if all(value == values[0] for value in values) else None
