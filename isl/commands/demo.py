"""The command `isl demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demonstration makes.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the real field condition_b_A4, to show as well; the "
            "environment variable ISL_DATA by default.",
        ),
    ] = None,
) -> None:
    """Shows the whole way, from a z-stack to its prediction beside the truth."""
    from isl import demo as demonstration

    if data is None and os.environ.get("ISL_DATA"):
        data = Path(os.environ["ISL_DATA"])
    demonstration.run(out=out, data=data)
