"""The command `isl inspect`."""

from typing import Annotated

import typer


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
    from isl.labeling.inspect import describe

    facts = describe(thing, axes=axes, channel=channel)
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        print(f"{key:<{width}}  {value}")
