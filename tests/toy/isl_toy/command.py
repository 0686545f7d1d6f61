"""The command `isl brightness`."""

from pathlib import Path
from typing import Annotated

import typer


def brightness(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    out: Annotated[Path, typer.Option(help="Folder for the table.")],
    model: Annotated[str, typer.Option(help="A model's name or folder.")],
) -> None:
    """Says how bright images are."""
    from isl.files.records import as_csv
    from isl.files.whole import written_whole
    from isl.model_kinds import load_model

    from .data import load_image

    loaded = load_model(model)
    rows = [{"image": path.name, "brightness": loaded.predict(load_image(path))} for path in images]
    with written_whole(out / "brightness.csv") as unfinished:
        unfinished.write_text(as_csv(["image", "brightness"], rows), encoding="utf-8")
