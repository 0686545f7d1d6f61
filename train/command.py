"""The command `isl train`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isl import registry
from isl.commands.parameters import Device, Overrides
from isl.config import configuration, load_as_typed, task_name
from isl.devices import use_device
from isl.errors import InputError
from isl.files.whole import check_output_folder

from .distributed import join, processes_from_environment
from .recipe import Recipe, Run

if TYPE_CHECKING:
    from rich.console import Console

_SAY_NOTHING = ("dataset", "manifest", "data", "table", "recordings", "examples")
"""Names that many data sets have: their folder's says more."""


def train(
    config: Annotated[
        Path,
        typer.Argument(help="The experiment: a TOML file, or the name of one that comes with isl."),
    ],
    workdir: Annotated[
        Path, typer.Option(help="Folder of the run; resumed if it holds a checkpoint.")
    ],
    set_: Overrides = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the model; by default the configuration's, or the data's if set."),
    ] = None,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is for; opens its card.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="As long as there is time for, such as 20min or 2h: lengths and schedules follow.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read and compare everything; train and keep nothing."),
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare batches; 0: threads.")
    ] = None,
) -> None:
    """Trains networks as a TOML file says, and leaves a model folder in WORKDIR/model.

    Beside it, report.html and curves.png show how the training went.

    Several processes train together when each is given ISL_COORDINATOR (host:port of the first),
    ISL_PROCESSES (how many) and ISL_PROCESS (which, from 0).
    """
    overrides = list(set_ or ())
    if workers is not None:
        overrides.append(f"training.workers={workers}")
    check_output_folder(workdir, "--workdir")
    config = configuration(config)
    task = task_name(config, overrides)
    recipe: Recipe = registry.load(registry.TRAIN, task, what=f"task in {config}:")
    experiment = load_as_typed(config, recipe.config, overrides)
    several = processes_from_environment() is not None
    if not recipe.several_processes and several:
        raise InputError(
            f"environment: ISL_COORDINATOR is set, but task '{task}' trains in one process; unset "
            "ISL_COORDINATOR, ISL_PROCESSES and ISL_PROCESS"
        )
    seconds = _seconds(budget, check=check, several=several)
    experiment, named = _named(experiment, recipe, config, overrides, name, description)
    console = _begin(device)
    run = Run(
        folder=config.parent,
        workdir=workdir,
        name=named,
        say=partial(_say, console),
        console=console,
    )
    if check:
        _look(recipe, experiment, run, task)
        return
    if seconds is not None:
        from .time_budget import within

        experiment = within(seconds, recipe, experiment, run)
    _train(recipe, experiment, run)


def _train(recipe: Recipe, experiment: Any, run: Run) -> None:
    """Trains; finished or stopped, a page shows how far it went."""
    try:
        model = recipe.train(experiment, run)
    except KeyboardInterrupt:
        _show(run)
        raise
    _show(run)
    run.say(f"the model is called '{getattr(experiment, 'name', '') or run.name}'")
    typer.echo(model)


def _show(run: Run) -> None:
    import jax

    from .page import write_page

    written = write_page(run.workdir) if jax.process_index() == 0 else None
    if written is not None:
        run.say(f"how it went: {written}")


def _look(recipe: Recipe, experiment: Any, run: Run, task: str) -> None:
    if recipe.look is None:
        raise InputError(f"`check`: task '{task}' cannot be checked without training; leave it out")
    for line in recipe.look(experiment, run):
        typer.echo(line)
    named = getattr(experiment, "name", "") or run.name
    typer.echo(f"nothing is in the way of training a model called '{named}'")


def _seconds(budget: str | None, *, check: bool, several: bool) -> float | None:
    """The time that a run may take; None: as long as the configuration says."""
    if budget is None:
        return None
    from .time_budget import seconds_in

    if check:
        raise InputError("`check` trains nothing; leave `budget` out")
    if several:
        raise InputError(
            "`budget`: the pace is measured in one process; unset ISL_COORDINATOR, or leave it out"
        )
    return seconds_in(budget)


def _named(
    experiment: Any,
    recipe: Recipe,
    config: Path,
    overrides: list[str],
    name: str | None,
    description: str | None,
) -> tuple[Any, str]:
    """The experiment with what its model will be called and said to be, and that name.

    Neither is another data set's: where the data were set on the command line, they name the model.
    """
    is_set = any(override.partition("=")[0].strip() == recipe.data for override in overrides)
    data = _data_name(experiment, recipe, config.parent)
    derived = data if is_set and data else config.stem
    known = type(experiment).model_fields
    update: dict[str, Any] = {}
    if name is not None and not name.strip():
        raise InputError("`name=`: is empty; give the model a name")
    if "name" in known and (name or is_set):
        own = any(override.partition("=")[0].strip() == "name" for override in overrides)
        update["name"] = name or (experiment.name if own else derived)
    if description is not None:
        update["description"] = description
    elif is_set or not experiment.description:
        source = f" Learned from {data}," if data else " Trained"
        update["description"] = (
            f"{recipe.purpose}{source} with the settings of {config.name}."
        ).strip()
    return experiment.model_copy(update=update), name or derived


def _data_name(experiment: Any, recipe: Recipe, folder: Path) -> str:
    """What the data are called: their file or folder, or the folder that it lies in."""
    value = experiment
    for key in recipe.data.split("."):
        value = getattr(value, key, None)
    if not value:
        return ""
    path = folder / value
    return path.absolute().parent.name if path.stem in _SAY_NOTHING else path.stem


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
