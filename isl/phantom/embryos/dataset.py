"""Simulated embryos on disk: movies, their Ezrin, what truly happened, and a manifest of stacks."""

import csv
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from isl.data.splits import Split
from isl.files.whole import written_whole
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_movie, write_ome_tiff
from isl.labeling.timelapse import Annotation, TimeLapse
from isl.phantom.dataset import write_dataset
from isl.phantom.embryos.development import CELLS, Development
from isl.phantom.embryos.embryo import EMBRYO_LABELS, MODALITY, Embryo, EmbryoConfig, make_embryo
from isl.phantom.kinds import PhantomKind

LABELS_HEADER = ("embryo", "t", "polarized", "compacted")
TRUTH_HEADER = (
    "embryo",
    "frames",
    "onset",
    "polarized_before",
    "compaction",
    *(f"cap_{number}" for number in range(CELLS)),
)


def write_embryos(
    directory: Path,
    count: int,
    config: EmbryoConfig,
    seed: int,
    *,
    validation: int = 0,
    overwrite: bool = False,
) -> Path:
    """Simulates embryos, each a group of its own, and writes them as a dataset.

    Args:
        directory: Folder of the dataset, made if missing:
            movies/embryo-000.ome.tif, DIC (TZYX);
            ezrin/embryo-000.ome.tif, measured Ezrin (TCYX);
            stacks/embryo-000/t000.tif (ZYX) and ezrin_frames/embryo-000/t000.tif, the same frame
            by frame;
            labels.csv (embryo, t, polarized and compacted: 1 from then on);
            truth.csv, a row an embryo: number of frames, onset, whether the first cap is older
            than the recording (onset is 0 then), first compacted frame, and for each cell the
            first frame with its cap; empty: in no frame. Frames count from 0;
            dataset.toml, the manifest: every embryo is a time-lapse, whose frames are its fields;
            it trains labeling and polarity as it is.
        count: Number of embryos.
        config: What is simulated.
        seed: A number from 0.
        validation: How many of the embryos, the last ones, are for validation.
        overwrite: Whether files already there may be replaced.

    Returns:
        The manifest's path; see `isl.phantom.dataset.write_dataset`.
    """
    developments: dict[str, Development] = {}

    def make(number: int, rng: np.random.Generator, split: Split) -> list[TimeLapse]:
        name = f"embryo-{number:03d}"
        embryo = make_embryo(config, rng, name)
        developments[name] = embryo.development
        return [_write_embryo(directory, name, embryo, split, overwrite)]

    def tables() -> None:
        _write_table(directory / "labels.csv", LABELS_HEADER, label_rows(developments), overwrite)
        _write_table(directory / "truth.csv", TRUTH_HEADER, truth_rows(developments), overwrite)

    return write_dataset(
        directory,
        count,
        seed,
        make,
        validation=validation,
        overwrite=overwrite,
        tables=tables,
    )


def _write_embryo(
    directory: Path, name: str, embryo: Embryo, split: Split, overwrite: bool
) -> TimeLapse:
    """Writes one embryo's movies and its single frames, and gives its time-lapse."""
    movie, ezrin = embryo.movie, embryo.ezrin
    write_movie(directory / "movies" / f"{name}.ome.tif", movie, overwrite=overwrite)
    write_ome_tiff(directory / "ezrin" / f"{name}.ome.tif", ezrin, overwrite=overwrite)
    stacks, labels = Path("stacks", name), Path("ezrin_frames", name)
    for t in range(len(movie.frames)):
        write_stack(directory / stacks / f"t{t:03d}.tif", movie.stack(t), overwrite=overwrite)
        frame = dataclasses.replace(ezrin, channels=ezrin.channels[t], interval=None)
        write_ome_tiff(directory / labels / f"t{t:03d}.tif", frame, overwrite=overwrite)
    return TimeLapse(
        name=name,
        frames=stacks,
        labels={label: labels for label in EMBRYO_LABELS},
        annotation=Annotation(table=Path("labels.csv")),
        interval=movie.interval,
        split=split,
        modality=MODALITY,
    )


def label_rows(developments: Mapping[str, Development]) -> Iterator[tuple[object, ...]]:
    """(embryo, t, polarized, compacted) for every frame."""
    for name, development in developments.items():
        events = (development.onset, development.compaction)
        for t in range(development.frames):
            yield name, t, *(int(at is not None and t >= at) for at in events)


def truth_rows(developments: Mapping[str, Development]) -> Iterator[tuple[object, ...]]:
    """The columns of `TRUTH_HEADER` for every embryo; None where something never happens."""
    for name, development in developments.items():
        yield (
            name,
            development.frames,
            development.onset,
            int(development.polarized_before),
            development.compaction,
            *development.cap_onsets,
        )


def _write_table(
    path: Path, header: Iterable[str], rows: Iterable[Iterable[object]], overwrite: bool
) -> None:
    with (
        written_whole(path, overwrite) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


KIND = PhantomKind(
    about="time-lapses of 8-cell embryos that compact and polarize, or do not",
    config=EmbryoConfig,
    write=lambda folder, count, config, seed, validation, overwrite: write_embryos(
        folder, count, config, seed, validation=validation, overwrite=overwrite
    ),
)
