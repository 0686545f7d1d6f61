"""The command `isl eval`."""

from pathlib import Path
from typing import Annotated

import typer

from isl import registry
from isl.commands.parameters import Device, Overrides
from isl.config import configuration, task_name
from isl.devices import use_device
from isl.files.locks import alone_in
from isl.files.whole import check_output_folder


def evaluate(
    config: Annotated[
        Path,
        typer.Argument(
            help="What to evaluate, and how: a TOML file, or the name of one that comes with isl."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; resumed if it was begun before.")
    ],
    set_: Overrides = None,
    device: Device = "auto",
) -> None:
    """Evaluates models on held-out data, as a TOML file says, and leaves a report in OUT."""
    overrides = list(set_ or ())
    check_output_folder(out, "--out")
    config = configuration(config)
    judge = registry.load(registry.EVAL, task_name(config, overrides), what=f"task in {config}:")
    use_device(device)
    with alone_in(out, "isl eval"):
        judge(config, overrides, out)
    typer.echo(out / "report.html")
