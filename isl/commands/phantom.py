"""The command `isl phantom`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isl.errors import InputError, unknown

KINDS = ("cells", "embryos", "wells")


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    kind: Annotated[
        str,
        typer.Option(
            help="cells: fields of a culture. embryos: time-lapses of 8-cell embryos that compact "
            "and polarize, or do not. wells: raw tiles of wells, overlapping and with dust, uneven "
            "light and bad pixels, for isl preprocess."
        ),
    ] = "cells",
    count: Annotated[int, typer.Option(help="Number of fields, embryos or wells.")] = 1,
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
    """Simulates cells or embryos with known truth: z-stacks, labels, manifest; or raw wells."""
    from isl.config import parse
    from isl.phantom import (
        EmbryoConfig,
        PhantomConfig,
        WellConfig,
        write_embryos,
        write_phantoms,
        write_wells,
    )

    if kind not in KINDS:
        raise InputError(f"--kind: {unknown('kind', kind, KINDS)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    nothing: dict[str, Any] = {}
    shared: dict[str, Any] = {"validation": validation, "overwrite": overwrite}
    if kind == "wells":
        if validation:
            raise InputError("--validation: wells are divided by isl preprocess; leave it out")
        wells = parse(nothing, WellConfig, source="--set", overrides=set_ or ())
        print(write_wells(out, count, wells, seed, overwrite=overwrite).folder)
    elif kind == "embryos":
        embryo = parse(nothing, EmbryoConfig, source="--set", overrides=set_ or ())
        print(write_embryos(out, count, embryo, seed, **shared))
    else:
        config = parse(nothing, PhantomConfig, source="--set", overrides=set_ or ())
        print(write_phantoms(out, count, config, seed, **shared))
