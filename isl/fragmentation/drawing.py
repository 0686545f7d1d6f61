"""Pictures for the eye: contours, attention, and the share over time, as PNG."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from isl.fragmentation.polygons import FRAGMENT
from isl.fragmentation.record import EmbryoRecord

_EMBRYO_COLOR = (64, 200, 96)
_FRAGMENT_COLOR = (255, 72, 56)
_SHOWN = 12
_PANEL = 480


def contours(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The frame with the outlines of embryo (green) and fragments (red), uint8 [Y, X, 3].

    Args:
        image: float32 [Y, X] in [0, 1].
        labels: uint8 [Y, X] of 0, 1, 2.
    """
    shown = np.repeat(_as_bytes(image)[..., None], 3, axis=-1)
    width = max(1, round(max(image.shape) / 400))
    for inside, color in ((labels > 0, _EMBRYO_COLOR), (labels == FRAGMENT, _FRAGMENT_COLOR)):
        outline = inside & ~np.asarray(ndimage.binary_erosion(inside, iterations=width), bool)
        shown[outline] = color
    return shown


def attention_picture(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """The frame, blue where the gate lets little through and yellow where much, uint8 [Y, X, 3]."""
    low, high = np.percentile(attention, [1, 99])
    strength = np.clip((attention - low) / max(float(high - low), 1e-6), 0, 1)[..., None]
    grey = np.repeat(_as_bytes(image)[..., None], 3, axis=-1).astype(float)
    color = strength * np.array([255, 220, 40]) + (1 - strength) * np.array([30, 50, 160])
    return np.rint(0.6 * grey + 0.4 * color).astype(np.uint8)


def sheet(pictures: Sequence[np.ndarray]) -> bytes:
    """Up to twelve pictures uint8 [Y, X, 3], evenly spread over those given, as one PNG."""
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(_SHOWN, len(pictures))).round())
    panel = _PANEL if len(chosen) > 1 else 2 * _PANEL
    panels = [_fitted(pictures[int(i)], panel) for i in chosen]
    columns = min(4, len(panels))
    while len(panels) % columns:
        panels.append(np.full_like(panels[0], 255))
    rows = [np.concatenate(panels[i : i + columns], axis=1) for i in range(0, len(panels), columns)]
    stream = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(stream, "PNG")
    return stream.getvalue()


def share_over_time(embryos: Sequence[EmbryoRecord], bounds: Sequence[float]) -> bytes:
    """The share with its interval, frame by frame, and the bounds between grades, as PNG.

    Where a share cannot be told there is a gap.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 3), dpi=110, layout="constrained")
    axes = figure.subplots()
    timed = all(e.minutes is not None for e in embryos)
    for number in sorted({e.embryo for e in embryos}):
        x, y, low, high = _drawn([e for e in embryos if e.embryo == number], timed=timed)
        axes.plot(x, y, ".-", label=f"embryo {number}")
        if np.isfinite(low).any():
            axes.fill_between(x, low, high, alpha=0.2)
    for bound in bounds:
        axes.axhline(100 * bound, color="0.7", linewidth=0.8)
    axes.set_xlabel("hours since the first frame" if timed else "frame, counted from 0")
    if not timed:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("share of fragments, %")
    axes.set_ylim(0, 100)
    if len({e.embryo for e in embryos}) > 1:
        axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _drawn(embryos: Sequence[EmbryoRecord], *, timed: bool) -> np.ndarray:
    """Hours or frames, then share and interval in percent, NaN where not told: float64 [4, N]."""
    rows = [
        (
            e.minutes / 60 if timed and e.minutes is not None else e.frame,
            *(np.nan if v is None else 100 * v for v in (e.share, e.low, e.high)),
        )
        for e in embryos
    ]
    return np.array(rows, float).T


def _fitted(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture as large as size x size takes, on white, uint8 [size, size, 3]."""
    return np.asarray(ImageOps.pad(Image.fromarray(picture), (size, size), color="white"))


def _as_bytes(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, [0.5, 99.5])
    return np.rint(255 * np.clip((image - low) / max(float(high - low), 1e-3), 0, 1)).astype(
        np.uint8
    )
