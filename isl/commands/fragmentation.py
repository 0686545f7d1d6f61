"""The command `isl fragmentation`."""

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
    model_option,
)


def fragmentation(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures or movies of cleavage-stage embryos, folders of one embryo's frames, or "
            "folders of such things.",
        ),
    ],
    out: Out,
    model: Annotated[
        str | None,
        model_option("fragmentation by default"),
    ] = None,
    grades: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="A laboratory's own grades: name, source, grades, and the bounds between them.",
        ),
    ] = None,
    correct: Annotated[
        bool,
        typer.Option(
            "--correct",
            help="Also write what is needed to correct masks in LabelMe, napari or Fiji; "
            "isl train reads it back.",
        ),
    ] = False,
    interval_minutes: IntervalMinutes = None,
    axes: Axes = None,
    channel: Channel = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    resume: Resume = False,
    workers: Workers = 1,
) -> int:
    """Finds the fragments of cleavage-stage embryos and their share; for research only."""
    from isl.fragmentation.run import Request, grade_recordings

    request = Request(
        inputs=tuple(inputs),
        out=out,
        model=model,
        grades=grades,
        correct=correct,
        interval=interval_minutes,
        axes=axes,
        channel=channel,
        device=device,
        overwrite=overwrite,
        resume=resume,
        workers=workers,
    )
    return grade_recordings(request)
