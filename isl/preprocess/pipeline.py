"""From raw tiles to a dataset: estimates, then field by field, then what is kept and who learns."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from isl.config import load_as_typed
from isl.errors import InputError
from isl.files.stopped import StoppedError, stopped_by_full_disk
from isl.preprocess import estimate_files, scratch
from isl.preprocess.conclusion import Outcome, conclude, split_of
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.earlier_estimates import taken_from_earlier
from isl.preprocess.estimates import ChannelOfSet, estimate, sample_of_set
from isl.preprocess.field import FIELDS, files_of, process_field
from isl.preprocess.layout.fields import RawField
from isl.preprocess.plan import Plan, described, plan_run
from isl.preprocess.quality import read_decisions
from isl.preprocess.record import FieldRecord, read_record
from isl.preprocess.run_folder import alone, check_settings, check_table, digest_of_files
from isl.workers import Workers

__all__ = ["Outcome", "Plan", "Progress", "described", "load_config", "plan_run", "preprocess"]


class Progress(Protocol):
    """Shows how far a run is."""

    def begin(self, name: str) -> None:
        """A field, or a channel's estimates, is begun."""
        ...

    def tiles(self, done: int, total: int) -> None:
        """So much of it is done."""
        ...

    def end(self, outcome: str) -> None:
        """It is done, or failed."""
        ...


def load_config(path: Path, overrides: Sequence[str] = ()) -> PreprocessConfig:
    """Reads a configuration.

    Raises:
        InputError: It is missing, no TOML, or has wrong keys or values.
    """
    config = load_as_typed(path, PreprocessConfig, overrides)
    named = {"decisions": config.decisions, "estimates": config.estimates}
    found = {key: path.parent / file for key, file in named.items() if file is not None}
    return config.model_copy(update=found)


def preprocess(
    plan: Plan,
    config: PreprocessConfig,
    out: Path,
    *,
    workers: int,
    progress: Progress,
    say: Callable[[str], None],
) -> Outcome:
    """Makes a dataset of raw tiles; resumes an earlier run of the same settings.

    Args:
        plan: What was found.
        config: What to do.
        out: The run's folder: fields/, estimates/, dataset.toml, quality.csv, report.html.
        workers: Processes.
        progress: Shows how far it is.
        say: Called with what a person should know, a line at a time.

    Raises:
        InputError: Nothing can be done, or the disk is full.
    """
    by_hand = _by_hand(plan, config)
    # Splits that cannot be made are better known before hours of work.
    split_of([field.group for field in plan.fields], config)
    with stopped_by_full_disk(), alone(out):
        check_settings(config, out)
        check_table(out)
        with Workers(workers) as pool:
            for channel in plan.channels:
                _estimate(channel, config, out, pool, progress, say)
            records, failed = _process(plan, config, out, pool, progress)
        scratch.remove(out / scratch.FOLDER)
        return conclude(plan, config, out, records, (*plan.failed, *failed), by_hand)


def _by_hand(plan: Plan, config: PreprocessConfig) -> Mapping[str, bool]:
    if config.decisions is None:
        return {}
    names = [field.name for field in plan.fields] + [name for name, _ in plan.failed]
    return read_decisions(config.decisions, names)


def _estimate(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    out: Path,
    workers: Workers,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    folder = out / estimate_files.FOLDER
    inputs = digest_of_files(
        source for exposures in sample_of_set(channel, config) for source in exposures
    )
    progress.begin(f"estimates of {channel.name}")
    if estimate_files.has_estimates(folder, channel.name):
        progress.end("kept from before")
        if estimate_files.inputs_of_estimates(folder, channel.name) != inputs:
            say(
                f"warning: {channel.name}: other files than these were there when its estimates "
                f"were made; they are kept (remove {folder} to make them, and all fields, anew)"
            )
        return
    if config.estimates is not None:
        found = taken_from_earlier(channel, config, workers, progress.tiles)
        done = f"those of {config.estimates}"
    else:
        name = f"estimates-{scratch.file_name_of(channel.name)}-{inputs[:12]}"
        unfinished = out / scratch.FOLDER / name
        found = estimate(channel, config, unfinished, workers, progress.tiles)
        done = f"from {found.images} of {found.of} images"
    estimate_files.save_estimates(folder, channel.name, found, inputs)
    progress.end(done)
    for note in found.notes:
        say(f"warning: {channel.name}: {note}")


def _process(
    plan: Plan,
    config: PreprocessConfig,
    out: Path,
    workers: Workers,
    progress: Progress,
) -> tuple[list[FieldRecord], list[tuple[str, str]]]:
    """Does the fields that are not done yet; one that cannot be done does not keep others back."""
    shared = [
        estimate_files.digest_of_estimates(out / estimate_files.FOLDER, channel.name)
        for channel in plan.channels
    ]
    records, failed = [], []
    for field in plan.fields:
        progress.begin(field.name)
        try:
            inputs = _inputs_of(field, shared)
            record = _finished(out, field, inputs)
            done = "kept from before"
            if record is None:
                with stopped_by_full_disk():
                    record = process_field(field, config, out, inputs, workers, progress.tiles)
                done = "done"
            records.append(record)
            progress.end(done)
        except StoppedError:
            raise
        except InputError as error:
            if plan.count == 1:
                raise
            failed.append((field.name, str(error)))
            progress.end("failed")
    return records, failed


def _inputs_of(field: RawField, shared: Sequence[str]) -> str:
    """Digest of all that a field is made from; `shared`: of the estimates."""
    files = digest_of_files(
        source for tile in field.tiles for exposures in tile.images.values() for source in exposures
    )
    tiles = [(tile.name, tile.position, sorted(tile.images)) for tile in field.tiles]
    return hashlib.sha256(repr((files, tiles, shared)).encode()).hexdigest()


def _finished(out: Path, field: RawField, inputs: str) -> FieldRecord | None:
    """The record of a field that is done, with the same files; None where it is not."""
    files = files_of(out / FIELDS, field.name)
    try:
        record = read_record(files.record)
    except (OSError, ValueError):
        return None
    images = [files.stack, *([files.labels] if record.registration else [])]
    return record if record.inputs == inputs and all(map(Path.is_file, images)) else None
