"""Simulated time-lapses of cohorts of embryos on disk, with outcomes and what truly happened.

    films/p000-1.ome.tif    a movie (TYX), uint8
    recordings.csv          a row an embryo, as `isl viability` and `isl train` read it
    truth.csv               events in hours, fragments, chance of success

Outcomes: `heartbeat` is drawn with the chance of `isl.phantom.development.biology`; the other
targets say what an embryologist would have written down, and are true.
"""

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydantic

from isl.config import Config
from isl.errors import InputError, unknown
from isl.files.whole import written_whole
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie
from isl.phantom.development.biology import (
    EVENTS,
    LAST_HOUR,
    Development,
    chance,
    draw_development,
    draw_patient,
)
from isl.phantom.development.look import CLINICS, draw_frame, draw_look, photograph
from isl.phantom.kinds import PhantomKind

RECORDINGS = "recordings.csv"
TRUTH = "truth.csv"
TARGETS = ("heartbeat", "blastocyst", "early_cleavage", "early_cavity", "fragmented", "resorbed")
RECORDING_COLUMNS = (
    "recording",
    "file",
    "patient",
    "split",
    "clinic",
    "start_hours",
    "interval_minutes",
    "grade",
    *TARGETS,
)
TRUTH_COLUMNS = ("recording", *EVENTS, "fragments", "trend", "arrested", "chance")
_GRADE_NOISE = 0.06


class DevelopmentConfig(Config):
    """What is simulated.

    Attributes:
        size: Rows and columns of a frame.
        interval: Minutes between frames.
        start: Hours after insemination of the first frame.
        end: Hours after which nothing is filmed.
        fewest: Embryos of a patient, at least.
        most: Embryos of a patient, at most.
        clinic: Whose pictures: "first" or "second".
        blank: Chance that a frame is blank, because the light failed.
        blurred: Chance that a frame is far out of focus.
        signal: Whether outcomes have to do with what happens; otherwise they are drawn with the
            chance of another embryo.
        test: How many of the patients, the last ones, are for testing.
    """

    size: int = pydantic.Field(default=80, ge=32)
    interval: float = pydantic.Field(default=150.0, gt=0)
    start: float = pydantic.Field(default=2.0, ge=0)
    end: float = pydantic.Field(default=LAST_HOUR, gt=0)
    fewest: int = pydantic.Field(default=3, ge=1)
    most: int = pydantic.Field(default=8, ge=1)
    clinic: str = "first"
    blank: float = pydantic.Field(default=0.01, ge=0, lt=1)
    blurred: float = pydantic.Field(default=0.05, ge=0, lt=1)
    signal: bool = True
    test: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _numbers_fit(self) -> "DevelopmentConfig":
        if self.clinic not in CLINICS:
            raise ValueError(str(unknown("clinic", self.clinic, CLINICS)))
        if self.most < self.fewest:
            raise ValueError(f"most {self.most} is less than fewest {self.fewest}")
        if self.end - self.start < self.interval / 60:
            raise ValueError(f"end {self.end:g} is not a frame after start {self.start:g}")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """One embryo's time-lapse with its truth.

    Attributes:
        name: Name of the recording.
        patient: Whose embryo.
        frames: uint8 [T, Y, X].
        hours: float [T], after insemination.
        development: What truly happened.
        outcomes: 0 or 1 by target.
        grade: An embryologist's grade, higher is better; of fragments, by eye.
    """

    name: str
    patient: str
    frames: np.ndarray
    hours: np.ndarray
    development: Development
    outcomes: dict[str, int]
    grade: float


def make_cohort(config: DevelopmentConfig, number: int, seed: int) -> Iterator[Film]:
    """The films of one patient's embryos; they depend on `config`, `number` and `seed` alone."""
    rng = np.random.default_rng([seed, number])
    patient, name = draw_patient(rng), f"p{number:03d}"
    for index in range(int(rng.integers(config.fewest, config.most + 1))):
        development = draw_development(patient, rng)
        decisive = development if config.signal else draw_development(draw_patient(rng), rng)
        outcomes = annotations(development)
        outcomes["heartbeat"] = int(rng.random() < chance(decisive))
        hours = np.arange(config.start, config.end, config.interval / 60)
        yield Film(
            name=f"{name}-{index + 1}",
            patient=name,
            frames=_frames(config, development, hours, rng),
            hours=hours,
            development=development,
            outcomes={target: outcomes[target] for target in TARGETS},
            grade=round(-development.fragments + float(rng.normal(0, _GRADE_NOISE)), 3),
        )


def annotations(development: Development) -> dict[str, int]:
    """What an embryologist would write down of a development: 0 or 1 by target."""
    return {
        "blastocyst": int(development.cavity_at(LAST_HOUR - 4) > 0),
        "early_cleavage": int(development.hour("t2") < 27),
        "early_cavity": int(development.hour("cavitation") < 104),
        "fragmented": int(development.fragments > 0.15),
        "resorbed": int(development.trend < 0 and np.isfinite(development.hour("t16"))),
    }


def write_development(
    directory: Path,
    patients: int,
    config: DevelopmentConfig,
    seed: int,
    *,
    validation: int = 0,
    overwrite: bool = False,
) -> Path:
    """Simulates the cohorts of some patients and writes them as a set of recordings.

    Args:
        directory: Made if missing; see the module for what lies there.
        patients: How many.
        config: What is simulated.
        seed: A number from 0.
        validation: How many of the patients are for validation; `config.test` are for testing.
        overwrite: Whether files already there may be replaced.

    Returns:
        The table of recordings, which is written last.

    Raises:
        InputError: The numbers make no set, or a file exists or cannot be written.
    """
    if patients < 1 or validation + config.test > patients:
        raise InputError(
            f"{patients} patients, {validation} of them for validation and {config.test} for "
            "testing: give 1 or more, and no more for these than there are"
        )
    rows: list[dict[str, object]] = []
    truth: list[dict[str, object]] = []
    for number in range(patients):
        split = "train"
        if number >= patients - config.test:
            split = "test"
        elif number >= patients - config.test - validation:
            split = "validation"
        for film in make_cohort(config, number, seed):
            file = Path("films", f"{film.name}.ome.tif")
            movie = Movie(name=film.name, frames=film.frames[:, None], interval=config.interval)
            write_movie(directory / file, movie, overwrite=overwrite)
            rows.append(_recording_row(film, file, split, config))
            truth.append(_truth_row(film))
    _write(directory / TRUTH, TRUTH_COLUMNS, truth, overwrite)
    _write(directory / RECORDINGS, RECORDING_COLUMNS, rows, overwrite)
    return directory / RECORDINGS


def _frames(
    config: DevelopmentConfig,
    development: Development,
    hours: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    look, clinic = draw_look(rng), CLINICS[config.clinic]
    frames = []
    for hour in hours:
        light = draw_frame(development, look, float(hour), config.size)
        if rng.random() < config.blank:
            light = np.full_like(light, -clinic.brightness)
        blur = 3.0 if rng.random() < config.blurred else float(rng.uniform(0, 1))
        frames.append(photograph(light, clinic, blur, rng))
    return np.stack(frames)


def _recording_row(
    film: Film, file: Path, split: str, config: DevelopmentConfig
) -> dict[str, object]:
    return {
        "recording": film.name,
        "file": file.as_posix(),
        "patient": film.patient,
        "split": split,
        "clinic": config.clinic,
        "start_hours": f"{config.start:g}",
        "interval_minutes": f"{config.interval:g}",
        "grade": film.grade,
        **film.outcomes,
    }


def _truth_row(film: Film) -> dict[str, object]:
    development = film.development
    events = {
        event: round(hour, 3) if np.isfinite(hour) else ""
        for event, hour in zip(EVENTS, development.events, strict=True)
    }
    return {
        "recording": film.name,
        **events,
        "fragments": round(development.fragments, 4),
        "trend": round(development.trend, 4),
        "arrested": int(development.arrested),
        "chance": round(chance(development), 5),
    }


def _write(
    path: Path, columns: tuple[str, ...], rows: list[dict[str, object]], overwrite: bool
) -> None:
    with (
        written_whole(path, overwrite) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


KIND = PhantomKind(
    about="patients, each with time-lapses of embryos that develop, or do not",
    config=DevelopmentConfig,
    write=lambda folder, count, config, seed, validation, overwrite: write_development(
        folder, count, config, seed, validation=validation, overwrite=overwrite
    ),
)
