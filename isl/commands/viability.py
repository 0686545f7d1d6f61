"""The command `isl viability`."""

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
    Resume,
    Workers,
    gibibytes,
)
from isl.errors import InputError


def viability(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDING...",
            help="Movies, folders of one embryo's frames, folders of such things, or tables (.csv) "
            "with the columns recording and file, and start_hours, interval_minutes, times.",
        ),
    ],
    out: Out,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model folder, or a bundled model's name (isl models); the one that comes with "
            "isl learned from simulated embryos and is for demonstrations."
        ),
    ] = None,
    cohort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of the table that says which embryos are compared."
        ),
    ] = None,
    interval_minutes: IntervalMinutes = None,
    start_hours: Annotated[
        float | None,
        typer.Option(metavar="H", help="Hours after insemination of the first frames."),
    ] = None,
    times: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE.csv", help="Hours of each frame, columns frame and hours; one recording."
        ),
    ] = None,
    embryo: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Which of several embryos in the picture; 0: one that fills it is not looked for.",
        ),
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    device: Device = "auto",
    workers: Workers = 1,
    memory: Annotated[
        float | None,
        gibibytes("Memory that frames of movie files may take; longer ones wait on disk."),
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> int:
    """Estimates the probability of an outcome from time-lapses; research only, decides nothing."""
    from isl.viability.run import Request, assess_recordings

    if start_hours is not None and not 0 <= start_hours < float("inf"):
        raise InputError(f"--start-hours {start_hours:g}: expected hours from 0")
    if times is not None and len(inputs) > 1:
        raise InputError("--times is of one recording; name them in the column times of a table")
    return assess_recordings(
        Request(
            inputs=tuple(inputs),
            out=out,
            model=model,
            cohort=cohort,
            interval=interval_minutes,
            start=start_hours,
            times=times,
            embryo=embryo,
            axes=axes,
            channel=channel,
            device=device,
            workers=workers,
            memory=memory,
            overwrite=overwrite,
            resume=resume,
        )
    )
