"""The command `isl train`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isl import registry
from isl.commands.parameters import Device
from isl.config import load_toml, task_name
from isl.devices import use_device
from isl.errors import InputError
from isl.files.whole import check_output_folder

from .distributed import join, processes_from_environment
from .recipe import Recipe, Run

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
    check_output_folder(workdir, "--workdir")
    task = task_name(config, overrides)
    recipe: Recipe = registry.load(registry.TRAIN, task, what=f"task in {config}:")
    experiment = load_toml(config, recipe.config, overrides)
    if not recipe.several_processes and processes_from_environment() is not None:
        raise InputError(
            f"environment: ISL_COORDINATOR is set, but task '{task}' trains in one process; unset "
            "ISL_COORDINATOR, ISL_PROCESSES and ISL_PROCESS"
        )
    console = _begin(device)
    run = Run(
        folder=config.parent,
        workdir=workdir,
        name=config.stem,
        say=partial(_say, console),
        console=console,
    )
    typer.echo(recipe.train(experiment, run))


def _begin(device: str) -> "Console":
    """Joins the other processes and chooses the device, before JAX is used for anything else."""
    processes = processes_from_environment()
    if processes is not None:
        join(processes)
    use_device(device)

    from rich.console import Console

    return Console(stderr=True)


def _say(console: "Console", message: str) -> None:
    import jax

    if jax.process_index() == 0:
        console.print(message, highlight=False, markup=False, soft_wrap=True)
