"""A recording looked through: where its embryo is, and which of its frames are key frames.

Most frames of a recording look like their neighbours. Only as many are read as key frames can come
from (`isl.viability.key_frames.slots`); the embryo is followed from one to the next of these, and
nothing is measured of any other.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from isl.errors import InputError
from isl.imaging.inputs.steady import content_hash
from isl.viability.films import FilmConfig, KeyFilm
from isl.viability.finding import (
    Disc,
    cut_out,
    find_embryos,
    follow,
    one_embryo,
    whole_frame,
)
from isl.viability.key_frames import Frames, KeyFrame, choose_key_frames, covered, slots
from isl.viability.measures import change, is_usable, measure_sharpness
from isl.viability.recording import WHOLE_FRAME, Recording

# Frames in which the embryo is looked for before it is followed; the more where it is not seen in
# the few, some of which may be out of focus.
_LOOKS, _MORE_LOOKS = 9, 36
# Of an embryo's place and of its diameter, what stays after so many hours: as many as lie between
# two frames of the bundled model's films.
_PLACE_STAYS, _SIZE_STAYS, _STAYS_HOURS = 0.5, 0.9, 2.5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """A recording of which C frames were looked at.

    Attributes:
        recording: The recording.
        indices: int [C], of these frames, in order of time.
        frames: What is known of each of them; all are usable.
        cut_outs: uint8 [C, size, size], the embryo in each.
        blank: Frames of slots that were searched, and are blank or badly exposed.
        disc: Where the embryo was at first.
        covered: Share of the window that the recording covers.
    """

    recording: Recording
    indices: np.ndarray
    frames: Frames
    cut_outs: np.ndarray
    blank: tuple[int, ...]
    disc: Disc
    covered: float


def survey(recording: Recording, config: FilmConfig) -> Survey:
    """Finds a recording's embryo, follows it, and measures what may become a key frame.

    Raises:
        InputError: It cannot be read, covers too little of the window, all frames are blank, or
            there is no embryo or more than one.
    """
    hours = recording.hours
    share = _covered(recording, config)
    asked = slots(config.key_frames, hours, config.window_hours, config.count)
    first = _embryo_of(recording, asked, config.window_hours)
    indices, pictures, sharp, changes = [], [], [], []
    blank: list[int] = []
    before: np.ndarray | None = None
    # Where the embryo has moved to is asked about once a key frame.
    every = max(1, len(asked) // config.count)
    apart = every * _hours_apart(hours, asked)
    seen = _seen(recording, asked, blank)
    for (t, frame), disc in _followed(recording, seen, first, every, apart):
        picture = cut_out(frame, disc, config.size)
        if config.key_frames == "events":
            # Both cut out alike, lest a place that is asked about anew look like an event.
            was = None if before is None else cut_out(before, disc, config.size)
            changes.append(0.0 if was is None else change(was, picture))
            before = frame
        sharp.append(0.0 if config.key_frames == "uniform" else measure_sharpness(picture))
        indices.append(t)
        pictures.append(picture)
    return Survey(
        recording=recording,
        indices=np.array(indices),
        frames=Frames(
            hours=hours[indices],
            sharpness=np.array(sharp),
            usable=np.ones(len(indices), bool),
            change=np.array(changes) if changes else None,
        ),
        cut_outs=np.stack(pictures),
        blank=tuple(sorted(blank)),
        disc=first,
        covered=share,
    )


def key_film(
    surveyed: Survey, config: FilmConfig, *, until: float | None = None, source: str = ""
) -> KeyFilm:
    """The key frames of a recording that was looked through.

    Args:
        surveyed: The recording.
        config: What is chosen.
        until: As if nothing had been seen after this hour; the bins' width stays.
        source: The hash of what it comes from.

    Raises:
        InputError: There is no usable frame.
    """
    chosen = choose_until(surveyed.frames, config, until)
    places = np.array([frame.index for frame in chosen])
    return KeyFilm(
        name=surveyed.recording.place.name,
        pictures=surveyed.cut_outs[places],
        hours=np.array([frame.hour for frame in chosen], np.float32),
        indices=surveyed.indices[places],
        why=tuple(frame.why for frame in chosen),
        source=source,
    )


def choose_until(
    frames: Frames, config: FilmConfig, until: float | None = None
) -> tuple[KeyFrame, ...]:
    """Key frames of the bins up to an hour; there are as many fewer as the window is shorter."""
    first, last = config.window_hours
    if until is None or until >= last:
        return choose_key_frames(config.key_frames, frames, config.window_hours, config.count)
    count = max(1, round(config.count * (until - first) / (last - first)))
    return choose_key_frames(config.key_frames, frames, (first, until), count)


def make_key_film(recording: Recording, config: FilmConfig) -> KeyFilm:
    """Looks a recording through and chooses its key frames.

    Raises:
        InputError: As `survey`.
    """
    source = content_hash(recording.place.path)
    return key_film(survey(recording, config), config, source=source)


def _seen(
    recording: Recording, asked: Iterable[np.ndarray], blank: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Of each slot the first frame that is usable, with its index; others go to `blank`."""
    for slot in asked:
        for t in map(int, slot):
            frame = recording.read(t)
            if is_usable(frame):
                yield t, frame
                break
            blank.append(t)


def _hours_apart(hours: np.ndarray, asked: Sequence[np.ndarray]) -> float:
    """Hours from one slot's frame to the next one's, on average; 0 where there is one."""
    first, last = (hours[slot[0]] for slot in (asked[0], asked[-1]))
    return float(last - first) / max(1, len(asked) - 1)


def _followed(
    recording: Recording,
    seen: Iterable[tuple[int, np.ndarray]],
    disc: Disc,
    every: int,
    apart: float,
) -> Iterator[tuple[tuple[int, np.ndarray], Disc]]:
    """Frames and where the embryo is in each; it is followed in every second one, and so on.

    These are so many hours apart. Blank frames lengthen no step: the bundled model's films, some of
    which have any, were made so.
    """
    for number, (t, frame) in enumerate(seen):
        if recording.place.embryo != WHOLE_FRAME and number % every == 0:
            disc = _smoothly(disc, follow(frame, disc), apart)
        yield (t, frame), disc


def _embryo_of(
    recording: Recording, asked: Sequence[np.ndarray], window: tuple[float, float]
) -> Disc:
    """Where the embryo is."""
    place = recording.place
    if place.embryo == WHOLE_FRAME:
        return whole_frame(recording.read(int(asked[0][0])).shape)
    found: tuple[Disc, ...] = ()
    for count in (_LOOKS, _MORE_LOOKS):
        # Few key frames come from too few slots to find an embryo by.
        own = max(asked, slots("uniform", recording.hours, window, count), key=len)
        found = found or find_embryos(_spread(recording, own, count))
    return one_embryo(found, which=place.embryo, source=place.path)


def _spread(recording: Recording, asked: Sequence[np.ndarray], count: int) -> np.ndarray:
    """A usable frame of so many slots, evenly spread, or of all that have one: [N, Y, X]."""
    chosen = np.unique(np.linspace(0, len(asked) - 1, count).round().astype(int))
    found = [frame for _, frame in _seen(recording, [asked[i] for i in chosen], [])]
    return np.stack(found or [frame for _, frame in _seen(recording, asked, [])])


def _covered(recording: Recording, config: FilmConfig) -> float:
    """Share of the window that a recording covers.

    Raises:
        InputError: It is too little, or there is no usable frame.
    """
    hours, (first, last) = recording.hours, config.window_hours
    inside = np.flatnonzero((hours >= first) & (hours <= last))
    ends = _ends(recording, inside)
    usable = np.isin(np.arange(len(hours)), ends or ())
    share = covered(hours, usable, config.window_hours)
    if ends and share >= config.least_covered:
        return share
    ends = _ends(recording, np.flatnonzero(np.isfinite(hours)))
    has = "no usable frame"
    if ends:
        has = f"{hours[ends[0]]:g} to {hours[ends[1]]:g} h"
    raise InputError(
        f"{recording.place.path}: has {has}, which is {share:.0%} of the model's window of "
        f"{first:g} to {last:g} h, and {config.least_covered:.0%} are needed; give a longer "
        "recording, or a model of a shorter window"
    )


def _ends(recording: Recording, among: np.ndarray) -> tuple[int, int] | None:
    """The first and the last usable frame in time; None: all are blank."""
    order = among[np.argsort(recording.hours[among], kind="stable")]
    first, last = (next(_seen(recording, [way], []), None) for way in (order, order[::-1]))
    return None if first is None or last is None else (first[0], last[0])


def _smoothly(before: Disc, now: Disc, hours: float) -> Disc:
    """Where the embryo is so many hours on: its place follows at once, its size slowly."""
    place, size = (stays ** (hours / _STAYS_HOURS) for stays in (_PLACE_STAYS, _SIZE_STAYS))
    return Disc(
        y=place * before.y + (1 - place) * now.y,
        x=place * before.x + (1 - place) * now.x,
        diameter=size * before.diameter + (1 - size) * now.diameter,
    )
