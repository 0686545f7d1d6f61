"""Movie files (MP4, AVI, MOV, MKV), read by PyAV, which is optional.

Frames are counted by reading them, and each frame's time is its own: a file's length and rate
announce frames that are not there. Nothing seeks. A display matrix that turns frames is obeyed.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import IO, Any

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


def read_movie_file(path: Path, memory: int | None = None) -> MovieFile:
    """Reads a movie from its first frame to its last.

    Args:
        path: The file.
        memory: Bytes that frames may take in memory; of a longer movie they are put into a
            temporary file, which goes when they do. None: however many.

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
            frames, sizes, seconds = _decoded(container, memory)
    except (FFmpegError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a movie ({error})") from error
    if not seconds:
        raise InputError(f"{path}: holds no frame")
    if len(sizes) > 1:
        raise InputError(f"{path}: the frame size changes within the file; split it in two")
    times = np.array(seconds, float)
    shape = (len(seconds), *sizes.pop())
    if isinstance(frames, bytearray):
        whole = np.frombuffer(frames, np.uint8).reshape(shape)
    else:
        # What is mapped stays when the file is closed.
        with frames:
            whole = np.memmap(frames, np.uint8, mode="r", shape=shape)
    return MovieFile(frames=whole, seconds=times - times[0])


def _decoded(
    container: Any, memory: int | None
) -> tuple[bytearray | IO[bytes], set[tuple[int, ...]], list[float]]:
    """Frames one after the other, in memory or in a file; the sizes that occur; seconds."""
    held, spilled = bytearray(), None
    sizes, seconds = set(), []
    for frame in container.decode(video=0):
        picture = frame.to_ndarray(format="gray")
        turns = round((getattr(frame, "rotation", 0) or 0) / _QUARTER) % 4
        picture = np.rot90(picture, turns)
        sizes.add(picture.shape)
        seconds.append(np.nan if frame.time is None else float(frame.time))
        held += picture.tobytes()
        if memory is not None and len(held) > memory:
            spilled = spilled or tempfile.TemporaryFile()
            spilled.write(held)
            held.clear()
    if spilled is None:
        return held, sizes, seconds
    spilled.write(held)
    spilled.flush()
    return spilled, sizes, seconds
