"""The command `isl raw-units`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.errors import InputError
from isl.files.failures import report_failures


def raw_units(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images that isl predict wrote.")
    ],
    like: Annotated[
        Path,
        typer.Option(
            help="normalization.json of a folder that isl preprocess wrote (the set's mean), or "
            "fields/NAME.json in it (that field's own)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for results.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
) -> int:
    """Writes predicted intensities in the raw images' own counts, as 32-bit OME-TIFF."""
    from isl.imaging.formats.ome_tiff import write_ome_tiff
    from isl.imaging.inputs.read import read_fluorescence
    from isl.preprocess.raw_units import SPREADS, UNITLESS, in_counts, read_normalization

    normalization = read_normalization(like)
    results = [out / path.name for path in inputs]
    for path, result in zip(inputs, results, strict=True):
        if statistic := _statistic(path, UNITLESS):
            raise InputError(f"{path}: {statistic} is no intensity and has no counts; leave it out")
        if results.count(result) > 1:
            raise InputError(f"{path}: another input has that name too; give them one by one")
        if result.exists() and result.samefile(path):
            raise InputError(f"{path}: would be replaced by its own result; give another --out")
        if result.exists() and not overwrite:
            raise InputError(f"{result}: exists already; give --overwrite to replace it")
    failed = []
    for path, result in zip(inputs, results, strict=True):
        try:
            image = read_fluorescence(path)
            counts = in_counts(image, normalization, spread=_statistic(path, SPREADS) is not None)
            write_ome_tiff(result, counts, overwrite=overwrite)
        except InputError as error:
            if len(inputs) == 1:
                raise
            failed.append((path.name, error))
        else:
            print(result)
    return report_failures(failed, len(inputs), what="images")


def _statistic(path: Path, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if f".{name}." in path.name), None)
