"""The command `isl inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isl.commands.parameters import Axes, Channel, Modality, PixelSize, ZStep
from isl.errors import InputError, as_options

if TYPE_CHECKING:
    from isl.imaging.inputs.stated import Stated

Facts = list[tuple[str, str]]


def inspect(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|IMAGE|FOLDER",
            help="A bundled model, its folder, an image, or a folder of images.",
        ),
    ],
    axes: Axes = None,
    channel: Channel = None,
    pixel_size: PixelSize = None,
    z_step: ZStep = None,
    modality: Modality = None,
) -> None:
    """Says what a model expects, or what an image holds and which models it fits."""
    from isl.imaging.inputs.stated import Stated, parse_modality

    stated = Stated(
        axes=axes,
        channel=channel,
        pixel_size=pixel_size,
        z_step=z_step,
        modality=None if modality is None else parse_modality(modality),
    )
    facts = describe(thing, stated)
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        print(f"{key:<{width}}  {as_options(value)}")


def describe(thing: str, stated: "Stated | None" = None) -> Facts:
    """Facts about a model (a bundled name, or a folder), an image, or a folder of images.

    Args:
        thing: What is meant.
        stated: What is said of an image in place of what its file says.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    from isl.imaging.inputs.containers import is_container
    from isl.imaging.inputs.describe import describe_folder, describe_image
    from isl.imaging.inputs.read import find_inputs
    from isl.imaging.inputs.stated import UNSTATED
    from isl.model_folder import CONFIG_FILE
    from isl.model_kinds import installed_models, kind_of

    stated = stated or UNSTATED
    path = Path(thing)
    if (path / CONFIG_FILE).is_file() or not (path.exists() or is_container(path)):
        folder = _model_called(thing) if not path.exists() else path
        return kind_of(folder).describe(folder)
    fields = find_inputs([path], axes=stated.axes)
    if len(fields) > 1:
        return describe_folder(fields, stated)
    facts = describe_image(fields[0][1], stated)
    said, others = {}, []
    for name, folder in installed_models().items():
        kind = kind_of(folder)
        if kind.fits is not None:
            said[name] = kind.fits(folder, fields[0][1], stated)
        elif kind.predict is not None:
            others.append(name)
    if len(said) > 1 and len(set(said.values())) == 1:
        facts.append(("every model", next(iter(said.values()))))
    else:
        facts += [(f"model {name}", line) for name, line in said.items()]
    if others:
        names = ", ".join(others)
        facts.append(("not asked", f"{names}: not of isl predict; their own commands check"))
    return facts


def _model_called(name: str) -> Path:
    """The folder of a bundled model; a name that is none may be a path that was mistyped."""
    from isl.model_kinds import find_model

    missing = f"{name}: there is no such file or folder"
    if Path(name).suffix or len(Path(name).parts) > 1:
        raise InputError(missing)
    try:
        return find_model(name)
    except InputError as error:
        raise InputError(f"{missing}; {error}") from error
