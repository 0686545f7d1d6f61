"""The command `isl check`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import (
    AllowMismatch,
    Axes,
    Channel,
    Device,
    LabelNames,
    Modality,
    Overwrite,
    PixelSize,
    ZStep,
    names_in,
)


def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A bundled model (isl models), a model folder, or several: A,B."
        ),
    ],
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="An image file or a folder of published PNGs; of a movie, the first time point.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for NAME.check.json, with every figure.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole image, not only its middle.")
    ] = False,
    labels: LabelNames = None,
    symmetries: Annotated[
        bool, typer.Option("--symmetries", help="Predict as isl predict --symmetries does.")
    ] = False,
    axes: Axes = None,
    channel: Channel = None,
    planes: Annotated[
        str | None, typer.Option(metavar="LIST|interpolate", help="As for isl predict.")
    ] = None,
    pixel_size: PixelSize = None,
    z_step: ZStep = None,
    modality: Modality = None,
    allow_mismatch: AllowMismatch = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> int:
    """Predicts an image in other tiles, moved and turned, and says what that changes.

    Exit code 3: predictions in other tiles differ by more than rounding.
    """
    from isl.imaging.inputs.stated import Stated, parse_modality
    from isl.labeling.contract import parse_planes
    from isl.labeling.run.check_image import Request, check_image

    return check_image(
        Request(
            model=model,
            image=image,
            out=out,
            everything=everything,
            labels=names_in(labels, "--labels"),
            symmetries=symmetries,
            stated=Stated(
                axes=axes,
                channel=channel,
                pixel_size=pixel_size,
                z_step=z_step,
                modality=None if modality is None else parse_modality(modality),
            ),
            planes=None if planes is None else parse_planes(planes),
            allow_mismatch=allow_mismatch,
            device=device,
            overwrite=overwrite,
        )
    )
