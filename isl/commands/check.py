"""The command `isl check`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.errors import InputError


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
    labels: Annotated[
        str | None, typer.Option(metavar="A,B", help="Labels to predict; all by default.")
    ] = None,
    symmetries: Annotated[
        bool, typer.Option("--symmetries", help="Predict as isl predict --symmetries does.")
    ] = False,
    axes: Annotated[
        str | None,
        typer.Option(help="What a TIFF's dimensions are, where it does not say, e.g. ZYX."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="The transmitted-light channel, where there are several.")
    ] = None,
    planes: Annotated[
        str | None, typer.Option(metavar="LIST|interpolate", help="As for isl predict.")
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="UM", help="Pixel size in micrometres, whatever the file says."),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option(
            "--allow-mismatch", help="Warn where an image is known not to fit, and go on."
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a result that exists.")
    ] = False,
) -> None:
    """Predicts an image in other tiles, moved and turned, and says what that changes.

    Exit code 3: predictions in other tiles differ by more than rounding.
    """
    from isl.commands.check_image import Request, check_image
    from isl.labeling.contract import parse_planes

    if pixel_size is not None and not 0 < pixel_size < float("inf"):
        raise InputError(f"--pixel-size {pixel_size:g}: expected micrometres above 0")
    code = check_image(
        Request(
            model=model,
            image=image,
            out=out,
            everything=everything,
            labels=None if labels is None else tuple(part.strip() for part in labels.split(",")),
            symmetries=symmetries,
            axes=axes,
            channel=channel,
            planes=None if planes is None else parse_planes(planes),
            pixel_size=pixel_size,
            allow_mismatch=allow_mismatch,
            device=device,
            overwrite=overwrite,
        )
    )
    if code:
        raise typer.Exit(code)
