"""Which frames of a time-lapse a network looks at: key frames.

The source of this task says only that the frames kept are the biologically most relevant ones; the
three ways to choose them are isl's own.

uniform: the window of hours is cut into as many equal bins as key frames are wanted, and each gives
the frame nearest to its middle. sharpest: each gives its sharpest frame. events: first the frames
right after the largest changes (divisions, compaction, a cavity), at most one for two key frames
and never two within half a bin; then the sharpest frames of bins that hold none of these.

Frames that are blank or badly exposed are never chosen. A bin without a frame repeats the nearest
of those chosen, and is marked. A frame that nothing chooses may as well not be there.

Of a long recording not every frame is looked at: `uniform` asks for those nearest to the middles of
its bins, the others for those nearest to the middles of halves of bins (`slots`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from scipy.signal import find_peaks

from isl.errors import InputError

Method = Literal["events", "sharpest", "uniform"]
METHODS: tuple[Method, ...] = get_args(Method)
Why = Literal["event", "sharpest", "uniform", "repeated"]

# Counted up whenever other frames would be chosen, or cut out otherwise.
WAY = 4
# Parts of a bin of each of which one frame is looked at, where frames are compared.
_LOOKS_A_BIN = 2
# Changes that stand out by so many deviations (of the median's kind) are events.
_STANDS_OUT = 3.0
_MEDIAN_TO_DEVIATION = 1.4826


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """What is known of a recording's T frames.

    Attributes:
        hours: float [T], after insemination, in any order; nan: nobody knows.
        sharpness: float [T], from 0; see `isl.imaging.sharpness`.
        usable: bool [T], neither blank nor badly exposed.
        change: float [T], by how much each frame differs from the usable one before it in time,
            0 where there is none; None: not measured.
    """

    hours: np.ndarray
    sharpness: np.ndarray
    usable: np.ndarray
    change: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuses columns of different length."""
        lengths = {len(self.hours), len(self.sharpness), len(self.usable)}
        if self.change is not None:
            lengths.add(len(self.change))
        if len(lengths) != 1:
            raise ValueError(f"columns have lengths {sorted(lengths)}; give one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyFrame:
    """One key frame.

    Attributes:
        index: Of the frame, in the recording's own order.
        hour: After insemination.
        why: What it was chosen for.
    """

    index: int
    hour: float
    why: Why


def choose_key_frames(
    method: Method, frames: Frames, window: tuple[float, float], count: int
) -> tuple[KeyFrame, ...]:
    """Chooses key frames, in order of time.

    Args:
        method: How; see the module.
        frames: What is known of the recording.
        window: First and last hour; frames beyond are not looked at.
        count: How many key frames.

    Raises:
        InputError: No usable frame lies within the window, or events are asked for and nobody
            measured how frames change.
    """
    order = _within(frames, window)
    if not len(order):
        raise InputError(
            f"no frame between {window[0]:g} and {window[1]:g} hours is neither blank nor badly "
            "exposed"
        )
    bins = _bins(frames.hours[order], window, count)
    if method == "events":
        return _events(frames, order, bins, window, count)
    best = [_best(method, frames, order[bins == own], window, count, own) for own in range(count)]
    return _filled([(own, frame) for own, frame in enumerate(best) if frame], window, count)


def slots(
    method: Method, hours: np.ndarray, window: tuple[float, float], count: int
) -> tuple[np.ndarray, ...]:
    """Where key frames may come from: the first usable frame of each slot is looked at.

    Args:
        method: As in `choose_key_frames`.
        hours: float [T], after insemination, in any order; nan: nobody knows.
        window: First and last hour; frames beyond are in no slot.
        count: How many key frames will be chosen.

    Returns:
        In order of time, int [n] each and never empty: the frames that are nearest to the middle of
        a bin, or of half a one, those nearer first.
    """
    parts = count * (1 if method == "uniform" else _LOOKS_A_BIN)
    frames = Frames(hours=hours, sharpness=hours, usable=np.ones(len(hours), bool))
    order = _within(frames, window)
    own = _bins(hours[order], window, parts)
    away = np.abs(hours[order] - _middle(own, window, parts))
    # By slot, then by distance; of equals the earlier one, as `choose_key_frames` has it.
    nearer = np.lexsort((away, own))
    each = np.split(order[nearer], np.flatnonzero(np.diff(own)) + 1)
    return tuple(part for part in each if len(part))


def covered(hours: np.ndarray, usable: np.ndarray, window: tuple[float, float]) -> float:
    """Share of the window between its first and last usable frame, 0 to 1.

    Args:
        hours: float [T]; nan: nobody knows.
        usable: bool [T].
        window: First and last hour.
    """
    known = hours[usable & np.isfinite(hours)]
    inside = known[(known >= window[0]) & (known <= window[1])]
    return float(np.ptp(inside) / (window[1] - window[0])) if len(inside) else 0.0


def _within(frames: Frames, window: tuple[float, float]) -> np.ndarray:
    """Indices of frames that may be chosen, by time; equal times in the recording's order."""
    hours = frames.hours
    known = frames.usable & (np.nan_to_num(hours, nan=-np.inf) >= window[0]) & (hours <= window[1])
    inside = np.flatnonzero(known)
    return inside[np.argsort(hours[inside], kind="stable")]


def _bins(hours: np.ndarray, window: tuple[float, float], count: int) -> np.ndarray:
    place = (hours - window[0]) / (window[1] - window[0])
    return np.minimum((place * count).astype(int), count - 1)


def _middle(own: Any, window: tuple[float, float], count: int) -> Any:
    """The hour in the middle of a bin, or of each of an array of bins."""
    return window[0] + (own + 0.5) * (window[1] - window[0]) / count


def _best(
    method: Method,
    frames: Frames,
    members: np.ndarray,
    window: tuple[float, float],
    count: int,
    own: int,
) -> KeyFrame | None:
    """The frame that one bin gives, the first of equals."""
    if not len(members):
        return None
    if method == "uniform":
        away = np.abs(frames.hours[members] - _middle(own, window, count))
        index = int(members[np.argmin(away)])
        return KeyFrame(index=index, hour=float(frames.hours[index]), why="uniform")
    index = int(members[np.argmax(frames.sharpness[members])])
    return KeyFrame(index=index, hour=float(frames.hours[index]), why="sharpest")


def _events(
    frames: Frames, order: np.ndarray, bins: np.ndarray, window: tuple[float, float], count: int
) -> tuple[KeyFrame, ...]:
    if frames.change is None:
        raise InputError("key_frames = 'events' needs the change from frame to frame")
    found = _peaks(frames.change[order], frames.hours[order], window, count)
    events = [
        KeyFrame(index=int(order[i]), hour=float(frames.hours[order[i]]), why="event")
        for i in found
    ]
    taken = {int(bins[i]) for i in found}
    free = [own for own in range(count) if own not in taken]
    room = count - len(events)
    kept = [free[i] for i in np.unique(np.linspace(0, len(free) - 1, room).round().astype(int))]
    best = [_best("sharpest", frames, order[bins == own], window, count, own) for own in kept]
    numbered = [
        *((int(bins[i]), event) for i, event in zip(found, events, strict=True)),
        *((own, frame) for own, frame in zip(kept, best, strict=True) if frame),
    ]
    if not numbered:
        return choose_key_frames("sharpest", frames, window, count)
    return _filled(numbered, window, count)


def _peaks(
    change: np.ndarray, hours: np.ndarray, window: tuple[float, float], count: int
) -> list[int]:
    """The largest changes that stand out, by size, none within half a bin of a larger one."""
    usual = np.median(change)
    deviation = _MEDIAN_TO_DEVIATION * np.median(np.abs(change - usual))
    candidates, _ = find_peaks(np.concatenate([[-np.inf], change, [-np.inf]]))
    apart = (window[1] - window[0]) / count / 2
    chosen: list[int] = []
    for i in sorted(candidates - 1, key=lambda i: (-change[i], i)):
        stands_out = change[i] > usual + _STANDS_OUT * deviation
        if stands_out and all(abs(hours[i] - hours[other]) >= apart for other in chosen):
            chosen.append(int(i))
    return chosen[: count // 2]


def _filled(
    numbered: Sequence[tuple[int, KeyFrame]], window: tuple[float, float], count: int
) -> tuple[KeyFrame, ...]:
    """Key frames in order of time, and for what is missing, the nearest of them once more."""
    held = {own for own, _ in numbered}
    chosen = [frame for _, frame in numbered]
    missing = [own for own in range(count) if own not in held][: count - len(chosen)]
    hours = np.array([frame.hour for frame in chosen])
    for own in missing:
        nearest = chosen[int(np.argmin(np.abs(hours - _middle(own, window, count))))]
        chosen = [*chosen, dataclasses.replace(nearest, why="repeated")]
    return tuple(sorted(chosen, key=lambda frame: (frame.hour, frame.index)))
