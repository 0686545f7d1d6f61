"""The command `isl measure`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import (
    IntervalMinutes,
    Out,
    Overwrite,
    PixelSize,
    Resume,
    Workers,
    micrometres,
)


def measure(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREDICTION...",
            help="Folders that isl predict wrote, images in them, or fluorescence images.",
        ),
    ],
    out: Out,
    nuclei: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="The label that shows nuclei; by its name where only one does."
        ),
    ] = None,
    dead: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="The label of dead cells; by its name where only one is."
        ),
    ] = None,
    objects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Objects of another program instead: a label image (TIFF, PNG, NumPy), or a CSV "
            "of centres (CellProfiler, Fiji, napari, or columns y,x); of several fields a folder "
            "with one of each field's name.",
        ),
    ] = None,
    wells: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="A CSV with the columns image, well, condition (or well, condition), or the "
            "dataset.toml of isl preprocess.",
        ),
    ] = None,
    diameter: Annotated[
        float | None,
        micrometres("Of a typical nucleus; estimated by default."),
    ] = None,
    ring: Annotated[
        float | None,
        micrometres("Measure labels in a ring of this width around each nucleus, too."),
    ] = None,
    reach: Annotated[
        float | None,
        micrometres("Centres within it are neighbours; 2.5 typical diameters by default."),
    ] = None,
    motion: Annotated[
        float | None,
        micrometres("How far a cell may move between frames; its typical diameter by default."),
    ] = None,
    gap: Annotated[
        int, typer.Option(min=0, help="Frames a cell may be missing for and keep its number.")
    ] = 1,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Measure the frames of movies one by one.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write cells.parquet beside cells.csv.")
    ] = False,
    interval_minutes: IntervalMinutes = None,
    pixel_size: PixelSize = None,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> int:
    """Measures cells in predicted fluorescence: place, shape, intensities, certainty."""
    from isl.measure.run import Request, measure_predictions

    return measure_predictions(
        Request(
            inputs=tuple(inputs),
            out=out,
            nuclei=nuclei,
            dead=dead,
            objects=objects,
            wells=wells,
            diameter=diameter,
            ring=ring,
            reach=reach,
            motion=motion,
            gap=gap,
            follow=not no_follow,
            pixel_size=pixel_size,
            interval=interval_minutes,
            parquet=parquet,
            workers=workers,
            overwrite=overwrite,
            resume=resume,
        )
    )
