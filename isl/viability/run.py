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
from isl.files.locks import alone_in
from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts
from isl.imaging.inputs.steady import content_hash
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import ResultFiles, written_together
from isl.progress import FieldProgress
from isl.tiling.memory import memory_budget
from isl.viability import key_frames
from isl.viability.films import FilmConfig
from isl.viability.recording import Place, find_places, open_recording
from isl.viability.survey import Survey, survey
from isl.warned import said_of, warnings_logged
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
        axes: What the dimensions of TIFFs are, where they do not say.
        channel: The transmitted-light channel, where files have several.
        device: One of `isl.devices.DEVICES`.
        workers: Processes that read recordings.
        memory: GiB that movie files' frames may take; None: half of what is free.
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
    axes: str | None = None
    channel: str | None = None
    device: str = "auto"
    workers: int = 1
    memory: float | None = None
    overwrite: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """A recording as a worker leaves it: looked through, or what was wrong with it."""

    source: str
    surveyed: Survey | None = None
    wrong: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def assess_recordings(request: Request) -> int:
    """Judges recordings, and writes a record and a film strip each, a table and a report.

    Returns:
        The exit code: 0; 2 where none could be judged, 3 where some could not.

    Raises:
        InputError: The call is wrong; nothing was written.
    """
    from isl.model_folder import model_or_default
    from isl.viability.model import DEFAULT_MODEL, SIMULATED, load_viability_model
    from isl.viability.outputs import REPORT, TABLE, files_of

    memory = memory_budget(request.memory) // request.workers
    places = find_places(
        request.inputs,
        cohort=request.cohort,
        start=request.start,
        interval=request.interval,
        times=request.times,
        embryo=request.embryo,
        axes=request.axes,
        channel=request.channel,
    )
    check_files(
        request.out,
        [(place.path, files_of(request.out, place.name)) for place in places],
        overwrite=request.overwrite,
        resume=request.resume,
        tables=[request.out / name for name in (TABLE, REPORT)],
        also_read=[path for path in {place.times for place in places} if path is not None],
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
    read = functools.partial(_read, config=model.config.film, memory=memory)
    with (
        alone_in(request.out, "isl viability"),
        FieldProgress(len(places)) as progress,
        Workers(request.workers) as workers,
    ):
        for place in places:
            if place not in waiting:
                progress.end("done before", name=place.name, seconds=0.0)
        for place, made in zip(waiting, workers.map(read, waiting), strict=True):
            progress.begin(place.name)
            if made.surveyed is None:
                failed[place.name] = made.wrong
                progress.end("failed", name=place.name)
                continue
            judge.judge(made)
            progress.end("done", name=place.name)
        judge.summarize(places, failed)
    return report_failures(list(failed.items()), len(places), what="recordings")


def _read(place: Place, *, config: FilmConfig, memory: int) -> _Read:
    """Looks a recording through; what is wrong with it is said, not raised."""
    began = time.monotonic()
    try:
        if not place.path.exists():
            raise InputError(f"{place.path}: there is no such file or folder")
        with warnings_logged("isl") as warnings:
            source = content_hash(place.path)
            surveyed = survey(open_recording(place, memory), config)
    except InputError as error:
        return _Read(source="", wrong=str(error))
    # Without its reader, which a process cannot hand over; all that is needed was cut out.
    plain = dataclasses.replace(surveyed.recording, read=_read_already)
    return _Read(
        source=source,
        surveyed=dataclasses.replace(surveyed, recording=plain),
        seconds=time.monotonic() - began,
        warnings=said_of(place.path, warnings),
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
        read = {"axes": place.axes, "channel": place.channel}
        return {
            # Records without them stay as they were before there were such options.
            **{key: said for key, said in read.items() if said is not None},
            "start_hours": place.start,
            "interval_minutes": place.interval,
            "times": None if place.times is None else content_hash(place.times),
            "embryo": place.embryo,
            "cohort": place.cohort,
            "way": key_frames.WAY,
        }

    def not_done(self, places: list[Place]) -> list[Place]:
        """Recordings that are to be judged.

        Raises:
            InputError: Results are there that were made in another way and may not be replaced.
        """
        if not self.request.resume:
            return places
        return [
            place
            for place in places
            if not self._files(place.name).done_before(
                place.path,
                self.request,
                "isl viability",
                model_hash=self.model.hash,
                settings=self.settings(place),
                source_hash=content_hash(place.path) if place.path.exists() else "",
            )
        ]

    def _files(self, name: str) -> ResultFiles:
        from isl.viability.outputs import files_of

        return files_of(self.request.out, name)

    def judge(self, read: _Read) -> None:
        """One embryo that was read: what is said of it, its record and its film strip."""
        from isl.viability.assess import assess_survey
        from isl.viability.drawing import draw_film_strip
        from isl.viability.outputs import record, sentence, word_record

        assert read.surveyed is not None
        began = time.monotonic()
        recording = read.surveyed.recording
        found = assess_survey(read.surveyed, self.model, source=read.source)
        headline = f"{recording.place.name}: {sentence(word_record(found.main))}"
        made = record(
            found,
            recording,
            self.model,
            settings=self.settings(recording.place),
            files=self._files(recording.place.name),
            device=self.device,
            seconds=read.seconds + time.monotonic() - began,
            warnings=read.warnings,
        )
        with written_together(self._files(recording.place.name)) as staged:
            staged.preview.write_bytes(draw_film_strip(found, headline))
            staged.record.write_text(as_json(made), encoding="utf-8")
        print(headline, flush=True)

    def summarize(self, places: list[Place], failed: Mapping[str, str]) -> None:
        """The table and the report of all that could be judged."""
        from isl.viability.outputs import COLUMNS, REPORT, TABLE, main_first, ranked
        from isl.viability.page import viability_page

        files = [self._files(place.name) for place in places if place.name not in failed]
        if not files:
            return
        records = [own.read_record() for own in files]
        ranks = ranked(records, self.model.config.targets)
        strips = {
            made["recording"]: own.preview.read_bytes()
            for own, made in zip(files, records, strict=True)
        }
        write_texts(
            self.request.out,
            {
                TABLE: as_csv(COLUMNS, main_first(records, ranks)),
                REPORT: viability_page(records, strips, ranks, failed, card=self.model.card),
            },
        )
        print(f"look at {self.request.out / REPORT}", file=sys.stderr)
