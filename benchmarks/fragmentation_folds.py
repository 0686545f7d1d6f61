"""Three of four labelled frames learned from, and the fourth judged: each frame once.

    python benchmarks/fragmentation_folds.py --out DIR [--phantoms FILE] [--every 3] [KEY=VALUE ...]

Trains `configs/fragmentation_three_frames.toml` four times, on from a model folder or a bundled
model (`start=...`), with simulated embryos among the real frames, and prints Dice of the frame left
out at its own size. All four are of one embryo: what this says of others is little. Needs ISL_DATA.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from isl.config import load_toml
from isl.fragmentation.dataset import Example, load_dataset, read_mask
from isl.fragmentation.drawing import contours
from isl.fragmentation.model import load_fragmentation_model
from isl.fragmentation.pictures import read_frames
from isl_eval.fragmentation.judge import overlap_of
from isl_train.fragmentation.config import FragmentationExperiment
from isl_train.fragmentation.recipe import train_fragmentation
from isl_train.recipe import Run

CONFIGS = Path(__file__).parents[1] / "configs"
FRAMES = CONFIGS / "data" / "cleavage_masks.toml"


def written(examples: Sequence[Example], path: Path) -> Path:
    """A dataset of examples with masks, to learn from."""
    entries = [
        f'[[example]]\nimage = "{each.image}"\nmask = "{each.mask}"\ngroup = "{each.group}"\n'
        for each in examples
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(entries), "utf-8")
    return path


def main() -> None:
    """Trains, judges and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phantoms", type=Path, default=CONFIGS / "data/cleavage_a/dataset.toml")
    parser.add_argument(
        "--every", type=int, default=3, help="of the simulated pictures one in so many"
    )
    parser.add_argument("--repeat", type=int, default=20, help="views of a real frame")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_args()
    out = given.out.resolve()
    simulated = load_dataset(given.phantoms.resolve()).of("train")[:: given.every]
    dataset = written(simulated, out / "simulated.toml")
    examples = load_dataset(FRAMES).examples
    found, panels = [], []
    for example in examples:
        folder = out / example.image.stem
        others = [each for each in examples if each is not example]
        three = written(others, folder / "three.toml")
        changes = [
            "start=fragmentation",
            f"dataset={dataset}",
            f'more=["{three}"]',
            f"repeat=[{given.repeat}]",
            "familiar=[]",
            *given.changes,
        ]
        path = CONFIGS / "fragmentation_three_frames.toml"
        experiment = load_toml(path, FragmentationExperiment, changes)
        run = Run(folder=CONFIGS, workdir=folder / "run", name="three", say=print)
        model = load_fragmentation_model(train_fragmentation(experiment, run))
        image = read_frames(example.image).images
        assert example.mask is not None
        truth = read_mask(example.mask, example.image, image.shape[1:])
        labels = model.look(image)[0].labels
        embryo = overlap_of(labels > 0, truth > 0)[0]
        fragments = overlap_of(labels == 2, truth == 2)[0]
        found.append((embryo, fragments))
        panels.append(np.concatenate([contours(image[0], each) for each in (truth, labels)], 1))
        print(
            f"{example.image.name}: Dice of the embryo {embryo:.3f}, of fragments {fragments:.3f}"
        )
        Image.fromarray(np.concatenate(panels)).save(out / "folds.png")
    embryo, fragments = np.mean(found, axis=0)
    print(f"mean of {len(found)}: embryo {embryo:.3f}, fragments {fragments:.3f}")


if __name__ == "__main__":
    main()
