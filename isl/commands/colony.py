"""The command `isl colony`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import (
    Axes,
    Channel,
    Device,
    IntervalMinutes,
    Out,
    Overwrite,
    PixelSize,
    Resume,
    Workers,
    model_option,
)
from isl.errors import unknown

_ORDERS = ("paper", "published_code")


def colony(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Pictures or time-lapses of wells, plates, or folders of them.",
        ),
    ],
    out: Out,
    model: Annotated[
        str | None,
        model_option("colony by default, cell-cycle with --cells"),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Your own label image in place of detection, one number a colony; for several "
            "wells a folder with one of each well's name."
        ),
    ] = None,
    patches: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Patches a colony, averaged; as the model says by default."
        ),
    ] = None,
    cells: Annotated[
        bool,
        typer.Option("--cells", help="Each picture is one cell, and is classified as a whole."),
    ] = False,
    time_lapse: Annotated[
        bool,
        typer.Option(
            "--time-lapse", help="Each folder is one time-lapse, with one picture a frame."
        ),
    ] = False,
    gap: Annotated[
        int,
        typer.Option(min=0, help="Frames a colony may be missing for and still keep its number."),
    ] = 2,
    split: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            help="Split touching colonies at constrictions; 0.1 is a good start, 0 off.",
        ),
    ] = 0.0,
    order: Annotated[
        str, typer.Option(metavar="paper|published_code", help="Threshold or opening first.")
    ] = "paper",
    least_area: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="UM2", help="Smaller objects are removed; 1280 um2 by default."
        ),
    ] = None,
    interval_minutes: IntervalMinutes = None,
    pixel_size: PixelSize = None,
    axes: Axes = None,
    channel: Channel = None,
    workers: Workers = 1,
    device: Device = "auto",
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> int:
    """Finds colonies in wells, follows them over time and classes them; for research only."""
    from isl.colony.assess import Settings
    from isl.colony.cells import assess_cells
    from isl.colony.detection import PAPER_PIXEL_SIZE, DetectionConfig
    from isl.colony.run import Request, assess_wells

    if order not in _ORDERS:
        raise unknown("order", order, _ORDERS)
    detection = DetectionConfig(
        order="paper" if order == "paper" else "published_code", split=split
    )
    if least_area is not None:
        # The configuration counts pixels of the paper's size.
        pixels = least_area / PAPER_PIXEL_SIZE**2
        detection = detection.model_copy(update={"least_area": pixels})
    request = Request(
        inputs=tuple(inputs),
        out=out,
        model=model,
        mask=mask,
        settings=Settings(
            detection=detection,
            patches=patches,
            gap=gap,
            pixel_size=pixel_size,
            interval=interval_minutes,
        ),
        axes=axes,
        channel=channel,
        device=device,
        workers=workers,
        overwrite=overwrite,
        resume=resume,
        time_lapse=time_lapse,
    )
    return assess_cells(request) if cells else assess_wells(request)
