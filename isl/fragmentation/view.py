"""How a frame of any size becomes what the network sees, and how what it says goes back."""

import dataclasses

import numpy as np
from skimage.transform import resize

# Brightest and darkest percents that may saturate.
CUT = 0.5
# Below it a frame is not stretched further, in [0, 1].
LEAST_CONTRAST = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """Where a frame lies within a square view.

    Attributes:
        size: Width and height of the view, pixels.
        rows: Of the frame, as stored.
        columns: Of the frame, as stored.
        height: Rows of the view that the frame fills, from the top.
        width: Columns of the view that it fills, from the left.
    """

    size: int
    rows: int
    columns: int
    height: int
    width: int


def view_of(shape: tuple[int, int], size: int) -> View:
    """The view of a frame [Y, X]: its longer side fills the square."""
    rows, columns = shape
    scale = size / max(rows, columns)
    return View(
        size=size,
        rows=rows,
        columns=columns,
        height=max(1, round(rows * scale)),
        width=max(1, round(columns * scale)),
    )


def seen(image: np.ndarray, size: int) -> np.ndarray:
    """A frame as the network sees it.

    Args:
        image: float32 [Y, X] in [0, 1].
        size: Of the view.

    Returns:
        float32 [size, size] in [0, 1]: contrast stretched, shrunk with averaging, its last row and
        column repeated where the frame is no square.
    """
    view = view_of((image.shape[0], image.shape[1]), size)
    small = image
    if image.shape != (view.height, view.width):
        small = np.asarray(resize(image, (view.height, view.width), order=1, anti_aliasing=True))
    low, high = np.percentile(small, [CUT, 100 - CUT])
    stretched = np.clip((small - low) / max(high - low, LEAST_CONTRAST), 0, 1)
    beyond = ((0, size - view.height), (0, size - view.width))
    return np.pad(stretched, beyond, mode="edge").astype(np.float32)


def seen_labels(labels: np.ndarray, size: int, fill: int) -> np.ndarray:
    """Labels uint8 [Y, X] in the same view, nearest neighbours; `fill` beyond the frame."""
    view = view_of((labels.shape[0], labels.shape[1]), size)
    rows = ((np.arange(view.height) + 0.5) * labels.shape[0] / view.height).astype(int)
    columns = ((np.arange(view.width) + 0.5) * labels.shape[1] / view.width).astype(int)
    small = labels[rows][:, columns]
    beyond = ((0, size - view.height), (0, size - view.width))
    return np.pad(small, beyond, constant_values=fill)


def as_stored(maps: np.ndarray, view: View) -> np.ndarray:
    """Maps float32 [size, size, ...] of the view at the frame's own size, [Y, X, ...]."""
    inside = maps[: view.height, : view.width]
    if inside.shape[:2] == (view.rows, view.columns):
        return inside
    shape = (view.rows, view.columns, *inside.shape[2:])
    return np.asarray(resize(inside, shape, order=1, anti_aliasing=False), np.float32)
