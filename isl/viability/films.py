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
from isl.viability.key_frames import Method

CHANNELS = ("picture", "hours")
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
