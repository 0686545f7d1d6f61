"""Files and folders as transmitted-light z-stacks, movies and fluorescence images."""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from isl.errors import InputError, unknown
from isl.files.provenance import results_in
from isl.imaging.formats.micromanager import place_in_name
from isl.imaging.formats.ome_set import read_ome_set
from isl.imaging.formats.published import (
    is_published_folder,
    open_published_stack,
    read_published_labels,
)
from isl.imaging.formats.table import (
    ACCEPTED,
    field_name,
    format_named,
    format_of,
    image_ending,
    is_stack_file,
    not_an_image,
)
from isl.imaging.image import FluorescenceImage, Movie, Picture, ZStack
from isl.imaging.inputs.containers import fields_in, is_container, open_picture
from isl.imaging.inputs.folder import images_among, not_searched, tell_photos_left_out
from isl.imaging.lazy import LazyPicture, read_whole
from isl.imaging.names import is_fluorescence, is_transmitted, modality_of

logger = logging.getLogger(__name__)


def read_picture(path: Path | str, *, axes: str | None = None) -> Picture:
    """One image: a TIFF, PNG or JPEG (one plane), a microscope's own format or an OME-Zarr.

    Args:
        path: The file; of several images, one within it (see `isl.imaging.inputs.containers`).
        axes: What the dimensions of a TIFF are, e.g. "ZYX", where the file does not say.

    Raises:
        InputError: The file is missing, of another kind, damaged, holds several images, or `axes`
            does not fit.
    """
    with open_picture(Path(path), axes=axes) as opened:
        return read_whole(opened)


def read_transmitted(
    path: Path | str, *, axes: str | None = None, channel: str | None = None, colors: bool = False
) -> ZStack | Movie:
    """The transmitted-light z-stack, or movie of z-stacks, in a file or published folder.

    Other channels are not read, nor need they have as many planes.

    Args:
        path: An image file or a published folder.
        axes: As in `read_picture`.
        channel: Name of the transmitted channel, where the file has several. None: the only one,
            or the only one whose name says transmitted light (phase, BF, DIC, trans, ...).
        colors: Whether color is read, as its brightness.

    Returns:
        A Movie where the file has several time points, a ZStack otherwise.

    Raises:
        InputError: The file cannot be read, or which channel is meant cannot be told.
    """
    path = Path(path)
    opened, index = _opened(path, axes, channel, colors)
    with opened:
        picture = read_whole(opened, (index,))
    names = picture.channel_names
    movie = Movie(
        name=picture.name,
        frames=picture.array[:, 0],
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        times=picture.times,
        modality=picture.modality if names is None else modality_of(names[0]),
        source=path,
        channel=None if names is None else names[0],
        exposure=None if picture.exposures is None else picture.exposures[0],
    )
    return movie if len(movie.frames) > 1 else movie.stack(0)


def open_transmitted(
    path: Path | str, *, axes: str | None = None, channel: str | None = None, colors: bool = False
) -> tuple[LazyPicture, int]:
    """As `read_transmitted`, but not read: what was opened, and which channel is meant.

    Where that is told by the channels' names alone, the choice is logged as a warning.

    Raises:
        InputError: As there.
    """
    picture, index = _opened(Path(path), axes, channel, colors)
    names = picture.channel_names
    if channel is None and names is not None and len(names) > 1:
        logger.warning("taking channel '%s' as transmitted light", names[index])
    return picture, index


def _opened(
    path: Path, axes: str | None, channel: str | None, colors: bool
) -> tuple[LazyPicture, int]:
    """A field, and the index of its transmitted channel."""
    if path.is_dir() and not is_container(path):
        picture = open_published_stack(_published(path, axes))
        if channel is not None and channel.upper() != picture.modality:
            raise unknown("transmitted channel", channel, [str(picture.modality)])
        return picture, 0
    picture = open_picture(path, axes=axes, colors=colors)
    try:
        return picture, transmitted_channel(picture, path, channel)
    except BaseException:
        picture.close()
        raise


def read_fluorescence(path: Path | str, *, axes: str | None = None) -> FluorescenceImage:
    """The fluorescence channels of a file or published folder.

    Channels a file does not name are called channel_1, channel_2, ...

    Args:
        path: An image file whose channels are all labels, or a published folder.
        axes: What the dimensions of a TIFF are, e.g. "CYX", where the file does not say.

    Returns:
        Channels [C, Y, X], or [T, C, Y, X] where the file has several time points.

    Raises:
        InputError: The file cannot be read, has several z planes, or two channels of one name.
    """
    path = Path(path)
    if path.is_dir() and not is_container(path):
        image = read_published_labels(_published(path, axes))
        if image is None:
            raise InputError(f"{path}: holds no fluorescence image")
        return image
    picture = read_picture(path, axes=axes)
    frames, _, depth = picture.array.shape[:3]
    if depth > 1:
        raise InputError(
            f"{path}: has {depth} z planes; a label is one plane: give a maximum projection, or "
            "`axes=CYX` if these are channels"
        )
    labels = _names(picture.channel_names, picture.array.shape[1])
    _refuse_twins(labels, path)
    channels = picture.array[:, :, 0]
    return FluorescenceImage(
        name=picture.name,
        channels=channels if frames > 1 else channels[0],
        labels=labels,
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        times=picture.times,
        exposures=picture.exposures,
        source=path,
    )


def find_inputs(paths: Iterable[Path | str], *, axes: str | None = None) -> list[tuple[str, Path]]:
    """The fields that `paths` stand for, as (name, path).

    A path is an image file, a published folder, an OME-Zarr, or a folder of such things, whose
    other files, hidden files and results that isl wrote there are left out, and JPEG and BMP files
    where there is anything else. Folders are not
    searched deeper. A file of several images and a plate stand for each of their fields; a plate's
    may be chosen by a pattern, as in screen.zarr/B/*/0. The files of an OME-TIFF set are one field,
    called by the first of them.

    Args:
        paths: As above.
        axes: What a TIFF's dimensions are, where it is not to be believed; then no files are a set.

    Raises:
        InputError: A path is missing or no image, a folder holds none, or two fields have one name,
            or names that differ in capitals or in how accents are written only.
    """
    found: list[tuple[str, Path]] = []
    for path in map(Path, paths):
        for field in _fields_at(path):
            found += fields_in(field) if is_container(field) else [(field_name(field), field)]
    if not found:
        raise InputError("no input: name image files or folders of them")
    _refuse_case_twins(by_name(found))
    return found if axes is not None else sets_once(found)


def by_name(found: Iterable[tuple[str, Path]], *, folded: bool = False) -> dict[str, Path]:
    """Where inputs lie, by name.

    Args:
        found: Names and paths.
        folded: Whether names that differ in capitals are the same.

    Raises:
        InputError: Two have one name, and their results would be one file.
    """
    seen: dict[str, Path] = {}
    for name, path in found:
        other = seen.setdefault(name.casefold() if folded else name, path)
        if other is path:
            continue
        if _real(other) == _real(path):
            raise InputError(f"{path}: is given twice")
        raise InputError(
            f"{path}: has the same name '{name}' as {other}, and their results would collide; "
            "rename one"
        )
    return seen


def _refuse_case_twins(fields: Mapping[str, Path]) -> None:
    """Refuses names that are one where a disk does not tell capitals from small letters."""
    seen: dict[str, Path] = {}
    for name, path in fields.items():
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            raise InputError(
                f"{path}: is named as {seen[folded]}, but for capitals or accents, and on many "
                "disks their results would be one file; rename one"
            )
        seen[folded] = path


def sets_once(found: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Fields, as (name, path), without files that are read with another of their OME-TIFF set."""
    kept: list[tuple[str, Path]] = []
    of_sets: set[str] = set()
    for name, path in found:
        if _real(path) in of_sets:
            continue
        kept.append((name, path))
        others = [file for file in _set_of(path) if _real(file) != _real(path)]
        of_sets.update(map(_real, others))
        if others:
            files = f"{len(others)} other file{'s' if len(others) > 1 else ''}"
            logger.warning("%s: is read with %s of its set, as one", path, files)
    return kept


def _real(path: Path) -> str:
    """Where a path leads; unlike `Path.resolve`, of links in a circle, too."""
    return os.path.realpath(path)


def _set_of(path: Path) -> tuple[Path, ...]:
    if not is_stack_file(path) or not path.is_file():
        return ()
    try:
        found = read_ome_set(path)
    except InputError:  # Whoever reads it will say what is wrong.
        return ()
    return () if found is None else found.files


def _fields_at(path: Path) -> list[Path]:
    if is_container(path):
        return [path]
    if not path.is_dir():
        if not path.exists() or format_of(path) is None:
            raise not_an_image(path)
        return [path]
    if is_published_folder(path):
        return [path]
    try:
        entries = sorted(path.iterdir(), key=lambda entry: natural_order(entry.name))
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        results = results_in(path)
        if left := [each for each in entries if each.name in results and _is_field(each)]:
            logger.warning(
                "%s: %d results of isl are left out, such as %s", path, len(left), left[0].name
            )
        fields = _fields_among([entry for entry in entries if entry.name not in results])
        tell_photos_left_out(path, fields)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not fields:
        raise InputError(f"{path}: holds no image{not_searched(path)}; expected {ACCEPTED}")
    _refuse_loose_planes(fields, path)
    return fields


def _refuse_loose_planes(fields: Sequence[Path], folder: Path) -> None:
    """Refuses planes of Micro-Manager in a folder that is not as it wrote it.

    Each would be taken for a field, the fluorescence for transmitted light.
    """
    places = {field: place_in_name(field.name) for field in fields}
    planes = {(at.get("channel"), at.get("z")) for at in places.values() if at is not None}
    if len(planes) > 1:
        others = [field.name for field, at in places.items() if at is None]
        why = f"beside {others[0]}" if others else "without their metadata.txt"
        raise InputError(
            f"{folder}: holds single planes of Micro-Manager {why}; "
            f"{'move that elsewhere' if others else 'copy that too'}, or name the TIFFs one by one"
        )


def _fields_among(entries: Sequence[Path]) -> list[Path]:
    """Photographs only where there is nothing else."""
    fields = [entry for entry in entries if _is_field(entry)]
    return fields or images_among(entries)


def _is_field(entry: Path) -> bool:
    if is_container(entry):
        return True
    return is_published_folder(entry) if entry.is_dir() else image_ending(entry) is not None


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorts t2 before t10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def _published(folder: Path, axes: str | None) -> Path:
    if not is_published_folder(folder):
        raise InputError(f"{folder}: is a folder without published PNGs; name an image file in it")
    if axes is not None:
        raise InputError(f"{folder}: `axes={axes}` is for TIFF files, not for published folders")
    return folder


def _names(names: tuple[str, ...] | None, channels: int) -> tuple[str, ...]:
    if names is not None:
        return names
    return tuple(f"channel_{number}" for number in range(1, channels + 1))


def _refuse_twins(names: tuple[str, ...], path: Path) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: {count} channels are named '{name}'; rename them")


def _is_named(name: str, asked: str) -> bool:
    """Whether a channel is meant: "Brigh" also means "Brigh (Brightfield)", as readers call it."""
    return asked.casefold() in (name.casefold(), name.casefold().rpartition(" (")[0])


def transmitted_channel(picture: LazyPicture, path: Path, channel: str | None) -> int:
    """Index of the channel meant, of those of an opened image; see `read_transmitted`."""
    names = _names(picture.channel_names, picture.shape[1])
    if channel is not None:
        fitting = [i for i, name in enumerate(names) if _is_named(name, channel)]
        if not fitting:
            raise InputError(f"{path}: {unknown('channel', channel, names)}")
        if len(fitting) > 1:
            raise InputError(f"{path}: {len(fitting)} channels are named '{channel}'; rename them")
        return fitting[0]
    if len(names) == 1:
        _refuse_fluorescence(picture, names[0], path)
        return 0
    fitting = [i for i, name in enumerate(names) if is_transmitted(name)]
    if len(fitting) == 1:
        return fitting[0]
    if picture.channel_names is None and picture.shape[2] == 1:
        raise InputError(
            f"{path}: has {len(names)} unnamed channels and one plane; give `axes`, e.g. "
            "`axes=ZYX` if they are z planes, or save the transmitted channel alone"
        )
    raise InputError(
        f"{path}: which channel is transmitted light? It has {', '.join(names)}; name it, "
        f'`channel="{names[0]}"` or another, or save it alone'
    )


def _is_title(name: str) -> bool:
    """Whether a name is that of a file or of one plane of it, as ImageJ names single planes.

    Files are named after cells: "t:1/9 - H2B-GFP_E4.nd2 (series 1)", "H2B-GFP_E4-0001".
    """
    files = (format_named(Path(word)) for word in name.split())
    return any(files) or re.search(r"-0\d{3}$", name) is not None


def _refuse_fluorescence(picture: LazyPicture, name: str, path: Path) -> None:
    """Refuses the only channel where it is said to be fluorescence."""
    if picture.modality is not None or is_transmitted(name):
        return
    noted = picture.emitted is not None and picture.emitted[0]
    if noted or (is_fluorescence(name) and not _is_title(name)):
        by = "the microscope's notes" if noted else "its name"
        raise InputError(
            f"{path}: its only channel, {name}, is fluorescence by {by}; give the image of "
            f'transmitted light, or `channel="{name}"` if it is that'
        )
