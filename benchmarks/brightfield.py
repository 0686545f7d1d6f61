"""Nuclei from bright field: how many planes are needed, and what another modality's model says.

    ISL_DATA=... python benchmarks/brightfield.py MODEL

MODEL is what `isl train configs/sephace_cpu.toml` leaves, which has not seen the block that it is
judged on here (configs/data/sephace.toml). Pearson of the mean image, of intensities and of their
logarithms (of 8-bit counts and 1), with 95 % intervals over the blocks of 128 pixels of the ground.
Beside it, trees on filter features of the same ground. The block chose which update of MODEL was
kept, which favours it over trees. Then what is refused unless `allow_mismatch` is given: a model of
phase contrast on bright field, and MODEL on phase contrast, each as it is and brought to the pixel
size that the model expects. brightfield.txt holds what it printed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import isl
from isl.labeling.contract import spread
from isl.labeling.dataset import load_manifest
from isl.labeling.options import check_options
from isl.labeling.predict import predict_field
from isl.labeling.source import field_of
from isl_eval.labeling.gradient_boosting import BoostingConfig, fit_boosting
from isl_eval.labeling.ground import GroundField, survey_ground
from isl_eval.labeling.predictions import predict_measured
from isl_train.labeling.ground import load_ground, with_planes

DATA = Path(__file__).parents[1] / "configs" / "data"
BLOCK, REPLICATES, PIXELS = 128, 1000, 300_000
OTHER, OTHERS_LABEL, LABEL = "neurons-phase", "DAPI_CONFOCAL", "DAPI"


def held_out(name: str, labels: Sequence[str]) -> GroundField:
    """The validation side of a manifest of one field."""
    ground = survey_ground(load_manifest(DATA / name), split="validation", predicted=tuple(labels))
    return ground.read(ground.fields[0].name)


def mean_image(
    model: isl.Model,
    field: GroundField,
    label: str,
    planes: Sequence[int] | None,
    *,
    resample: bool = False,
) -> np.ndarray:
    """Predicted [Y, X], at least where anything was measured; `label` is the model's name for it.

    What is resampled is predicted whole.
    """
    options = check_options(
        model.config,
        labels=(label,),
        statistics=("mean",),
        tile=384,
        allow_mismatch=True,
        resample=resample,
        planes=None if planes is None else tuple(planes),
    )
    if resample:
        return predict_field(model, field_of(field.stack), options).statistics["mean"][0]
    renamed = dataclasses.replace(field, labels=(label,))
    return predict_measured(model, renamed, options).images["mean"][0]


def log_counts(image: np.ndarray) -> np.ndarray:
    """Of intensities in [0, 1]."""
    return np.log1p(255 * image)


def pearson(truth: np.ndarray, predicted: np.ndarray, measured: np.ndarray) -> str:
    """With an interval over blocks."""
    pairs = []
    for row in range(0, truth.shape[0], BLOCK):
        for column in range(0, truth.shape[1], BLOCK):
            here = np.s_[row : row + BLOCK, column : column + BLOCK]
            if measured[here].any():
                pairs.append((truth[here][measured[here]], predicted[here][measured[here]]))

    def of(chosen: Sequence[int]) -> float:
        first, second = (np.concatenate([pairs[i][side] for i in chosen]) for side in (0, 1))
        return float(np.corrcoef(first, second)[0, 1])

    rng = np.random.default_rng(0)
    drawn = [of(rng.integers(0, len(pairs), len(pairs)).tolist()) for _ in range(REPLICATES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{of(range(len(pairs))):.3f} ({low:.3f} to {high:.3f})"


def by_trees(planes: tuple[int, ...] | None = None) -> np.ndarray:
    """Mean image [Y, X] of gradient boosting on the same training ground."""
    ground = load_ground(with_planes(load_manifest(DATA / "sephace.toml"), planes), (LABEL,))
    trees = fit_boosting(ground.training, (LABEL,), BoostingConfig(pixels=PIXELS), seed=0)
    shown = np.moveaxis(ground.training[0].transmitted, -1, 0)
    height, width = shown.shape[1:]
    return trees.predict(shown, (slice(0, height), slice(0, width)))[0]


def line(title: str, field: GroundField, predicted: np.ndarray) -> None:
    """Prints the figures of one way."""
    truth, measured = field.truth[0], field.measured[0]
    of_logs = pearson(log_counts(truth), log_counts(np.clip(predicted, 0, 1)), measured)
    print(f"{title:<49}{pearson(truth, predicted, measured):>26}{of_logs:>26}", flush=True)


def main() -> None:
    """Prints the table."""
    model, other = isl.load_model(sys.argv[1]), isl.load_model(OTHER)
    field = held_out("sephace.toml", (LABEL,))
    count = len(field.stack.planes)
    print(f"{'':<49}{'Pearson':>26}{'Pearson of logarithms':>26}")
    chosen = [spread(count, wanted) for wanted in (count, 4, 3, 2)]
    for planes in (*chosen, *((plane,) for plane in range(count))):
        shown = ", ".join(map(str, planes))
        line(f"planes {shown}", field, mean_image(model, field, LABEL, planes))
    for planes in (None, (0,), (3,)):
        shown = f"plane {planes[0]}" if planes else "all planes"
        line(f"gradient boosting, {shown}", field, by_trees(planes))
    phase = held_out("condition_b_A4.toml", (OTHERS_LABEL,))
    for resample in (False, True):
        title = ", resampled" if resample else ""
        repeated = spread(count, other.config.input.planes)
        image = mean_image(other, field, OTHERS_LABEL, repeated, resample=resample)
        line(f"{OTHER} on it{title}", field, image)
        image = mean_image(model, phase, LABEL, None, resample=resample)
        line(f"{model.name} on phase contrast{title}", phase, image)


if __name__ == "__main__":
    main()
