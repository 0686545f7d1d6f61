"""What a person needs to correct masks by hand, and what becomes training data of it.

A folder with one PNG a frame, its outlines as LabelMe's JSON, the same as a label image (for napari
and Fiji), and `dataset.toml`, which `isl train` reads: corrected files go back as they are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image

from isl.errors import InputError
from isl.files.whole import write_text, written_whole
from isl.fragmentation.polygons import outlines_of, write_labelme

FOLDER = "correct"


def write_for_correction(
    folder: Path, name: str, images: np.ndarray, labels: np.ndarray, *, overwrite: bool = False
) -> list[dict[str, str]]:
    """Writes the frames of one recording, and returns their entries of the dataset.

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
    entries = []
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
        entries.append({"image": picture.name, "mask": outlines.name, "group": name})
    return entries


def write_correction_dataset(folder: Path, entries: Sequence[dict[str, str]]) -> Path:
    """The dataset of all frames, whose path is returned."""
    path = folder / "dataset.toml"
    write_text(
        path,
        "# Correct the .json files in LabelMe, or paint the _mask.png in napari or Fiji and "
        'name it as `mask`\n# instead; then train with dataset = "dataset.toml".\n'
        + tomli_w.dumps({"example": list(entries)}),
        overwrite=True,
    )
    return path
