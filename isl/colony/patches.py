"""Patches: what the network sees of a colony (Witmer and Bhanu 2024, "Data pre-processing").

A patch is drawn at random inside a colony's box, and drawn once more where less than a quarter of
it is colony; the better of both counts. Colonies smaller than a patch are enlarged to it.
"""

import dataclasses

import numpy as np
from skimage.transform import resize

LEAST_FOREGROUND = 0.25
TRIES = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ColonyImage:
    """A colony cut out along its box, at least as large as a patch.

    Attributes:
        pixels: float32 [Y, X, C] in [0, 1], or uint8 with 255 for 1.
        mask: bool [Y, X], where the colony is.
    """

    pixels: np.ndarray
    mask: np.ndarray


def cut_out(pixels: np.ndarray, mask: np.ndarray, patch: int, *, scale: float = 1.0) -> ColonyImage:
    """A colony's box as patches are drawn from it.

    Args:
        pixels: [Y, X, C], the box.
        mask: bool [Y, X], the colony in it.
        patch: Side of a patch.
        scale: By how much the box is enlarged first, where its pixels are larger than those the
            network knows.
    """
    rows, columns = pixels.shape[:2]
    size = [max(1, round(side * scale)) for side in (rows, columns)]
    grown = max(1.0, patch / min(size))
    wanted = tuple(max(patch, round(side * grown)) for side in size)
    if wanted == (rows, columns):
        return ColonyImage(pixels=pixels, mask=mask)
    enlarged = np.asarray(
        resize(
            pixels.astype(np.float32),
            (*wanted, pixels.shape[2]),
            order=1,
            mode="edge",
            anti_aliasing=min(wanted) < min(rows, columns),
            preserve_range=True,
        )
    )
    inside = np.asarray(
        resize(mask.astype(np.float32), wanted, order=1, mode="edge", anti_aliasing=False)
    )
    if pixels.dtype == np.uint8:
        enlarged = np.rint(enlarged)
    return ColonyImage(pixels=enlarged.astype(pixels.dtype), mask=inside >= 0.5)


def place_patch(mask: np.ndarray, patch: int, rng: np.random.Generator) -> tuple[int, int]:
    """First row and column of a patch in a colony's picture.

    Args:
        mask: bool [Y, X], at least `patch` each way.
        patch: Side of the patch.
        rng: Source of the place.
    """
    best, best_share = (0, 0), -1.0
    for _ in range(TRIES):
        top, left = (int(rng.integers(0, side - patch + 1)) for side in mask.shape)
        share = float(mask[top : top + patch, left : left + patch].mean())
        if share > best_share:
            best, best_share = (top, left), share
        if best_share >= LEAST_FOREGROUND:
            break
    return best


def patches_of(colony: ColonyImage, patch: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many patches of a colony, each placed anew: [count, patch, patch, C]."""
    places = [place_patch(colony.mask, patch, rng) for _ in range(count)]
    return np.stack([colony.pixels[top : top + patch, left : left + patch] for top, left in places])


def standardized(patches: np.ndarray) -> np.ndarray:
    """Every channel of every patch [N, Y, X, C] with mean 0 and deviation 1, float32.

    A patch is seen for itself, since a picture of a colony may come without its well.
    """
    values = patches.astype(np.float32)
    if patches.dtype == np.uint8:
        values /= 255
    means = values.mean(axis=(1, 2), keepdims=True)
    deviations = values.std(axis=(1, 2), keepdims=True)
    return (values - means) / (deviations + 1e-3)
