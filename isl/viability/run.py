"""`isl viability` behind the command line: every recording judged, one table, one report."""

import dataclasses
import functools
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isl.devices import use_device
from isl.errors import InputError
from isl.files.failures import report_failures
from isl.files.records import as_csv, as_json
from isl.files.whole import check_output_folder, written_whole
from isl.imaging.steady import content_hash
from isl.progress import FieldProgress
from isl.viability.films import FilmConfig, Survey, survey
from isl.viability.recording import Place, find_places, open_recording
from isl.workers import Workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for; see the command's options.

    Attributes:
        inputs: Recordings, folders of them, or tables.
        out: Folder for the results.
        model: A bundled model's name or a model folder; None: the default.
        cohort: Column of tables that says which embryos are compared.
        interval: Minutes between frames.
        start: Hours after insemination of the first frames.
        times: A table of frames and hours.
        embryo: Which of several embryos in a picture.
        device: auto, cpu or gpu.
        workers: Processes that read recordings.
        overwrite: Whether results that exist are replaced.
        resume: Whether embryos that are done are kept.
    """

    inputs: tuple[Path, ...]
    out: Path
    model: str | None = None
    cohort: str | None = None
    interval: float | None = None
    start: float | None = None
    times: Path | None = None
    embryo: int | None = None
    device: str = "auto"
    workers: int = 1
    overwrite: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """A recording as a worker leaves it: read through, or what was wrong with it."""

    source: str
    surveyed: Survey | None = None
    wrong: str = ""
    seconds: float = 0.0


def assess_recordings(request: Request) -> int:
    """Judges recordings, and writes a record and a film strip each, a table and a report.

    Returns:
        The exit code: 0; 2 where none could be judged, 3 where some could not.

    Raises:
        InputError: The call is wrong; nothing was written.
    """
    from isl.model_folder import model_or_default
    from isl.viability.model import DEFAULT_MODEL, SIMULATED, load_viability_model

    check_output_folder(request.out, "--out")
    places = find_places(
        request.inputs,
        cohort=request.cohort,
        start=request.start,
        interval=request.interval,
        times=request.times,
        embryo=request.embryo,
    )
    device = use_device(request.device)
    model = load_viability_model(
        model_or_default(
            request.model, DEFAULT_MODEL, configuration="configs/viability_phantom.toml"
        )
    )
    if model.config.simulated:
        print(f"warning: {SIMULATED}", file=sys.stderr)
    judge = _Judge(request=request, model=model, device=device)
    waiting = judge.not_done(places)
    failed: dict[str, str] = {}
    read = functools.partial(_read, config=model.config.film)
    with FieldProgress(len(places)) as progress, Workers(request.workers) as workers:
        for place in places:
            if place not in waiting:
                progress.end("done before", name=place.name, seconds=0.0)
        for place, made in zip(waiting, workers.map(read, waiting), strict=True):
            progress.begin(place.name)
            if made.surveyed is None:
                failed[place.name] = made.wrong
                progress.end("failed", name=place.name)
                continue
            judge.judge(made.surveyed, made.source, made.seconds)
            progress.end("done", name=place.name)
    judge.summarize(places, failed)
    return report_failures(list(failed.items()), len(places), what="recordings")


def _read(place: Place, *, config: FilmConfig) -> _Read:
    """Reads a recording through; what is wrong with it is said, not raised."""
    began = time.monotonic()
    try:
        if not place.path.exists():
            raise InputError(f"{place.path}: there is no such file or folder")
        source = content_hash(place.path)
        surveyed = survey(open_recording(place), config)
    except InputError as error:
        return _Read(source="", wrong=str(error))
    # Without its reader, which a process cannot hand over; all that is needed was cut out.
    plain = dataclasses.replace(surveyed.recording, read=_read_already)
    return _Read(
        source=source,
        surveyed=dataclasses.replace(surveyed, recording=plain),
        seconds=time.monotonic() - began,
    )


def _read_already(t: int) -> Any:
    raise ValueError(f"frame {t} was read before")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Judge:
    """What all recordings of a call share."""

    request: Request
    model: Any
    device: str

    def settings(self, place: Place) -> dict[str, Any]:
        """What decides a recording's results, beside its content and the model."""
        return {
            "start_hours": place.start,
            "interval_minutes": place.interval,
            "times": None if place.times is None else content_hash(place.times),
            "embryo": place.embryo,
            "cohort": place.cohort,
        }

    def not_done(self, places: list[Place]) -> list[Place]:
        """Recordings that are to be judged.

        Raises:
            InputError: Results exist, and are neither to be kept nor replaced.
        """
        from isl.viability.outputs import embryo_files, is_done

        waiting = []
        for place in places:
            files = embryo_files(self.request.out, place.name)
            source = content_hash(place.path) if place.path.exists() else ""
            if self.request.resume and is_done(
                files,
                model_hash=self.model.hash,
                settings=self.settings(place),
                source=source,
            ):
                continue
            there = next((path for path in files.all if path.exists()), None)
            if there is not None and not (self.request.overwrite or self.request.resume):
                raise InputError(
                    f"{there}: exists already; give --overwrite to replace it, or --resume"
                )
            waiting.append(place)
        return waiting

    def judge(self, surveyed: Survey, source: str, seconds: float) -> None:
        """One embryo: its record and its film strip."""
        from isl.viability.assess import assess_survey
        from isl.viability.drawing import draw_film_strip
        from isl.viability.outputs import embryo_files, record, sentence, word_record

        began = time.monotonic()
        recording = surveyed.recording
        found = assess_survey(surveyed, self.model, source=source)
        files = embryo_files(self.request.out, recording.place.name)
        headline = f"{recording.place.name}: {sentence(word_record(found.main))}"
        with written_whole(files.strip, overwrite=True) as unfinished:
            unfinished.write_bytes(draw_film_strip(found, headline))
        made = record(
            found,
            recording,
            self.model,
            settings=self.settings(recording.place),
            device=self.device,
            seconds=seconds + time.monotonic() - began,
        )
        with written_whole(files.record, overwrite=True) as unfinished:
            unfinished.write_text(as_json(made), encoding="utf-8")

    def summarize(self, places: list[Place], failed: Mapping[str, str]) -> None:
        """The table and the report of all that could be judged."""
        from isl.viability.outputs import COLUMNS, REPORT, TABLE, embryo_files, read_record, rows
        from isl.viability.page import viability_page

        files = {p.name: embryo_files(self.request.out, p.name) for p in places}
        records = [read_record(files[p.name]) for p in places if p.name not in failed]
        if not records:
            return
        ranks = places_in_cohorts(records)
        sizes = [sum(r["cohort"] == made["cohort"] for r in records) for made in records]
        lines = [
            row
            for made, size in zip(records, sizes, strict=True)
            for row in rows(made, ranks[made["recording"]], size if made["cohort"] else 0)
        ]
        with written_whole(self.request.out / TABLE, overwrite=True) as unfinished:
            unfinished.write_text(as_csv(COLUMNS, lines), encoding="utf-8")
        strips = {
            made["recording"]: files[made["recording"]].strip.read_bytes() for made in records
        }
        html = viability_page(records, strips, ranks, failed, card=self.model.card)
        with written_whole(self.request.out / REPORT, overwrite=True) as unfinished:
            unfinished.write_text(html, encoding="utf-8")


def places_in_cohorts(records: list[dict[str, Any]]) -> dict[str, dict[str, int | None]]:
    """Each embryo's place in its cohort, by recording and target."""
    from isl.viability.assess import ranks

    cohorts = [made["cohort"] for made in records]
    found: dict[str, dict[str, int | None]] = {made["recording"]: {} for made in records}
    for number, word in enumerate(records[0]["targets"]):
        values = [made["targets"][number]["probability"] for made in records]
        for made, place in zip(records, ranks(cohorts, values), strict=True):
            found[made["recording"]][word["target"]] = place
    return found
