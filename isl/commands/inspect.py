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
    from pathlib import Path

    from isl.labeling.inspect import describe
    from isl.model_folder import (
        CONFIG_FILE,
        bundled_models,
        model_kind,
    )
    from isl.polarity.inspect import describe_model

    folder = Path(thing) if (Path(thing) / CONFIG_FILE).is_file() else bundled_models().get(thing)
    if folder is not None and model_kind(folder) == "polarity":
        facts = describe_model(folder)
    else:
        facts = describe(thing, axes=axes, channel=channel)
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        print(f"{key:<{width}}  {value}")
