"""The command `isl train`."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isl.commands.parameters import Device
from isl.config import (
    load_toml,
    parse,
    read_toml,
)
from isl.devices import use_device
from isl.errors import (
    InputError,
    unknown,
)

from .distributed import (
    join,
    processes_from_environment,
)

if TYPE_CHECKING:
    from rich.console import Console


def train(
    config: Annotated[Path, typer.Argument(help="The experiment, a TOML file.")],
    workdir: Annotated[
        Path, typer.Option(help="Folder of the run; resumed if it holds a checkpoint.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the experiment."),
    ] = None,
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare batches; 0: threads.")
    ] = None,
) -> None:
    """Trains networks as a TOML file says, and leaves a model folder in WORKDIR/model.

    Several processes train together when each is given ISL_COORDINATOR (host:port of the first),
    ISL_PROCESSES (how many) and ISL_PROCESS (which, from 0).
    """
    overrides = list(set_ or ())
    if workers is not None:
        overrides.append(f"training.workers={workers}")
    _check_folder(workdir)
    task_name = _task_name(config, overrides)
    if task_name not in TASKS:
        raise unknown(f"task in {config}:", task_name, TASKS)

    typer.echo(TASKS[task_name](config, overrides, workdir, device))


def _train_labeling(config: Path, overrides: list[str], workdir: Path, device: str) -> Path:
    from .labeling.config import LabelingConfig
    from .labeling.task import LabelingTask
    from .loop import fit

    experiment = load_toml(config, LabelingConfig, overrides)
    console = _begin(device)
    task = LabelingTask(experiment, config.parent, name=config.stem, say=partial(_say, console))
    progress = fit(task, experiment, workdir, freeze=experiment.start.freeze, console=console)
    if progress.update < experiment.training.steps:
        raise KeyboardInterrupt
    return workdir / "model"


def _train_polarity(config: Path, overrides: list[str], workdir: Path, device: str) -> Path:
    from .polarity.config import PolarityExperiment
    from .polarity.task import train_polarity

    experiment = load_toml(config, PolarityExperiment, overrides)
    if processes_from_environment() is not None:
        raise InputError(
            "environment: ISL_COORDINATOR is set, but task 'polarity' trains in one process; unset "
            "ISL_COORDINATOR, ISL_PROCESSES and ISL_PROCESS"
        )
    console = _begin(device)
    say = partial(_say, console)
    return train_polarity(
        experiment, config.parent, workdir, name=config.stem, say=say, console=console
    )


TASKS: Mapping[str, Callable[[Path, list[str], Path, str], Path]] = {
    "labeling": _train_labeling,
    "polarity": _train_polarity,
}
"""What trains each task: functions of the experiment's file, its overrides, the run's folder and
the device, which return the model's folder."""


def _begin(device: str) -> "Console":
    """Joins the other processes and chooses the device, before JAX is used for anything else."""
    processes = processes_from_environment()
    if processes is not None:
        join(processes)
    use_device(device)

    from rich.console import Console

    return Console(stderr=True)


def _check_folder(workdir: Path) -> None:
    """Refuses a folder that cannot be made or written, before anything is computed."""
    nearest = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--workdir {workdir}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"--workdir {workdir}: {nearest} cannot be written; name another folder")


def _say(console: "Console", message: str) -> None:
    import jax

    if jax.process_index() == 0:
        console.print(message, highlight=False, markup=False, soft_wrap=True)


def _task_name(path: Path, overrides: list[str]) -> str:
    """The key `task` alone, which says how the rest is to be read."""
    from .experiment import TaskName

    tables = read_toml(path)
    chosen: dict[str, Any] = {"task": tables["task"]} if "task" in tables else {}
    own = [override for override in overrides if override.partition("=")[0].strip() == "task"]
    return parse(chosen, TaskName, source=str(path), overrides=own).task
