"""The command `isl focus`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import Axes, Channel, Device, Out, Overwrite


def focus(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Image files, folders of published PNGs, or folders of such things.",
        ),
    ],
    out: Out,
    axes: Axes = None,
    channel: Channel = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> int:
    """Fuses z-stacks, and movies frame by frame, to one all-in-focus image and its depth.

    NAME.ome.tif keeps the input's pixel type and values, NAME.depth.ome.tif is the index of the
    plane that each pixel comes from, counted from 0.
    """
    from isl.polarity.stacks import Request, fuse_stacks

    return fuse_stacks(
        Request(
            inputs=tuple(inputs),
            out=out,
            axes=axes,
            channel=channel,
            device=device,
            overwrite=overwrite,
        )
    )
