"""Options that several commands share, as typer reads them from annotations."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isl.errors import InputError


def above_zero(parameter: typer.CallbackParam, value: float | None) -> float | None:
    """What a length or time is refused by, where it is 0 or less, or no number."""
    if value is not None and not 0 < value < float("inf"):
        unit = {"UM": "micrometres", "M": "minutes"}[str(parameter.metavar)]
        raise InputError(f"{parameter.opts[0]} {value:g}: expected {unit} above 0")
    return value


def micrometres(help: str) -> Any:
    """An option that is a length."""
    return typer.Option(metavar="UM", callback=above_zero, help=help)


def gibibytes(help: str) -> Any:
    """An option that limits memory."""
    return typer.Option(metavar="GIB", help=f"{help} Half of what is free by default.")


def model_option(default: str, **more: Any) -> Any:
    """An option that names a model; what is said of it ends with what it is by default."""
    return typer.Option(
        help=f"A bundled model's name (isl models) or a model folder; {default}.", **more
    )


def names_in(text: str | None, option: str) -> tuple[str, ...] | None:
    """Names between commas; None where the option was not given.

    Raises:
        InputError: It was, and names nothing.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"{option} '{text}': names nothing")
    return names


Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Axes = Annotated[
    str | None,
    typer.Option(help="What a TIFF's dimensions are, where it does not say, e.g. ZYX or TZYX."),
]
Channel = Annotated[
    str | None, typer.Option(help="The transmitted-light channel, where there are several.")
]
PixelSize = Annotated[
    float | None, micrometres("Pixel size in micrometres, whatever the file says.")
]
ZStep = Annotated[float | None, micrometres("Micrometres between planes, whatever the file says.")]
Modality = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="PHASE_CONTRAST, BRIGHTFIELD or DIC, whatever the file says.",
    ),
]
IntervalMinutes = Annotated[
    float | None,
    typer.Option(
        metavar="M", callback=above_zero, help="Minutes between frames, whatever the files say."
    ),
]
AllowMismatch = Annotated[
    bool,
    typer.Option("--allow-mismatch", help="Warn where an image is known not to fit, and continue."),
]
ModelName = Annotated[
    str, typer.Argument(help="A bundled model's name (isl models) or a model folder.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the file."),
]
LabelNames = Annotated[
    str | None, typer.Option(metavar="A,B", help="Labels to predict; all by default.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, gpu or tpu.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep what is done, made in the same way.")]
Workers = Annotated[int, typer.Option(min=1, metavar="N", help="Processes that share the inputs.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A running Dask scheduler whose workers do the work."),
]
