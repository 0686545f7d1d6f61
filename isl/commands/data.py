"""The command `isl data`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Action(StrEnum):
    """What to do with published images."""

    LIST = "list"
    GET = "get"


def data(
    action: Annotated[Action, typer.Argument(help="list: what there is. get: bring some.")],
    names: Annotated[list[str] | None, typer.Argument(help="Sets, for get.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of all sets; ISL_DATA if it is set, else isl-data."),
    ] = None,
) -> None:
    """Lists published images for each task, or brings them by name; again, it goes on.

    ISL_MIRROR names a folder or an address that has copies (FOLDER/FILE as they land).
    """
    from isl.data.published import fetch, in_words, published_set, published_sets
    from isl.errors import InputError

    if action is Action.LIST:
        if names:
            raise InputError("isl data list takes no names; isl data get NAME brings a set")
        print("\n".join(in_words(list(published_sets().values()))))
        return
    if not names:
        raise InputError(f"isl data get: which one? {', '.join(published_sets())}")
    wanted = [published_set(name) for name in names]
    place = out or Path(os.environ.get("ISL_DATA") or "isl-data")
    if place.exists() and not place.is_dir():
        raise InputError(f"`out={place}`: is a file; name a folder")

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        for each in wanted:
            row = progress.add_task(each.name, total=len(each.files))
            folder = fetch(
                each, place, done=lambda count, row=row: progress.update(row, completed=count)
            )
            print(f"{folder}  ({each.licence}; {each.source})")
            print(f"try: {each.then.format(folder=folder)}")
