"""Files that may hold several images, and OME-Zarr with its plates: fields by name.

A path may lead into such a file as if it were a folder: mice.lif/mice_Series3 is the image that
`isl.imaging.inputs.open_image.open_images` names so, and screen.zarr/B/02/0 is a field of a plate.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

from isl.errors import InputError, unknown
from isl.imaging.formats.table import folder_format, format_of, is_zarr
from isl.imaging.inputs.open_image import open_images
from isl.imaging.lazy import LazyPicture

# A field lies this many folders below its plate: row, column, field.
_PLATE_DEPTH = 3


def is_container(path: Path) -> bool:
    """Whether a path is, or leads into, a microscope's own format or an OME-Zarr."""
    if path.is_dir():
        return folder_format(path) is not None
    if path.exists():
        return _is_microscope_file(path)
    return _is_microscope_file(path.parent) or _zarr_above(path)


def stored_path(path: Path) -> Path:
    """The file or folder on the disk that holds an image: `path` itself, or what it leads into."""
    return path.parent if not path.exists() and _is_microscope_file(path.parent) else path


def zarr_root(path: Path) -> Path | None:
    """The Zarr that a path is or lies in: of a plate's field, the plate; None if there is none."""
    folders = (path, *itertools.islice(path.parents, _PLATE_DEPTH))
    return next((folder for folder in reversed(folders) if is_zarr(folder)), None)


def place_in_plate(path: Path) -> tuple[Path, str] | None:
    """The plate that a field or well lies in, and where, e.g. "B/02/0"; None if there is none."""
    if not _zarr_above(path):
        return None
    from isl.imaging.zarr.plates import split_plate_path

    return split_plate_path(path)


def fields_in(path: Path) -> list[tuple[str, Path]]:
    """The images of a container, as (name, path); of a plate, missing wells too.

    A container that cannot be opened is one field, whose reader says what is wrong: it must not
    stop the others.

    Args:
        path: A container, an image in one, or a pattern of wells and fields of a plate.

    Raises:
        InputError: A pattern names no field.
    """
    if is_zarr(path) or (not path.exists() and _zarr_above(path)):
        return _zarr_fields(path)
    if stored_path(path) != path:
        with open_picture(path) as picture:
            return [(picture.name, path)]
    try:
        pictures = open_images(path)
    except InputError:
        return [(path.stem, path)]
    _close(pictures)
    if len(pictures) == 1:
        return [(pictures[0].name, path)]
    return [(picture.name, path / picture.name) for picture in pictures]


def open_picture(path: Path, *, axes: str | None = None, colors: bool = False) -> LazyPicture:
    """The one image of a file, or the one that `path` names in a container.

    Args:
        path: The file, folder, or image within it.
        axes: As in `open_images`.
        colors: Likewise.

    Raises:
        InputError: It cannot be opened, holds several images, or not the one that is named.
    """
    stored = stored_path(path)
    pictures = open_images(stored, axes=axes, colors=colors)
    names = [picture.name for picture in pictures]
    chosen = [p for p in pictures if stored == path or path.name in (p.name, _own(p, stored))]
    if len(chosen) == 1:
        _close(picture for picture in pictures if picture is not chosen[0])
        return chosen[0]
    _close(pictures)
    if not chosen:
        raise InputError(f"{stored}: {unknown('image', path.name, names)}")
    first = path / names[0] if _is_microscope_file(stored) else pictures[0].source
    listing = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    raise InputError(f"{path}: holds {len(names)} images ({listing}); name one, such as {first}")


def _is_microscope_file(path: Path) -> bool:
    if path.is_dir():
        return not is_zarr(path) and folder_format(path) is not None
    found = format_of(path)
    return found is not None and found.container and path.is_file()


def _zarr_above(path: Path) -> bool:
    return any(is_zarr(folder) for folder in itertools.islice(path.parents, _PLATE_DEPTH))


def _own(picture: LazyPicture, stored: Path) -> str:
    """An image's name without its file's before it."""
    return picture.name.removeprefix(f"{stored.stem}_")


def _close(pictures: Iterable[LazyPicture]) -> None:
    for picture in pictures:
        picture.close()


def _zarr_fields(path: Path) -> list[tuple[str, Path]]:
    """The fields of a Zarr on the disk, or those that a pattern behind a plate's path names."""
    from isl.imaging.zarr.image import image_name, read_attributes
    from isl.imaging.zarr.plates import choose_fields, read_plate

    within = place_in_plate(path)
    if path.is_dir() and (within is None or "/" in within[1]):
        try:
            if "plate" not in read_attributes(path):
                return [(picture.name, picture.source) for picture in open_images(path)]
            plate = read_plate(path)
        except InputError:
            return [(image_name(path), path)]
        missing = [
            (f"{image_name(path)}_{place.replace('/', '', 1).replace('/', '_')}", path / place)
            for place in plate.missing
        ]
        return [(field.name, field.path) for field in plate.fields] + missing
    if within is None:
        raise InputError(f"{path}: there is no such file or folder")
    plate_path, pattern = within
    # A row looks like a series of images: its wells are numbered.
    pattern = f"{pattern}/*" if path.is_dir() else pattern
    return [(field.name, field.path) for field in choose_fields(read_plate(plate_path), pattern)]
