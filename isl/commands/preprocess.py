"""The command `isl preprocess`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from isl.errors import InputError
from isl.files.failures import report_failures
from isl.progress import FieldProgress


def preprocess(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to do; see guide.")],
    out: Annotated[Path, typer.Option(help="Folder for fields, manifest and report.")],
    workers: Annotated[
        int, typer.Option(help="Processes that work side by side; 0: one for every core.")
    ] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting of the file."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which tiles are found, and do nothing.")
    ] = False,
) -> int:
    """Turns raw microscope tiles into stitched, corrected fields and a manifest for isl train.

    A run that was stopped is resumed by giving the same call again.
    """
    from isl.preprocess import pipeline
    from isl.workers import usable_cores

    if workers < 0:
        raise InputError(f"--workers {workers}: give 1 or more, or 0 for every core")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    settings = pipeline.load_config(config, set_ or ())
    plan = pipeline.plan_run(settings, config.parent)
    if dry_run:
        print("\n".join(pipeline.described(plan, settings)))
        return report_failures(plan.failed, plan.count, what="fields")
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
    for path in (outcome.manifest, outcome.report):
        if path is not None:
            print(path)
    return report_failures(outcome.failed, plan.count, what="fields")
