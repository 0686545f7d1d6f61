"""`isl eval` for colonies: arms trained at shares of labels over folds, and what came of them."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.colony.model import ColonyConfig
from isl.config import load_as_typed, load_toml
from isl.errors import InputError
from isl.files.records import as_csv, as_json, plain
from isl.files.whole import write_texts
from isl.model_folder import WEIGHTS_FILE, model_directory, read_folder_config
from isl_train.colony.config import ColonyExperiment
from isl_train.colony.frozen import FOLDER, with_vectors
from isl_train.colony.heads import Heads, are_quick
from isl_train.colony.images import NONE, Images, load_images
from isl_train.colony.recipe import model_to_begin_with, train_colony
from isl_train.colony.split import split
from isl_train.experiment import decisive
from isl_train.recipe import Run as TrainingRun

from ..statistics.folds import Folds, dealt_folds, stratified_folds
from .config import ArmConfig, ColonyEvaluation
from .figures import Figures, Run, figures_of
from .predictions import FILE, load, predict, said_by, save
from .report import Result, report

FIGURES, REPORT, RECORD = "figures.csv", "report.html", "evaluation.json"
COLUMNS = (
    *("arm", "share", "patches", "figure", "value", "low", "high"),
    *("deviation", "runs", "seed_deviation", "seeds"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """One training run: an arm at a share of labels, a seed and a fold held out."""

    arm: ArmConfig
    share: float
    seed: int
    fold: int

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        share = f"{100 * self.share:g}_percent"
        return out / "runs" / self.arm.name / share / f"seed_{self.seed}" / f"fold_{self.fold}"


def evaluate_colony(config: Path, overrides: list[str], out: Path) -> None:
    """Trains what is not yet trained, judges it on held-out images, and writes the report.

    Raises:
        InputError: The configuration is wrong, or does not fit the data.
    """
    evaluation = load_as_typed(config, ColonyEvaluation, overrides)
    experiments = {
        arm.name: load_toml(
            config.parent / evaluation.experiment,
            ColonyExperiment,
            [*evaluation.changes, *arm.changes],
        )
        for arm in evaluation.arms
    }
    folder = (config.parent / evaluation.experiment).parent
    images = _images(experiments, folder, out)
    folds = {arm.name: folds_of(images[arm.name], evaluation) for arm in evaluation.arms}
    # Arms that look at the same vectors share programs and teachers.
    shared = {id(own): Heads(own) for own in images.values() if own.vectors is not None}
    heads = {name: shared[id(own)] for name, own in images.items() if id(own) in shared}
    runs: dict[tuple[str, float], list[Run]] = {}
    # Seed by seed, so that every arm has something to show before the first one has all.
    for seed in evaluation.seeds:
        for arm in evaluation.arms:
            own = images[arm.name]
            for share in evaluation.shares_of(arm):
                jobs = [
                    _Job(arm=arm, share=share, seed=seed, fold=fold) for fold in evaluation.held_out
                ]
                runs.setdefault((arm.name, share), []).extend(
                    _run(
                        job,
                        experiments[arm.name],
                        own,
                        folds[arm.name],
                        evaluation,
                        folder,
                        out,
                        heads.get(arm.name),
                    )
                    for job in jobs
                )
        # What is there already can be looked at while the rest is computed, which takes long where
        # backbones are trained.
        if seed == evaluation.seeds[-1] or len(heads) < len(images):
            write(_results(runs, images, evaluation, out), evaluation, out)


def _results(
    runs: Mapping[tuple[str, float], Sequence[Run]],
    images: Mapping[str, Images],
    evaluation: ColonyEvaluation,
    out: Path,
) -> list[Result]:
    """What is there so far, in the configuration's order."""
    return [
        _result(arm, share, runs[arm.name, share], images[arm.name], evaluation, out)
        for arm in evaluation.arms
        for share in evaluation.shares_of(arm)
        if (arm.name, share) in runs
    ]


def folds_of(images: Images, evaluation: ColonyEvaluation) -> Folds:
    """Groups, or images where none are known, that are held out together.

    Images of several classes have no class to be even by; their groups follow those of the others.

    Raises:
        InputError: There are fewer groups than folds, or a class that some fold cannot be judged
            by, since it has fewer images than folds.
    """
    single = images.some(images.labels != NONE)
    rng = np.random.default_rng(evaluation.seed)
    for number, name in enumerate(images.classes):
        count = int((single.labels == number).sum())
        if count < evaluation.folds:
            raise InputError(
                f"class '{name}' has {count} image{'s' * (count != 1)} for {evaluation.folds} "
                "folds; give fewer folds, or leave the class out"
            )
    noun = "group" if images.grouped else "image"
    if images.grouped:
        return stratified_folds(single.groups, single.labels, evaluation.folds, rng=rng, noun=noun)
    # Each image is a group of its own: dealt out class by class.
    order = rng.permutation(len(single.names))
    order = order[np.argsort(single.labels[order], kind="stable")]
    return dealt_folds([single.names[i] for i in order], evaluation.folds, noun=noun)


def _images(
    experiments: Mapping[str, ColonyExperiment], folder: Path, out: Path
) -> dict[str, Images]:
    """Images of every arm; those of the same source are loaded once.

    Where a backbone is frozen they have its vectors, which are kept for the next time.
    """
    loaded: dict[tuple[str, int], Images] = {}
    seen: dict[tuple[str, ...], Images] = {}
    found = {}
    for name, experiment in experiments.items():
        key = (experiment.data.model_dump_json(), experiment.patch)
        if key not in loaded:
            loaded[key] = load_images(experiment, folder)
        found[name] = loaded[key]
        if experiment.frozen is None:
            continue
        if experiment.start.model:
            raise InputError(
                f"arm '{name}': start.model and [frozen] do not go together in an evaluation; the "
                "backbone's vectors are made once for all folds, by network.backbone.weights"
            )
        settings = (experiment.frozen, experiment.network, experiment.augment)
        named = (*map(str, key), *(part.model_dump_json() for part in settings))
        if named not in seen:
            seen[named] = with_vectors(found[name], experiment, out / FOLDER)
        found[name] = seen[named]
    return found


def _run(
    job: _Job,
    experiment: ColonyExperiment,
    images: Images,
    folds: Folds,
    evaluation: ColonyEvaluation,
    folder: Path,
    out: Path,
    heads: Heads | None,
) -> Run:
    """Trains and judges one run, unless that was done before.

    Behind a frozen backbone `heads` trains, where no model is to stay and settings allow.
    """
    where = job.folder(out)
    kept = where / FILE
    held = set(folds[job.fold])
    judged = np.array(
        [
            label != NONE and (group if images.grouped else name) in held
            for name, group, label in zip(images.names, images.groups, images.labels, strict=True)
        ]
    )
    single = (images.labels != NONE).sum()
    # The share counts all single-class images; those that are held out lend nothing.
    share = min(1.0, job.share * single / (single - judged.sum()))
    own = experiment.model_copy(
        update={
            "seed": job.seed,
            "split": experiment.split.model_copy(
                update={"labelled": share, "leave_out": tuple(sorted(held))}
            ),
        }
    )
    most = max(evaluation.patches)
    key = _key(own, images, judged, most, folder)
    quick = heads is not None and are_quick(own) and not evaluation.keep_models
    if not kept.is_file() and heads is not None and quick:
        head = heads.trained(own, split(images, own.split, own.split_seed))
        for name, rows in (("main", head.rows), ("before", head.before)):
            if rows:
                (where / name).mkdir(parents=True, exist_ok=True)
                table = as_csv(tuple(rows[0]), [{k: f"{v:g}" for k, v in r.items()} for r in rows])
                write_texts(where / name, {"training.csv": table})
        save(kept, said_by(head, np.flatnonzero(judged), most), key)
    elif not kept.is_file():
        where.mkdir(parents=True, exist_ok=True)
        model = train_colony(
            own,
            TrainingRun(folder=folder, workdir=where, name=job.arm.name, say=lambda text: None),
            images=images,
        )
        save(kept, predict(model, images, np.flatnonzero(judged), most), key)
        if not evaluation.keep_models:
            for part in ("main", "before"):
                for name in ("checkpoints", "model"):
                    shutil.rmtree(where / part / name, ignore_errors=True)
            shutil.rmtree(model)
    return Run(fold=job.fold, seed=job.seed, predictions=load(kept, key))


def _key(
    experiment: ColonyExperiment, images: Images, judged: np.ndarray, patches: int, folder: Path
) -> str:
    """sha256 of all that a run's predictions follow from."""
    started_from = None
    if experiment.start.model:
        # A model that was made anew under its old name is another start.
        start = model_directory(model_to_begin_with(experiment, folder))
        started_from = read_folder_config(start, ColonyConfig).sha256[WEIGHTS_FILE]
    facts = {
        "experiment": decisive(experiment.model_dump(mode="json", exclude={"name"})),
        "started_from": started_from,
        "pixels": images.fingerprint,
        "pixel_sizes": list(images.pixel_sizes),
        "classes": list(images.classes),
        "images": list(zip(images.names, images.groups, images.labels.tolist(), strict=True)),
        "judged": np.flatnonzero(judged).tolist(),
        "patches": patches,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _result(
    arm: ArmConfig,
    share: float,
    runs: Sequence[Run],
    images: Images,
    evaluation: ColonyEvaluation,
    out: Path,
) -> Result:
    resampling = evaluation.resampling
    figures: dict[int, Figures] = {
        patches: figures_of(runs, images.classes, patches, resampling, images.grouped)
        for patches in evaluation.patches
    }
    first = _Job(arm=arm, share=share, seed=evaluation.seeds[0], fold=evaluation.held_out[0])
    return Result(
        arm=arm,
        share=share,
        runs=tuple(runs),
        figures=figures,
        images=images,
        history=first.folder(out) / "main" / "training.csv",
        before=first.folder(out) / "before" / "training.csv",
    )


def write(results: Sequence[Result], evaluation: ColonyEvaluation, out: Path) -> None:
    """The tables and the report of what is there."""
    rows = []
    for result in results:
        for patches, figures in result.figures.items():
            for name, interval in figures.intervals.items():
                runs, seeds = figures.by_run[name], figures.by_seed[name]
                rows.append(
                    {
                        "arm": result.arm.name,
                        "share": f"{result.share:g}",
                        "patches": patches,
                        "figure": name,
                        "value": _cell(interval.estimate),
                        "low": _cell(interval.low),
                        "high": _cell(interval.high),
                        "deviation": _deviation(runs),
                        "runs": len(runs),
                        "seed_deviation": _deviation(seeds),
                        "seeds": len(seeds),
                    }
                )
    made = {
        "made_by": "isl eval",
        "settings": evaluation.model_dump(mode="json"),
        "results": [
            {
                "arm": result.arm.name,
                "share": result.share,
                "patches": patches,
                "classes": list(result.images.classes),
                "confusion": figures.confusion.counts,
                "variance_of_recall": figures.variance,
                "composition_error": figures.composition,
                "by_run": figures.by_run,
            }
            for result in results
            for patches, figures in result.figures.items()
        ],
    }
    write_texts(
        out,
        {
            FIGURES: as_csv(COLUMNS, rows),
            RECORD: as_json(plain(made)),
            REPORT: report(results, evaluation),
        },
    )


def _deviation(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.std(ddof=1):.4f}" if len(known) > 1 else ""


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
