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
from isl.phantom.embryos.embryo import MODALITY, Embryo, EmbryoConfig, make_embryo
from isl.phantom.kinds import PhantomKind

LABELS_HEADER = ("embryo", "t", "polarized", "compacted")
TRUTH_HEADER = (
    "embryo",
    "frames",
    "onset",
    "polarized_before",
    "compaction",
    "eight_from",
    "eight_to",
    "unfocused",
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
            by frame; where nuclei were dyed, nuclei/ and nuclei_frames/ likewise;
            labels.csv (embryo, t, polarized and compacted: 1 from then on);
            truth.csv, a row an embryo: number of frames, onset, whether the first cap is older
            than the recording (onset is 0 then), first compacted frame, first and last frame
            with eight cells, frames out of focus, and for each cell the first frame with its
            cap; empty: in no frame. Frames count from 0;
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
    embryos: dict[str, tuple[Development, np.ndarray]] = {}

    def make(number: int, rng: np.random.Generator, split: Split) -> list[TimeLapse]:
        name = f"embryo-{number:03d}"
        embryo = make_embryo(config, rng, name)
        embryos[name] = (embryo.development, embryo.focus)
        return [_write_embryo(directory, name, embryo, split, overwrite)]

    def tables() -> None:
        _write_table(directory / "labels.csv", LABELS_HEADER, label_rows(embryos), overwrite)
        _write_table(directory / "truth.csv", TRUTH_HEADER, truth_rows(embryos), overwrite)

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
    movie = embryo.movie
    write_movie(directory / "movies" / f"{name}.ome.tif", movie, overwrite=overwrite)
    for t in range(len(movie.frames)):
        file = directory / "stacks" / name / f"t{t:03d}.tif"
        write_stack(file, movie.stack(t), overwrite=overwrite)
    labels = {}
    for kind, image in (("ezrin", embryo.ezrin), ("nuclei", embryo.nuclei)):
        if image is None:
            continue
        write_ome_tiff(directory / kind / f"{name}.ome.tif", image, overwrite=overwrite)
        folder = Path(f"{kind}_frames", name)
        for t, channels in enumerate(image.channels):
            frame = dataclasses.replace(image, channels=channels, interval=None)
            write_ome_tiff(directory / folder / f"t{t:03d}.tif", frame, overwrite=overwrite)
        labels[image.labels[0]] = folder
    return TimeLapse(
        name=name,
        frames=Path("stacks", name),
        labels=labels,
        annotation=Annotation(table=Path("labels.csv")),
        interval=movie.interval,
        split=split,
        modality=MODALITY,
    )


Truth = Mapping[str, tuple[Development, np.ndarray]]
"""Of every embryo what happens, and how far out of focus each frame is."""


def label_rows(embryos: Truth) -> Iterator[tuple[object, ...]]:
    """(embryo, t, polarized, compacted) for every frame."""
    for name, (development, _) in embryos.items():
        events = (development.onset, development.compaction)
        for t in range(development.frames):
            yield name, t, *(int(at is not None and t >= at) for at in events)


def truth_rows(embryos: Truth) -> Iterator[tuple[object, ...]]:
    """The columns of `TRUTH_HEADER` for every embryo; None where something never happens."""
    for name, (development, focus) in embryos.items():
        stage = development.stage
        yield (
            name,
            development.frames,
            development.onset,
            int(development.polarized_before),
            development.compaction,
            *((stage[0], stage[-1]) if stage else (None, None)),
            " ".join(map(str, np.flatnonzero(focus))),
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
