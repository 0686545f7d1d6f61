"""Where results come from: hashes of files, versions of packages, for the records beside them."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
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
