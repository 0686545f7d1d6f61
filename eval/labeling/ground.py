"""The ground that labeling models are judged on: measured fluorescence, and where it was measured.

A survey reads every field once, so that what cannot be judged is known before anything is computed;
afterwards fields are read one at a time.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isl.data.splits import Split
from isl.errors import InputError, unknown
from isl.imaging.image import PixelSize, ZStack
from isl.imaging.normalize import normalize_label
from isl.labeling.bins import BINS
from isl.labeling.dataset import Field, Manifest, labels_of
from isl.labeling.fields import load_field
from isl.labeling.label_scale import LabelScale, stretch


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GroundField:
    """One field in memory.

    Attributes:
        name: Name of the field.
        group: Well, embryo or patient.
        condition: As the manifest says it, or the experiment that it comes from; "" where neither.
        stack: Its transmitted planes, as stored.
        labels: L names.
        truth: float32 [L, Y, X] in [0, 1].
        measured: bool [L, Y, X], the pixels that count.
    """

    name: str
    group: str
    condition: str = ""
    stack: ZStack
    labels: tuple[str, ...]
    truth: np.ndarray
    measured: np.ndarray

    @property
    def pixel_size(self) -> float | None:
        """Micrometres, where pixels are square; else None."""
        size: PixelSize | None = self.stack.pixel_size
        return size.x if size is not None and size.x == size.y else None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldFacts:
    """What the survey found of a field.

    Attributes:
        name: Name of the field.
        group: Well, embryo or patient.
        condition: As that of `GroundField`.
        size: Y, X.
        pixels: How many count, by label; labels that were not measured in it are absent.
        histograms: int64 [256], their intensities in bins, by label.
        fingerprint: Hash of the pixels, of which of them count, and of what is known of the light.
        pixel_size: Micrometres; None where nothing says.
    """

    name: str
    group: str
    condition: str
    size: tuple[int, int]
    pixels: Mapping[str, int]
    histograms: Mapping[str, np.ndarray]
    fingerprint: str
    pixel_size: PixelSize | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """All that is judged.

    Attributes:
        labels: L names.
        fields: Facts of the fields that hold any of it, in the manifest's order.
        split: The side of the splits that was asked for; None: every side.
        notes: What was left out, and why.
    """

    labels: tuple[str, ...]
    fields: tuple[FieldFacts, ...]
    split: Split | None
    notes: tuple[str, ...]
    _stated: Mapping[str, Field]
    _scales_of: Callable[[Field], Mapping[str, LabelScale]]

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group once."""
        return tuple(dict.fromkeys(field.group for field in self.fields))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition once."""
        return tuple(dict.fromkeys(field.condition for field in self.fields))

    @property
    def extent(self) -> str:
        """How much there is, in words."""
        fields, groups = len(self.fields), len(self.groups)
        return (
            f"{fields} field{'' if fields == 1 else 's'} of {groups} "
            f"group{'' if groups == 1 else 's'}"
        )

    @functools.cached_property
    def identities(self) -> dict[str, dict[str, Any]]:
        """By field, unlabeled ones too, all that a training on it depends on but its weight."""
        known = {field.name: field.fingerprint for field in self.fields}
        beside = {"experiment", "recording", "validation_region"}
        return {
            name: {
                "number": number,
                "pixels": known.get(name) or _fingerprint(self.read(name)),
                **field.model_dump(mode="json", include=beside),
            }
            for number, (name, field) in enumerate(self._stated.items())
        }

    @property
    def weights(self) -> dict[str, float]:
        """By field how likely crops are drawn of it."""
        return {name: field.weight for name, field in self._stated.items()}

    def groups_of(self, label: str) -> tuple[str, ...]:
        """Groups in which a label was measured."""
        return tuple(dict.fromkeys(field.group for field in self.fields if field.pixels.get(label)))

    def unit_of(self, label: str) -> frozenset[LabelScale | None]:
        """The scales that a label has in the fields; None: their images' own unit."""
        held = (field.name for field in self.fields if field.pixels.get(label))
        return frozenset(self._scales_of(self._stated[name]).get(label) for name in held)

    def histogram(self, label: str) -> np.ndarray:
        """int64 [256], a label's intensities over all fields."""
        found = [field.histograms[label] for field in self.fields if label in field.histograms]
        return np.sum(found, axis=0)

    def read(self, name: str) -> GroundField:
        """Reads a field."""
        stated = self._stated[name]
        return _ground_field(stated, self.labels, self.split, self._scales_of(stated))


def survey_ground(
    manifest: Manifest,
    *,
    split: Split | None = None,
    leave_out: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    predicted: Sequence[str],
    scales: Mapping[str, LabelScale] | None = None,
    scales_by_experiment: Mapping[str, Mapping[str, LabelScale]] | None = None,
) -> Ground:
    """Reads all fields once and says what can be judged.

    Args:
        manifest: The dataset.
        split: Which side of its splits; None: all.
        leave_out: Groups that are not judged.
        labels: What is to be judged; None: all that is held and predicted.
        predicted: What any model predicts.
        scales: By label, the unit that it is predicted in; None: the images' own.
        scales_by_experiment: By experiment and label, the same where experiments have their own.

    Raises:
        InputError: A label is unknown, predicted by none, or measured nowhere on this ground, or
            no ground is left.
    """
    source = manifest.path or "the dataset"
    manifest = manifest.without(leave_out)
    stated = manifest.fields if split is None else manifest.fields_for(split)
    if not stated:
        what = f"no field has split '{split}'" if split else "no field is left"
        raise InputError(f"{source}: {what}, so there is nothing to judge")
    wanted = _wanted(manifest, labels, predicted)
    facts, notes = [], []

    def scales_of(field: Field) -> Mapping[str, LabelScale]:
        return (scales_by_experiment or {}).get(field.experiment, scales or {})

    for field in stated:
        held = [label for label in wanted if label in labels_of(field)]
        found = _facts(_ground_field(field, wanted, split, scales_of(field))) if held else None
        if found is None or not found.pixels:
            why = "its masks leave nothing" if held else "none of the labels was measured in it"
            notes.append(f"Field {field.name} is not judged: {why}.")
            continue
        facts.append(found)
    measured = tuple(label for label in wanted if any(label in field.pixels for field in facts))
    for label in wanted:
        if label in measured:
            continue
        if labels is not None or not measured:
            raise InputError(
                f"{source}: label '{label}' was never measured on the ground to be judged; correct "
                "the masks, the split or 'labels'"
            )
        notes.append(f"Label {label} is not judged: it was measured nowhere on this ground.")
    return Ground(
        labels=measured,
        fields=tuple(facts),
        split=split,
        notes=tuple(notes),
        _stated={field.name: field for field in stated},
        _scales_of=scales_of,
    )


def bounding_window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around the True pixels of a mask [Y, X] that holds any."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _wanted(
    manifest: Manifest, labels: Sequence[str] | None, predicted: Sequence[str]
) -> tuple[str, ...]:
    if labels is not None:
        manifest.require_labels(labels)
        for label in labels:
            if label not in predicted:
                raise InputError(f"no model predicts it: {unknown('label', label, predicted)}")
        return tuple(dict.fromkeys(labels))
    held = manifest.labels()
    wanted = tuple(label for label in held if label in predicted)
    if not wanted:
        raise InputError(
            f"{manifest.path or 'the dataset'}: holds {', '.join(held) or 'no label'}, and the "
            f"models predict {', '.join(dict.fromkeys(predicted))}: they share no label"
        )
    return wanted


def _ground_field(
    field: Field,
    labels: tuple[str, ...],
    split: Split | None,
    scales: Mapping[str, LabelScale],
) -> GroundField:
    loaded = load_field(field, labels)
    assert loaded.labels.measured is not None
    measured = loaded.labels.measured if split is None else loaded.measured_for(split)
    truth = normalize_label(loaded.labels.channels, source=loaded.name)
    return GroundField(
        name=loaded.name,
        group=loaded.group,
        condition=field.condition or field.experiment,
        stack=loaded.transmitted,
        labels=labels,
        truth=stretch(truth, labels, scales),
        measured=measured,
    )


def _fingerprint(field: GroundField) -> str:
    stack = field.stack
    light = (stack.planes.dtype.str, stack.planes.shape, stack.pixel_size, stack.modality)
    digest = hashlib.sha256(repr((field.group, field.labels, *light)).encode())
    for array in (stack.planes, field.truth, np.packbits(field.measured)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _facts(field: GroundField) -> FieldFacts:
    pixels, histograms = {}, {}
    for label, truth, measured in zip(field.labels, field.truth, field.measured, strict=True):
        if measured.any():
            counts = np.bincount(to_bins(truth[measured]), minlength=BINS)
            pixels[label], histograms[label] = int(counts.sum()), counts
    return FieldFacts(
        name=field.name,
        group=field.group,
        condition=field.condition,
        size=(field.truth.shape[1], field.truth.shape[2]),
        pixels=pixels,
        histograms=histograms,
        fingerprint=_fingerprint(field),
        pixel_size=field.stack.pixel_size,
    )


def to_bins(intensity: np.ndarray) -> np.ndarray:
    """The bin of each intensity, as `isl.labeling.bins.to_bins`: int64 in 0..255."""
    return np.rint(intensity * (BINS - 1)).astype(np.int64)
