"""OME-TIFFs of several files: which files one description names, and whether those are there.

A description names every file of its set by a UUID and the name it had when it was written. Names
change on disks, UUIDs do not: a file that was renamed is found by its UUID, and one that has the
name but another UUID is not taken for it.
"""

import dataclasses
import functools
import itertools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from isl.errors import InputError
from isl.imaging.formats.tifffile_log import messages_of_tifffile

logger = logging.getLogger(__name__)

_ENDINGS = (".tif", ".tiff")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OmeSet:
    """What a TIFF's OME-XML says of files.

    Attributes:
        xml: The description of the images that the file has a part in, with the files' names as
            they are on the disk; None where tifffile does well with what the file says itself.
        files: The files of these images, those that are there, in order.
        missing: Names of those that are not.
    """

    xml: str | None
    files: tuple[Path, ...]
    missing: tuple[str, ...]


def read_ome_set(path: Path) -> OmeSet | None:
    """The set that a TIFF belongs to; None where its description names no files.

    Raises:
        InputError: Its description lies in a file that is missing or damaged, or it was renamed and
            does not say which of the files named it is.
    """
    root = _described(path)
    if root is None:
        return None
    own = root.get("UUID")
    companion = root.find("{*}BinaryOnly")
    if companion is not None:
        root = _companion(path, companion)
    named = list(root.iterfind(".//{*}TiffData/{*}UUID"))
    if not named:
        return None
    bare = any(data.find("{*}UUID") is None for data in root.iterfind(".//{*}TiffData"))
    places = _places(path, own, named)
    if path not in places.values() and not bare:
        raise InputError(
            f"{path}: says that its planes lie in '{_key(named[0])[1]}', and not that it is that "
            "file; was it renamed? Give it that name in a folder of its own, or give `axes`, e.g. "
            "`axes=ZYX`, to read its own planes"
        )
    kept = _images_of(path, root, places)
    found = dict.fromkeys([path] if bare else [])
    found |= dict.fromkeys(places[_key(each)] for each in kept)
    files = tuple(place for place in found if isinstance(place, Path))
    missing = tuple(place for place in found if isinstance(place, str))
    if companion is None and files == (path,) and not missing and len(kept) == len(named):
        return OmeSet(xml=None, files=files, missing=())
    for each in kept:
        place = places[_key(each)]
        name = place if isinstance(place, str) else place.name
        each.set("FileName", name)
        each.text = name
    root.set("UUID", path.name)
    return OmeSet(xml=ElementTree.tostring(root, encoding="unicode"), files=files, missing=missing)


def missing_files(path: Path, missing: Sequence[str]) -> InputError:
    """The refusal of a set that is not complete."""
    first, *others = missing
    more = f" and {len(others)} others" if others else ""
    return InputError(
        f"{path}: is one file of a set, of which {first}{more} {'are' if others else 'is'} missing "
        "beside it; copy the whole set into one folder, or give `axes`, e.g. `axes=ZYX`, to read "
        "the planes of this file alone"
    )


def _key(named: ElementTree.Element) -> tuple[str, str]:
    """UUID and file name that a description gives."""
    return (named.text or "").strip(), re.split(r"[\\/]", named.get("FileName", ""))[-1]


def _places(
    path: Path, own: str | None, named: list[ElementTree.Element]
) -> Mapping[tuple[str, str], Path | str]:
    """The file for every UUID and name, or the name where it is missing."""
    keys = list(dict.fromkeys(map(_key, named)))
    # Some writers give one UUID to all files; then names alone tell them apart.
    unique = len({uuid for uuid, _ in keys}) == len(keys)
    if unique and len(keys) > 1:
        _check_no_copies(path, {uuid for uuid, _ in keys})
    places: dict[tuple[str, str], Path | str] = {}
    renamed: list[tuple[str, str]] = []
    for uuid, name in keys:
        beside = path.parent / name
        if unique and uuid == own:
            place: Path | str | None = path
        elif unique and name and beside.is_file() and _uuid(beside) in (uuid, None):
            place = path if name == path.name else beside
        elif not unique and beside.is_file():
            place = path if name == path.name else beside
        else:
            place = _file_of(path.parent, uuid) if unique else None
            if place is not None:
                renamed.append((name, place.name))
        places[uuid, name] = place or name or uuid
    if renamed:
        logger.warning(
            "%s: '%s'%s of its set now has the name '%s', by its UUID; the set was renamed, and is "
            "read by UUIDs",
            path,
            renamed[0][0],
            f" (and {len(renamed) - 1} others)" if len(renamed) > 1 else "",
            renamed[0][1],
        )
    return places


def _check_no_copies(path: Path, uuids: set[str]) -> None:
    """Refuses a set of which a file is there twice: fields would be mixed."""
    seen: dict[str | None, Path] = {}
    for file in _tiffs(path.parent):
        uuid = _uuid(file)
        if uuid in uuids and uuid in seen:
            raise InputError(
                f"{path}: is one file of a set, of which {seen[uuid].name} and {file.name} are the "
                "same file by their UUID; keep each set in a folder of its own, under the names it "
                "was written with"
            )
        seen[uuid] = file


def _images_of(
    path: Path, root: ElementTree.Element, places: Mapping[tuple[str, str], Path | str]
) -> list[ElementTree.Element]:
    """What names files in the images that `path` has a part in; the other images are taken out."""
    images = root.findall("{*}Image")
    of = {image: list(image.iterfind(".//{*}TiffData/{*}UUID")) for image in images}
    with_path = [i for i in images if any(places[_key(each)] == path for each in of[i])]
    for image in images if with_path else ():
        if image not in with_path:
            root.remove(image)
    return list(itertools.chain.from_iterable(of[image] for image in with_path or images))


def _file_of(folder: Path, uuid: str) -> Path | None:
    """The TIFF in a folder that has a UUID, or None."""
    return next((path for path in _tiffs(folder) if _uuid(path) == uuid), None)


def _tiffs(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.name.lower().endswith(_ENDINGS))


def _uuid(path: Path) -> str | None:
    root = _described(path)
    return None if root is None else root.get("UUID")


def _described(path: Path) -> ElementTree.Element | None:
    """A TIFF's own OME-XML, parsed anew; None where it has none that can be parsed."""
    try:
        stat = path.stat()
        xml = _description(path, stat.st_mtime_ns, stat.st_size)
        return ElementTree.fromstring(xml) if xml else None
    except (OSError, ElementTree.ParseError):
        return None


@functools.lru_cache(maxsize=4096)
def _description(path: Path, changed: int, size: int) -> str | None:
    """OME-XML in the first page of a TIFF that was last changed then."""
    try:
        with messages_of_tifffile([]), tifffile.TiffFile(path) as tiff:
            return tiff.pages.first.description if tiff.is_ome else None
    except Exception:  # tifffile raises whatever its parsers meet; the reader will say it.
        return None


def _companion(path: Path, named: ElementTree.Element) -> ElementTree.Element:
    """The description of a TIFF that says that it lies in another file."""
    name = re.split(r"[\\/]", named.get("MetadataFile", ""))[-1]
    file = path.parent / name
    if not name or not file.is_file():
        raise InputError(
            f"{path}: is part of a set that '{name}' describes, which is missing beside it; copy "
            "it there, or give `axes`, e.g. `axes=ZYX`, to read the planes of this file alone"
        )
    if file.name.lower().endswith(_ENDINGS):
        root = _described(file)
    else:
        try:
            root = ElementTree.fromstring(file.read_bytes())
        except (OSError, ElementTree.ParseError):
            root = None
    if root is None or root.find("{*}Image") is None:
        raise InputError(
            f"{file}: holds no OME-XML that describes {path.name}; export the set anew"
        )
    return root
