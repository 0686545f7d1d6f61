"""Means, medians and samples of predicted distributions: which of them could be an image.

The validation block of the published field (condition_b_A4), predicted by neurons-phase. Beside the
measured picture stand the mean, the median, samples of single pixels, and samples whose neighbours
are drawn together (`isl predict --statistics sample`): how long and connected their lines are, how
far their texture is from the measured one's, and their agreement pixel by pixel. Errors' reach was
measured on the same block, which gives five numbers a label. Run it as

    ISL_DATA=... python benchmarks/coherence.py

coherence.txt holds what it printed.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import isl
from isl.imaging.agreement import pearson
from isl.imaging.image import ZStack
from isl.labeling.dataset import load_manifest
from isl_eval.labeling.ground import survey_ground
from isl_eval.metrics.structure import Structure, line_threshold, structure_of

MANIFEST = Path(__file__).parents[1] / "configs" / "data" / "condition_b_A4.toml"
SEEDS = 8
# What the network sees of a pixel's surroundings, and more.
MARGIN = 96


def pictures(model: isl.Model, stack: ZStack) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pictures [L, Y, X]; of samples, one a seed."""
    said = model.predict(stack, statistics=["mean", "median"]).statistics
    yield from said.items()
    single = dict.fromkeys(model.labels, (1.0, 0.0, 0.0, 0.0, 0.0))
    for name, coherence in (("sample, 2 pixels", single), ("sample", model.config.coherence)):
        config = model.config.model_copy(update={"coherence": coherence})
        drawing = dataclasses.replace(model, config=config)
        for seed in range(SEEDS):
            yield (
                name,
                drawing.predict(stack, statistics=["sample"], seed=seed).statistics["sample"],
            )


def main() -> None:
    """Prints a table for every label."""
    model = isl.load_model("neurons-phase")
    ground = survey_ground(load_manifest(MANIFEST), split="validation", predicted=model.labels)
    field = ground.read(ground.fields[0].name)
    y, x = np.where(field.measured.any(axis=0))
    window = tuple(slice(max(0, int(n.min()) - MARGIN), int(n.max()) + 1 + MARGIN) for n in (y, x))
    stack = dataclasses.replace(field.stack, planes=field.stack.planes[:, *window])
    truth, counted = field.truth[:, *window], field.measured[:, *window]
    found: dict[tuple[str, str], list[tuple[Structure, float]]] = {}
    drawn = [("measured", truth), *pictures(model, stack)]
    for index, label in enumerate(field.labels):
        threshold = line_threshold(truth[index], counted[index])
        for name, picture in drawn:
            shown = picture[index if name == "measured" else model.labels.index(label)]
            structure = structure_of(shown, truth[index], counted[index], threshold)
            agreement = pearson(shown, truth[index], counted[index])
            found.setdefault((label, name), []).append((structure, agreement))
    head = ("length", "connectedness", "parts", "roughness", "Pearson")
    print(f"{'':<16}{'':<18}" + "".join(f"{each:>15}" for each in head))
    for (label, name), each in found.items():
        columns = np.array([(*dataclasses.astuple(one), agreement) for one, agreement in each])
        texts = [
            f"{mean:.{digits}f}" + (f" +- {spread:.{digits}f}" if len(each) > 1 else "")
            for mean, spread, digits in zip(
                columns.mean(axis=0), columns.std(axis=0), (0, 0, 0, 2, 3), strict=True
            )
        ]
        print(f"{label:<16}{name:<18}" + "".join(f"{text:>15}" for text in texts), flush=True)


if __name__ == "__main__":
    main()
