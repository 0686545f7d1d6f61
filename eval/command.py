"""The command `isl eval`."""

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from isl.commands.parameters import Device
from isl.config import (
    parse,
    read_toml,
)
from isl.devices import use_device
from isl.errors import (
    InputError,
    unknown,
)

TASKS: Mapping[str, str] = {
    "polarity": "isl_eval.polarity.evaluation:evaluate_polarity",
    "labeling": "isl_eval.labeling.evaluation:evaluate_labeling",
    "comparison": "isl_eval.study.comparison:compare_variants",
}
"""Where each task is judged: a module, and in it a function of the configuration's file, its
overrides and the folder for results."""


def evaluate(
    config: Annotated[Path, typer.Argument(help="What to judge, and how: a TOML file.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; gone on with if it was begun before.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the file."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Judges models on ground they never saw, as a TOML file says, and leaves a report in OUT."""
    overrides = list(set_ or ())
    _check_folder(out)
    task = _task_name(config, overrides)
    if task not in TASKS:
        raise unknown(f"task in {config}:", task, TASKS)
    use_device(device)
    judge = _load(TASKS[task])
    judge(config, overrides, out)
    typer.echo(out / "report.html")


def _load(place: str) -> Callable[[Path, list[str], Path], None]:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _check_folder(out: Path) -> None:
    """Refuses a folder that cannot be made or written, before anything is computed."""
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--out {out}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"--out {out}: {nearest} cannot be written; name another folder")


def _task_name(path: Path, overrides: list[str]) -> str:
    """The key `task` alone, which says how the rest is to be read."""
    from isl_train.experiment import TaskName  # pyright: ignore[reportMissingImports]

    tables = read_toml(path)
    chosen: dict[str, Any] = {"task": tables["task"]} if "task" in tables else {}
    own = [override for override in overrides if override.partition("=")[0].strip() == "task"]
    return parse(chosen, TaskName, source=str(path), overrides=own).task
