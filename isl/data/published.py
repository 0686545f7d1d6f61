"""Published images by name: where they are, what they are known by, and how they come here.

They land in one folder in the layout that ISL_DATA names, so that a copy of such a folder, on a
disk or behind an address, is a mirror (ISL_MIRROR). What is there already is not fetched again.
"""

import functools
import json
import os
import shutil
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydantic

from isl.config import Config, load_toml
from isl.errors import InputError, unknown
from isl.files.provenance import sha256_of
from isl.files.whole import write_text

MIRROR = "ISL_MIRROR"
"""The environment variable that names a folder, or an address, to take files from."""
KNOWN_FILE = ".isl-data.json"
"""What a folder says of files whose hashes were not known before they came."""

_AT_ONCE = 4
_PATIENCE = 30
# What servers answer where a file is not; all else may pass.
_GONE = (404, 410)


class PublishedFile(Config):
    """One file of a set.

    Attributes:
        place: Where it lands, in the set's folder.
        at: Its address below the set's, if it is called otherwise there.
        bytes: Its size; None: not known.
        sha256: Its hash; "": not known.
    """

    place: str
    at: str = ""
    bytes: int | None = None
    sha256: str = ""


class PublishedSet(Config):
    """Images that somebody published, for one task.

    Attributes:
        name: What `isl data get` calls it.
        folder: Where it lands, below the folder of all sets.
        task: What it is for.
        title: What it is.
        licence: On what terms.
        source: Whom to cite, and where it is from.
        base: What addresses start with.
        then: A command to try on it; {folder} stands for where it is.
        files: Its files.
    """

    name: str
    folder: str
    task: str
    title: str
    licence: str
    source: str
    base: str
    then: str
    files: tuple[PublishedFile, ...]

    @property
    def size(self) -> str:
        """How many files, and their size as far as it is known."""
        known = sum(file.bytes or 0 for file in self.files) / 1e6
        some = "" if all(file.bytes for file in self.files) else "at least "
        return f"{len(self.files)} files" + (f", {some}{known:.0f} MB" if known else "")


class _Sets(Config):
    sets: tuple[PublishedSet, ...] = pydantic.Field(alias="set")


def published_sets() -> dict[str, PublishedSet]:
    """All sets by name."""
    found = load_toml(Path(__file__).with_name("published.toml"), _Sets).sets
    return {each.name: each for each in found}


def published_set(name: str) -> PublishedSet:
    """The set of a name.

    Raises:
        InputError: There is none.
    """
    sets = published_sets()
    if name not in sets:
        raise unknown("data set", name, list(sets))
    return sets[name]


def fetch(
    wanted: PublishedSet, out: Path, *, done: Callable[[int], None] = lambda count: None
) -> Path:
    """Brings the files of a set that are not there yet, each whole or not at all.

    Args:
        wanted: The set.
        out: The folder of all sets, as ISL_DATA names it.
        done: Told how many files are there, whenever one more is.

    Returns:
        The set's folder.

    Raises:
        InputError: There is no network, or a file is not there or not the one it should be.
    """
    folder = out / wanted.folder
    known = _known(folder)
    missing = [file for file in wanted.files if not _is_there(folder, file, known)]
    done(len(wanted.files) - len(missing))
    import pooch

    # It says line by line what it does; who waits is told in our own way.
    pooch.get_logger().setLevel("WARNING")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bring = functools.partial(_bring, wanted, folder)
        try:
            for count, file in enumerate(pool.map(bring, missing), len(wanted.files)):
                if not file.sha256:
                    known[file.place] = sha256_of(folder / file.place)
                done(count + 1 - len(missing))
        except InputError:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            if known:
                write_text(folder / KNOWN_FILE, json.dumps(known, indent=1) + "\n", overwrite=True)
    return folder


def _known(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / KNOWN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # Of a damaged file nothing is known: all is fetched.
        return {}
    return found if isinstance(found, dict) else {}


def _is_there(folder: Path, file: PublishedFile, known: dict[str, str]) -> bool:
    path = folder / file.place
    return path.is_file() and sha256_of(path) == (file.sha256 or known.get(file.place))


def _bring(wanted: PublishedSet, folder: Path, file: PublishedFile) -> PublishedFile:
    import pooch
    import requests

    mirror = os.environ.get(MIRROR, "")
    if mirror:
        address = f"{mirror.rstrip('/')}/{wanted.folder}/{file.place}"
    else:
        address = f"{wanted.base}/{file.at or file.place}"
    web = urllib.parse.urlsplit(address).scheme in ("http", "https")
    # Its own type for what it calls with (address, file, itself) is another function's.
    downloader: Any = pooch.HTTPDownloader(timeout=_PATIENCE) if web else _copied
    target = folder / file.place
    target.parent.mkdir(parents=True, exist_ok=True)
    # A file that is there is not the one it should be.
    target.unlink(missing_ok=True)
    try:
        pooch.retrieve(
            urllib.parse.quote(address, safe=":/") if web else address,
            known_hash=f"sha256:{file.sha256}" if file.sha256 else None,
            fname=target.name,
            path=target.parent,
            downloader=downloader,
        )
    except (requests.HTTPError, FileNotFoundError) as error:
        answer = getattr(error, "response", None)
        if answer is not None and answer.status_code not in _GONE:
            raise InputError(
                f"{wanted.name}: {address} is not given out now ({answer.status_code} "
                f"{answer.reason}); the same command goes on from what came"
            ) from error
        raise InputError(
            f"{wanted.name}: {address} is not there; set {MIRROR} to a folder or address that has "
            f"{wanted.folder}/{file.place}"
        ) from error
    except requests.RequestException as error:
        raise InputError(
            f"{wanted.name}: {urllib.parse.urlsplit(address).netloc} cannot be reached, or broke "
            f"off; the same command goes on from what came; without a network, set {MIRROR} to a "
            f"folder that has {wanted.folder}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{wanted.name}: {address} is not the file that was published (its SHA-256 is "
            "another); it was not kept"
        ) from error
    return file


def _copied(address: str, target: str, _: object) -> None:
    shutil.copyfile(address, target)


def in_words(sets: Sequence[PublishedSet]) -> list[str]:
    """A few lines on each."""
    return [
        line
        for each in sets
        for line in (
            f"{each.name}  ({each.task}) {each.title}",
            f"    {each.size}; {each.licence}; {each.source}",
        )
    ]
