"""Where results come from: hashes of files, versions of packages, for the records beside them."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("isl", "jax", "jaxlib", "flax", "numpy", "scipy", "tifffile")


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def made_from(
    record: Path,
    command: str,
    *,
    model_hash: str,
    settings: Mapping[str, Any],
    source_hash: str,
    formerly: Mapping[str, Any] | None = None,
) -> bool:
    """Whether a record is there, of the same input, model and settings.

    Args:
        record: The JSON file.
        command: What must have made it, such as "isl predict".
        model_hash: sha256 of the model.
        settings: Everything else that changes results.
        source_hash: sha256 of the input.
        formerly: The values of settings that did not exist yet when older records were written.
    """
    try:
        made = json.loads(record.read_text(encoding="utf-8"))
        return (
            made["made_by"] == command
            and made["model"]["sha256"] == model_hash
            and made["input"]["sha256"] == source_hash
            and {**(formerly or {}), **made["settings"]} == json.loads(json.dumps(dict(settings)))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def results_in(folder: Path) -> frozenset[str]:
    """Names of the results in a folder that records of isl beside them name.

    What was predicted into the folder of its inputs is no input the next time.
    """
    names: set[str] = set()
    for record in folder.glob("*.json"):
        try:
            made = json.loads(record.read_text(encoding="utf-8"))
            if str(made["made_by"]).startswith("isl "):
                names.update(_texts(made["outputs"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return frozenset(names)


def _texts(outputs: Any) -> Iterator[str]:
    """Every text in what a record says of its outputs: lists and tables of names, and hashes."""
    if isinstance(outputs, str):
        yield outputs
    elif isinstance(outputs, Mapping | list):
        for each in outputs.values() if isinstance(outputs, Mapping) else outputs:
            yield from _texts(each)


def made_by(
    command: str, *, source: Path, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What every record of a result says; the command adds what it found.

    Args:
        command: What made it, such as "isl predict".
        source: The input.
        facts: What it is: its `sha256`, and axes, shape and pixel type as read.
        settings: Everything else that changes the result.
    """
    return {
        "made_by": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": {"path": str(source.resolve()), **facts},
        "settings": dict(settings),
        "versions": versions(),
    }
