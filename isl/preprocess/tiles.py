"""A field's tiles, corrected and kept on disk until the field is put together."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from isl.imaging.sharpness import Noise
from isl.preprocess import estimate_files, scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import acquire, correct
from isl.preprocess.layout.fields import PlaneSource, RawField
from isl.workers import Workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorrectedTiles:
    """One channel of a field, tile by tile.

    Attributes:
        files: float32 [Z, y, x] of each tile, in counts.
        saturated: Share of the raw pixels that are full, over all tiles and planes.
        exposures: Summed in every plane.
        full: Counts of a full pixel of their sum.
        noise: In the slow part of a corrected image, as if all of it were white: its own where it
            was filtered is not.
    """

    files: tuple[Path, ...]
    saturated: float
    exposures: int
    full: float
    noise: Noise


def correct_tiles(
    field: RawField,
    channels: Mapping[str, bool],
    config: PreprocessConfig,
    run: Path,
    folder: Path,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> dict[str, CorrectedTiles]:
    """Stages 1 to 5 of all tiles of a field; those that are done already are left as they are.

    Args:
        field: The field.
        channels: Which channels, and whether each is fluorescence.
        config: Which stages run.
        run: The run's folder, which holds the estimates.
        folder: For the corrected tiles.
        workers: Who does it.
        progress: Called with tiles done and to do.

    Raises:
        InputError: A file cannot be read, or the disk is full.
    """
    work = [
        _Work(
            planes=tuple(tile.images[channel, z] for z in range(field.planes[channel])),
            file=folder / f"{scratch.file_name_of(channel)}.{number:04d}.npy",
            channel=channel,
            fluorescence=channels[channel],
        )
        for channel in channels
        for number, tile in enumerate(field.tiles)
    ]
    one = functools.partial(_correct_tile, config=config, run=run)
    for done, _ in enumerate(workers.map(one, work), 1):
        progress(done, len(work))
    return {
        channel: _gathered([each.file for each in work if each.channel == channel])
        for channel in channels
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Work:
    planes: tuple[tuple[PlaneSource, ...], ...]
    file: Path
    channel: str
    fluorescence: bool


def _correct_tile(work: _Work, *, config: PreprocessConfig, run: Path) -> None:
    if scratch.is_saved(work.file):
        return
    shared = estimate_files.load_estimates(run / estimate_files.FOLDER, work.channel)
    corrected, saturated, noise, full = [], [], [], 0.0
    for sources in work.planes:
        acquired = acquire(sources, config, fluorescence=work.fluorescence)
        corrected.append(correct(acquired, shared, config))
        saturated.append(acquired.saturated)
        noise.append(acquired.noise.deviation)
        full = acquired.full
    # Averages of factor x factor pixels have so much less; a median filter leaves the slow part of
    # white noise, which it makes larger than an average would by pi / 2.
    filtered = work.fluorescence and config.runs("salt_and_pepper")
    left = math.sqrt(math.pi / 2 if filtered else 1.0) / config.factor
    notes = {
        "saturated": float(np.mean(saturated)),
        "exposures": len(work.planes[0]),
        "full": full,
        "noise": float(np.mean(noise)) * left,
    }
    scratch.save(work.file, np.stack(corrected), notes)


def _gathered(files: list[Path]) -> CorrectedTiles:
    notes = [scratch.notes_of(file) for file in files]
    return CorrectedTiles(
        files=tuple(files),
        saturated=float(np.mean([each["saturated"] for each in notes])),
        exposures=notes[0]["exposures"],
        full=notes[0]["full"],
        noise=Noise(deviation=float(np.median([each["noise"] for each in notes]))),
    )
