"""The command `isl export`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import LabelNames, ModelName, Overwrite, names_in
from isl.errors import InputError


def export(
    model: ModelName,
    to: Annotated[
        str,
        typer.Option(
            help="onnx; stablehlo, for JAX and XLA; bioimageio, a package for bioimage.io; web, a "
            "page that predicts in a browser; published, towers' weights by the published names."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    labels: LabelNames = None,
    statistics: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Of labeling models: as for isl predict, or distribution, all 256 probabilities "
            "of each pixel; median by default.",
        ),
    ] = None,
    node_modules: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For web: where npm installed onnxruntime-web and utif2; node_modules by default.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Writes a model as a program for other software, checked against isl's own results."""
    from isl.export.formats import write_export
    from isl.export.program import Wanted, program_of

    if to == "published":
        given = {"labels": labels, "statistics": statistics, "node_modules": node_modules}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"`{name}`: published weights are all of a model; leave it out")
        from isl.labeling.published_weights import export_weights

        print(export_weights(model, out, overwrite=overwrite))
        return
    wanted = Wanted(
        labels=names_in(labels, "--labels"), statistics=names_in(statistics, "--statistics")
    )
    written = write_export(
        program_of(model, wanted), out, to, node_modules=node_modules, overwrite=overwrite
    )
    agrees = (
        "" if written.difference is None else f" (onnxruntime: within {written.difference:.1g})"
    )
    print(f"{written.folder}: {to}{agrees}")
