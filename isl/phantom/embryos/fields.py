"""Simulated fields of several embryos on disk: wide movies, and where each embryo is in them.

    movies/field-000.ome.tif    DIC (TZYX)
    ezrin/field-000.ome.tif     measured Ezrin (TCYX)
    truth.csv                   a row an embryo, numbered from 1 in rows and then columns

Light scatters once, so what embryos do to it adds up: each is simulated alone and put in its place.
"""

import csv
import math
from pathlib import Path

import numpy as np
import pydantic

from isl.errors import InputError
from isl.files.whole import written_whole
from isl.imaging.formats.ome_tiff import write_movie, write_ome_tiff
from isl.imaging.image import FluorescenceImage, Movie, PixelSize
from isl.phantom.embryos.development import Development, draw_development
from isl.phantom.embryos.embryo import (
    EMBRYO_LABELS,
    MODALITY,
    EmbryoConfig,
    EmbryoPictures,
    draw_focus,
    photograph,
    photograph_dye,
)
from isl.phantom.kinds import PhantomKind

TRUTH = "truth.csv"
TRUTH_COLUMNS = ("field", "embryo", "row", "column", "onset", "polarized_before", "compaction")
# An embryo has a square of this width to itself, um; two zonae never meet.
_ROOM = 150.0


class EmbryoFieldConfig(EmbryoConfig):
    """What is simulated; see `EmbryoConfig`. Walls of microwells are not shown.

    Attributes:
        embryos: How many embryos there are in a field.
    """

    height: int = pydantic.Field(default=512, ge=16, le=2048)
    width: int = pydantic.Field(default=512, ge=16, le=2048)
    embryos: int = pydantic.Field(default=6, ge=1)

    @pydantic.model_validator(mode="after")
    def _embryos_have_room(self) -> "EmbryoFieldConfig":
        rows, columns = self.squares
        if rows * columns < self.embryos:
            raise ValueError(
                f"a field of {self.height} x {self.width} pixels of {self.pixel_size:g} um has "
                f"room for {rows * columns} embryos, not {self.embryos}; give a larger one"
            )
        return self

    @property
    def room(self) -> int:
        """Width of an embryo's square, pixels."""
        return math.ceil(_ROOM / self.pixel_size)

    @property
    def squares(self) -> tuple[int, int]:
        """How many squares there are, one above and one beside the other."""
        return self.height // self.room, self.width // self.room


class EmbryoField:
    """One simulated field of T frames.

    Attributes:
        places: int [N, 2], row and column of the middle of each embryo's square, in pixels.
        developments: What truly happens to each, in the same order.
        frames: uint16 [T, Z, Y, X], as `Embryo.movie` has them.
        ezrin: uint16 [T, 1, Y, X], as `Embryo.ezrin` has it.
    """

    def __init__(self, config: EmbryoFieldConfig, rng: np.random.Generator) -> None:
        """Simulates a field."""
        frames = int(rng.integers(config.fewest_frames, config.most_frames + 1))
        self.places = _places(config, rng)
        self.developments: list[Development] = [
            draw_development(
                frames, rng, never=config.never, early=config.early, divisions=config.divisions
            )
            for _ in self.places
        ]
        room = config.model_copy(update={"height": config.room, "width": config.room})
        embryos = [EmbryoPictures(room, each, rng) for each in self.developments]
        focus = draw_focus(config, frames, rng)
        # So that an embryo has the contrast that it has alone.
        taken = config.embryos * config.room**2 / (config.height * config.width)
        deviation = 0.125 * math.sqrt(taken)
        self.frames = np.empty((frames, config.planes, config.height, config.width), np.uint16)
        self.ezrin = np.empty((frames, 1, config.height, config.width), np.uint16)
        for t in range(frames):
            seen = np.zeros(self.frames.shape[1:], np.float32)
            dye = np.zeros(seen.shape[1:], np.float32)
            for place, embryo in zip(self.places, embryos, strict=True):
                frame = embryo.frame(t, float(focus[t]))
                _add(seen, frame.log_intensity, place)
                _add(dye, frame.ezrin, place)
            self.frames[t] = photograph(seen, config, rng, deviation)
            self.ezrin[t, 0] = photograph_dye(dye, config, rng)


def write_fields(
    directory: Path, count: int, config: EmbryoFieldConfig, seed: int, *, overwrite: bool = False
) -> Path:
    """Simulates fields of several embryos and writes them.

    Args:
        directory: The folder, made if missing.
        count: Number of fields.
        config: What is simulated.
        seed: A number from 0; field number i depends on it and i alone.
        overwrite: Whether files already there may be replaced.

    Returns:
        The table of what truly happened, which comes last: onset and compaction are frames from 0,
        empty where they never happen.

    Raises:
        InputError: The numbers make no data set, or a file exists or cannot be written.
    """
    table = directory / TRUTH
    if count < 1 or seed < 0:
        raise InputError(f"{directory}: give a count of 1 or more and a seed of 0 or more")
    if table.exists() and not overwrite:
        raise InputError(f"{table}: exists already; give `overwrite` to replace it")
    rows = []
    for number in range(count):
        name = f"field-{number:03d}"
        field = EmbryoField(config, np.random.default_rng([seed, number]))
        size = PixelSize(y=config.pixel_size, x=config.pixel_size, z=config.z_step)
        movie = Movie(
            name=name,
            frames=field.frames,
            pixel_size=size,
            interval=config.interval,
            modality=MODALITY,
        )
        write_movie(directory / "movies" / f"{name}.ome.tif", movie, overwrite=overwrite)
        ezrin = FluorescenceImage(
            name=name,
            channels=field.ezrin,
            labels=EMBRYO_LABELS,
            pixel_size=PixelSize(y=size.y, x=size.x),
            interval=config.interval,
        )
        write_ome_tiff(directory / "ezrin" / f"{name}.ome.tif", ezrin, overwrite=overwrite)
        for embryo, (place, happens) in enumerate(
            zip(field.places, field.developments, strict=True), start=1
        ):
            truth = (happens.onset, int(happens.polarized_before), happens.compaction)
            rows.append((name, embryo, *place.tolist(), *truth))
    with (
        written_whole(table, overwrite) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        writer.writerows(rows)
    return table


def _places(config: EmbryoFieldConfig, rng: np.random.Generator) -> np.ndarray:
    """Middles of squares of a grid, each moved by what room there is, int [N, 2]."""
    rows, columns = config.squares
    chosen = np.sort(rng.choice(rows * columns, config.embryos, replace=False))
    squares = np.stack([chosen // columns, chosen % columns], axis=-1)
    widths = np.array([config.height / rows, config.width / columns])
    spare = (widths - config.room) / 2
    moved = rng.uniform(-spare, spare, squares.shape)
    return np.rint((squares + 0.5) * widths + moved).astype(int)


def _add(field: np.ndarray, part: np.ndarray, place: np.ndarray) -> None:
    """Adds a part [..., y, x] to a field [..., Y, X], its middle in a place; some may hang over."""
    into, out_of = [], []
    for middle, size, whole in zip(place, part.shape[-2:], field.shape[-2:], strict=True):
        first = int(middle) - size // 2
        into.append(slice(max(first, 0), min(first + size, whole)))
        out_of.append(slice(into[-1].start - first, into[-1].stop - first))
    field[..., *into] += part[..., *out_of]


KIND = PhantomKind(
    about="fields of several such embryos, each with its place and onset",
    config=EmbryoFieldConfig,
    write=lambda folder, count, config, seed, validation, overwrite: write_fields(
        folder, count, config, seed, overwrite=overwrite
    ),
    undivided="fields of several embryos are for assessing, not for training",
)
