"""The command `isl preprocess`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isl.commands.parameters import Overrides
from isl.errors import InputError
from isl.files.failures import report_failures
from isl.files.whole import check_output_folder
from isl.progress import FieldProgress

if TYPE_CHECKING:
    from isl.preprocess.config import PreprocessConfig
    from isl.preprocess.pipeline import Outcome, Plan


def preprocess(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to do; see guide.")],
    out: Annotated[Path, typer.Option(help="Folder for fields, manifest and report.")],
    workers: Annotated[
        int, typer.Option(help="Processes that work side by side; 0: one for every core.")
    ] = 0,
    set_: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which tiles are found, and do nothing.")
    ] = False,
) -> int:
    """Turns raw microscope tiles into stitched, corrected fields and a manifest for isl train.

    A run that was stopped is resumed by giving the same call again.
    """
    from isl.preprocess import pipeline

    if workers < 0:
        raise InputError(f"--workers {workers}: give 1 or more, or 0 for every core")
    check_output_folder(out, "--out")
    settings = pipeline.load_config(config, set_ or ())
    plan = pipeline.plan_run(settings, config.parent)
    if dry_run:
        print("\n".join(pipeline.described(plan, settings)))
        return report_failures(plan.failed, plan.count, what="fields")
    outcome = _preprocessed(plan, settings, out, workers)
    for path in (outcome.manifest, outcome.report):
        if path is not None:
            print(path)
    return report_failures(outcome.failed, plan.count, what="fields")


def preprocess_first(config: Path, roots: Sequence[Path], out: Path) -> list[Path]:
    """Preprocesses folders of raw tiles for what reads the fields, and resumes like the command.

    Args:
        config: The configuration; its layout's root unless folders are given.
        roots: Folders of raw tiles, each a run of its own.
        out: The run's folder; of several, one for each below it, by its name.

    Returns:
        The folders of the runs.

    Raises:
        InputError: As of the command.
    """
    from isl.preprocess import pipeline

    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root}: is no folder; with --preprocess give folders of raw tiles")
    names = [root.resolve().name for root in roots]
    if len(set(names)) < len(names):
        raise InputError(f"{roots[0].parent}: two folders of raw tiles have one name; rename one")
    planned = []
    for root in roots or (None,):
        settings = pipeline.load_config(config)
        if root is not None:
            layout = settings.layout.model_copy(update={"root": str(root.resolve())})
            settings = settings.model_copy(update={"layout": layout})
        run = out / root.resolve().name if root is not None and len(roots) > 1 else out
        planned.append((pipeline.plan_run(settings, config.parent), settings, run))
    for plan, settings, run in planned:
        outcome = _preprocessed(plan, settings, run, 0)
        report_failures(outcome.failed, plan.count, what="fields")
        if outcome.manifest is None:
            raise InputError(f"{run}: no field is fit to be predicted; see {outcome.report}")
    return [run for _, _, run in planned]


def _preprocessed(plan: "Plan", settings: "PreprocessConfig", out: Path, workers: int) -> "Outcome":
    from isl.preprocess import pipeline
    from isl.workers import usable_cores

    with FieldProgress(plan.steps) as progress:
        outcome = pipeline.preprocess(
            plan,
            settings,
            out,
            workers=workers or usable_cores(),
            progress=progress,
            say=lambda line: print(line, file=sys.stderr),
        )
    kept = sum(decision.keep for decision in outcome.decisions)
    print(f"{kept} of {plan.count} fields kept", file=sys.stderr)
    return outcome
