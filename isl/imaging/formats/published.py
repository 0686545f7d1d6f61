"""Folders of published images: single-plane PNGs that say in their names what they show.

A name is comma-separated `key-value` pairs; a bare word opens a group whose members follow it
(`acquisition_date,year-2015`, `channel,value-DAPI_CONFOCAL`). One folder is one field. Format and
data: the in silico labeling paper's published data set (Christiansen et al., Cell 2018).
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.png import open_png
from isl.imaging.image import FluorescenceImage, ZStack
from isl.imaging.lazy import LazyPicture, read_whole

TRANSMITTED = ("BRIGHTFIELD", "PHASE_CONTRAST", "DIC")

# Keys that differ between the images of one field; all others say which field it is, but dates,
# which may differ because labels are often stained and imaged on another day.
_PER_IMAGE = {"z_depth", "channel", "is_mask", "depth_computation", "kind", "statistic"}
_DATES = {"year", "month", "day", "hour", "minute", "second"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedName:
    """What one file's name says.

    Attributes:
        path: The file.
        channel: For example "PHASE_CONTRAST" or "DAPI_CONFOCAL".
        z: The plane's number; None for a projection.
        is_mask: Whether the image says where the channel was measured.
        predicted: Whether a network made the image.
        field: The keys and values that tell fields apart, sorted.
    """

    path: Path
    channel: str
    z: int | None
    is_mask: bool
    predicted: bool
    field: tuple[tuple[str, str], ...]


def parse_name(path: Path) -> PublishedName | None:
    """What a file's name says; None if it is not a published image's name."""
    if path.suffix.lower() != ".png":
        return None
    values: dict[str, str] = {}
    group = ""
    for part in path.name[: -len(path.suffix)].split(","):
        key, separator, value = part.partition("-")
        if not separator:
            group = key
        elif key == "value" and group:
            values[group] = value
        else:
            values[key] = value
    depth = values.get("z_depth")
    if "channel" not in values or not {"is_mask", "z_depth", "depth_computation"} & set(values):
        return None
    if depth is not None and not depth.isdecimal():
        raise InputError(f"{path}: z_depth is '{depth}', not a number; rename the file")
    return PublishedName(
        path=path,
        channel=values["channel"],
        z=None if depth is None else int(depth),
        is_mask=values.get("is_mask", "false").lower() == "true",
        predicted=values.get("kind", "").upper() == "PREDICTED" or "statistic" in values,
        field=tuple(sorted((k, v) for k, v in values.items() if k not in _PER_IMAGE | _DATES)),
    )


def is_published_folder(path: Path | str) -> bool:
    """Whether `path` is a folder with at least one file named as published images are."""
    path = Path(path)
    return path.is_dir() and bool(_named_files(path))


def read_published(folder: Path | str) -> tuple[ZStack, FluorescenceImage | None]:
    """The transmitted z-stack of a published folder and its measured labels, if it has any.

    Raises:
        InputError: As `open_published_stack` and `read_published_labels`.
    """
    picture = read_whole(open_published_stack(folder))
    stack = ZStack(
        name=picture.name,
        planes=picture.array[0, 0],
        modality=picture.modality,
        source=picture.source,
    )
    return stack, read_published_labels(folder)


def open_published_stack(folder: Path | str) -> LazyPicture:
    """The transmitted-light planes of a published folder, by increasing z_depth.

    None is read yet; each window decodes its plane's file whole.

    Raises:
        InputError: There are none, of more than one channel, of several fields, with a gap, twice,
            of different sizes, or unreadable.
    """
    folder = Path(folder)
    images = [image for image in _images(folder) if not image.is_mask]
    transmitted = [image for image in images if image.channel.upper() in TRANSMITTED]
    channels = sorted({image.channel for image in transmitted})
    if not channels:
        raise InputError(
            f"{folder}: holds no transmitted-light image (channel {', '.join(TRANSMITTED)})"
        )
    if len(channels) > 1:
        raise InputError(
            f"{folder}: holds {len(channels)} transmitted channels ({', '.join(channels)}); keep "
            "one a folder"
        )
    planes = _opened([image for image in transmitted if image.z is not None] or transmitted, folder)
    return LazyPicture(
        name=folder.name or folder.resolve().name,
        shape=(1, 1, len(planes), *planes[0].shape[3:]),
        dtype=planes[0].dtype,
        read_plane=lambda t, c, z, rows, columns: planes[z].read(
            t=t, c=c, rows=rows, columns=columns
        ),
        modality=channels[0].upper(),
        source=folder,
    )


def read_published_labels(folder: Path | str) -> FluorescenceImage | None:
    """The fluorescence labels of a published folder, sorted by name; None if it has none.

    A label is its maximum projection; where only planes are there, their maximum is taken. Images
    with `is_mask-true` say where a label was measured. Predicted images are skipped.

    Raises:
        InputError: An image is there twice, of another size or unreadable, or there are several
            fields.
    """
    folder = Path(folder)
    fluorescent = [i for i in _images(folder) if i.channel.upper() not in TRANSMITTED]
    labels = sorted({image.channel for image in fluorescent if not image.is_mask})
    if not labels:
        return None
    images: dict[tuple[str, bool], list[PublishedName]] = {}
    for image in fluorescent:
        images.setdefault((image.channel, image.is_mask), []).append(image)
    planes = [_projection(images[label, False], folder) for label in labels]
    for label, plane in zip(labels, planes, strict=True):
        _check_same_kind(plane, label, planes[0], labels[0], folder)
    channels = np.stack(planes)
    masked = [label for label in labels if (label, True) in images]
    measured = np.ones(channels.shape, bool) if masked else None
    for label in masked:
        mask = _projection(images[label, True], folder) > 0
        if mask.shape != channels.shape[1:]:
            raise InputError(
                f"{folder}: the mask of {label} has {_size(mask)} pixels, the image "
                f"{_size(channels)}"
            )
        if measured is not None:
            measured[labels.index(label)] = mask
    return FluorescenceImage(
        name=folder.name or folder.resolve().name,
        channels=channels,
        labels=tuple(labels),
        measured=measured,
        source=folder,
    )


def _named_files(folder: Path) -> list[PublishedName]:
    try:
        files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return [name for name in map(parse_name, files) if name is not None]


def _images(folder: Path) -> list[PublishedName]:
    """The measured images and masks of the one field in `folder`."""
    images = [image for image in _named_files(folder) if not image.predicted]
    for image in images[1:]:
        if image.field != images[0].field:
            here, there = dict(images[0].field), dict(image.field)
            key = next(k for k in sorted({*here, *there}) if here.get(k) != there.get(k))
            raise InputError(
                f"{folder}: holds more than one field ({key} is {here.get(key)} and "
                f"{there.get(key)}); keep one a folder"
            )
    return images


def _by_depth(planes: Sequence[PublishedName], folder: Path) -> list[Path]:
    """The files by increasing z_depth, without gap and none twice."""
    ordered = sorted(planes, key=lambda image: (image.z or 0, image.path.name))
    depths = [image.z or 0 for image in ordered]
    for (lower, upper), image in zip(itertools.pairwise(depths), ordered[1:], strict=True):
        channel = image.channel
        if upper == lower:
            raise InputError(
                f"{folder}: {channel} has two images of z_depth {upper}, e.g. {image.path.name}; "
                "keep one site and time point a folder"
            )
        if upper != lower + 1:
            raise InputError(f"{folder}: {channel} lacks z_depth {lower + 1} (of {depths[-1]})")
    return [image.path for image in ordered]


def _projection(images: Sequence[PublishedName], folder: Path) -> np.ndarray:
    """[Y, X]: the projection among the images of one channel, else the maximum of its planes."""
    planes = _opened([image for image in images if image.z is None] or images, folder)
    return functools.reduce(np.maximum, (plane.read() for plane in planes))


def _opened(images: Sequence[PublishedName], folder: Path) -> list[LazyPicture]:
    """Planes by increasing z_depth, of one size and type."""
    paths = _by_depth(images, folder)
    planes = [open_png(path) for path in paths]
    for plane, path in zip(planes, paths, strict=True):
        _check_same_kind(plane, path.name, planes[0], paths[0].name, folder)
    return planes


def _check_same_kind(
    image: np.ndarray | LazyPicture,
    name: str,
    first: np.ndarray | LazyPicture,
    first_name: str,
    folder: Path,
) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise InputError(
            f"{folder}: {name} has {_size(image)} pixels ({image.dtype}), {first_name} "
            f"{_size(first)} ({first.dtype}); a field has one size and type"
        )


def _size(image: np.ndarray | LazyPicture) -> str:
    return f"{image.shape[-2]} x {image.shape[-1]}"
