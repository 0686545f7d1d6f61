"""The command `isl search`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import Device, Overrides
from isl.config import configuration
from isl.devices import use_device
from isl.files.whole import check_output_folder


def search(
    config: Annotated[
        Path,
        typer.Argument(
            help="What to search, and how: a TOML file, or the name of one that comes with isl."
        ),
    ],
    workdir: Annotated[
        Path,
        typer.Option(help="Folder of the search; resumed, or joined, if it was begun before."),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many trials, over all workers.")
    ] = None,
    set_: Overrides = None,
    device: Device = "auto",
) -> None:
    """Searches hyperparameters of an experiment, as a TOML file says.

    Start it several times with one WORKDIR, on any machines that see it, and the workers share the
    search.
    """
    check_output_folder(workdir, "--workdir")
    use_device(device)

    from rich.console import Console

    from .search import search_hyperparameters

    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    best = search_hyperparameters(
        configuration(config), list(set_ or ()), workdir, trials=trials, say=say, console=console
    )
    typer.echo(best)
