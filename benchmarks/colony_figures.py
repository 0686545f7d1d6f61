"""What `isl eval` of colonies found, in lines: figures of every arm and share, and differences.

    python benchmarks/colony_figures.py CONFIG.toml OUT [OTHER]

OUT is the folder that `isl eval CONFIG.toml --out OUT` wrote; every fold and seed of an arm must be
there. Prints balanced accuracy with a 95 % interval over cells, or over wells where these are known
(the folder of phantoms), the deviation over seeds, that of the classes of 40 images or more, macro
F1, AUROC, calibration error before and after temperature, recall, precision and F1 of each class;
|share - true share| as called, corrected and expected; and differences between arms. With OTHER,
the same arms of another folder are taken off.
"""

import sys
from pathlib import Path

import numpy as np

from isl.config import load_as_typed, load_toml
from isl_eval.colony.config import ColonyEvaluation
from isl_eval.colony.evaluation import _Job
from isl_eval.colony.figures import (
    Run,
    _columns,
    _composition,
    _counts,
    _of_confusion,
    _of_scores,
    differences,
)
from isl_eval.colony.predictions import FILE, Predictions
from isl_eval.colony.report import shown
from isl_eval.statistics.bootstrap import bootstrap
from isl_train.colony.config import ColonyExperiment

CLASSES = {
    "arrays": ("Anaphase", "G1", "G2", "Metaphase", "Prophase", "S", "Telophase"),
    "phantom": ("debris", "dense", "differentiated", "spread"),
}
COMMON = 40


def runs_in(out: Path, evaluation: ColonyEvaluation, arm, share: float) -> list[Run]:
    """Every fold and seed of an arm at a share; none where one is missing."""
    runs = []
    for seed in evaluation.seeds:
        for fold in evaluation.held_out:
            kept = _Job(arm=arm, share=share, seed=seed, fold=fold).folder(out) / FILE
            if not kept.is_file():
                return []
            with np.load(kept) as stored:
                arrays = {name: stored[name] for name in stored.files if name != "made_from"}
            said = Predictions(**{**arrays, "temperature": float(arrays["temperature"])})
            runs.append(Run(fold=fold, seed=seed, predictions=said))
    return runs


def main() -> None:
    """Reads and prints."""
    config, out = Path(sys.argv[1]), Path(sys.argv[2])
    other = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    evaluation = load_as_typed(config, ColonyEvaluation, [])
    experiment = load_toml(config.parent / evaluation.experiment, ColonyExperiment, [])
    grouped, classes = experiment.data.kind == "phantom", CLASSES[experiment.data.kind]
    found = {
        (arm.name, share): runs_in(out, evaluation, arm, share)
        for arm in evaluation.arms
        for share in evaluation.shares_of(arm)
    }
    for (name, share), runs in found.items():
        if not runs:
            continue
        # Of probabilities without intervals, which take minutes; OUT/figures.csv has them.
        counts = _counts(runs, classes, 1, grouped)
        of = bootstrap(
            lambda units: _of_confusion(units, classes),
            [counts],
            groups=None,
            **evaluation.resampling.settings,
        )
        scores = _of_scores(*_columns(runs, 1), classes=classes)
        seeds = [
            _of_confusion(
                _counts([run for run in runs if run.seed == seed], classes, 1, grouped), classes
            )["balanced_accuracy"]
            for seed in evaluation.seeds
        ]
        common = counts.sum(axis=(0, 2)) >= COMMON * len(seeds)
        rates = {
            what: np.array([of[f"{what}_{c}"].estimate or 0.0 for c in classes])
            for what in ("recall", "precision", "f1")
        }
        before, after = (scores[f"calibration_error_{when}"] for when in ("before", "after"))
        print(
            f"{share:.0%} {name}: balanced accuracy {shown(of['balanced_accuracy'])}, over seeds "
            f"{np.std(np.array(seeds, float), ddof=1):.3f}; classes of {COMMON} or more "
            f"{rates['recall'][common].mean():.3f}; macro F1 {shown(of['macro_f1'])}; AUROC "
            f"{scores['macro_auroc']:.3f}; calibration {before:.3f} to {after:.3f}; "
            + "; ".join(f"{w} " + " ".join(f"{r:.2f}" for r in rate) for w, rate in rates.items())
        )
        for shift, errors in _composition(runs, classes, 1).items():
            print(f"    composition, {shift}: " + ", ".join(f"{e:.3f}" for e in errors))
        if other is not None:
            arm = next(arm for arm in evaluation.arms if arm.name == name)
            if theirs := runs_in(other, evaluation, arm, share):
                gaps = differences(
                    runs, theirs, classes, 1, evaluation.resampling, grouped
                )  # fmt: skip
                told = ("balanced_accuracy", *(f"recall_{c}" for c in classes))
                print("    minus the other: " + "; ".join(f"{n} {shown(gaps[n])}" for n in told))
        sys.stdout.flush()
    for one, two in evaluation.compare:
        for share in sorted({share for _, share in found}):
            first, second = found.get((one, share)), found.get((two, share))
            if first and second:
                gaps = differences(first, second, classes, 1, evaluation.resampling, grouped)
                told = ("balanced_accuracy", "macro_f1", *(f"recall_{c}" for c in classes))
                line = "; ".join(f"{name} {shown(gaps[name])}" for name in told)
                print(f"{share:.0%} {one} - {two}: {line}", flush=True)


if __name__ == "__main__":
    main()
