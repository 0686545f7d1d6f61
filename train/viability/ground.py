"""What is learned from: key frames, kept on disk, and outcomes from a table of recordings."""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.data.examples import Dataset, Example
from isl.data.splits import SPLITS, divided_group
from isl.data.targets import BinaryTarget
from isl.data.twins import twins_told
from isl.errors import InputError
from isl.viability import key_frames
from isl.viability.films import FilmConfig, KeyFilm, load_key_film, save_key_film
from isl.viability.frame_features import frame_encoder
from isl.viability.network import FrameSequenceConfig, NetworkConfig
from isl.viability.recording import Place, open_recording, read_recordings, read_rows
from isl.viability.survey import make_key_film

UNKNOWN = -1
# After so many films features are written down, so that a run that is stopped resumes there.
_KEPT_AT_ONCE = 400


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One embryo.

    Attributes:
        film: Its key frames.
        patient: Whose it is.
        split: "train", "validation" or "test".
        outcomes: int [targets], 0, 1, or -1: not known.
        row: Its row of the table, as it stands there.
    """

    film: KeyFilm
    patient: str
    split: str
    outcomes: np.ndarray
    row: Mapping[str, str]


def read_outcomes(table: Path, targets: Sequence[str], *, patient: str = "patient") -> Dataset:
    """Reads a table of recordings; groups are patients.

    Args:
        table: A CSV with the columns `recording`, `file`, the patient's, `split` (train unless
            given) and the targets'.
        targets: Columns of 0, 1, or nothing where the outcome is not known.
        patient: The column that says whose embryo it is.

    Raises:
        InputError: A column is missing, an outcome is something else, or a patient stands on two
            sides of the splits.
    """
    rows = read_rows(table, ("recording", "file", patient, *targets))
    outcomes = {name: BinaryTarget() for name in targets}
    examples = tuple(_example(table, row, outcomes, patient) for row in rows)
    if (divided := divided_group(examples)) is not None:
        other, each = divided
        raise InputError(
            f"{table}: patient '{each.group}' stands on two sides of the splits "
            f"({other.name}: {other.split}, {each.name}: {each.split}); embryos of one patient "
            "resemble each other, keep them on one side"
        )
    return Dataset(examples=examples, targets=outcomes, path=table)


def check_learnable(dataset: Dataset) -> None:
    """Refuses a dataset of whose first target training knows one outcome only.

    Raises:
        InputError: All known outcomes are alike, or none is known.
    """
    target = next(iter(dataset.targets))
    values, known = dataset.array(target, dataset.examples_for("train"))
    outcomes = set(values[known].tolist())
    if len(outcomes) < 2:
        what = "no outcome" if not outcomes else f"all outcomes {outcomes.pop()}"
        raise InputError(
            f"{dataset.path}: column '{target}' has {what} for training; there is nothing to tell "
            "apart"
        )


def load_cases(
    table: Path,
    targets: Sequence[str],
    config: FilmConfig,
    store: Path,
    *,
    patient: str = "patient",
    leave_out: Sequence[str] = (),
    sides: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Case, ...]:
    """Key frames and outcomes of every recording of a table.

    Args:
        table: As in `read_outcomes`.
        targets: As there.
        config: What becomes of a recording.
        store: Folder of key frames, made if missing; recordings whose key frames lie there, chosen
            in the same way, are not opened again.
        patient: As in `read_outcomes`.
        leave_out: Patients that are not looked at.
        sides: Splits that are looked at; None: all.
        say: Told how much the store takes, and how much the recordings take.

    Raises:
        InputError: As `read_outcomes`, or a recording cannot be used.
    """
    examples = read_outcomes(table, targets, patient=patient).examples
    for name in leave_out:
        if name not in {each.group for each in examples}:
            raise InputError(f"{table}: has no patient '{name}' to leave out")
    places = {place.name: place for place in read_recordings(table)}
    cases, before, after, otherwise = [], 0, 0, 0
    for each in examples:
        if each.group in leave_out or (sides is not None and each.split not in sides):
            continue
        path = store / f"{each.name}.npz"
        key = film_key(places[each.name], config)
        film = load_key_film(path) if path.is_file() else None
        if film is None or film.key != key:
            otherwise += film is not None
            film = make_key_film(open_recording(places[each.name]), config)
            film = dataclasses.replace(film, key=key)
            save_key_film(path, film, overwrite=True)
        before += sum(status.st_size for _, status in _files(places[each.name].path))
        after += path.stat().st_size
        cases.append(
            Case(
                film=film,
                patient=each.group,
                split=each.split,
                outcomes=np.array([each.targets.get(target, UNKNOWN) for target in targets]),
                row=each.row,
            )
        )
    check_twins(cases, table, say)
    if otherwise:
        say(
            f"{otherwise} recordings' key frames in {store} were chosen otherwise, or of other "
            "files, and made anew"
        )
    say(
        f"{len(cases)} recordings of {before / 2**20:.1f} MiB are kept as key frames of "
        f"{after / 2**20:.1f} MiB in {store}"
    )
    return tuple(cases)


def check_twins(cases: Sequence[Case], table: Path, say: Callable[[str], None]) -> None:
    """Refuses one film under two names on two sides of the splits; says so where on one side.

    Raises:
        InputError: There is one.
    """
    middles = [case.film.pictures[len(case.film.pictures) // 2] for case in cases]
    names, sides = [case.film.name for case in cases], [case.split for case in cases]
    for line in twins_told(middles, names, sides, table, what="film"):
        say(line)


def film_key(place: Place, config: FilmConfig) -> str:
    """Hash of all that a recording's key frames follow from; its files are told by size and time.

    Args:
        place: The recording; it need not be readable.
        config: What becomes of it.
    """
    facts = {
        "film": config.model_dump(mode="json"),
        "way": key_frames.WAY,
        # Where it lies says nothing of it, so that a data set may be moved.
        "recording": [place.name, place.path.name, place.start, place.interval, place.embryo],
        "times": place.times.read_text(encoding="utf-8") if place.times else None,
        "files": [[name, each.st_size, each.st_mtime_ns] for name, each in _files(place.path)],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def keep_features(cases: Sequence[Case], network: NetworkConfig, store: Path) -> None:
    """Computes what a frozen encoder sees in all key frames, once, and keeps it in their store.

    Args:
        cases: The embryos.
        network: Of which kind; nothing is done unless it is "frames".
        store: Folder of key frames.
    """
    if not isinstance(network, FrameSequenceConfig):
        return
    path = store / f"features_{network.encoder}_{network.side}.npz"
    encoder = frame_encoder(network.encoder, network.side)
    encoder.remember(path)
    # What is to be kept must be at hand, 2 KiB a frame.
    asked = sum(len(case.film.pictures) for case in cases)
    encoder.limit = max(encoder.limit, len(encoder) + asked)
    for first in range(0, len(cases), _KEPT_AT_ONCE):
        known = len(encoder)
        for case in cases[first : first + _KEPT_AT_ONCE]:
            encoder.features(case.film.pictures)
        if len(encoder) > known:
            encoder.write_down(path)


def counted(cases: Sequence[Case], targets: Sequence[str]) -> str:
    """How many cases of each split are 1, 0 and unknown, by target, in words."""
    lines = []
    for split in SPLITS:
        mine = [case for case in cases if case.split == split]
        if not mine:
            continue
        parts = []
        for number, target in enumerate(targets):
            found = collections.Counter(int(case.outcomes[number]) for case in mine)
            parts.append(f"{target} {found[1]}/{found[0]}/{found[UNKNOWN]}")
        patients = len({case.patient for case in mine})
        lines.append(
            f"{split}: {len(mine)} embryos of {patients} patients (1/0/unknown: {', '.join(parts)})"
        )
    return "; ".join(lines)


def _example(
    table: Path, row: dict[str, str], targets: Mapping[str, BinaryTarget], patient: str
) -> Example:
    where = f"{table}: recording '{row['recording']}'"
    outcomes = {}
    for name, target in targets.items():
        try:
            outcomes |= {name: target.read(row[name], table.parent)} if row[name] else {}
        except ValueError as error:
            raise InputError(
                f"{where} has '{row[name]}' for '{name}'; give 0, 1, or nothing where it is not "
                "known"
            ) from error
    split = row.get("split") or "train"
    if split not in SPLITS:
        raise InputError(f"{where} is of split '{split}'; give {', '.join(SPLITS)}")
    if not row[patient]:
        raise InputError(f"{where} has no '{patient}'")
    return Example(
        name=row["recording"],
        group=row[patient],
        split=split,
        inputs={"recording": table.parent / row["file"]},
        targets=outcomes,
        row=row,
    )


def _files(path: Path) -> list[tuple[str, os.stat_result]]:
    """Of a file, or of all within a folder, the names there, sizes and times of change."""
    if path.is_file():
        return [("", path.stat())]
    found = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sorted((file.relative_to(path).as_posix(), file.stat()) for file in found)
