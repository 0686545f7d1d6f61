"""Simulated wells on disk: pictures, label images, and a table of what each colony is."""

import json
from pathlib import Path

import numpy as np
import pydantic
import tifffile

from isl.errors import InputError
from isl.files.records import as_csv
from isl.files.whole import write_text, written_whole
from isl.phantom.colonies.well import ColonyWellConfig, TrueWell, make_film, make_well
from isl.phantom.kinds import PhantomKind

TABLE = "colonies.csv"
COLUMNS = ("image", "time", "colony", "class", "shares", "top", "left", "bottom", "right")


class ColonySetConfig(ColonyWellConfig):
    """What is simulated, well by well.

    Attributes:
        frames: Of each well's time-lapse.
    """

    frames: int = pydantic.Field(default=1, ge=1)


def write_colonies(
    directory: Path,
    count: int,
    config: ColonyWellConfig,
    seed: int,
    *,
    frames: int = 1,
    overwrite: bool = False,
) -> Path:
    """Simulates wells, or their time-lapses, and writes them with their truth.

    Well number i depends on `seed`, `config`, `frames` and i alone. The table comes last: where it
    is, all is there.

    Args:
        directory: Made if missing: well-000.tif (YX or TYX), labels/well-000.tif and so on, and
            colonies.csv with a row for every colony of every frame.
        count: Number of wells.
        config: What is simulated.
        seed: A number from 0.
        frames: Of each time-lapse.
        overwrite: Whether files already there may be replaced.

    Returns:
        The table's path.

    Raises:
        InputError: The numbers make no dataset, or a file exists or cannot be written.
    """
    for value, what in ((count, "wells"), (frames, "frames")):
        if value < 1:
            raise InputError(f"{directory}: {value} {what} make no dataset; give 1 or more")
    rows = []
    for number in range(count):
        name = f"well-{number:03d}"
        rng = np.random.default_rng([seed, number])
        film = [make_well(config, rng)] if frames == 1 else make_film(config, frames, rng)
        images, labels = (
            np.stack([getattr(frame, what) for frame in film]) for what in ("image", "labels")
        )
        _write(directory / f"{name}.tif", images, config.pixel_size, overwrite)
        _write(
            directory / "labels" / f"{name}.tif",
            labels.astype(np.uint16),
            config.pixel_size,
            overwrite,
        )
        rows += [row for time, frame in enumerate(film) for row in _rows(name, time, frame)]
    write_text(directory / TABLE, as_csv(COLUMNS, rows), overwrite=overwrite)
    return directory / TABLE


def _rows(name: str, time: int, well: TrueWell) -> list[dict[str, object]]:
    return [
        {
            "image": name,
            "time": time,
            "colony": colony.number,
            "class": colony.kind,
            "shares": json.dumps({kind: round(s, 4) for kind, s in colony.shares.items()}),
            **dict(zip(("top", "left", "bottom", "right"), colony.box, strict=True)),
        }
        for colony in well.colonies
    ]


def _write(path: Path, frames: np.ndarray, pixel_size: float, overwrite: bool) -> None:
    """One ImageJ TIFF, YX, or TYX of several frames, with its pixel size."""
    with written_whole(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            frames if len(frames) > 1 else frames[0],
            imagej=True,
            resolution=(1 / pixel_size, 1 / pixel_size),
            metadata={"axes": "TYX" if len(frames) > 1 else "YX", "unit": "um"},
        )


KIND = PhantomKind(
    about="wells with colonies of stem cells of four kinds, or their time-lapses (--set frames=N)",
    config=ColonySetConfig,
    write=lambda folder, count, config, seed, _, overwrite: write_colonies(
        folder, count, config, seed, frames=config.frames, overwrite=overwrite
    ),
    undivided="wells are divided by isl train and isl eval",
)
