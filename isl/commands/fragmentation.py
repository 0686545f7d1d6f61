"""The command `isl fragmentation`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import Device, Overwrite
from isl.errors import InputError


def fragmentation(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures or movies of cleavage-stage embryos, folders of one embryo's frames, or "
            "folders of such things.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A bundled model's name (isl models) or a model folder; fragmentation by default."
        ),
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
    interval_minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Minutes between frames, whatever the files say."),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep recordings that are done, made in the same way.")
    ] = False,
) -> None:
    """Finds the fragments of cleavage-stage embryos and their share; for research only."""
    from isl.fragmentation.run import Request, grade_recordings

    if interval_minutes is not None and not 0 < interval_minutes < float("inf"):
        raise InputError(f"--interval-minutes {interval_minutes:g}: expected minutes above 0")
    request = Request(
        inputs=tuple(inputs),
        out=out,
        model=model,
        grades=grades,
        correct=correct,
        interval=interval_minutes,
        device=device,
        overwrite=overwrite,
        resume=resume,
    )
    code = grade_recordings(request)
    if code:
        raise typer.Exit(code)
