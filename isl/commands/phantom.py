"""The command `isl phantom`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isl import registry
from isl.errors import InputError


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    kind: Annotated[
        str,
        typer.Option(
            help="What is simulated: cells, embryos, wells, ...; an unknown name lists them."
        ),
    ] = "cells",
    count: Annotated[int, typer.Option(help="Number of fields, embryos, wells, ...")] = 1,
    validation: Annotated[int, typer.Option(help="How many of them are for validation.")] = 0,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting, e.g. planes=5."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a data set that exists.")
    ] = False,
) -> None:
    """Simulates cells, embryos, wells or colonies with known truth, for training and trials."""
    from isl.config import parse
    from isl.files.whole import check_output_folder
    from isl.phantom.kinds import PhantomKind

    made: PhantomKind = registry.load(registry.PHANTOMS, kind, what="kind of data set")
    check_output_folder(out, "--out")
    if validation and made.undivided:
        raise InputError(f"--validation: {made.undivided}; leave it out")
    nothing: dict[str, Any] = {}
    config = parse(nothing, made.config, source="--set", overrides=set_ or ())
    print(made.write(out, count, config, seed, validation, overwrite))
