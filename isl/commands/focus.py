"""The command `isl focus`."""

from pathlib import Path
from typing import Annotated

import typer


def focus(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Image files, folders of published PNGs, or folders of such things.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    axes: Annotated[
        str | None,
        typer.Option(help="What a TIFF's dimensions are, where it does not say, e.g. TZYX."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="The transmitted-light channel, where there are several.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
) -> None:
    """Fuses z-stacks, and movies frame by frame, to one all-in-focus image and its depth.

    NAME.ome.tif keeps the input's pixel type and values, NAME.depth.ome.tif is the index of the
    plane that each pixel comes from, counted from 0.
    """
    from isl.commands.stacks import Request, fuse_stacks

    code = fuse_stacks(
        Request(
            inputs=tuple(inputs),
            out=out,
            axes=axes,
            channel=channel,
            device=device,
            overwrite=overwrite,
        )
    )
    if code:
        raise typer.Exit(code)
