"""The command `isl calibrate`, for every kind of model that a task knows how to calibrate.

A task joins by an entry point of the group `isl.calibrate`, named as its kind of model.
"""

from pathlib import Path
from typing import Annotated, Protocol

import typer

from isl import registry
from isl.commands.parameters import Device, ModelName
from isl.data.splits import Split
from isl.errors import InputError, unknown
from isl.files.whole import check_output_folder


class Calibrate(Protocol):
    """What a task registers."""

    def __call__(
        self, model: str, dataset: Path, out: Path, *, split: Split, allow_seen: bool
    ) -> list[tuple[str, ...]]:
        """Writes a calibrated copy of a model.

        Args:
            model: A bundled model's name, or a model folder.
            dataset: The manifest of the ground it is fitted on.
            out: A new folder.
            split: Which of its ground.
            allow_seen: Whether the model may have learned from the ground's groups.

        Returns:
            A table of what it does, its head first.
        """
        ...


def calibrate(
    model: ModelName,
    out: Annotated[Path, typer.Option(help="A new folder, for the model with temperatures.")],
    config: Annotated[
        Path | None,
        typer.Argument(help="The experiment that trained it, which names the data set; or else:"),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="The data set, a TOML file.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which of its splits: validation, test or train.")
    ] = "validation",
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Take groups that the model learned from."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Calibrates a model: copies it with a temperature for every label, fitted on held-out data."""
    from isl.data.splits import SPLITS
    from isl.devices import use_device
    from isl.model_folder import model_kind
    from isl.model_kinds import find_model

    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    manifest = _manifest(config, dataset)
    directory = find_model(model)
    what = f"kind of model that can be calibrated, in {directory}:"
    fit: Calibrate = registry.load(registry.CALIBRATE, model_kind(directory), what=what)
    _check_folder(out)
    use_device(device)
    rows = fit(model, manifest, out, split=split, allow_seen=allow_seen)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    typer.echo(out)


def _manifest(config: Path | None, dataset: Path | None) -> Path:
    """The data set that was named, by itself or by an experiment."""
    from isl.config import configuration, read_toml

    if (config is None) == (dataset is None):
        raise InputError("give an experiment or --dataset, one of them")
    if dataset is not None:
        return dataset
    assert config is not None
    config = configuration(config)
    named = read_toml(config).get("dataset")
    if not isinstance(named, str):
        raise InputError(f"{config}: names no dataset; a manifest itself is given by --dataset")
    return config.parent / named


def _check_folder(out: Path) -> None:
    """Refuses a folder that cannot be made, before anything is computed."""
    if out.exists():
        raise InputError(f"--out {out}: already exists; name another folder or remove it")
    check_output_folder(out, "--out")
