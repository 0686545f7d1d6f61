"""Where results come from: hashes of files, versions of packages, for the records beside them."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

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
