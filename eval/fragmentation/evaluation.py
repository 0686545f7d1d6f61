"""Judging fragmentation models: trained and compared, or as they are, on embryos new to them."""

import csv
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from isl.config import load_as_typed, load_toml
from isl.errors import InputError
from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts
from isl.fragmentation.dataset import Dataset, Example, Ground, load_dataset, load_ground
from isl.fragmentation.model import FragmentationModel, load_fragmentation_model
from isl.fragmentation.stages import CLEAVAGE
from isl_train.experiment import EXPERIMENT_FILE, check_same_run
from isl_train.fragmentation.config import FragmentationExperiment
from isl_train.fragmentation.ground import fingerprints
from isl_train.fragmentation.recipe import train_fragmentation
from isl_train.recipe import Run

from ..writing.kept_arrays import KeptArrays
from .config import FragmentationEvaluation, Variant
from .judge import (
    Rows,
    bias_by_bin,
    differences_of,
    intervals_of,
    joined_rows,
    mean_rows,
    rows_of,
    statistics_of,
)
from .report import Findings, Judged, evaluation_page

REPORT, METRICS, TABLE = "report.html", "metrics.json", "variants.csv"
Train = Callable[[FragmentationExperiment, Run], Path]


def evaluate_fragmentation(
    path: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    train: Train = train_fragmentation,
) -> None:
    """Judges what a configuration names, and leaves the report and its tables in a folder.

    Args:
        path: The configuration, of `FragmentationEvaluation`.
        overrides: `key=value` texts.
        out: The folder; networks trained there before are not trained again.
        train: How a network is trained.

    Raises:
        InputError: Something in the configuration, or the data, does not fit.
        KeyboardInterrupt: It was stopped; it resumes there the next time.
    """
    config = load_as_typed(path, FragmentationEvaluation, overrides)
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    dataset = load_dataset(path.parent / config.dataset)
    examples = _examples(dataset, config)
    _check_starts(config, path)
    ground_at = functools.cache(lambda site, size: load_ground(examples[site], size))
    out.mkdir(parents=True, exist_ok=True)
    judged, last = [], None
    for variant in config.variant:
        rows: dict[int, list[Rows]] = {}
        conflict = []
        for site in examples:
            for number, model in enumerate(
                _models(variant, config, path, out, train, say, console, site=site)
            ):
                ground = ground_at(site, model.judged_size)
                said = model.judged(ground.images.astype(np.float32) / 255)
                rows.setdefault(number, []).append(rows_of(said, ground, model.config))
                last = (model, ground, said) if variant is config.variant[-1] else last
                if variant.experiment is not None:
                    conflict.append(_conflict(model.directory))
        of_seeds = [joined_rows(parts) for parts in rows.values()]
        judged.append(_judged(variant.name, of_seeds, dataset, config, conflict))
        say(f"{variant.name}: {judged[-1].headline}")
    reference = config.reference or config.variant[0].name
    findings = Findings(
        description=config.description,
        reference=reference,
        left_out=tuple(site for site in examples if site),
        scale=dataset.scale,
        judged=tuple(judged),
        differences=_differences(judged, reference, config),
        mean_share=_mean_share(dataset, judged[0].rows[0], config),
        pictures=_pictures(last),
    )
    _write(findings, out)


def _examples(dataset: Dataset, config: FragmentationEvaluation) -> Mapping[str, Sequence[Example]]:
    """What is judged, by the site that is left out of training; "": none is.

    Raises:
        InputError: There is nothing to judge, or sites cannot be left out one by one.
    """
    if not config.leave_one_site_out:
        chosen = dataset.of(config.split)
        if not chosen:
            raise InputError(
                f"{dataset.path}: no example at a cleavage stage has split '{config.split}'"
            )
        return {"": chosen}
    of_group: dict[str, str] = {}
    examples = [e for e in dataset.examples if e.stage == CLEAVAGE]
    for example in examples:
        if not example.site:
            raise InputError(
                f"{dataset.path}: '{example.name}' has no site; leave_one_site_out needs one of "
                "every example"
            )
        if of_group.setdefault(example.group, example.site) != example.site:
            raise InputError(
                f"{dataset.path}: group '{example.group}' stands in the sites "
                f"'{of_group[example.group]}' and '{example.site}'"
            )
    sites = sorted(set(of_group.values()))
    if len(sites) < 2:
        found = f"one site, '{sites[0]}'" if sites else "no example at a cleavage stage"
        raise InputError(f"{dataset.path}: has {found}; none can be left out")
    judged = {
        site: [
            e for e in examples if e.site == site and (e.mask is not None or np.isfinite(e.share))
        ]
        for site in sites
    }
    for site, chosen in judged.items():
        if not chosen:
            raise InputError(f"{dataset.path}: no example of site '{site}' has a mask or share")
    return judged


def _check_starts(config: FragmentationEvaluation, path: Path) -> None:
    """Refuses networks that begin with one that may have learned from the site left out."""
    for variant in config.variant:
        if not config.leave_one_site_out or variant.experiment is None or variant.after:
            continue
        file = path.parent / variant.experiment
        if start := load_toml(file, FragmentationExperiment, variant.changes).start:
            raise InputError(
                f"{file}: start = '{start}' may have learned from the site that is left out; "
                "leave_one_site_out takes fresh networks, and others by `after`"
            )


def _models(
    variant: Variant,
    config: FragmentationEvaluation,
    path: Path,
    out: Path,
    train: Train,
    say: Callable[[str], None],
    console: Console,
    *,
    site: str = "",
) -> list[FragmentationModel]:
    """The networks of a variant, trained without a site where they are not there yet."""
    if variant.experiment is None:
        return [load_fragmentation_model(_located(name, path)) for name in variant.models]
    file = path.parent / variant.experiment
    models, learned = [], None
    for seed in config.seeds:
        changes = [*variant.changes, f"seed={seed}"]
        if site:
            changes.append(f"leave_out_site={_as_toml(site)}")
        if variant.after:
            start = _workdir(out, variant.after, seed, site) / "model"
            changes += [
                f"start={_as_toml(str(start.resolve()))}",
                f"start_sha256={load_fragmentation_model(start).hash}",
            ]
        experiment = load_toml(file, FragmentationExperiment, changes)
        workdir = _workdir(out, variant.name, seed, site)
        learned = learned or fingerprints(experiment, file.parent)
        kept = KeptArrays(workdir, {"learned_from": learned})
        check_same_run(workdir, experiment)
        run = Run(folder=file.parent, workdir=workdir, name=variant.name, say=say, console=console)
        with kept.once_there(workdir / EXPERIMENT_FILE):
            models.append(load_fragmentation_model(train(experiment, run)))
    return models


def _as_toml(text: str) -> str:
    # TOML knows no pairs of surrogates, by which JSON would spell what is beyond the BMP.
    return json.dumps(text, ensure_ascii=False)


def _workdir(out: Path, variant: str, seed: int, site: str) -> Path:
    without = f"_without_{site}" if site else ""
    return out / "runs" / f"{variant}_{seed}{without}".replace("/", "_")


def _located(name: str, path: Path) -> str | Path:
    folder = path.parent / name
    return folder if folder.is_dir() else name


def _judged(
    name: str,
    rows: Sequence[Rows],
    dataset: Dataset,
    config: FragmentationEvaluation,
    conflict: Sequence[np.ndarray],
) -> Judged:
    """All figures of a variant."""
    scale = dataset.scale
    mean = mean_rows(rows)
    sites = sorted(set(mean.sites) - {""}) if config.by_site else []
    return Judged(
        name=name,
        rows=tuple(rows),
        seeds=tuple(statistics_of(each, scale) for each in rows),
        intervals=intervals_of(
            rows[0] if len(rows) == 1 else mean,
            scale,
            rng=np.random.default_rng(0),
            replicates=config.replicates,
        ),
        bias=bias_by_bin(mean, scale),
        sites={site: statistics_of(_of_site(mean, site), scale) for site in sites},
        conflict=tuple(each for each in conflict if len(each)),
    )


def _conflict(model: Path) -> np.ndarray:
    """Updates and the cosine of the two tasks' gradients, float64 [N, 2], as a training logged it.

    Empty where it was not measured.
    """
    path = model.parent / "training.csv"
    if not path.is_file():
        return np.empty((0, 2))
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            (float(row["update"]), float(row["gradient_cosine"]))
            for row in csv.DictReader(file)
            if row.get("gradient_cosine")
        ]
    return np.array(rows).reshape(-1, 2)


def _of_site(rows: Rows, site: str) -> Rows:
    chosen = np.flatnonzero([s == site for s in rows.sites])
    return Rows(
        groups=tuple(rows.groups[i] for i in chosen),
        sites=tuple(rows.sites[i] for i in chosen),
        truth=rows.truth[chosen],
        figures={n: f[chosen] for n, f in rows.figures.items()},
        shares={n: s[chosen] for n, s in rows.shares.items()},
        covered=rows.covered[chosen],
    )


def _differences(
    judged: Sequence[Judged], reference: str, config: FragmentationEvaluation
) -> Mapping[str, Any]:
    base = next(each for each in judged if each.name == reference)
    return {
        each.name: differences_of(
            each.rows,
            base.rows,
            rng=np.random.default_rng(0),
            replicates=config.replicates,
        )
        for each in judged
        if each is not base
    }


def _mean_share(dataset: Dataset, rows: Rows, config: FragmentationEvaluation) -> float | None:
    """Error of the trivial baseline: the mean share of the embryos that were trained on."""
    train = load_ground(dataset.of("train"), 32) if dataset.of("train") else None
    if train is None:
        return None
    learned, errors = np.array(train.sites), []
    for truth, site in zip(rows.truth, rows.sites, strict=True):
        known = np.isfinite(train.shares)
        if config.leave_one_site_out:
            known &= learned != site
        if known.any() and np.isfinite(truth):
            errors.append(abs(truth - train.shares[known].mean()))
    return float(np.mean(errors)) if errors else None


def _pictures(
    last: tuple[FragmentationModel, Ground, Any] | None,
) -> Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Best, median and worst picture of the last variant: picture, truth and what was found."""
    if last is None:
        return {}
    model, ground, said = last
    rows = rows_of(said, ground, model.config)
    dice = rows.figures["fragment_dice"]
    order = [int(i) for i in np.argsort(dice) if np.isfinite(dice[i])]
    if not order:
        return {}
    logits = np.asarray(said.logits)
    labels = (logits[..., 0] > 0).astype(np.uint8) + ((logits > 0).all(axis=-1))
    return {
        f"{what} (Dice {dice[i]:.2f}, {ground.names[i]})": (
            ground.images[i],
            ground.labels[i],
            labels[i],
        )
        for what, i in (
            ("best", order[-1]),
            ("median", order[len(order) // 2]),
            ("worst", order[0]),
        )
    }


def _write(findings: Findings, out: Path) -> None:
    rows = [
        {"variant": each.name, "seed": number, **figures}
        for each in findings.judged
        for number, figures in enumerate(each.seeds)
    ]
    record = {
        "reference": findings.reference,
        "sites_left_out": list(findings.left_out),
        "mean_share_mae": findings.mean_share,
        "variants": {
            each.name: {
                "intervals": each.intervals,
                "seeds": each.seeds,
                "bias_by_grade": each.bias,
                "sites": each.sites,
                "gradient_cosine": each.cosine,
            }
            for each in findings.judged
        },
        "differences": findings.differences,
    }
    write_texts(
        out,
        {
            TABLE: as_csv(list(rows[0]), rows),
            METRICS: as_json(record),
            REPORT: evaluation_page(findings),
        },
    )
