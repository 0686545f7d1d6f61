"""The pixels of a dataset's fields: planes, labels, and where those were measured."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.data.differences import WARNED_RATIO
from isl.data.splits import Split
from isl.errors import InputError, unknown
from isl.imaging.formats.published import read_published
from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
from isl.imaging.inputs.label_image import refuse_photo, stored_numbers
from isl.imaging.inputs.movie import read_fluorescence_at, read_time_point
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.imaging.normalize import normalize_label
from isl.labeling.dataset import Field, LabelFile, labels_of

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedField:
    """One field in memory.

    Attributes:
        name: Name of the field.
        group: Well, embryo or patient.
        split: The side its group is on.
        transmitted: uint8, uint16 or float32 [Z, Y, X], as stored.
        labels: uint8, uint16 or float32 [C, Y, X]; its `measured` is always filled.
        validation_region: (y0, y1, x0, x1) that belongs to validation, or None.
        weight: As the manifest has it.
        experiment: Likewise.
        recording: Likewise.
    """

    name: str
    group: str
    split: Split
    transmitted: ZStack
    labels: FluorescenceImage
    validation_region: tuple[int, int, int, int] | None = None
    weight: float = 1.0
    experiment: str = ""
    recording: str = ""

    def measured_for(self, split: Split) -> np.ndarray:
        """Where a label was measured and `split` may look at it, as bool [C, Y, X]."""
        assert self.labels.measured is not None
        measured = self.labels.measured
        if self.validation_region is None:
            return measured if split == self.split else np.zeros_like(measured)
        y0, y1, x0, x1 = self.validation_region
        inside = np.zeros(measured.shape[1:], bool)
        inside[y0:y1, x0:x1] = True
        if split == "validation":
            return measured & inside
        return measured & ~inside if split == self.split else np.zeros_like(measured)


def load_field(field: Field, labels: Sequence[str] | None = None) -> LoadedField:
    """Reads the pixels of one field.

    Args:
        field: A field of a manifest that `load_manifest` returned.
        labels: Which labels to return, in this order; one that the field does not hold is returned
            as zeros that were measured nowhere. None: those the field holds.

    Raises:
        InputError: A file cannot be read, or planes, labels and masks differ in size.
    """
    try:
        return _loaded(field, labels)
    except OSError as error:
        file = error.filename or f"field '{field.name}'"
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error


def _loaded(field: Field, labels: Sequence[str] | None) -> LoadedField:
    if field.folder is not None:
        transmitted, measured_labels = read_published(field.folder)
        images, exposures = _channels_of(measured_labels), {}
    else:
        transmitted = _read_planes(field)
        images, exposures = _read_labels(field, transmitted.pixel_size)
    transmitted = _as_stated(transmitted, field)
    wanted = tuple(labels) if labels is not None else labels_of(field)
    held = {label: images[label] for label in wanted if label in labels_of(field)}
    size = transmitted.planes.shape[1:]
    for label, (image, measured) in held.items():
        _check_size(field, f"label '{label}'", image.shape, size)
        _check_size(field, f"mask of label '{label}'", measured.shape, size)
    _check_region(field, size)
    return LoadedField(
        name=field.name,
        group=field.group or field.name,
        split=field.split,
        transmitted=transmitted,
        labels=_stacked(field, wanted, held, exposures, transmitted),
        validation_region=field.validation_region,
        weight=field.weight,
        experiment=field.experiment,
        recording=field.recording,
    )


def _channels_of(
    image: FluorescenceImage | None,
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Every label of an image: intensities [Y, X], and bool [Y, X] where they were measured."""
    if image is None:
        return {}
    measured = image.measured
    if measured is None:
        measured = np.ones(image.channels.shape, bool)
    return {
        label: (image.channels[index], measured[index]) for index, label in enumerate(image.labels)
    }


def _read_planes(field: Field) -> ZStack:
    """The transmitted planes of one file, or of single-plane files one on the other."""
    stacks = []
    for file in field.transmitted:
        if field.frame is not None:
            stack = read_time_point(file, field.frame, axes=field.axes, channel=field.channel)
        else:
            stack = read_transmitted(file, axes=field.axes, channel=field.channel)
        if isinstance(stack, Movie):
            raise InputError(
                f"{file}: is a movie of {len(stack.frames)} time points; a field of a dataset is "
                "one of them: say which with `frame`, or make it a [[time_lapse]]"
            )
        stacks.append(stack)
    if len(stacks) == 1:
        return stacks[0]
    first = stacks[0]
    for file, stack in zip(field.transmitted, stacks, strict=True):
        if len(stack.planes) != 1:
            raise InputError(
                f"{file}: has {len(stack.planes)} planes; of several transmitted files each holds "
                f"one (field '{field.name}')"
            )
        if (stack.planes.shape, stack.planes.dtype) != (first.planes.shape, first.planes.dtype):
            raise InputError(
                f"{file}: is {_shown(stack.planes)}, but {field.transmitted[0].name} is "
                f"{_shown(first.planes)}; planes of field '{field.name}' must agree"
            )
    return dataclasses.replace(first, planes=np.concatenate([stack.planes for stack in stacks]))


def _read_labels(
    field: Field, pixel_size: PixelSize | None
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, float | None]]:
    """Intensities and measured ground of each label, and its exposure, ms.

    A file of several labels is read once. As many pixels of another size than the transmitted
    light's are other places, which is a warning.
    """
    opened: dict[tuple[Path, str | None, int | None], FluorescenceImage] = {}
    images, exposures = {}, {}
    for label in labels_of(field):
        place = field.labels[label]
        key = (place.file, place.axes, place.frame)
        if key not in opened:
            opened[key] = (
                read_fluorescence(place.file, axes=place.axes)
                if place.frame is None
                else read_fluorescence_at(place.file, place.frame, axes=place.axes)
            )
            _compare_size(field, place.file, opened[key].pixel_size, pixel_size)
        channel = _channel_index(opened[key], place, label)
        image = opened[key].channels[channel]
        if (said := opened[key].exposures) is not None:
            exposures[label] = said[channel]
        measured = np.ones(image.shape, bool)
        if label in field.masks:
            mask = LabelFile(file=field.masks[label])
            refuse_photo(mask.file)
            # Binary masks of ImageJ may show 0 as white: the numbers stored count.
            stored = stored_numbers(mask.file)
            if stored is None:
                stored = _one_channel(read_fluorescence(mask.file), mask, label)
            measured = _as_mask(np.squeeze(stored), mask.file)
        images[label] = (image, measured)
    return images, exposures


def _compare_size(
    field: Field, file: Path, own: PixelSize | None, transmitted: PixelSize | None
) -> None:
    if own is None or transmitted is None:
        return
    if max(own.y / transmitted.y, transmitted.y / own.y) > WARNED_RATIO:
        logger.warning(
            "%s: says that a pixel is %.4g um, and field '%s' has transmitted light of %.4g um; "
            "do both show the same places?",
            file,
            own.y,
            field.name,
            transmitted.y,
        )


def _one_channel(image: FluorescenceImage, place: LabelFile, label: str) -> np.ndarray:
    """The channel that `_channel_index` says, [Y, X]."""
    return image.channels[_channel_index(image, place, label)]


def _channel_index(image: FluorescenceImage, place: LabelFile, label: str) -> int:
    """Of the channel that was asked for, or the only one, or the one named like the label."""
    file = place.file
    if image.channels.ndim != 3:
        raise InputError(f"{file}: is a movie; a field of a dataset has one image per label")
    if place.channel is None and len(image.labels) == 1:
        return 0
    name = place.channel or label
    if name in image.labels:
        return image.labels.index(name)
    if place.channel is None:
        raise InputError(
            f"{file}: holds {', '.join(image.labels)}; say which is {label}: "
            f'{{ file = "{file.name}", channel = "{image.labels[0]}" }}'
        )
    raise InputError(f"{file}: {unknown('channel', name, image.labels)}")


def _as_mask(image: np.ndarray, file: Path) -> np.ndarray:
    full = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    other = image[(image != 0) & (image != 1) & (image != full)]
    if other.size:
        raise InputError(
            f"{file}: holds {other.flat[0]}; a mask is 1 or {full} where the label was measured "
            "and 0 elsewhere"
        )
    return image != 0


def _as_stated(stack: ZStack, field: Field) -> ZStack:
    """The stack with the planes, sizes and modality that the manifest asks for."""
    planes = stack.planes
    if field.planes_of is not None and len(planes) != field.planes_of:
        raise InputError(
            f"field '{field.name}' has {len(planes)} planes; it must have {field.planes_of} "
            "(planes_of, or what planes says)"
        )
    if field.planes is not None:
        if max(field.planes) >= len(planes):
            raise InputError(
                f"field '{field.name}': planes names plane {max(field.planes)}, but "
                f"{stack.source or 'the stack'} has planes 0 to {len(planes) - 1}"
            )
        planes = planes[list(field.planes)]
    size = stack.pixel_size
    if field.pixel_size is not None:
        z = size.z if size is not None else None
        size = PixelSize(y=field.pixel_size, x=field.pixel_size, z=z)
    if field.z_step is not None:
        if size is None:
            raise InputError(
                f"field '{field.name}': z_step needs pixel_size too, as {stack.source} says none"
            )
        size = dataclasses.replace(size, z=field.z_step)
    return dataclasses.replace(
        stack,
        name=field.name,
        planes=planes,
        pixel_size=size,
        modality=field.modality or stack.modality,
    )


def _check_size(field: Field, what: str, size: tuple[int, ...], planes: tuple[int, ...]) -> None:
    if size != planes:
        raise InputError(
            f"field '{field.name}': {what} is {size[0]} x {size[1]}, but the transmitted planes "
            f"are {planes[0]} x {planes[1]}"
        )


def _check_region(field: Field, size: tuple[int, ...]) -> None:
    if field.validation_region is None:
        return
    _, y1, _, x1 = field.validation_region
    if y1 > size[0] or x1 > size[1]:
        raise InputError(
            f"field '{field.name}': validation_region {list(field.validation_region)} leaves the "
            f"planes, which are {size[0]} x {size[1]}"
        )


def _stacked(
    field: Field,
    wanted: tuple[str, ...],
    held: Mapping[str, tuple[np.ndarray, np.ndarray]],
    exposures: Mapping[str, float | None],
    transmitted: ZStack,
) -> FluorescenceImage:
    """The wanted labels as channels of one image; those not held are measured nowhere."""
    types = {image.dtype for image, _ in held.values()}
    # Files of different types have different full scales, so only [0, 1] is common to them.
    intensities = {}
    for label, (image, measured) in held.items():
        known = _where_measured(field, label, image, measured)
        intensities[label] = known if len(types) == 1 else normalize_label(known)
    dtype = types.pop() if len(types) == 1 else np.dtype(np.float32)
    shape = (len(wanted), *transmitted.planes.shape[1:])
    channels, measured = np.zeros(shape, dtype), np.zeros(shape, bool)
    for index, label in enumerate(wanted):
        if label in held:
            channels[index] = intensities[label]
            measured[index] = held[label][1]
    return FluorescenceImage(
        name=field.name,
        channels=channels,
        labels=wanted,
        measured=measured,
        pixel_size=transmitted.pixel_size,
        exposures=tuple(map(exposures.get, wanted)) if any(exposures.values()) else None,
        source=field.folder or (field.transmitted[0] if field.transmitted else None),
    )


def _where_measured(
    field: Field, label: str, image: np.ndarray, measured: np.ndarray
) -> np.ndarray:
    """A label's image [Y, X]; floats are 0 where nothing counts, whatever they hold."""
    if not np.issubdtype(image.dtype, np.floating):
        return image
    bad = int((measured & ~np.isfinite(image)).sum())
    if bad:
        place = field.labels.get(label)
        raise InputError(
            f"{place.file if place else field.folder}: {bad} measured pixels of label '{label}' "
            f"are NaN or infinite; give a mask of field '{field.name}' that is 0 there (masks), "
            "or replace them"
        )
    return np.where(measured, image, image.dtype.type(0))


def _shown(planes: np.ndarray) -> str:
    return f"{planes.shape[-2]} x {planes.shape[-1]} {planes.dtype}"
