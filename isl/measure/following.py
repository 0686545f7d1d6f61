"""Which object of a frame is which one of the frames before, by overlap, then by distance.

Objects that overlap by half of both, as those of a film that is fast enough do, are the same; the
others are linked by laptrack, which solves the assignment over whole frames and closes gaps
(Jaqaman et al. 2008).
"""

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.metrics import contingency_table

from isl.packages import needed

# Of the union; an object has at most one such partner.
_SAME = 0.5


def linker() -> Any:
    """The package laptrack.

    Raises:
        InputError: It is not installed.
    """
    what = "following the cells of movies (`no_follow` measures frames one by one)"
    return needed("laptrack", extra="tracking", what=what)


def overlapping(before: np.ndarray, after: np.ndarray) -> dict[int, int]:
    """Objects of a frame that overlap one of the next by more than half of their union.

    Args:
        before: int [Y, X], 0 background.
        after: Likewise, a frame later.

    Returns:
        Numbers after, by numbers before.
    """
    shared = contingency_table(before, after).tocoo()
    of_before, of_after = (np.bincount(each.ravel()) for each in (before, after))
    pairs = (shared.row > 0) & (shared.col > 0)
    one, other, common = shared.row[pairs], shared.col[pairs], shared.data[pairs]
    same = common / (of_before[one] + of_after[other] - common) > _SAME
    return dict(zip(one[same].tolist(), other[same].tolist(), strict=True))


def follow(
    centers: Sequence[np.ndarray],
    same: Sequence[Sequence[tuple[int, int]]],
    *,
    reach: float,
    gap: int,
) -> list[np.ndarray]:
    """Numbers that are identities over time.

    Args:
        centers: For every frame, float [N, 2], the objects' rows and columns.
        same: For every frame but the last, pairs of indices (in it, in the next) that are known to
            be the same object.
        reach: How far an object may move from frame to frame, in the unit of centers.
        gap: Frames that it may be missing for.

    Returns:
        For every frame, int [N], from 1, in the order in which cells appear.
    """
    counts = [len(each) for each in centers]
    if not sum(counts):
        return [np.zeros(0, int) for _ in centers]
    frames = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.asarray(each, float).reshape(-1, 2) for each in centers])
    first = np.cumsum([0, *counts])
    known = [
        (int(first[t] + one), int(first[t + 1] + other))
        for t, pairs in enumerate(same)
        for one, other in pairs
    ]
    tracker = linker().LapTrack(
        cutoff=reach**2,
        gap_closing_cutoff=(reach * (gap + 1)) ** 2 if gap else False,
        # Counted from frame to frame: 1 is no gap.
        gap_closing_max_frame_count=gap + 1,
    )
    # Laptrack's own.
    pandas = importlib.import_module("pandas")
    table = pandas.DataFrame({"frame": frames, "y": places[:, 0], "x": places[:, 1]})
    table["row"] = np.arange(len(table))
    with warnings.catch_warnings():
        # Of its own arithmetic, which frames without objects leave empty.
        warnings.simplefilter("ignore")
        linked, _, _ = tracker.predict_dataframe(
            table,
            ["y", "x"],
            frame_col="frame",
            only_coordinate_cols=False,
            connected_edges=known or None,
        )
    found = np.zeros(len(table), int)
    found[linked["row"].to_numpy()] = linked["track_id"].to_numpy() + 1
    # In the order of appearance, whatever the library's own is.
    _, at, back = np.unique(found, return_index=True, return_inverse=True)
    ranks = np.empty(len(at), int)
    ranks[np.argsort(at)] = np.arange(1, len(at) + 1)
    return np.split(ranks[back], first[1:-1])
