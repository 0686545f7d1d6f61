"""Images whose brightness is known, by the manifest that every task may use."""

from pathlib import Path

import numpy as np

from isl.data.manifest import load_dataset
from isl.data.splits import Split
from isl.imaging.inputs.read import read_picture

BRIGHTNESS = "brightness"


def load_image(path: Path) -> np.ndarray:
    """float32 [Y, X]; integers between 0 and 1, floats as they are."""
    stored = read_picture(path).array.squeeze()
    highest = np.iinfo(stored.dtype).max if stored.dtype.kind in "ui" else 1
    return (stored / highest).astype(np.float32)


def load_images(manifest: Path, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, Y, X] of one side of the splits and how bright each is [N], where it is known.

    Raises:
        InputError: As `isl.data.manifest.load_dataset`.
    """
    dataset = load_dataset(manifest)
    examples = dataset.examples_for(split)
    brightness, known = dataset.array(BRIGHTNESS, examples)
    seen = [each for each, there in zip(examples, known, strict=True) if there]
    images = np.stack([load_image(each.inputs["image"]) for each in seen])
    return images, brightness[known].astype(np.float32)
