"""The command `isl phantom`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isl.errors import InputError


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    count: Annotated[int, typer.Option(help="Number of fields.")] = 1,
    validation: Annotated[int, typer.Option(help="How many of them are for validation.")] = 0,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting, e.g. modality=DIC."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a data set that exists.")
    ] = False,
) -> None:
    """Simulates cells with known truth: z-stacks, labels, and the manifest that names them."""
    from isl.config import parse
    from isl.phantom import PhantomConfig, write_phantoms

    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    nothing: dict[str, Any] = {}
    config = parse(nothing, PhantomConfig, source="--set", overrides=set_ or ())
    print(write_phantoms(out, count, config, seed, validation=validation, overwrite=overwrite))
