"""A recipe on every fold of a field: how good it is, how sure, and what temperatures would do.

    isl train configs/neurons_cpu.toml --workdir runs/fold1 --set training.evaluate_every=700 \
        --set dataset=data/condition_b_A4_fold1.toml                 # and so on; ISL_DATA is set
    python benchmarks/folds.py --fold runs/fold1/model configs/data/condition_b_A4_fold1.toml \
        --fold runs/fold2/model configs/data/condition_b_A4_fold2.toml ...

Each model learned from all but its own fold, which chose nothing. Temperatures are fitted on the
other folds' pixels, so each is judged where it was not fitted; beside that stands what they cost
the images. folds.txt holds what it printed.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

import isl
from isl.imaging.agreement import pearson
from isl.imaging.normalize import normalize_label
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.labeling.model import Model
from isl_eval.labeling.calibrate import Sample, draw_samples, figures
from isl_eval.labeling.distributions import LEVELS
from isl_eval.labeling.temperature import best_temperature, tempered

PIXELS = 60_000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """What a model is worth on the fold that it did not learn from.

    Attributes:
        model: The model.
        stack: float [Z, Y, X], as stored.
        truth: float32 [L, Y, X] in [0, 1].
        measured: bool [L, Y, X], of the fold alone.
        samples: Pixels with their logits, by label.
    """

    model: Model
    stack: np.ndarray
    truth: np.ndarray
    measured: np.ndarray
    samples: dict[str, Sample]

    def correlations(self, statistic: str, temperatures: dict[str, float]) -> list[float]:
        """Pearson of an image and the truth, by label."""
        config = self.model.config.model_copy(update={"temperature": temperatures})
        model = dataclasses.replace(self.model, config=config)
        found = model.predict(self.stack, axes="ZYX", statistics=(statistic,), allow_mismatch=True)
        images = found.statistics[statistic]
        return [
            pearson(truth, image, measured)
            for truth, image, measured in zip(self.truth, images, self.measured, strict=True)
        ]


def fold(name: str, dataset: Path) -> Fold:
    """Reads a fold and lets its model say what is there."""
    model = isl.load_model(name)
    assert isinstance(model, Model)
    (given,) = load_manifest(dataset).fields_for("validation")
    field = load_field(given, model.labels)
    rng = np.random.default_rng(0)
    return Fold(
        model=model,
        stack=np.asarray(field.transmitted.planes),
        truth=normalize_label(field.labels.channels, source=field.name),
        measured=np.asarray(field.measured_for("validation")),
        samples=draw_samples(model, field, "validation", PIXELS, rng),
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", nargs=2, action="append", required=True)
    folds = [fold(name, Path(dataset)) for name, dataset in parser.parse_args().fold]
    labels = folds[0].model.labels
    judged = [
        {
            label: tempered(each.samples[label].logits, each.samples[label].true_bins)
            for label in labels
        }
        for each in folds
    ]
    # Of each fold by what was fitted on the others.
    crossed = [
        {
            label: best_temperature([part[label] for part in judged if part is not own])
            for label in labels
        }
        for own in judged
    ]
    for statistic in ("mean", "median"):
        plain = [each.correlations(statistic, {}) for each in folds]
        warm = [each.correlations(statistic, t) for each, t in zip(folds, crossed, strict=True)]
        for title, rows in (("as it is", plain), ("with temperatures", warm)):
            for index, label in enumerate(labels):
                figures_of = [row[index] for row in rows]
                print(
                    f"Pearson, {statistic + ' image':<13} {title:<18} {label:<14}"
                    + "".join(f"{value:>7.3f}" for value in figures_of)
                    + f"   mean {np.mean(figures_of):.3f}"
                )
    print()
    for label in labels:
        samples = [each.samples[label] for each in folds]
        temperatures = [each[label] for each in crossed]
        print(
            f"{label}: temperatures {', '.join(f'{t:.2f}' for t in temperatures)}; of all folds "
            f"{best_temperature([each[label] for each in judged]):.2f}"
        )
        for title, used in (("as it is", [1.0] * len(folds)), ("with temperatures", temperatures)):
            whole = figures(samples, used)
            parts = [figures([one], [t]) for one, t in zip(samples, used, strict=True)]
            for level in LEVELS:
                assert whole.coverage is not None
                held = [part.coverage[level] for part in parts if part.coverage is not None]
                print(
                    f"  within {level:.0%}, {title:<18}"
                    + "".join(f"{share:>8.1%}" for share in held)
                    + f"   all {whole.coverage[level]:.1%}"
                )
            print(
                f"  90 % wide, {title:<18} {whole.sharpness:.3f}  cross-entropy "
                f"{whole.cross_entropy:.4f}  RPS {whole.ranked_probability_score:.5f}"
            )


if __name__ == "__main__":
    main()
