"""Crops of the ground that bundled models learned from: how many are called unlike it.

A crop is normalized alone, as a file that holds it would be. For every model the script prints what
`piece_limits` its ground gives, and for crops of several widths, at random places, how many of them
are warned of with the limits that `model.toml` holds. Run it as

    ISL_DATA=... python benchmarks/familiar_crops.py [MODEL...]

The phantom's ground is made first, as configs/phantom.toml says. What was printed stands in
familiar_crops.txt.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.data.splits import Split
from isl.imaging.normalize import normalize
from isl.labeling.dataset import load_manifest
from isl.labeling.familiarity import (
    Familiarity,
    LearnedField,
    crop_windows,
    piece_limits,
    unfamiliarity,
)
from isl.labeling.fields import load_field
from isl.labeling.model_config import read_model_config
from isl.model_folder import model_directory

CONFIGS = Path(__file__).parents[1] / "configs" / "data"
GROUND = {
    "neurons-phase": "condition_b_A4.toml",
    "ezrin-aif": "ai4embryo.toml",
    "phantom": "phantom/dataset.toml",
}
WIDTHS = (64, 100, 128, 192, 256, 300, 400, 512)
CROPS = 24
# Every so many fields of a large set.
AT_MOST = 24


def ground(manifest: Path, split: Split = "train") -> list[LearnedField]:
    """Normalized fields, and where they may be learned from."""
    stated = load_manifest(manifest).fields_for(split)
    fields = []
    for field in stated[:: -(-len(stated) // AT_MOST)]:
        loaded = load_field(field)
        planes, _ = normalize(loaded.transmitted.planes)
        usable = np.asarray(loaded.measured_for(split).any(axis=0))
        fields.append(LearnedField(group=loaded.group, transmitted=planes, usable=usable))
    return fields


def warned(familiarity: Familiarity, fields: Sequence[LearnedField], width: int) -> tuple[int, int]:
    """Of random crops of a width, how many are called unlike, and how many there were."""
    rng, unlike, asked = np.random.default_rng(width), 0, 0
    for number in range(CROPS):
        planes = fields[number % len(fields)].transmitted
        if width > min(planes.shape[1:]):
            continue
        top, left = (int(rng.integers(n - width + 1)) for n in planes.shape[1:])
        crop, _ = normalize(planes[:, top : top + width, left : left + width])
        parts = [crop[:, slice(*y), slice(*x)] for y, x in crop_windows((width, width))]
        found = unfamiliarity(familiarity, parts)
        assert found is not None
        asked, unlike = asked + 1, unlike + found.unlike
    return unlike, asked


def main() -> None:
    """One line a model, and one for each width."""
    for name in sys.argv[1:] or GROUND:
        fields = ground(CONFIGS / GROUND[name])
        familiarity = read_model_config(model_directory(name)).familiarity
        assert familiarity is not None
        measured = piece_limits(familiarity, fields)
        print(
            f"{name}: {len(fields)} fields, limit {familiarity.limit}, piece_limits "
            f"{familiarity.piece_limits}, by this ground {measured}",
            flush=True,
        )
        for width in WIDTHS:
            unlike, asked = warned(familiarity, fields, width)
            if asked:
                print(f"  {width:4d} pixels: {unlike} of {asked} unlike", flush=True)


if __name__ == "__main__":
    main()
