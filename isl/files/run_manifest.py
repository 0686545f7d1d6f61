"""What the runs into one folder did, line by line, and that only one run at a time writes there.

`isl-run.jsonl` in the results' folder names, for every run, the model, the settings, and what
decides rounding: memory, tile and versions; then each field as it is finished, with the hash of its
input, its tiles and the device. Every line has reached the disk before the next field counts, so a
run that was killed can be resumed as it was begun.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.files.locks import alone_in
from isl.files.provenance import versions
from isl.files.staging import remove_leftovers

MANIFEST = "isl-run.jsonl"

logger = logging.getLogger(__name__)


class RunManifest:
    """The manifest of a folder that this process holds; see `held_folder`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Reads what is there.

        Args:
            path: The file, for messages.
            descriptor: The same, open for reading and appending.
        """
        self._path = path
        self._descriptor = descriptor
        text = path.read_bytes()
        # A line that was being written when the power went is not there.
        self._whole = text.rfind(b"\n") + 1
        self._lines = list(_parsed(text[: self._whole]))
        # Where this run's lines begin, and whether one of them is of a finished field.
        self._began = self._whole
        self._used = False

    def begun(
        self, model_hash: str, settings: Mapping[str, Any], formerly: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The last run with this model and these settings: what decided its rounding, or None.

        Args:
            model_hash: sha256 of the model.
            settings: Everything else that changes results, as JSON would return it.
            formerly: The values of settings that did not exist yet when older runs were made.

        Raises:
            InputError: There were runs, and all were with another model or other settings.
        """
        runs = [line["run"] for line in self._lines if "run" in line]
        alike = [run for run in runs if _origin(run, formerly) == (model_hash, settings)]
        if runs and not alike:
            model, theirs = _origin(runs[-1], formerly)
            differing = sorted(
                name for name, value in settings.items() if theirs.get(name) != value
            )
            other = f"other {', '.join(differing)}" if model == model_hash else "another model"
            raise InputError(
                f"{self._path.parent}: holds results with {other}, which `resume` would mix with "
                "these; give the same options, another `out`, or `overwrite`"
            )
        if not alike:
            return None
        now = versions()
        for package, version in alike[-1].get("versions", {}).items():
            if version != now.get(package):
                logger.warning(
                    "%s: begun with %s %s, now %s: results may differ by rounding",
                    *(self._path.parent, package, version, now.get(package)),
                )
        return alike[-1]

    def begin(self, run: Mapping[str, Any]) -> None:
        """A run begins. Images that have no record from now on are those of a run that was killed.

        Args:
            run: Its `model` (with `sha256`) and `settings`, and what else decides rounding.

        Raises:
            InputError: The disk is full, or fails.
        """
        started = datetime.now(UTC).isoformat(timespec="seconds")
        run = {"started": started, **run, "versions": versions()}
        self._began = self._whole
        self._append({"run": run}, "nothing is done")

    def finished(self, name: str, facts: Mapping[str, Any]) -> None:
        """A field is done, its files written.

        Args:
            name: Of the field.
            facts: What identifies its input and results.

        Raises:
            InputError: The disk is full, or fails.
        """
        self._append({"done": {"field": name, **facts}}, f"{name} is done; resume with `resume`")
        self._used = True

    def end(self) -> None:
        """A run that finished no field leaves no line, and a file without lines is none."""
        if not self._used:
            os.ftruncate(self._descriptor, self._began)
        if os.fstat(self._descriptor).st_size == 0:
            self._path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any], otherwise: str) -> None:
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        try:
            os.ftruncate(self._descriptor, self._whole)
            written = os.pwrite(self._descriptor, text, self._whole)
            if written < len(text):
                os.ftruncate(self._descriptor, self._whole)
                raise OSError(None, "the disk is full")
            os.fsync(self._descriptor)
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written ({error.strerror or error}); {otherwise}"
            ) from error
        self._whole += written


@contextlib.contextmanager
def held_folder(folder: Path, command: str) -> Iterator[RunManifest]:
    """The folder's manifest, for one run at a time; it is made if missing, and stays if used.

    What killed runs left in the folder is removed. A lock that a killed run held is gone with it.

    Args:
        folder: Where results go.
        command: What writes there, such as "isl predict".

    Raises:
        InputError: Another run writes there, or the folder cannot be written.
    """
    path = folder / MANIFEST
    with alone_in(folder, command):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        manifest = RunManifest(path, descriptor)
        try:
            remove_leftovers(folder)
            yield manifest
        finally:
            remove_leftovers(folder)
            manifest.end()
            os.close(descriptor)


def _parsed(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                yield parsed


def _origin(run: Any, formerly: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    try:
        return run["model"]["sha256"], {**formerly, **run["settings"]}
    except (KeyError, TypeError, ValueError):
        return None, {}
