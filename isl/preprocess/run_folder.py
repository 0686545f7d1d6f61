"""The folder of a run: one run at a time, of one set of settings, nothing of a person's lost."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from isl.config import to_toml
from isl.errors import InputError
from isl.files.locks import alone_in
from isl.files.provenance import sha256_of
from isl.files.whole import write_text
from isl.preprocess import estimate_files, scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.field import FIELDS
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.quality import Decision, Measures, write_decisions

SETTINGS = "settings.toml"
DECISIONS = "quality.csv"
MANIFEST = "dataset.toml"
REPORT = "report.html"
NORMALIZATION = "normalization.json"
_DIGEST = ".quality.sha256"
# What may change without a field having to be done again, as it is without a configuration.
_DEFAULTS = {
    name: PreprocessConfig.model_fields[name].get_default()
    for name in ("description", "quality", "decisions", "split")
}


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keeps other runs out of the folder, and clears away what a killed one left half written.

    Raises:
        InputError: Another run is there, or nothing can be written there.
    """
    with alone_in(out, "run"):
        for folder in (out, out / FIELDS, out / estimate_files.FOLDER):
            for left in folder.glob(".*.partial"):
                left.unlink(missing_ok=True)
        yield


def check_settings(config: PreprocessConfig, out: Path) -> None:
    """Keeps what decides on pixels; refuses to mix what was made with other settings.

    Raises:
        InputError: Fields of other settings are there.
    """
    bound = to_toml(config.model_copy(update=_DEFAULTS))
    kept = out / SETTINGS
    if kept.exists() and kept.read_text(encoding="utf-8") == bound:
        return
    done = any((out / FIELDS).glob("*.json"))
    if kept.exists() and done:
        raise InputError(
            f"{out}: holds a run of other settings (see {SETTINGS}); name another folder, or "
            "remove this one"
        )
    if not kept.exists() and (done or (out / MANIFEST).exists()):
        raise InputError(f"{out}: holds other fields; name another folder")
    if not kept.exists() and any((out / estimate_files.FOLDER).glob("*.json")):
        raise InputError(
            f"{out / estimate_files.FOLDER}: holds estimates of another run, which would be made "
            "anew; remove them, and name that run as 'estimates' in the configuration"
        )
    # No field is done: what else is there was made for other settings, and soon again.
    for folder in (scratch.FOLDER, estimate_files.FOLDER):
        scratch.remove(out / folder)
    write_text(kept, bound, overwrite=True)


def check_table(out: Path) -> None:
    """Refuses to write over a table of decisions that a person has edited.

    Raises:
        InputError: It was.
    """
    table, digest = out / DECISIONS, out / _DIGEST
    if not table.exists():
        return
    written = digest.read_text(encoding="utf-8").split() if digest.exists() else []
    if sha256_of(table) not in written:
        raise InputError(
            f"{table}: was edited; copy it elsewhere and name it as 'decisions' in the "
            "configuration, or remove it"
        )


def write_table(out: Path, decisions: Sequence[Decision], measures: Sequence[Measures]) -> None:
    """Writes the table of decisions, and first what it will be known by.

    Raises:
        InputError: It cannot be written.
    """
    table, new = out / DECISIONS, out / f".{DECISIONS}"
    write_decisions(new, decisions, measures, overwrite=True)
    written = sha256_of(new)
    # Known by either, for a run that is killed here; then only by what is there.
    _write_digests(out, [written, *([sha256_of(table)] if table.exists() else [])])
    os.replace(new, table)
    _write_digests(out, [written])


def _write_digests(out: Path, digests: Sequence[str]) -> None:
    write_text(out / _DIGEST, "\n".join(digests) + "\n", overwrite=True)


def digest_of_files(sources: Iterable[PlaneSource]) -> str:
    """Digest of the names, sizes and times of files.

    Raises:
        InputError: One of them is gone.
    """
    digest = hashlib.sha256()
    for file in sorted({source.file for source in sources}):
        try:
            found = file.stat()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
        digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
