"""How well predicted EZRIN shows what measured Ezrin does, beside dull rivals.

Over a whole frame an outline of the embryo, filled, agrees as well as most predictions do. So the
inside is looked at by itself, and there what is left once shade is off: contacts, and caps. The
outline is the prediction's own: a prediction that has no more to say than where the embryo is loses
to it. That of measured Ezrin, which no prediction knows, stands beside it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from isl.imaging.agreement import pearson

from ..metrics.detail import band_correlation, border_f1, detail_correlation
from ..metrics.image_pair import correlation

FIGURES: Mapping[str, str] = {
    "frame": "Pearson, whole frame",
    "inside": "Pearson inside the embryo",
    "detail": "inside, a Gaussian of 8 pixels off",
    "fine": "inside, periods of 2 to 20 pixels",
    "borders": "F1 of ridges, 3 pixels apart at most",
}
PREDICTION = "prediction"
RIVALS = ("filled outline", "measured outline", "another time")
"""The prediction's own outline, filled; that of measured Ezrin; the prediction of another frame."""
SEEN = (PREDICTION, *RIVALS)
SIDE = 256
"""Frames are compared at this width: what is finer is noise, and periods and tolerances are in its
pixels."""

_BLUR = 3 / 160
_LEVEL = 0.25
_SOFT = 4.0


def ezrin_figures(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Every figure of every frame, of the prediction and its rivals.

    The prediction of another time is of the frame half a recording away.

    Args:
        predicted: float [T, Y, X].
        measured: float [T, Y, X].

    Returns:
        float64 [T, SEEN, FIGURES]; nan where undefined.
    """
    true, own = (np.stack([_small(frame) for frame in frames]) for frames in (measured, predicted))
    count = len(true)
    found = np.full((count, len(SEEN), len(FIGURES)), np.nan)
    for t in range(count):
        mask = embryo_mask(true[t])
        rivals = (filled(embryo_mask(own[t])), filled(mask), own[(t + count // 2) % count])
        for number, seen in enumerate((own[t], *rivals)):
            found[t, number] = _figures(true[t], seen, mask)
    return found


def filled(mask: np.ndarray) -> np.ndarray:
    """An outline bool [Y, X], filled: float64, soft at its border."""
    return ndimage.gaussian_filter(mask.astype(float), _SOFT)


def embryo_mask(measured: np.ndarray) -> np.ndarray:
    """Where the embryo is, bool [Y, X]: the largest bright region of blurred Ezrin, filled."""
    blurred = ndimage.gaussian_filter(measured, _BLUR * max(measured.shape))
    low, high = float(blurred.min()), float(np.percentile(blurred, 99))
    bright = blurred > low + _LEVEL * (high - low)
    regions: Any = ndimage.label(bright)
    sizes = np.bincount(regions[0].ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(regions[0] == np.argmax(sizes)))


def _figures(true: np.ndarray, seen: np.ndarray, mask: np.ndarray) -> list[float]:
    values = [
        pearson(seen, true),
        correlation(true[mask], seen[mask]),
        detail_correlation(true, seen, mask),
        band_correlation(true, seen, mask),
        border_f1(true, seen, mask),
    ]
    return [np.nan if value is None else float(value) for value in values]


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame at `SIDE` pixels along its longer side, float64; smaller ones stay as they are."""
    factor = max(frame.shape) // SIDE
    if factor < 2:
        return frame.astype(np.float64)
    rows, columns = (length // factor for length in frame.shape)
    within = frame[: rows * factor, : columns * factor].astype(np.float64)
    return within.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
