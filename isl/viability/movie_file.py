"""Movie files (MP4, AVI, MOV, MKV), read by PyAV, which is optional.

Frames are counted by reading them, and each frame's time is its own: a file's length and rate
announce frames that are not there. Nothing seeks. A display matrix that turns frames is obeyed.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.imaging.readable import check_readable_file

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
_QUARTER = 90


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MovieFile:
    """A movie file's frames.

    Attributes:
        frames: uint8 [T, Y, X], gray.
        seconds: float [T], each frame's own time since the first, in the movie; nan where the file
            does not say. It is how fast the movie plays, not when frames were taken.
    """

    frames: np.ndarray
    seconds: np.ndarray


def is_movie_file(path: Path) -> bool:
    """Whether a file is a movie by its ending."""
    return path.name.lower().endswith(ENDINGS)


def read_movie_file(path: Path) -> MovieFile:
    """Reads a movie from its first frame to its last.

    Raises:
        InputError: PyAV is missing, or the file is missing, damaged, or holds no picture.
    """
    check_readable_file(path)
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise InputError(
            f"{path}: movies are read by PyAV, which is not installed; install isl[movies]"
        ) from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video")
            frames, seconds = _decoded(container)
    except (FFmpegError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a movie ({error})") from error
    if not frames:
        raise InputError(f"{path}: holds no frame")
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise InputError(f"{path}: frames change their size on the way; cut it in two")
    times = np.array(seconds, float)
    return MovieFile(frames=np.stack(frames), seconds=times - times[0])


def _decoded(container: Any) -> tuple[list[np.ndarray], list[float]]:
    frames, seconds = [], []
    for frame in container.decode(video=0):
        picture = frame.to_ndarray(format="gray")
        turns = round((getattr(frame, "rotation", 0) or 0) / _QUARTER) % 4
        frames.append(np.rot90(picture, turns))
        seconds.append(np.nan if frame.time is None else float(frame.time))
    return frames, seconds
