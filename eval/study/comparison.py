"""Comparing variants of a training experiment, trained and judged alike.

One mechanism for all such questions: which network, how many planes, how much ground, started from
what. A configuration names variants of one experiment, of any task with a `Subject`, budgets and
seeds; see `StudyConfig`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from isl.errors import InputError
from isl.files.provenance import versions
from isl_train.ledger import Diverged

from ..writing.progress import PartsProgress
from ..writing.results import printer, write_results
from .bench import Bench, Run, RunResult, Say, plan_runs
from .report import study_page
from .subject import Subject, read_study
from .tables import Findings, curve_rows, run_rows, standing_rows, standings_of, study_record


def compare_variants(path: Path, overrides: Sequence[str], out: Path) -> None:
    """Trains and judges what a configuration names, and leaves a report and tables in a folder.

    Args:
        path: The configuration, of the task's `StudyConfig`.
        overrides: `key=value` texts.
        out: The folder; runs in it are not made again.

    Raises:
        InputError: Something in a configuration, or the data, does not fit, or nothing but settings
            of `best_of` was trained, and all of them diverged.
        KeyboardInterrupt: It was stopped; it is resumed the next time.
    """
    subject, config = read_study(path, overrides)
    console = Console(stderr=True)
    say = printer(console)
    bench = subject.bench(config, path, out, say=say, console=console)
    bench.read_ground()
    _keep_programs(out)
    results, diverged = _all_runs(bench, plan_runs(config), say)
    if not results:
        raise InputError(f"{path}: every run diverged; lower optimizer.learning_rate")
    findings = find(subject, bench, results, diverged)
    write(findings, out)
    for standing in findings.standings:
        if not standing.label and (value := standing.mean[subject.main]) is not None:
            title = subject.titles[subject.main][0]
            say(f"{standing.variant} ({standing.budget}): {title} {value:.4f}")


def find(
    subject: Subject, bench: Bench, results: Sequence[RunResult], diverged: Sequence[Run] = ()
) -> Findings:
    """From runs to what they say together."""
    config = bench.config
    labels = tuple(dict.fromkeys(label for each in results for label in each.rows))
    return Findings(
        subject=subject,
        config=config,
        labels=labels,
        results=tuple(results),
        diverged=tuple(diverged),
        standings=standings_of(subject, config, results),
        truths=bench.truths(labels),
        settings=config.model_dump(mode="json", exclude_none=True),
    )


def write(findings: Findings, out: Path) -> None:
    """Writes the report, the record and the tables, replacing older ones."""
    packages = versions()
    write_results(
        out,
        page=study_page(findings, packages),
        record={"comparison.json": study_record(findings, packages)},
        tables={
            "comparison.csv": standing_rows(findings),
            "runs.csv": run_rows(findings),
            "curves.csv": curve_rows(findings),
        },
    )


def _all_runs(bench: Bench, runs: Sequence[Run], say: Say) -> tuple[list[RunResult], list[Run]]:
    """What became of the runs, and those settings of a `best_of` that diverged."""
    kinds = [f"{run.variant} {run.budget}" for run in runs]
    progress = PartsProgress({kind: kinds.count(kind) for kind in kinds}, say)
    results, diverged = [], []
    for number, (run, kind) in enumerate(zip(runs, kinds, strict=True), 1):
        text = f"{number} of {len(runs)}: {run.variant}, budget {run.budget}, seed {run.seed}"
        progress.begin()
        done = (bench.out / "runs" / run.name / "judged.npz").exists()
        try:
            results.append(bench.result(run))
        except Diverged as error:
            if not bench.config.variant[run.variant].instead_of:
                raise
            diverged.append(run)
            say(f"{text}: diverged, and is left out: {error}")
        end = progress.skip if done else progress.end
        end(kind, 1, text)
        # Programs of networks that are done with; those kept on disk are read again.
        jax.clear_caches()
    return results, diverged


def _keep_programs(out: Path) -> None:
    """Compiled programs serve every seed of a variant, and a study that is resumed."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str((out / "compiled").absolute()))
