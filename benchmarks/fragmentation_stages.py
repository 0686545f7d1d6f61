"""How well stages that are not graded are told from cleavage stages, on simulated and real frames.

    python benchmarks/fragmentation_stages.py [--model fragmentation] [--into DIR]

Needs ISL_DATA and simulated stages:
    isl phantom --kind cleavage --out configs/data/cleavage_stages --count 640 --validation 160 \
        --set test=160 --set stages=true --set frames=1 --set size=320 --seed 3

The line is learned from simulated embryos alone. Thresholds are set where at most one in twenty
cleavage stages is refused: of simulated ones; or of the other real recording, too, so that each
recording is judged by what the other says (the higher of the two thresholds); or of both, as the
bundled model has it: then a recording is judged by what its own cleavage frames set. Beside it: the
distance on the same features that the model had before, roundness of the outline, and the share of
fragments. Then eight pairs of a simulated cleavage stage and another stage, side by side in one
frame: how many rows they have, and what is said; and how many rows frames of one embryo have
(--pairs: these alone). With --into the model is
written there with what was learned (in place of `isl train`, which does the same with
`other_stages`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.measure import regionprops

from isl.fragmentation.assess import assess_frame
from isl.fragmentation.dataset import Example, load_dataset
from isl.fragmentation.model import (
    FragmentationModel,
    load_fragmentation_model,
    save_fragmentation_model,
)
from isl.fragmentation.separation import separate
from isl.fragmentation.stages import CLEAVAGE, OTHERS
from isl.phantom.cleavage.dataset import CleavageConfig, frames_of, stage_of
from isl_train.fragmentation.stages import learned_stages, looked_at, stage_features, threshold

DATA = Path(__file__).parents[1] / "configs" / "data"


def refused(scores: np.ndarray, examples: Sequence[Example], title: str, limits: dict) -> None:
    """Prints shares of pictures whose score lies above the limit of their recording."""
    stage = np.array([e.stage for e in examples])
    group = np.array([e.group if e.site else "simulated" for e in examples])
    print(title)
    for name, limit in limits.items():
        own = (group == name) & np.array([e.split != "train" for e in examples])
        if name == "simulated":
            own &= np.array([e.split == "test" for e in examples])
        parts = [
            f"{s} {(scores[own & (stage == s)] > limit).mean():.2f}"
            for s in (CLEAVAGE, *OTHERS)
            if (own & (stage == s)).any()
        ]
        count = (own & (stage == CLEAVAGE)).sum()
        print(f"   {name}: {', '.join(parts)} (of {count} cleavage and {own.sum() - count} others)")


def pairs(model: FragmentationModel) -> None:
    """Prints what is said of two simulated embryos in one frame, of which one is not graded."""
    config = CleavageConfig(frames=1, size=320, stages=True)
    print("a cleavage stage, and right of it:")
    for number in range(0, 16, 2):
        sides = [frames_of(number + k, config, 79, 2)[0][0] for k in (0, 1)]
        frame = np.concatenate(sides, axis=1).astype(np.float32) / 255
        made, _ = assess_frame(frame, model.look(frame[None])[0], model.config, frame=0)
        said = "; ".join(each.reason.partition(" (")[0] or each.verdict for each in made)
        print(f"   {stage_of(number + 1)}: {len(made)} rows: {said}")


def single(model: FragmentationModel) -> None:
    """Prints how many frames of one embryo have more rows than one."""
    config = CleavageConfig(frames=1, size=320, stages=True)
    simulated = [frames_of(n, config, 80, 2)[0][0].astype(np.float32) / 255 for n in range(120)]
    said = {
        "simulated": [model.look(frame[None])[0] for frame in simulated],
        "real": looked_at(model, load_dataset(DATA / "gomez_stages.toml").examples),
    }
    print("frames of one embryo:")
    for name, looks in said.items():
        rows, kept = [], []
        for look in looks:
            numbers = separate(look.labels, smallest=model.config.smallest)
            rows.append(int(numbers.max()))
            kept.append((numbers > 0).sum() / max(1, (look.labels > 0).sum()))
        several = sum(count > 1 for count in rows)
        print(
            f"   {len(rows)} {name}: {several} with more rows than one, {rows.count(0)} with none,"
        )
        print(
            f"      {sum(share < 0.95 for share in kept)} whose rows lack a twentieth of the mask"
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fragmentation")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--pairs", action="store_true")
    given = parser.parse_args()
    model = load_fragmentation_model(given.model)
    if given.pairs:
        pairs(model)
        single(model)
        return
    simulated = load_dataset(DATA / "cleavage_stages" / "dataset.toml").examples
    real = load_dataset(DATA / "gomez_stages.toml").examples
    examples = (*simulated, *real)
    said = list(looked_at(model, examples))
    features = stage_features(said)
    labels = [each.labels for each in said]
    head = learned_stages(features, examples)
    cleavage = np.array([e.stage == CLEAVAGE for e in examples])
    group = np.array([e.group if e.site else "simulated" for e in examples])
    held = cleavage & np.array([e.split == "validation" for e in examples])
    names = ("simulated", *sorted({e.group for e in real}))
    ways = {
        "logistic line on means of maps": head.score(features),
        "roundness of the outline": np.array([_round(each) for each in labels]),
        "no fragments (1 - share by area)": np.array(
            [1 - (each == 2).sum() / max(1, (each > 0).sum()) for each in labels]
        ),
    }
    if model.config.familiar is not None:
        ways["distance on means of maps"] = np.array(
            [model.config.familiar.distance(each) for each in features]
        )
    for way, scores in ways.items():
        of = {name: threshold(scores[held & (group == name)]) for name in names}
        plain = dict.fromkeys(names, of["simulated"])
        refused(scores, examples, f"{way}; threshold from simulated embryos", plain)
        crossed = {
            name: max(of["simulated"], *(of[n] for n in names[1:] if n != name))
            for name in names[1:]
        }
        refused(scores, examples, f"{way}; threshold from the other recording, too", crossed)
    refused(
        head.score(features), examples, "as the model has it, from both", dict.fromkeys(names, 0.0)
    )
    pairs(model)
    if given.into:
        config = model.config.model_copy(update={"stages": head})
        save_fragmentation_model(given.into, model.network, config, model.card)


def _round(labels: np.ndarray) -> float:
    """4 pi area / perimeter^2 of the largest part."""
    parts = regionprops((labels > 0).astype(int))
    return 4 * np.pi * parts[0].area / max(parts[0].perimeter, 1) ** 2 if parts else 0.0


if __name__ == "__main__":
    main()
