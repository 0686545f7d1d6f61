"""The command `isl inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.errors import InputError, as_options

Facts = list[tuple[str, str]]


def inspect(
    thing: Annotated[
        str, typer.Argument(metavar="MODEL|IMAGE", help="A bundled model, its folder, or an image.")
    ],
    axes: Annotated[
        str | None, typer.Option(help="What a TIFF's dimensions are, e.g. ZYX or TZYX.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="The transmitted-light channel, where there are several.")
    ] = None,
) -> None:
    """Says what a model expects, or what an image holds."""
    facts = describe(thing, axes, channel)
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        print(f"{key:<{width}}  {as_options(value)}")


def describe(thing: str, axes: str | None = None, channel: str | None = None) -> Facts:
    """Facts about a model (a bundled name, or a folder) or an image (a file or published folder).

    Args:
        thing: What is meant.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where there are several.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    from isl.imaging.containers import is_container
    from isl.imaging.describe import describe_image
    from isl.imaging.read import find_inputs
    from isl.model_folder import CONFIG_FILE
    from isl.model_kinds import find_model, kind_of

    path = Path(thing)
    if (path / CONFIG_FILE).is_file() or not (path.exists() or is_container(path)):
        if path.suffix:
            raise InputError(f"{thing}: there is no such file")
        folder = find_model(thing)
        return kind_of(folder).describe(folder)
    fields = find_inputs([path], axes=axes)
    if len(fields) > 1:
        raise InputError(f"{thing}: holds {len(fields)} images; name one, such as {fields[0][1]}")
    return describe_image(fields[0][1], axes=axes, channel=channel)
