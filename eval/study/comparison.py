"""Comparing variants of a training experiment, trained and judged alike.

One mechanism for all such questions: which network, how many planes, how much ground, started from
what. A configuration names variants of one experiment, budgets and seeds; see `StudyConfig`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from isl.config import load_toml
from isl.files.provenance import versions
from isl.files.records import as_csv, as_json
from isl.files.whole import written_whole

from ..labeling.ground import bounding_window
from ..writing.progress import PartsProgress
from .config import StudyConfig
from .report import study_page
from .runs import Run, RunResult, Say, Workbench, plan_runs
from .tables import Findings, curve_rows, run_rows, standing_rows, standings_of, study_record

REPORT, RECORD = "report.html", "comparison.json"
TABLES = {"comparison.csv": standing_rows, "runs.csv": run_rows, "curves.csv": curve_rows}


def compare_variants(path: Path, overrides: Sequence[str], out: Path) -> None:
    """Trains and judges what a configuration names, and leaves a report and tables in a folder.

    Args:
        path: The configuration, of `StudyConfig`.
        overrides: `key=value` texts.
        out: The folder; runs in it are not made again.

    Raises:
        InputError: Something in a configuration, or the data, does not fit.
        KeyboardInterrupt: It was stopped; it goes on from there the next time.
    """
    config = load_toml(path, StudyConfig, overrides)
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    bench = Workbench(config, path, out, say=say, console=console)
    for variant in config.variant:
        bench.ground(variant)
    _keep_programs(out)
    results = _all_runs(bench, plan_runs(config), say)
    findings = find(bench, results)
    write(findings, out)
    for standing in findings.standings:
        if not standing.label and (value := standing.mean["pearson"]) is not None:
            say(f"{standing.variant} ({standing.budget}): Pearson {value:.4f}")


def find(bench: Workbench, results: Sequence[RunResult]) -> Findings:
    """From runs to what they say together."""
    config = bench.config
    labels = tuple(dict.fromkeys(label for each in results for label in each.rows))
    rows = next(iter(results[0].rows.values()))
    return Findings(
        config=config,
        labels=labels,
        results=tuple(results),
        standings=standings_of(config, results),
        truths=_truths(bench, labels),
        fields=tuple(dict.fromkeys(rows.fields)),
        groups=tuple(dict.fromkeys(rows.groups)),
        settings=config.model_dump(mode="json", exclude_none=True),
    )


def write(findings: Findings, out: Path) -> None:
    """Writes the report, the record and the tables, replacing older ones."""
    packages = versions()
    texts = {RECORD: as_json(study_record(findings, packages))}
    for name, rows_of in TABLES.items():
        rows = rows_of(findings)
        texts[name] = as_csv(list(rows[0]), rows) if rows else ""
    texts[REPORT] = study_page(findings, packages)
    for name, text in texts.items():
        with written_whole(out / name, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _all_runs(bench: Workbench, runs: Sequence[Run], say: Say) -> list[RunResult]:
    kinds = [f"{run.variant} {run.budget}" for run in runs]
    progress = PartsProgress({kind: kinds.count(kind) for kind in kinds}, say)
    results = []
    for number, (run, kind) in enumerate(zip(runs, kinds, strict=True), 1):
        text = f"{number} of {len(runs)}: {run.variant}, budget {run.budget}, seed {run.seed}"
        progress.begin()
        done = (bench.out / "runs" / run.name / "judged.npz").exists()
        results.append(bench.result(run))
        tell = progress.skip if done else progress.end
        tell(kind, 1, text)
        # Programs of networks that are done with; those kept on disk are read again.
        jax.clear_caches()
    return results


def _truths(bench: Workbench, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """What was measured on the judged ground of the first field that holds it, by label."""
    found: dict[str, np.ndarray] = {}
    for variant in bench.config.variant:
        ground = bench.ground(variant)
        for facts in ground.fields:
            lacking = [label for label in labels if label not in found and label in facts.pixels]
            if not lacking:
                continue
            field = ground.read(facts.name)
            for label in lacking:
                number = field.labels.index(label)
                window = bounding_window(field.measured[number])
                found[label] = np.where(field.measured[number], field.truth[number], 0)[window]
    return found


def _keep_programs(out: Path) -> None:
    """Compiled programs serve every seed of a variant, and a study that is gone on with."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str((out / "compiled").absolute()))
