"""The command `isl demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demonstration makes.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of real fields to show instead of simulated ones.")
    ] = None,
) -> None:
    """Shows the whole way, from a field to its prediction beside the truth."""
    from isl import demo as demonstration

    demonstration.run(out=out, data=data)
