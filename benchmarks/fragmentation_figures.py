"""What fragmentation models say of simulated and real embryos, and how two models differ.

    python benchmarks/fragmentation_figures.py [MODEL ...]

Models are folders or bundled names; the second and later ones are compared with the first. Needs
ISL_DATA, and the 60 simulated embryos that fragmentation_small.toml says how to make. Prints
figures of these (means over pictures, 95 % intervals by embryo), Dice of four labelled frames of
one real embryo, and how many outlines of fragments are in twenty frames of two others.
"""

import argparse
from pathlib import Path

import numpy as np

from isl.fragmentation.assess import assess_frame
from isl.fragmentation.dataset import Example, load_dataset, load_ground, only_frame, read_mask
from isl.fragmentation.model import FragmentationModel, load_fragmentation_model
from isl_eval.fragmentation.judge import Rows, differences_of, intervals_of, overlap_of, rows_of

DATA = Path(__file__).parents[1] / "configs" / "data"


def simulated(model: FragmentationModel) -> Rows:
    """What it says of the embryos for testing; prints the figures."""
    dataset = load_dataset(DATA / "cleavage_s" / "dataset.toml")
    ground = load_ground(dataset.of("test"), model.judged_size)
    said = model.judged(ground.images.astype(np.float32) / 255)
    rows = rows_of(said, ground, model.config)
    found = intervals_of(rows, dataset.scale, rng=np.random.default_rng(0), replicates=2000)
    print(f"simulated, {len(set(ground.groups))} embryos, {len(ground)} pictures:")
    for name, interval in found.items():
        if interval.estimate is not None and not name.startswith("given"):
            print(f"   {name} {interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})")
    return rows


def labelled(model: FragmentationModel) -> None:
    """Prints Dice and shares of the labelled real frames, as the command gives them."""
    dice = []
    for example in load_dataset(DATA / "cleavage_masks.toml").examples:
        image = only_frame(example)
        assert example.mask is not None
        truth = read_mask(example.mask, example.image, image.shape)
        (made,), labels = assess_frame(image, model.look(image[None])[0], model.config, frame=0)
        pair = overlap_of(labels > 0, truth > 0)[0], overlap_of(labels == 2, truth == 2)[0]
        dice.append(pair)
        print(
            f"   {example.name}: Dice of the embryo {pair[0]:.3f}, of fragments {pair[1]:.3f}; "
            f"share {(truth == 2).sum() / (truth > 0).sum():.3f}, by area {made.by_area:.3f}, "
            f"{made.verdict}"
        )
    embryo, fragment = np.mean(dice, axis=0)
    print(f"   mean: embryo {embryo:.3f}, fragments {fragment:.3f}")


def counted(model: FragmentationModel, examples: tuple[Example, ...]) -> None:
    """Prints how many outlines of fragments there are in each unlabelled frame."""
    total = 0
    for example in examples:
        image = only_frame(example)
        made, _ = assess_frame(image, model.look(image[None])[0], model.config, frame=0)
        total += sum(each.fragments for each in made)
        said = "; ".join(
            f"{each.fragments} outlines, share by area {each.by_area or 0:.3f}, {each.verdict}"
            + (f" ({each.reason})" if each.reason else "")
            for each in made
        )
        print(f"   {example.group} {example.name.split('RUN')[-1]}: {said}")
    print(f"   {total} outlines of fragments in all")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["fragmentation"])
    first = None
    for name in parser.parse_args().models:
        model = load_fragmentation_model(Path(name) if Path(name).is_dir() else name)
        network = model.config.network
        print(f"{name}: {network.encoder.kind}, {network.decoder}, gates {network.gates}")
        rows = simulated(model)
        print("four labelled frames of one real embryo:")
        labelled(model)
        print("twenty frames of two other real embryos:")
        counted(model, load_dataset(DATA / "gomez_cleavage.toml").examples)
        if first is None:
            first = rows
            continue
        differences = differences_of([rows], [first], rng=np.random.default_rng(0), replicates=2000)
        print("less the first model:")
        for what, interval in differences.items():
            if interval.estimate is not None:
                span = f"{interval.low:+.3f} to {interval.high:+.3f}"
                print(f"   {what} {interval.estimate:+.3f} ({span})")


if __name__ == "__main__":
    main()
