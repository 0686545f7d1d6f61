"""What is wrong with a recording: exposure, focus, motion, and frames that were never taken.

The paper left out recordings that were visually unclear (89 of 174 were used). Here each frame is
compared with its own recording, since microscopes differ: a defect is what one frame has and the
others have not. A frame that is clipped, or that repeats the one before it, needs no comparison.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image
from scipy import ndimage

DefectKind = Literal["exposure", "focus", "motion", "missing"]
DEFECTS: tuple[DefectKind, ...] = get_args(DefectKind)

# What leaves a frame no say in the onset: it shows too little, or what the one before it showed.
SILENT: tuple[DefectKind, ...] = ("exposure", "focus", "missing")

# The frame's longer side while looking, in pixels.
_SIDE = 128
# A frame is clipped where so much of it is at its darkest or brightest value.
_CLIPPED = 0.04
# Shares of the recording's usual contrast, and of its usual sharpness. In the 337 published frames
# of 11 embryos the least are 0.81 and 0.88, and the largest move is 0.017.
_FLAT = 0.5
_BLURRED = 0.7
# A move between two frames, in widths of the frame.
_MOVED = 0.06
# Frames that correlate less at any move have nothing in common that could have moved.
_ALIKE = 0.3
_SIGMA = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defect:
    """Something wrong with one frame.

    Attributes:
        kind: What it is.
        frame: Which of those used, from 0.
        words: What was found, for a person.
    """

    kind: DefectKind
    frame: int
    words: str


def find_defects(
    frames: np.ndarray, stored: Iterable[np.ndarray] | None = None
) -> tuple[Defect, ...]:
    """Looks for defects in every frame of a recording.

    Args:
        frames: float32 [T, Y, X], all in focus, of any range.
        stored: [T, Z, Y, X] as the file has them, where frames are stretched or fused; exposure
            is seen in these, which are gone through one by one. None: `frames` are as they were
            stored.

    Returns:
        Defects in the order of kinds, then frames.
    """
    thin, repeated = _survey(frames[:, None] if stored is None else stored)
    small = np.stack([_small(frame) for frame in frames])
    return (
        *_exposure(thin),
        *_focus(small),
        *_motion(small),
        *repeated,
    )


def words_of(
    defects: Sequence[Defect], name: Callable[[int], str] = "frame {}".format
) -> list[str]:
    """A line for every kind: in how many frames, and what was found in the first of them.

    Args:
        defects: Of one recording.
        name: What a person would call a frame.
    """
    lines = []
    for kind in DEFECTS:
        those = [each for each in defects if each.kind == kind]
        if those:
            count = f"{len(those)} frames, the first " if len(those) > 1 else ""
            lines.append(f"{kind}: {count}{name(those[0].frame)}: {those[0].words}")
    return lines


def _survey(stored: Iterable[np.ndarray]) -> tuple[np.ndarray, list[Defect]]:
    """Some pixels of every frame [Z, Y, X], float32 [T, N], and frames that repeat the last one.

    Those were never taken.
    """
    thin, repeated, before = [], [], None
    for t, planes in enumerate(stored):
        # Every fourth pixel tells the exposure as well as all.
        thin.append(planes[:, ::4, ::4].reshape(-1).astype(np.float32))
        if before is not None and np.array_equal(planes, before):
            words = "it repeats the frame before it, pixel by pixel"
            repeated.append(Defect(kind="missing", frame=t, words=words))
        before = planes
    return np.stack(thin), repeated


def _exposure(thin: np.ndarray) -> list[Defect]:
    """Clipped frames, and frames with far less contrast than the recording has, of [T, N]."""
    found = []
    ranges = np.diff(np.percentile(thin, (1, 99), axis=1), axis=0)[0]
    usual = float(np.median(ranges))
    for t, (pixels, own) in enumerate(zip(thin, ranges, strict=True)):
        darkest, brightest = pixels.min(), pixels.max()
        shares = {
            "brightest": float(np.mean(pixels == brightest)),
            "darkest": float(np.mean(pixels == darkest)),
        }
        side = max(shares, key=lambda name: shares[name])
        if shares[side] > _CLIPPED:
            words = f"{shares[side]:.0%} of it is clipped at its {side} value"
            found.append(Defect(kind="exposure", frame=t, words=words))
        elif own < _FLAT * usual:
            words = f"it has {own / usual:.0%} of the recording's usual contrast"
            found.append(Defect(kind="exposure", frame=t, words=words))
    return found


def _focus(small: np.ndarray) -> list[Defect]:
    """Frames with far less fine detail, for their contrast, than the recording has."""
    detail = [float(np.std(ndimage.gaussian_laplace(frame, _SIGMA))) for frame in small]
    sharpness = np.array(detail) / np.maximum(small.std(axis=(1, 2)), 1e-6)
    usual = float(np.median(sharpness))
    return [
        Defect(
            kind="focus",
            frame=t,
            words=f"it is {own / usual:.0%} as sharp as the recording usually is",
        )
        for t, own in enumerate(sharpness)
        if usual > 0 and own < _BLURRED * usual
    ]


def _motion(small: np.ndarray) -> list[Defect]:
    """Frames in which everything lies elsewhere than in the one before."""
    found = []
    for t in range(1, len(small)):
        moved = _shift(small[t - 1], small[t])
        if moved > _MOVED * _SIDE:
            words = f"everything moved by {moved / _SIDE:.0%} of the frame's width since the last"
            found.append(Defect(kind="motion", frame=t, words=words))
    return found


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame, averaged to 128 pixels along its longer side, float32 [y, x]."""
    size = [max(1, round(length * _SIDE / max(frame.shape))) for length in frame.shape[::-1]]
    image = Image.fromarray(np.ascontiguousarray(frame, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _shift(first: np.ndarray, second: np.ndarray) -> float:
    """How far the second lies from the first, in pixels, by cross-correlation.

    A cell that divides changes what is seen and moves nothing, so the whole is compared; borders
    are faded out, or they would speak for no move.
    """
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in first.shape))
    one, other = ((each - each.mean()) * window for each in (first, second))
    product = np.fft.rfft2(one).conj() * np.fft.rfft2(other)
    correlation = np.fft.irfft2(product, first.shape)
    norm = float(np.sqrt(np.sum(one**2) * np.sum(other**2)))
    if norm == 0 or correlation.max() < _ALIKE * norm:
        return 0.0
    place = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    moves = [
        at if at <= length // 2 else at - length
        for at, length in zip(place, correlation.shape, strict=True)
    ]
    return math.hypot(*moves)
