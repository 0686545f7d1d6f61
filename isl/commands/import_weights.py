"""The command `isl import-weights`."""

from pathlib import Path
from typing import Annotated

import typer


def import_weights(
    file: Annotated[
        Path, typer.Argument(help="Published variables: an .npz file or a TensorFlow checkpoint.")
    ],
    planes: Annotated[int, typer.Option(min=1, help="Planes of a z-stack the weights are for.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
) -> None:
    """Makes a model folder from weights under their published names."""
    from isl.labeling import published_weights

    published_weights.import_weights(file, planes, out)
    print(out)
