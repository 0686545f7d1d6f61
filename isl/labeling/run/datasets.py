"""Datasets as inputs: the folder that `isl preprocess` or `isl phantom` wrote, or any manifest."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.labeling.dataset import Field, load_manifest

MANIFEST = "dataset.toml"
# What manifests may say of a field in place of its file, by the names that options have.
STATED = ("axes", "channel", "planes", "pixel_size", "z_step", "modality")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expanded:
    """Inputs without datasets.

    Attributes:
        paths: Files and folders of published PNGs.
        stated: What the datasets say of all of their fields alike.
    """

    paths: tuple[Path, ...]
    stated: dict[str, Any]


def without_datasets(inputs: Iterable[Path], given: Iterable[str] = ()) -> Expanded:
    """Inputs with the transmitted stacks of its fields in the place of each dataset.

    Measured images, masks and pictures that lie beside them are not offered, nor fields that a run
    has left out.

    Args:
        inputs: Files, folders and datasets.
        given: What the caller says itself, whatever datasets say.

    Raises:
        InputError: A manifest cannot be read, a run kept no field, a field is made of several
            files, or what fields say of themselves differs.
    """
    paths: list[Path] = []
    said: list[dict[str, Any]] = []
    for path in inputs:
        manifest = _manifest_of(path)
        if manifest is None:
            paths.append(path)
            said.append({})
            continue
        fields = load_manifest(manifest).fields
        paths += [_stack_of(field, manifest) for field in fields]
        said += [_said_of(field) for field in fields]
    overruled = frozenset(given)
    left = [{key: value for key, value in one.items() if key not in overruled} for one in said]
    return Expanded(paths=tuple(paths), stated=_common(left, paths))


def _manifest_of(path: Path) -> Path | None:
    if path.is_file() and path.suffix == ".toml":
        return path
    if not path.is_dir():
        return None
    if (path / MANIFEST).is_file():
        return path / MANIFEST
    if (path / "settings.toml").is_file() and (path / "fields").is_dir():
        raise InputError(
            f"{path}: no field of this run is kept (see quality.csv there); name "
            f"{path / 'fields'} to predict all of them"
        )
    return None


def _stack_of(field: Field, manifest: Path) -> Path:
    if field.folder is not None:
        return field.folder
    if len(field.transmitted) > 1:
        raise InputError(
            f"{manifest}: field '{field.name}' is made of {len(field.transmitted)} files; save its "
            "planes as one stack to predict it"
        )
    return next(iter(field.transmitted))


def _said_of(field: Field) -> dict[str, Any]:
    return {key: value for key in STATED if (value := getattr(field, key)) is not None}


def _common(said: Sequence[dict[str, Any]], paths: Sequence[Path]) -> dict[str, Any]:
    if not said:
        return {}
    first = said[0]
    for other, path in zip(said, paths, strict=True):
        if other != first:
            key = next(k for k in STATED if other.get(k) != first.get(k))
            raise InputError(
                f"{path}: has {key} {other.get(key)}, and {paths[0]} {first.get(key)}, as their "
                f"datasets say it; predict them in calls of their own, or give `{key}`"
            )
    return first
