"""What a network is shown of a recording: its key frames, cut out around the embryo.

They are stored once, with their hours, their indices and the hash of what they come from, so that
training never opens a recording again.
"""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pydantic

from isl.config import Config
from isl.errors import InputError
from isl.files.whole import written_whole
from isl.imaging.inputs.steady import content_hash
from isl.viability.finding import (
    Disc,
    cut_out,
    find_embryos,
    follow,
    one_embryo,
    whole_frame,
)
from isl.viability.key_frames import (
    Frames,
    KeyFrame,
    Method,
    choose_key_frames,
    covered,
)
from isl.viability.measures import change, is_usable, measure_sharpness
from isl.viability.recording import WHOLE_FRAME, Recording

CHANNELS = ("picture", "hours")
# Frames in which the embryo is looked for before it is followed; the more where it is not seen in
# the few, some of which may be out of focus.
_LOOKS, _MORE_LOOKS = 9, 36
_LAST_HOUR = 120.0
_NOT_SEEN = -1.0


class FilmConfig(Config):
    """What becomes of a recording.

    Attributes:
        window_hours: First and last hour after insemination that are looked at.
        key_frames: How key frames are chosen.
        count: How many.
        size: Rows and columns of each.
        least_covered: Share of the window that a recording must cover.
    """

    window_hours: tuple[float, float] = (0.0, 120.0)
    key_frames: Method = "sharpest"
    count: int = pydantic.Field(default=32, ge=2)
    size: int = pydantic.Field(default=224, ge=16)
    least_covered: float = pydantic.Field(default=0.8, ge=0, le=1)

    @pydantic.model_validator(mode="after")
    def _window_is_one(self) -> "FilmConfig":
        first, last = self.window_hours
        if not 0 <= first < last:
            raise ValueError(f"window_hours [{first:g}, {last:g}]: give a first and a later hour")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """A recording that was read through.

    Attributes:
        recording: The recording.
        frames: What is known of each frame.
        cut_outs: uint8 [T, size, size], the embryo in every frame.
        disc: Where it was at first.
        covered: Share of the window that it covers.
    """

    recording: Recording
    frames: Frames
    cut_outs: np.ndarray
    disc: Disc
    covered: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KeyFilm:
    """The key frames of a recording; K of them.

    Attributes:
        name: Of the recording.
        pictures: uint8 [K, size, size].
        hours: float32 [K], after insemination.
        indices: int [K], in the recording.
        why: K reasons.
        source: The sha256 of what they come from; "" where nobody asked.
        key: Hash of all that they follow from but the pixels; "" where nobody asked.
    """

    name: str
    pictures: np.ndarray
    hours: np.ndarray
    indices: np.ndarray
    why: tuple[str, ...]
    source: str = ""
    key: str = ""


def survey(recording: Recording, config: FilmConfig) -> Survey:
    """Reads a recording through: finds its embryo, follows it, measures every frame.

    Raises:
        InputError: It cannot be read, covers too little of the window, all frames are blank, or
            there is no embryo or more than one.
    """
    hours = recording.hours
    usable = np.array([is_usable(recording.read(t)) for t in range(len(recording))])
    share = covered(hours, usable, config.window_hours)
    if share < config.least_covered:
        raise InputError(_short(recording, usable, config, share))
    inside = np.flatnonzero(usable & (hours <= config.window_hours[1]))
    disc = first = _embryo_of(recording, inside)
    held = recording.place.embryo == WHOLE_FRAME
    wants_change = config.key_frames == "events"
    pictures, sharp, changes = [], [], []
    before: np.ndarray | None = None
    for t in range(len(recording)):
        frame = recording.read(t)
        if usable[t] and not held:
            disc = _smoothly(disc, follow(frame, disc))
        picture = cut_out(frame, disc, config.size)
        pictures.append(picture)
        sharp.append(measure_sharpness(picture) if usable[t] else 0.0)
        measured = before if wants_change and usable[t] else None
        changes.append(0.0 if measured is None else change(measured, picture))
        before = picture if usable[t] else before
    return Survey(
        recording=recording,
        frames=Frames(
            hours=hours,
            sharpness=np.array(sharp),
            usable=usable,
            change=np.array(changes) if wants_change else None,
        ),
        cut_outs=np.stack(pictures),
        disc=first,
        covered=share,
    )


def key_film(
    surveyed: Survey, config: FilmConfig, *, until: float | None = None, source: str = ""
) -> KeyFilm:
    """The key frames of a recording that was read through.

    Args:
        surveyed: The recording.
        config: What is chosen.
        until: As if nothing had been seen after this hour; the bins' width stays.
        source: The hash of what it comes from.

    Raises:
        InputError: There is no usable frame.
    """
    chosen = choose_until(surveyed.frames, config, until)
    indices = np.array([frame.index for frame in chosen])
    return KeyFilm(
        name=surveyed.recording.place.name,
        pictures=surveyed.cut_outs[indices],
        hours=np.array([frame.hour for frame in chosen], np.float32),
        indices=indices,
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


def network_input(film: KeyFilm, config: FilmConfig) -> np.ndarray:
    """A film as a network takes it.

    Args:
        film: Its key frames; fewer than `config.count` where the film was cut short.
        config: Of the model.

    Returns:
        float32 [count, size, size, 2]: the pictures, all together with mean 0 and deviation 1; and
        the hour, 1 at 120 h. Frames that are not seen are 0, their hour is -1.
    """
    pictures = standardized(film.pictures)
    shape = (config.count, config.size, config.size, len(CHANNELS))
    made = np.zeros(shape, np.float32)
    made[..., 1] = _NOT_SEEN
    seen = len(pictures)
    made[:seen, ..., 0] = pictures
    made[:seen, ..., 1] = (film.hours / _LAST_HOUR)[:, None, None]
    return made


def standardized(pictures: np.ndarray) -> np.ndarray:
    """Pictures [K, Y, X] of one film, together with mean 0 and deviation 1; float32."""
    values = pictures.astype(np.float32)
    return (values - values.mean()) / max(float(values.std()), 1e-3)


def make_key_film(recording: Recording, config: FilmConfig) -> KeyFilm:
    """Reads a recording through and chooses its key frames.

    Raises:
        InputError: As `survey`.
    """
    source = content_hash(recording.place.path)
    return key_film(survey(recording, config), config, source=source)


def save_key_film(path: Path, film: KeyFilm, *, overwrite: bool = False) -> None:
    """Writes key frames with all that is known of them.

    Raises:
        InputError: The file exists or cannot be written.
    """
    about = {"name": film.name, "why": film.why, "source": film.source, "key": film.key}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        pictures=film.pictures,
        hours=film.hours,
        indices=film.indices,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    with written_whole(path, overwrite) as unfinished:
        unfinished.write_bytes(buffer.getvalue())


def load_key_film(path: Path) -> KeyFilm:
    """Reads what `save_key_film` wrote.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        # Opened here: the library leaves a file open that is no zip.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            film = KeyFilm(
                name=str(about["name"]),
                pictures=arrays["pictures"],
                hours=arrays["hours"],
                indices=arrays["indices"],
                why=tuple(map(str, about["why"])),
                source=str(about["source"]),
                key=str(about.get("key", "")),
            )
        count = len(film.why)
        if not count == len(film.pictures) == len(film.hours) == len(film.indices):
            raise ValueError("its parts are not of one length")
        if film.pictures.dtype != np.uint8 or film.pictures.ndim != 3:
            raise ValueError(f"pictures are {film.pictures.dtype} {film.pictures.shape}")
        return film
    except Exception as error:  # Zip and NumPy raise whatever they meet in damaged bytes.
        raise InputError(f"{path}: cannot be read as key frames ({error})") from error


def _embryo_of(recording: Recording, inside: np.ndarray) -> Disc:
    """Where the embryo is in the frames `inside`."""
    place = recording.place
    if place.embryo == WHOLE_FRAME:
        return whole_frame(recording.read(int(inside[0])).shape)
    sample = _spread(recording, inside, _LOOKS)
    if not find_embryos(sample):
        sample = _spread(recording, inside, _MORE_LOOKS)
    return one_embryo(sample, which=place.embryo, source=place.path)


def _spread(recording: Recording, inside: np.ndarray, count: int) -> np.ndarray:
    """So many of the frames `inside`, evenly spread: [N, Y, X]."""
    chosen = inside[np.unique(np.linspace(0, len(inside) - 1, count).round().astype(int))]
    return np.stack([recording.read(int(t)) for t in chosen])


def _short(recording: Recording, usable: np.ndarray, config: FilmConfig, share: float) -> str:
    hours = recording.hours[np.isfinite(recording.hours) & usable]
    first, last = config.window_hours
    has = f"{hours.min():g} to {hours.max():g} h" if len(hours) else "no usable frame"
    return (
        f"{recording.place.path}: has {has}, which is {share:.0%} of the model's window of "
        f"{first:g} to {last:g} h, and {config.least_covered:.0%} are needed; give a longer "
        "recording, or a model of a shorter window"
    )


def _smoothly(before: Disc, now: Disc) -> Disc:
    """Where the embryo is: its place follows at once, its size slowly."""
    diameter = 0.9 * before.diameter + 0.1 * now.diameter
    return Disc(y=0.5 * (before.y + now.y), x=0.5 * (before.x + now.x), diameter=diameter)
