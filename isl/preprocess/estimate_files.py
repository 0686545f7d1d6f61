"""Estimates as files: pictures that Fiji opens, and what is to be said of them."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from isl.errors import InputError
from isl.files.whole import write_text
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage
from isl.imaging.inputs.read import read_picture
from isl.preprocess import scratch
from isl.preprocess.correction import Estimates
from isl.preprocess.stages.additive_dust import AdditiveDust

FOLDER = "estimates"
_DUST_IMAGES = ("artifact", "background", "mask")


class _Said(pydantic.BaseModel):
    """CHANNEL.json: what `save_estimates` says of a channel's pictures."""

    inputs: str
    error: float
    images: int
    of: int
    notes: tuple[str, ...]
    pictures: tuple[str, ...]
    additive_dust: Mapping[str, Any] | None


def save_estimates(folder: Path, channel: str, estimates: Estimates, inputs: str) -> None:
    """Writes a channel's estimates as float32 TIFFs, which Fiji opens, and CHANNEL.json last.

    Args:
        folder: Of all estimates.
        channel: Its name.
        estimates: To write.
        inputs: Digest of what they were made from.

    Raises:
        InputError: They cannot be written.
    """
    pictures: dict[str, tuple[np.ndarray, ...]] = {}
    if estimates.additive_dust is not None:
        dust = estimates.additive_dust
        pictures["additive_dust"] = tuple(getattr(dust, name) for name in _DUST_IMAGES)
    if estimates.flat_field is not None:
        pictures["flat_field"] = (estimates.flat_field,)
    if estimates.dust is not None:
        pictures["dust"] = (estimates.dust,)
    for name, channels in pictures.items():
        labels = _DUST_IMAGES if len(channels) > 1 else (name,)
        write_ome_tiff(
            _picture_in(folder, channel, name),
            FluorescenceImage(
                name=channel, channels=np.stack(channels, dtype=np.float32), labels=labels
            ),
            overwrite=True,
        )
    dust = estimates.additive_dust
    said = _Said(
        inputs=inputs,
        error=estimates.error,
        images=estimates.images,
        of=estimates.of,
        notes=estimates.notes,
        pictures=tuple(pictures),
        additive_dust=None
        if dust is None
        else {
            field.name: getattr(dust, field.name)
            for field in dataclasses.fields(dust)
            if field.name not in _DUST_IMAGES
        },
    )
    write_text(_said_in(folder, channel), said.model_dump_json(indent=2) + "\n", overwrite=True)


def has_estimates(folder: Path, channel: str) -> bool:
    """Whether `save_estimates` finished."""
    return _said_in(folder, channel).is_file()


def inputs_of_estimates(folder: Path, channel: str) -> str:
    """Digest of what they were made from, as given to `save_estimates`."""
    return _said(folder, channel).inputs


def digest_of_estimates(folder: Path, channel: str) -> str:
    """Digest of a channel's files; the same estimates have the same."""
    digest = hashlib.sha256()
    pictures = _said(folder, channel).pictures
    files = (_picture_in(folder, channel, name) for name in pictures)
    for file in (_said_in(folder, channel), *files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def load_estimates(folder: Path, channel: str) -> Estimates:
    """What `save_estimates` wrote, kept in memory, since every tile needs it; or else nothing."""
    if not has_estimates(folder, channel):
        return Estimates()
    return _load(folder, channel, _said_in(folder, channel).stat().st_mtime_ns)


def _said_in(folder: Path, channel: str) -> Path:
    return folder / f"{scratch.file_name_of(channel)}.json"


def _picture_in(folder: Path, channel: str, name: str) -> Path:
    return folder / f"{scratch.file_name_of(channel)}.{name}.ome.tif"


@functools.lru_cache(maxsize=8)
def _load(folder: Path, channel: str, written: int) -> Estimates:
    """As `load_estimates`, of what was written at that time."""
    said = _said(folder, channel)
    try:
        pictures = {
            name: read_picture(_picture_in(folder, channel, name)).array[0, :, 0]
            for name in said.pictures
        }
        dust = None
        if said.additive_dust is not None:
            artifact, background, mask = pictures["additive_dust"]
            dust = AdditiveDust(
                artifact=artifact, background=background, mask=mask > 0, **said.additive_dust
            )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, channel) from error
    return Estimates(
        additive_dust=dust,
        flat_field=pictures["flat_field"][0] if "flat_field" in pictures else None,
        dust=pictures["dust"][0] if "dust" in pictures else None,
        error=said.error,
        images=said.images,
        of=said.of,
        notes=said.notes,
    )


def _said(folder: Path, channel: str) -> _Said:
    try:
        return _Said.model_validate_json(_said_in(folder, channel).read_bytes())
    except ValueError as error:
        raise _damaged(folder, channel) from error


def _damaged(folder: Path, channel: str) -> InputError:
    return InputError(
        f"{_said_in(folder, channel)}: is damaged; remove it, and what it says is estimated anew"
    )
