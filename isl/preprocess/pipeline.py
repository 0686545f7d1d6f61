"""From raw tiles to a dataset: estimates, then field by field, then what is kept and who learns."""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from isl.config import load_toml, to_toml
from isl.dataset import Field, LabelFile, Manifest, write_manifest
from isl.errors import InputError
from isl.imaging.files import written_whole
from isl.preprocess import estimates as estimates_of_set
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.estimates import ChannelOfSet, needs_estimates
from isl.preprocess.field import FIELDS, channels_of, files_of, process_field
from isl.preprocess.layout import RawField, find_fields
from isl.preprocess.quality import (
    Decision,
    decided_by_hand,
    judge,
    read_decisions,
    write_decisions,
)
from isl.preprocess.raw_units import of_the_set, write_normalization
from isl.preprocess.record import FieldRecord, read_record
from isl.preprocess.report import write_report
from isl.preprocess.split import split_groups
from isl.preprocess.workers import Workers
from isl.timelapse import Split

SETTINGS = "settings.toml"
DECISIONS = "quality.csv"
MANIFEST = "dataset.toml"
REPORT = "report.html"
NORMALIZATION = "normalization.json"
_LOCK = ".lock"
_DIGEST = ".quality.sha256"
# What may change without a field having to be done again, as it is without a configuration.
_DEFAULTS = {
    name: PreprocessConfig.model_fields[name].get_default()
    for name in ("description", "quality", "decisions", "split")
}


class Progress(Protocol):
    """Who is told how far a run is."""

    def begin(self, name: str) -> None:
        """A field, or a channel's estimates, is begun."""
        ...

    def tiles(self, done: int, total: int) -> None:
        """So much of it is done."""
        ...

    def end(self, outcome: str) -> None:
        """It is done, or failed."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What a run would do.

    Attributes:
        fields: The fields that can be tried.
        failed: Fields that cannot, each with its reason.
        channels: Of the set, those that something has to be estimated of.
    """

    fields: tuple[RawField, ...]
    failed: tuple[tuple[str, str], ...]
    channels: tuple[ChannelOfSet, ...]

    @property
    def count(self) -> int:
        """Fields, with those that cannot be tried."""
        return len(self.fields) + len(self.failed)

    @property
    def steps(self) -> int:
        """What progress counts."""
        return len(self.channels) + len(self.fields)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a run came to.

    Attributes:
        records: The fields that are done.
        decisions: Which of them are kept.
        failed: Fields that could not be done, each with its reason.
        manifest: The dataset; None where no field is kept.
        report: The report.
    """

    records: tuple[FieldRecord, ...]
    decisions: tuple[Decision, ...]
    failed: tuple[tuple[str, str], ...]
    manifest: Path | None
    report: Path


def load_config(path: Path, overrides: Sequence[str] = ()) -> PreprocessConfig:
    """Reads a configuration.

    Raises:
        InputError: It is missing, no TOML, or has wrong keys or values.
    """
    config = load_toml(path, PreprocessConfig, overrides)
    if config.decisions is not None:
        config = config.model_copy(update={"decisions": path.parent / config.decisions})
    return config


def plan_run(config: PreprocessConfig, folder: Path) -> Plan:
    """Finds the tiles and checks what can be checked without reading their pixels.

    Args:
        config: What to do.
        folder: What the layout's root is relative to.

    Raises:
        InputError: Nothing is found, or no field can be tried.
    """
    found = find_fields(config.layout, folder, pixel_size=config.pixel_size, z_step=config.z_step)
    fields, failed = [], list(found.failed)
    for field in found.fields:
        try:
            channels_of(field, config)
        except InputError as error:
            failed.append((field.name, str(error)))
        else:
            fields += [field] if config.runs("stitching") else single_tiles(field)
    if not fields:
        more = f" (and {len(failed) - 1} more like it fail)" if len(failed) > 1 else ""
        raise InputError(f"{failed[0][1]}{more}")
    return Plan(fields=tuple(fields), failed=tuple(failed), channels=_channels(fields, config))


def single_tiles(field: RawField) -> list[RawField]:
    """Where nothing is stitched, every tile is a field of its own, of the same group."""
    if len(field.tiles) == 1:
        return [field]
    return [
        dataclasses.replace(
            field,
            name=f"{field.name}-{tile.name}",
            tiles=(dataclasses.replace(tile, position=(0.0, 0.0)),),
        )
        for tile in field.tiles
    ]


def _channels(fields: Sequence[RawField], config: PreprocessConfig) -> tuple[ChannelOfSet, ...]:
    kinds: dict[str, bool] = {}
    for field in fields:
        kinds |= channels_of(field, config)
    channels = (
        ChannelOfSet(
            name=name,
            fluorescence=fluorescence,
            planes=tuple(
                tuple(tile.images[name, z] for z in range(field.planes[name]))
                for field in fields
                if name in field.planes
                for tile in field.tiles
            ),
            pixel_size=config.pixel_size or fields[0].pixel_size,
        )
        for name, fluorescence in kinds.items()
    )
    return tuple(channel for channel in channels if needs_estimates(channel, config))


def described(plan: Plan, config: PreprocessConfig) -> list[str]:
    """What a run would do, a line a field."""
    lines = []
    for field in plan.fields:
        depths = ", ".join(f"{name} {count}" for name, count in field.planes.items())
        tiles = f"{len(field.tiles)} tile{'s' if len(field.tiles) > 1 else ''}"
        size = " x ".join(map(str, field.size))
        lines.append(f"{field.name} (group {field.group}): {tiles} of {size}; planes: {depths}")
        lines += [f"  warning: {warning}" for warning in field.warnings]
    for channel in plan.channels:
        sample = min(config.sample.images, channel.count)
        lines.append(f"estimates of {channel.name}: from {sample} of {channel.count} images")
    return lines


def preprocess(
    plan: Plan,
    config: PreprocessConfig,
    out: Path,
    *,
    workers: int,
    progress: Progress,
    say: Callable[[str], None],
) -> Outcome:
    """Makes a dataset of raw tiles; goes on where an earlier run of the same settings stopped.

    Args:
        plan: What was found.
        config: What to do.
        out: The run's folder: fields/, estimates/, dataset.toml, quality.csv, report.html.
        workers: Processes.
        progress: Told how far it is.
        say: Told what a person should know, a line at a time.

    Raises:
        InputError: Nothing can be done, or the disk is full.
    """
    names = [field.name for field in plan.fields]
    by_hand = read_decisions(config.decisions, names) if config.decisions is not None else {}
    _check_split(plan, config)
    with _alone(out):
        _check_settings(config, out)
        _check_table(out)
        with Workers(workers) as pool:
            for channel in plan.channels:
                _estimate(channel, config, out, pool, progress, say)
            records, failed = _process(plan.fields, config, out, pool, progress)
        scratch.remove(out / scratch.FOLDER)
        return _conclude(plan, config, out, records, (*plan.failed, *failed), by_hand)


def _check_split(plan: Plan, config: PreprocessConfig) -> None:
    """Splits that cannot be made are better known before hours of work."""
    _split([field.group for field in plan.fields], config)


def _split(groups: Sequence[str], config: PreprocessConfig) -> dict[str, Split]:
    split = config.split
    shares: dict[str, float] = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    return split_groups(groups, shares, split.seed, split.groups)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuses a second run into the same folder at the same time."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK).open("w")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{out}: another run is writing there; wait for it, or give another --out"
            ) from error
        yield


def _check_settings(config: PreprocessConfig, out: Path) -> None:
    """Keeps what decides on pixels; refuses to mix what was made with other settings."""
    bound = to_toml(config.model_copy(update=_DEFAULTS))
    kept = out / SETTINGS
    if not kept.exists():
        if (out / FIELDS).exists() or (out / MANIFEST).exists():
            raise InputError(f"{out}: holds other fields; name another folder")
        with written_whole(kept) as unfinished:
            unfinished.write_text(bound, encoding="utf-8")
    elif kept.read_text(encoding="utf-8") != bound:
        raise InputError(
            f"{out}: holds a run of other settings (see {SETTINGS}); name another folder, or "
            "remove this one"
        )


def _check_table(out: Path) -> None:
    """Refuses to write over a table of decisions that a person has edited."""
    table, digest = out / DECISIONS, out / _DIGEST
    if not table.exists():
        return
    written = digest.read_text(encoding="utf-8") if digest.exists() else ""
    if hashlib.sha256(table.read_bytes()).hexdigest() != written:
        raise InputError(
            f"{table}: was edited; copy it elsewhere and name it as 'decisions' in the "
            "configuration, or remove it"
        )


def _estimate(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    out: Path,
    workers: Workers,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    folder = out / estimates_of_set.FOLDER
    progress.begin(f"estimates of {channel.name}")
    if estimates_of_set.has_estimates(folder, channel.name):
        progress.end("kept from before")
        return
    unfinished = out / scratch.FOLDER / f"estimates-{channel.name}"
    found = estimates_of_set.estimate(channel, config, unfinished, workers, progress.tiles)
    estimates_of_set.save_estimates(folder, channel.name, found)
    progress.end(f"from {found.images} of {found.of} images")
    for note in found.notes:
        say(f"warning: {channel.name}: {note}")


def _process(
    fields: Sequence[RawField],
    config: PreprocessConfig,
    out: Path,
    workers: Workers,
    progress: Progress,
) -> tuple[list[FieldRecord], list[tuple[str, str]]]:
    records, failed = [], []
    for field in fields:
        progress.begin(field.name)
        try:
            inputs = inputs_of(field)
            record = _finished(out, field, inputs)
            done = "kept from before"
            if record is None:
                record = process_field(field, config, out, inputs, workers, progress.tiles)
                done = "done"
            records.append(record)
            progress.end(done)
        except InputError as error:
            if _is_full(error):
                raise InputError(f"{error}; make room and run again to go on") from error
            if len(fields) == 1:
                raise
            failed.append((field.name, str(error)))
            progress.end("failed")
    return records, failed


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk is full: then no other field could be written either."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def inputs_of(field: RawField) -> str:
    """Digest of the names, sizes and times of a field's files.

    Raises:
        InputError: One of them is gone.
    """
    digest = hashlib.sha256()
    sources = {
        source.file
        for tile in field.tiles
        for exposures in tile.images.values()
        for source in exposures
    }
    for file in sorted(sources):
        try:
            found = file.stat()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
        digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    tiles = [(tile.name, tile.position, sorted(tile.images)) for tile in field.tiles]
    digest.update(repr(tiles).encode())
    return digest.hexdigest()


def _finished(out: Path, field: RawField, inputs: str) -> FieldRecord | None:
    """The record of a field that is done, with the same files; None where it is not."""
    try:
        record = read_record(files_of(out / FIELDS, field.name).record)
    except (OSError, ValueError):
        return None
    return record if record.inputs == inputs else None


def _conclude(
    plan: Plan,
    config: PreprocessConfig,
    out: Path,
    records: Sequence[FieldRecord],
    failed: Sequence[tuple[str, str]],
    by_hand: Mapping[str, bool],
) -> Outcome:
    """Judges the fields and writes the manifest, the table of decisions and the report."""
    measures = [record.measures for record in records]
    judged = (
        judge(measures, config.quality)
        if config.runs("quality")
        else tuple(Decision(field=record.name, keep=True) for record in records)
    )
    decisions = decided_by_hand(judged, by_hand)
    write_decisions(out / DECISIONS, decisions, measures, overwrite=True)
    with written_whole(out / _DIGEST, overwrite=True) as unfinished:
        unfinished.write_text(
            hashlib.sha256((out / DECISIONS).read_bytes()).hexdigest(), encoding="utf-8"
        )
    kept = [record for record, each in zip(records, decisions, strict=True) if each.keep]
    split = _split([record.group for record in kept], config) if kept else {}
    manifest = out / MANIFEST
    if kept:
        fields = tuple(_manifest_field(record, split, config, out) for record in kept)
        write_manifest(manifest, Manifest(fields=fields), overwrite=True)
        labels = dict.fromkeys(label for record in kept for label in record.registration)
        write_normalization(out / NORMALIZATION, of_the_set(kept, tuple(labels)))
    else:
        manifest.unlink(missing_ok=True)
    shared = out / estimates_of_set.FOLDER
    write_report(
        out / REPORT,
        config=config,
        records=records,
        decisions=decisions,
        failed=failed,
        estimates={
            channel.name: estimates_of_set.load_estimates(shared, channel.name)
            for channel in plan.channels
        },
        split=split,
        folder=out / FIELDS,
        manifest=manifest if kept else None,
    )
    return Outcome(
        records=tuple(records),
        decisions=decisions,
        failed=tuple(failed),
        manifest=manifest if kept else None,
        report=out / REPORT,
    )


def _manifest_field(
    record: FieldRecord, split: Mapping[str, Split], config: PreprocessConfig, out: Path
) -> Field:
    files = files_of(Path(FIELDS), record.name)
    labels = tuple(record.registration)
    masked = (out / files.measured).exists()
    return Field.model_validate(
        {
            "name": record.name,
            "group": record.group,
            "split": split[record.group],
            "transmitted": (files.stack,),
            "labels": {label: LabelFile(file=files.labels, channel=label) for label in labels},
            "masks": {label: files.measured for label in labels} if masked else {},
            "validation_region": config.split.region,
            "modality": config.modality,
        }
    )
