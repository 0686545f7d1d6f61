"""Finding embryos' time-lapse recordings among files and folders.

A recording is a file that holds several time points (of stacks, or of all-in-focus frames), or a
folder of frames, one file a time point, in natural order of their names.
"""

from collections.abc import Iterable
from pathlib import Path

from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.formats.published import is_published_folder
from isl.imaging.formats.table import field_name, image_ending, is_photo, is_stack_file
from isl.imaging.inputs.containers import fields_in, is_container
from isl.imaging.inputs.folder import images_among, tell_photos_left_out
from isl.imaging.inputs.movie import time_points
from isl.imaging.inputs.read import by_name, natural_order, sets_once

_ACCEPTED = "a movie, a folder of frames, or a folder of such things"


def find_recordings(
    paths: Iterable[Path | str], *, axes: str | None = None, leave_out: Path | None = None
) -> list[tuple[str, Path]]:
    """The recordings that `paths` stand for, as (name, path); none is read.

    A path is a movie (a TIFF, a microscope's own file or an OME-Zarr, each of whose images is one),
    a folder of frames, or a folder of such things, whose other files are left out. A folder that
    holds several pictures or stacks of one time point each is one embryo's folder of frames.

    Args:
        paths: What the person gave.
        axes: What the dimensions of TIFFs are, where they do not say.
        leave_out: A folder that is not searched: where results go.

    Raises:
        InputError: A path is missing or no recording, or two recordings have one name.
    """
    found: list[tuple[str, Path]] = []
    for path in map(Path, paths):
        for each in _recordings_at(path, axes, leave_out):
            found += fields_in(each) if is_container(each) else [(field_name(each), each)]
    if not found:
        raise InputError("no input: name movies or folders of frames")
    by_name(found, folded=True)
    return found if axes is not None else sets_once(found)


def _recordings_at(path: Path, axes: str | None, leave_out: Path | None) -> list[Path]:
    if is_container(path):
        return [path]
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        if image_ending(path) is None:
            raise InputError(f"{path}: is not {_ACCEPTED}")
        return [path]
    if is_published_folder(path):
        raise InputError(f"{path}: is a folder of published single stacks, not of a movie's frames")
    frames, movies = _sorted_out(path, axes)
    movies += [entry for entry in _entries(path) if is_container(entry)]
    # A TIFF of one time point beside movies is one of them that went wrong, and to be listed.
    stills = [file for file in frames if is_stack_file(file)]
    if len(stills) <= len(movies):
        frames = [file for file in frames if file not in stills]
        movies += stills
    # One picture among folders is an overview or the like, not a recording of one frame; so are
    # photographs, but of several beside folders of photographs nobody can tell.
    photos = all(map(is_photo, frames))
    inner = [] if len(frames) > 1 and not photos else _frame_folders(path, axes, leave_out)
    if photos and inner:
        if len(frames) > 1 and all(is_photo(frames_in(each)[0]) for each in inner):
            raise InputError(
                f"{path}: holds pictures ({frames[0].name}) and folders of such ({inner[0].name}), "
                "and either may be recordings; keep them in folders of their own"
            )
        tell_photos_left_out(path, inner)
        frames = []
    if frames and not movies and not inner:
        return [path]
    if len(frames) > 1:
        raise InputError(
            f"{path}: holds movies ({movies[0].name}) and single frames ({frames[0].name}); keep "
            "them in folders of their own"
        )
    found = sorted([*movies, *inner], key=lambda each: natural_order(each.name))
    if not found:
        raise InputError(f"{path}: holds no recording; expected {_ACCEPTED}")
    return found


def _sorted_out(folder: Path, axes: str | None) -> tuple[list[Path], list[Path]]:
    """Images in a folder: those that are one time point each, and those that are movies.

    Raises:
        InputError: Files have pages of which nothing says what they are.
    """
    frames: list[Path] = []
    movies: list[Path] = []
    silent: list[Path] = []
    for file in frames_in(folder):
        points = time_points(file, axes=axes)
        (silent if points is None else movies if points > 1 else frames).append(file)
    if silent and not frames and not movies:
        raise InputError(
            f"{folder}: {silent[0].name} does not say what its pages are; give `axes=TYX` if each "
            "file is a movie, `axes=ZYX` if each is the stack of one time point"
        )
    # A damaged file among frames, or among movies, is one of them; reading it says what is wrong.
    (movies if len(movies) > len(frames) else frames).extend(silent)
    return sorted(frames, key=_by_name), sorted(movies, key=_by_name)


def _frame_folders(folder: Path, axes: str | None, leave_out: Path | None) -> list[Path]:
    """Folders of frames right below a folder; others and hidden ones are left out."""
    avoided = None if leave_out is None else leave_out.resolve()
    return [
        entry
        for entry in _entries(folder)
        if entry.is_dir()
        and not is_container(entry)
        and entry.resolve() != avoided
        and not is_published_folder(entry)
        and frames_in(entry)
        and _sorted_out(entry, axes)[0]
    ]


def frames_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in natural order of their names, but hidden ones and results."""
    results = results_in(folder)
    entries = [entry for entry in _entries(folder) if entry.name not in results]
    return [entry for entry in images_among(entries) if entry.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(
            (entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=_by_name
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _by_name(path: Path) -> list[tuple[int, str]]:
    return natural_order(path.name)
