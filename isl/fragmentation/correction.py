"""What a person needs to correct masks by hand, and what becomes training data of it.

A folder with one PNG a frame, its outlines as LabelMe's JSON, the same as a label image (for napari
and Fiji), and `dataset.toml`, which `isl train` reads: corrected files go back as they are.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from isl.config import read_toml
from isl.errors import InputError
from isl.files.whole import write_text, written_whole
from isl.fragmentation.polygons import outlines_of, write_labelme

FOLDER, DATASET = "correct", "dataset.toml"


def write_for_correction(
    folder: Path, name: str, images: np.ndarray, labels: np.ndarray, *, overwrite: bool = False
) -> None:
    """Writes the frames of one recording.

    Args:
        folder: Made if missing.
        name: Of the recording; the embryo's group.
        images: float32 [T, Y, X] in [0, 1].
        labels: uint8 [T, Y, X] of 0, 1, 2.
        overwrite: Whether files already there, which may have been corrected, are replaced.

    Raises:
        InputError: Files exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for t, (image, truth) in enumerate(zip(images, labels, strict=True)):
        stem = f"{name}_{t:04d}"
        picture, mask, outlines = (
            folder / f"{stem}{ending}" for ending in (".png", "_mask.png", ".json")
        )
        existing = [path for path in (picture, mask, outlines) if path.exists()]
        if existing and not overwrite:
            raise InputError(
                f"{existing[0]}: exists, and may have been corrected by hand; give `overwrite` to "
                "replace it"
            )
        values = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
        for path, array in ((picture, values), (mask, truth)):
            with written_whole(path, overwrite=overwrite) as temporary:
                Image.fromarray(array).save(temporary, "PNG")
        write_labelme(outlines, outlines_of(truth, picture.name), overwrite=overwrite)


def is_written(folder: Path, name: str) -> bool:
    """Whether a recording's frames are there."""
    return (folder / f"{name}_0000.json").is_file()


def write_correction_dataset(folder: Path, names: Sequence[str]) -> Path:
    """The dataset of all frames of recordings, whose path is returned.

    What a person changed in an entry stays.
    """
    path = folder / DATASET
    changed: dict[str, Mapping[str, Any]] = {}
    if path.is_file():
        changed = {entry["image"]: entry for entry in read_toml(path).get("example", ())}
    entries = []
    for name in names:
        of_name = re.compile(re.escape(name) + r"_\d{4,}\.json")
        for outlines in sorted(p for p in folder.iterdir() if of_name.fullmatch(p.name)):
            picture = f"{outlines.stem}.png"
            entry = {"image": picture, "mask": outlines.name, "group": name}
            entries.append(changed.get(picture, entry))
    write_text(
        path,
        "# Correct the .json files in LabelMe, or paint the _mask.png in napari or Fiji and "
        'name it as `mask`\n# instead; then train with dataset = "dataset.toml".\n'
        '# Frames of oocytes, one-cell stages, morulae or blastocysts: add stage = "oocyte" '
        '("zygote", "morula",\n# "blastocyst"); they are then not learned from.\n'
        + tomli_w.dumps({"example": entries}),
        overwrite=True,
    )
    return path
