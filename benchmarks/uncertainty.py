"""How far predicted distributions can be believed: on ground like that learned from, and on worse.

    python benchmarks/uncertainty.py                       # phantom, on simulated fields of its own
    ISL_DATA=... python benchmarks/uncertainty.py --model MODEL --dataset dataset.toml

Of measured intensities, the share that lies within predicted central intervals of 50, 80, 90 and
95 % (of right distributions: as many), how wide those of 90 % are, and the error of the median, of
all pixels and of the half with the narrower intervals. For blocks of 128 pixels and ranges of
predicted intensity, the share within those of 90 %. The same stacks are then made worse; and fields
of another kind are predicted, by what was not made for them. "unlike" is how far a field is from
what the model learned from, above 1 with a warning. uncertainty.txt holds what it printed.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

import isl
from isl.imaging.image import FluorescenceImage, ZStack
from isl.labeling.dataset import load_manifest
from isl.labeling.options import check_options
from isl.phantom import PhantomConfig, make_phantom
from isl_eval.labeling.distributions import LEVELS, DistributionFigures
from isl_eval.labeling.ground import GroundField, survey_ground
from isl_eval.labeling.predictions import Predicted, predict_measured
from isl_eval.metrics.risk_coverage import risk_coverage

FIRST_SEED, FIELDS = 900, 3
Worse = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def shifted(planes: np.ndarray, by: int) -> np.ndarray:
    """Begun too high: planes [Z, Y, X] of a stack that ends where it ended, the last one again."""
    return planes[np.minimum(np.arange(len(planes)) + by, len(planes) - 1)]


def noisy(planes: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of so many deviations of the stack's own intensities."""
    noise = rng.normal(0, deviation * planes.std(), planes.shape)
    return np.clip(planes + noise, 0, 65535)


def dusty(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Forty dark specks of 2 to 8 pixels in every plane, as on a camera's window."""
    height, width = planes.shape[1:]
    y, x = np.mgrid[:height, :width]
    light = np.ones((height, width))
    for _ in range(40):
        row, column, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(2, 8)
        light *= 1 - 0.4 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * radius**2))
    return planes * light


def repeated(planes: np.ndarray, missing: int) -> np.ndarray:
    """With the plane beside it in the place of one that is missing."""
    kept = np.arange(len(planes))
    kept[missing] = missing - 1
    return planes[kept]


WORSE: Mapping[str, Worse] = {
    "as it is": lambda planes, rng: planes,
    "1 plane too high": lambda planes, rng: shifted(planes, 1),
    "3 planes too high": lambda planes, rng: shifted(planes, 3),
    "noise, 0.5 deviations": lambda planes, rng: noisy(planes, 0.5, rng),
    "noise, 1 deviation": lambda planes, rng: noisy(planes, 1.0, rng),
    "dust": dusty,
    "a plane missing": lambda planes, rng: repeated(planes, len(planes) // 2),
}
FOREIGN = {
    "half as many cells": PhantomConfig(cells=2000, debris=2500),
    "uneven light": PhantomConfig(unevenness=0.1),
    "few photons": PhantomConfig(photons=100),
    "pixels of 0.45 um": PhantomConfig(pixel_size=0.45),
    "bright field": PhantomConfig(modality="BRIGHTFIELD"),
    "DIC": PhantomConfig(modality="DIC"),
}


def simulated(config: PhantomConfig) -> Iterator[GroundField]:
    """Fields that nothing has learned from."""
    for seed in range(FIRST_SEED, FIRST_SEED + FIELDS):
        name = f"phantom {seed}"
        stack, labels = make_phantom(config, seed, name)
        yield _ground(name, stack, labels)


def _ground(name: str, stack: ZStack, labels: FluorescenceImage) -> GroundField:
    truth = labels.channels.astype(np.float32) / 65535
    measured = np.ones(truth.shape, bool)
    return GroundField(
        name=name, group=name, stack=stack, labels=labels.labels, truth=truth, measured=measured
    )


def given(dataset: Path, labels: tuple[str, ...]) -> Iterator[GroundField]:
    """The validation side of a data set."""
    ground = survey_ground(load_manifest(dataset), split="validation", predicted=labels)
    for facts in ground.fields:
        yield ground.read(facts.name)


def made_worse(field: GroundField, worse: Worse) -> GroundField:
    """The same ground under a stack that is not what it was."""
    planes = field.stack.planes
    changed = worse(planes.astype(np.float64), np.random.default_rng(1)).astype(planes.dtype)
    return dataclasses.replace(field, stack=dataclasses.replace(field.stack, planes=changed))


def described(title: str, model: isl.Model, fields: list[GroundField]) -> Iterator[str]:
    """A line for every label."""
    labels = [label for label in model.labels if any(label in field.labels for field in fields)]
    options = check_options(
        model.config, labels=labels, statistics=("median",), tile=384, allow_mismatch=True
    )
    found = [predict_measured(model, field, options) for field in fields]
    unlike = [each.familiarity.score / each.familiarity.limit for each in found if each.familiarity]
    for label in labels:
        yield line(title, label, unlike, *_figures(label, fields, found))


def _figures(
    label: str, fields: list[GroundField], found: list[Predicted]
) -> tuple[DistributionFigures, list[float], np.ndarray, np.ndarray]:
    """Of all pixels; the share within 90 % by block; each pixel's width and error."""
    sums = [block for each in found for block in each.distributions[label].values()]
    blocks = [DistributionFigures.from_sums(block).result() for block in sums]
    shares = [block.coverage[0.9] for block in blocks if block.coverage and block.pixels >= 64 * 64]
    whole = {name: np.sum([block[name] for block in sums], axis=0) for name in sums[0]}
    widths, errors = [], []
    for field, each in zip(fields, found, strict=True):
        truth, number = field.labels.index(label), each.labels.index(label)
        counted = field.measured[truth]
        widths.append(each.images["width"][number][counted])
        errors.append(np.abs(each.images["median"][number] - field.truth[truth])[counted])
    return (
        DistributionFigures.from_sums(whole),
        shares,
        np.concatenate(widths),
        np.concatenate(errors),
    )


def line(
    title: str,
    label: str,
    unlike: list[float],
    figures: DistributionFigures,
    shares: list[float],
    widths: np.ndarray,
    errors: np.ndarray,
) -> str:
    """The figures of a label as they are printed."""
    summary = figures.result()
    coverage = summary.coverage or {}
    kept = risk_coverage(widths, errors, points=2)
    ranges = [
        f"{each.coverage[0.9]:.0%}" if each.coverage and each.pixels >= 1000 else "-"
        for each in summary.by_predicted_intensity
    ]
    return (
        f"{title:<24}{label:<15}"
        + "".join(f"{coverage[level]:>7.1%}" for level in LEVELS)
        + f"{summary.sharpness or 0:>8.3f}{kept.risk[1]:>8.4f}{kept.risk[0]:>8.4f}  "
        + f"{np.quantile(shares, 0.05):>4.0%} to {np.quantile(shares, 0.95):.0%}  ".rjust(16)
        + " ".join(f"{each:>4}" for each in ranges)
        + (f"{max(unlike):>8.2f}" if unlike else f"{'-':>8}")
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="phantom")
    parser.add_argument("--dataset", type=Path)
    asked = parser.parse_args()
    model = isl.load_model(asked.model)
    own = (
        simulated(PhantomConfig()) if asked.dataset is None else given(asked.dataset, model.labels)
    )
    fields = list(own)
    print(f"{model.name} on {', '.join(field.name for field in fields)}")
    print(
        f"{'':<39}{'within intervals of':^28}{'90 %':>8}{'error, of':>16}  {'blocks,':>14}  "
        "by predicted intensity"
    )
    print(
        f"{'':<39}"
        + "".join(f"{level:>7.0%}" for level in LEVELS)
        + f"{'wide':>8}{'all':>8}{'half':>8}  {'5 to 95 %':>14}  {'<.25':>4} {'<.5':>4} "
        f"{'<.75':>4} {'<1':>4}{'unlike':>8}"
    )
    for title, worse in WORSE.items():
        changed = [made_worse(field, worse) for field in fields]
        print("\n".join(described(title, model, changed)), flush=True)
    if asked.dataset is None:
        for title, config in FOREIGN.items():
            print("\n".join(described(title, model, list(simulated(config)))), flush=True)


if __name__ == "__main__":
    main()
