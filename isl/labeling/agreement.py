"""Whether the fields of a dataset agree, said before anything is learned from them."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from isl.data.computed import Computed
from isl.data.differences import differing_lengths, differing_times, differing_words
from isl.data.twins import find_twins, twins_told
from isl.errors import InputError
from isl.imaging.normalize import normalize_label
from isl.labeling.bins import BINS
from isl.labeling.fields import LoadedField
from isl.labeling.label_scale import LabelScale

# A label that fills fewer bins than this has too few levels to learn a distribution from.
FEW_BINS = 32
# What a label's brightest pixels may differ from field to field: beyond it lies another exposure.
_BRIGHTNESS_RATIO = 4.0
_BRIGHTEST = 99.9


def compare_fields(
    fields: Sequence[LoadedField],
    source: object,
    scales: Mapping[str, LabelScale] | None = None,
) -> tuple[str, ...]:
    """One line for everything in which the fields of training and validation differ.

    Args:
        fields: Those that training and validation look at, with the same labels.
        source: The manifest, named in messages.
        scales: By label, how it is stretched over the bins; None: not at all.

    Raises:
        InputError: Pixel sizes or z steps differ more than twofold, one picture is in training and
            in validation, or a label has one value everywhere.
    """
    return (
        *compare_acquisitions(fields, source),
        *_splits(fields, source),
        *_levels(fields, source, scales or {}),
        *_same_labels(fields, source),
        *twins_told(
            Computed(lambda index: _middle(fields[index]), len(fields)),
            [field.name for field in fields],
            [field.split for field in fields],
            source,
        ),
    )


def describe_experiments(fields: Sequence[LoadedField]) -> tuple[str, ...]:
    """A line for each experiment: how many fields, lengths, planes, light, and labels' levels."""
    lines = []
    for name in dict.fromkeys(field.experiment for field in fields):
        own = [field for field in fields if field.experiment == name]
        stacks = [field.transmitted for field in own]
        sizes = [stack.pixel_size for stack in stacks]
        light = [float(normalize_label(stack.planes, source=stack.name).mean()) for stack in stacks]
        parts = [
            f"{len(own)} field{'s' if len(own) > 1 else ''}",
            f"pixel size {_listed(_micrometres(size and size.y) for size in sizes)}",
            f"{_listed(str(len(stack.planes)) for stack in stacks)} planes",
            f"z step {_listed(_micrometres(size and size.z) for size in sizes)}",
            f"{_listed(stack.modality for stack in stacks)}",
            f"transmitted light {np.mean(light):.3f} of full scale",
        ]
        for index, label in enumerate(own[0].labels.labels):
            total, squares, count = 0.0, 0.0, 0
            for field in own:
                values = _values(field, index)
                total += float(values.sum(dtype=np.float64))
                squares += float(np.square(values, dtype=np.float64).sum())
                count += values.size
            if count:
                mean = total / count
                deviation = math.sqrt(max(squares / count - mean**2, 0.0))
                parts.append(f"{label} {mean:.3f} +- {deviation:.3f}")
        lines.append(f"{name or 'of its own'}: {', '.join(parts)}")
    return tuple(lines)


def _measured(field: LoadedField) -> np.ndarray:
    measured = field.labels.measured
    return np.ones(field.labels.channels.shape, bool) if measured is None else measured


def _values(field: LoadedField, index: int) -> np.ndarray:
    """Of a label, where it was measured: float32 [N] in [0, 1]."""
    measured = _measured(field)[index]
    if not measured.any():
        return np.zeros(0, np.float32)
    return normalize_label(field.labels.channels[index][measured], source=field.name)


def _micrometres(length: float | None) -> str | None:
    return None if length is None else f"{length:g} um"


def _listed(values: Iterable[str | None]) -> str:
    return " or ".join(dict.fromkeys(value or "not known" for value in values))


def compare_acquisitions(fields: Sequence[LoadedField], source: object) -> Iterator[str]:
    """One line for everything in which the fields were acquired differently.

    Raises:
        InputError: Pixel sizes or z steps differ more than twofold.
    """
    sizes = {field.name: field.transmitted.pixel_size for field in fields}
    pixel_sizes = {name: size and size.y for name, size in sizes.items()}
    z_steps = {name: size and size.z for name, size in sizes.items()}
    modalities = {field.name: field.transmitted.modality for field in fields}
    yield from differing_lengths("pixel size", pixel_sizes, source, key="pixel_size")
    yield from differing_lengths("z step", z_steps, source, key="z_step")
    yield from differing_words("modality", modalities, source, key="modality")
    yield from _channels(fields, source)
    yield from _exposures(fields, source)


def _channels(fields: Sequence[LoadedField], source: object) -> Iterator[str]:
    """Transmitted channels of other names; a file that names none says nothing."""
    by: dict[str, LoadedField] = {}
    for field in fields:
        if field.transmitted.channel is not None:
            by.setdefault(field.transmitted.channel.casefold(), field)
    if len(by) > 1:
        said = ", ".join(f"'{each.transmitted.channel}' in '{each.name}'" for each in by.values())
        yield (
            f"{source}: transmitted light is read from channels of different names: {said}; state "
            "'channel' where another one is meant"
        )


def _exposures(fields: Sequence[LoadedField], source: object) -> Iterator[str]:
    """Labels that were exposed longer in some fields: their counts mean something else there."""
    for index, label in enumerate(fields[0].labels.labels):
        known: dict[str, float] = {}
        for field in fields:
            exposures = field.labels.exposures
            exposure = None if exposures is None else exposures[index]
            if exposure is not None and _looked_at(field, index).any():
                known[field.name] = exposure
        yield from _longer(f"label '{label}'", known, source)
    light = {field.name: field.transmitted.exposure for field in fields}
    yield from _longer("transmitted light", light, source)


def _longer(what: str, exposures: Mapping[str, float | None], source: object) -> Iterator[str]:
    remedy = "bring the images to one exposure, or train on images of one"
    yield from differing_times(f"{what} was exposed", exposures, "ms", source, remedy=remedy)


def _splits(fields: Sequence[LoadedField], source: object) -> Iterator[str]:
    measured = {
        split: {
            label
            for field in fields
            for label, where in zip(field.labels.labels, field.measured_for(split), strict=True)
            if where.any()
        }
        for split in ("train", "validation")
    }
    if not measured["validation"]:
        return
    for label in sorted(measured["train"] - measured["validation"]):
        yield f"{source}: label '{label}' is measured in training only, so nothing judges it"
    for label in sorted(measured["validation"] - measured["train"]):
        yield f"{source}: label '{label}' is measured in validation only, so it is never learned"


def _levels(
    fields: Sequence[LoadedField], source: object, scales: Mapping[str, LabelScale]
) -> Iterator[str]:
    """Labels of few levels, of one, or brighter in some fields than in others."""
    for index, label in enumerate(fields[0].labels.labels):
        used = np.zeros(BINS, bool)
        brightest: dict[str, float] = {}
        for field in fields:
            looked_at = _looked_at(field, index)
            if not looked_at.any():
                continue
            values = normalize_label(field.labels.channels[index], source=field.name)
            brightest[field.name] = float(np.percentile(values[looked_at], _BRIGHTEST))
            learned = values[field.measured_for("train")[index]]
            binned = scales[label].stretched(learned) if label in scales else learned
            used[np.rint(binned * (BINS - 1)).astype(int)] = True
        if not used.any():
            continue
        if used.sum() == 1 and all(_constant(field, index) for field in fields):
            raise InputError(
                f"{source}: label '{label}' has one value on all training ground, so there is "
                "nothing to learn; take another image, or leave it out with 'labels'"
            )
        if used.sum() < FEW_BINS:
            remedy = "set label_scale, such as [0.1, 99.9], in the training's configuration"
            yield (
                f"{source}: label '{label}' fills {used.sum()} of {BINS} bins, and a model can "
                f"tell no more levels; {'its images hold no more' if label in scales else remedy}"
            )
        yield from _brightness(label, brightest, source)


def _looked_at(field: LoadedField, index: int) -> np.ndarray:
    """Where training or validation looks at a label, bool [Y, X]."""
    return field.measured_for("train")[index] | field.measured_for("validation")[index]


def _same_labels(fields: Sequence[LoadedField], source: object) -> Iterator[str]:
    """Label images that different pictures of two groups have in common."""
    for index, label in enumerate(fields[0].labels.labels):
        seen: dict[bytes, LoadedField] = {}
        for field in fields:
            pixels = field.labels.channels[index]
            if not _looked_at(field, index).any() or pixels.min() == pixels.max():
                continue
            other = seen.setdefault(hashlib.sha256(pixels.tobytes()).digest(), field)
            if other.group != field.group and not find_twins([_middle(other), _middle(field)]):
                yield (
                    f"{source}: '{other.name}' and '{field.name}' are different pictures with the "
                    f"same image of label '{label}'; is one file named twice?"
                )


def _constant(field: LoadedField, index: int) -> bool:
    values = field.labels.channels[index][field.measured_for("train")[index]]
    return not values.size or values.min() == values.max()


def _brightness(label: str, brightest: Mapping[str, float], source: object) -> Iterator[str]:
    least = min(brightest, key=brightest.__getitem__)
    most = max(brightest, key=brightest.__getitem__)
    if brightest[most] > _BRIGHTNESS_RATIO * max(brightest[least], 1 / BINS):
        yield (
            f"{source}: label '{label}' reaches {brightest[most]:.3g} of full scale in field "
            f"'{most}', {brightest[least]:.3g} in '{least}'; do bit depth or exposure differ?"
        )


def _middle(field: LoadedField) -> np.ndarray:
    planes = field.transmitted.planes
    return planes[len(planes) // 2]
