"""The command `isl calibrate`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import Device
from isl.errors import InputError, unknown


def calibrate(
    model: Annotated[
        str, typer.Argument(help="A bundled model's name (isl models) or a model folder.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder, for the model with temperatures.")],
    config: Annotated[
        Path | None,
        typer.Argument(help="The experiment that trained it, which names the data set; or else:"),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="The data set, a TOML file.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which of its ground: validation, test or train.")
    ] = "validation",
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Take ground of groups that the model learned from."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Fits how sure a model is: copies it with a temperature for every label, and says what for."""
    from isl.data.manifest import SPLITS, load_manifest
    from isl.devices import use_device
    from isl.labeling.model import load_model

    from .calibrate import calibrate as fit
    from .calibrate import coverage_table, write_calibrated

    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    manifest = load_manifest(_manifest(config, dataset))
    _check_folder(out)
    use_device(device)
    loaded = load_model(model)
    calibrations = fit(loaded, manifest, split=split, allow_seen=allow_seen)
    ground = f"the {split} ground of {manifest.path.name if manifest.path else 'a data set'}"
    write_calibrated(loaded, calibrations, out, ground=ground)
    rows = coverage_table(calibrations)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    typer.echo(out)


def _manifest(config: Path | None, dataset: Path | None) -> Path:
    """The data set that was named, by itself or by an experiment."""
    from isl.config import read_toml

    if (config is None) == (dataset is None):
        raise InputError("give an experiment or --dataset, one of them")
    if dataset is not None:
        return dataset
    assert config is not None
    named = read_toml(config).get("dataset")
    if not isinstance(named, str):
        raise InputError(f"{config}: names no dataset; a manifest itself is given by --dataset")
    return config.parent / named


def _check_folder(out: Path) -> None:
    """Refuses a folder that cannot be made, before anything is computed."""
    if out.exists():
        raise InputError(f"--out {out}: already exists; name another folder or remove it")
    nearest = next(path for path in out.absolute().parents if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--out {out}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"--out {out}: {nearest} cannot be written; name another folder")
