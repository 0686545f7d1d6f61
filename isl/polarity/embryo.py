"""Embryos whose onset of polarization is known: frames, measured Ezrin, and when it happened."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from isl.data.differences import differing_times
from isl.data.splits import Split
from isl.data.twins import twins_told
from isl.errors import InputError
from isl.imaging.normalize import normalize_label
from isl.labeling.agreement import compare_acquisitions
from isl.labeling.dataset import Manifest
from isl.labeling.fields import LoadedField, load_field
from isl.labeling.timelapse import TimeLapse, numbers_of_frames, read_event
from isl.polarity.defects import DefectKind, find_defects, words_of
from isl.polarity.focus import fuse, stretched
from isl.polarity.onset import onset_of_labels

logger = logging.getLogger(__name__)

EZRIN = "EZRIN"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Embryo:
    """One recording with its labels; T frames.

    Attributes:
        name: Name of the recording.
        group: The embryo.
        split: Which side of the splits it is on.
        dic: float32 [T, Y, X] in [0, 1], all-in-focus frames.
        measured: float32 [T, Y, X] in [0, 1], measured Ezrin; None where there is none.
        after: bool [T], at or after the annotated onset.
        onset: The first such frame, from 0; None: after the last frame.
        compaction: The first frame in which somebody saw the embryo compacted; T, the frame after
            the last one: it was never seen so; None: nobody looked.
        interval: Minutes between frames, or None.
        pixel_size: Micrometres, or None.
        z_step: Micrometres between planes, or None.
        stacks: [T, Z, Y, X], what the frames were fused from, as it was read; None: nobody kept it.
    """

    name: str
    group: str
    split: Split
    dic: np.ndarray
    measured: np.ndarray | None
    after: np.ndarray
    onset: int | None
    compaction: int | None = None
    interval: float | None = None
    pixel_size: float | None = None
    z_step: float | None = None
    stacks: np.ndarray | None = None


def load_embryos(manifest: Manifest) -> tuple[Embryo, ...]:
    """Reads every time-lapse of a manifest that says when its embryo polarized.

    Raises:
        InputError: There is none, a file cannot be read, frames differ in size, or labels go back
            to "before" after the onset.
    """
    source = manifest.path or "the dataset"
    if not manifest.time_lapses:
        raise InputError(f"{source}: has no [[time_lapse]]; onsets are learned from time-lapses")
    embryos, fields = zip(*(_load(manifest, each) for each in manifest.time_lapses), strict=True)
    for line in _differences(embryos, fields, source):
        logger.warning(line)
    return embryos


def _differences(
    embryos: Sequence[Embryo], fields: Sequence[LoadedField], source: object
) -> Iterator[str]:
    """In what recordings differ: acquisition (by their first frames), intervals, and twins."""
    yield from compare_acquisitions(fields, source)
    yield from differing_times(
        "frames were taken every",
        {embryo.name: embryo.interval for embryo in embryos},
        "min",
        source,
        remedy="onsets are smoothed over frames, so train on recordings of one interval",
    )
    yield from twins_told(
        [embryo.dic[len(embryo.dic) // 2] for embryo in embryos],
        [embryo.name for embryo in embryos],
        [embryo.split for embryo in embryos],
        source,
        what="recording",
    )


def without_defects(
    embryos: Sequence[Embryo], kinds: Sequence[DefectKind], say: Callable[[str], None]
) -> tuple[Embryo, ...]:
    """The embryos whose recordings have no defect of some kinds.

    Args:
        embryos: All of them.
        kinds: Defects for which one is left out; (): none is.
        say: Called with a line for each that is left out, with the reason.
    """
    if not kinds:
        return tuple(embryos)
    kept = []
    for embryo in embryos:
        lines = words_of([each for each in find_defects(embryo.dic) if each.kind in kinds])
        if lines:
            say(f"{embryo.name} is left out; {'; '.join(lines)}")
        else:
            kept.append(embryo)
    return tuple(kept)


def _load(manifest: Manifest, time_lapse: TimeLapse) -> tuple[Embryo, LoadedField]:
    """An embryo, and its first frame as it was read."""
    after = read_event(time_lapse, "polarized")
    if after is None:
        raise InputError(
            f"{manifest.path or 'the dataset'}: time-lapse '{time_lapse.name}' has no annotation "
            "with a column 'polarized' of 0 and 1"
        )
    source = time_lapse.annotation.table if time_lapse.annotation is not None else None
    onset = onset_of_labels(
        after,
        embryo=time_lapse.name,
        frames=numbers_of_frames(time_lapse),
        source=None if source is None else str(source),
    )
    compacted = read_event(time_lapse, "compacted")
    has_ezrin = EZRIN in time_lapse.labels
    fields = [
        load_field(field, (EZRIN,) if has_ezrin else ())
        for field in manifest.fields
        if field.name.startswith(f"{time_lapse.name}/")
    ]
    _check_sizes(fields)
    stacks = np.stack([field.transmitted.planes for field in fields])
    size = fields[0].transmitted.pixel_size
    measured = None
    if has_ezrin:
        measured = np.stack([normalize_label(field.labels.channels[0]) for field in fields])
    embryo = Embryo(
        name=time_lapse.name,
        group=time_lapse.group,
        split=time_lapse.split,
        dic=stretched(np.stack([fuse(planes).image for planes in stacks])),
        measured=measured,
        after=after,
        onset=onset,
        compaction=None if compacted is None else _first_or_after(compacted),
        interval=time_lapse.interval,
        pixel_size=None if size is None else size.side,
        z_step=None if size is None else size.z,
        stacks=stacks,
    )
    return embryo, fields[0]


def _first_or_after(happened: np.ndarray) -> int:
    """The first frame in which something has happened, of bool [T]; T: in none."""
    return int(happened.argmax()) if happened.any() else len(happened)


def _check_sizes(fields: Sequence[LoadedField]) -> None:
    first = fields[0].transmitted.planes.shape[1:]
    for field in fields:
        size = field.transmitted.planes.shape[1:]
        if size != first:
            raise InputError(
                f"{field.transmitted.source}: is {size[0]} x {size[1]}, but {fields[0].name} is "
                f"{first[0]} x {first[1]}; frames of one recording must agree"
            )
        own, others = len(field.transmitted.planes), len(fields[0].transmitted.planes)
        if own != others:
            raise InputError(
                f"{field.transmitted.source}: has {own} planes, but {fields[0].name} has {others}; "
                "stacks of one recording must agree"
            )
