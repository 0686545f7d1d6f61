"""How little tiles may overlap and still be stitched, as the paper found its 300 pixels.

The published field is cut into 3 x 3 tiles that overlap by 300 pixels, each several pixels from its
nominal place, with a gain, falling light and noise of its own. The tiles are then cropped, so that
the overlap shrinks, and stitched until that fails. Stitched means that every tile lies within a
pixel of its true place. Labels are taken where they were measured whole (rows above the blind
block), by the nominal places of phase contrast. Run it as

    ISL_DATA=... python benchmarks/stitching_overlap.py

stitching_overlap.txt holds what it printed.
"""

import os
from pathlib import Path

import numpy as np

from isl.imaging.formats.published import read_published
from isl.preprocess.stages.neighbours import neighbouring
from isl.preprocess.stages.offsets import measure_offset
from isl.preprocess.stages.springs import Link, solve_positions

OVERLAPS = (300, 200, 150, 100, 75, 50, 40, 32, 24, 20, 16)
SEEDS = 8
MARGIN = 8
SEARCH = 20
WITHIN = 1.0
# The blind block of the labels begins here.
MEASURED_ROWS = 629


def cut(plane: np.ndarray, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Nine tiles of a plane [Y, X] that overlap by `OVERLAPS[0]`; their nominal and true places."""
    rng = np.random.default_rng(seed)
    size = (np.array(plane.shape) - 2 * MARGIN + 2 * OVERLAPS[0]) // 3
    steps = [np.arange(3) * (n - OVERLAPS[0]) for n in size]
    nominal = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(9, 2)
    true = nominal + MARGIN + rng.integers(1 - MARGIN, MARGIN, (9, 2))
    ramps = [np.square(np.linspace(-1, 1, n)) for n in size]
    light = 1 - 0.1 * (ramps[0][:, None] + ramps[1])
    tiles = []
    for y, x in true:
        tile = plane[y : y + size[0], x : x + size[1]] * light * rng.uniform(0.9, 1.1)
        tiles.append(tile + rng.normal(0, 0.03 * plane.mean(), tile.shape))
    return tiles, nominal.astype(float), true


def cropped(tiles: list[np.ndarray], overlap: int) -> list[np.ndarray]:
    """The tiles without as much of their sides as leaves this overlap; all places move alike."""
    off = (OVERLAPS[0] - overlap) // 2
    return [tile[off : tile.shape[0] - off, off : tile.shape[1] - off] for tile in tiles]


def stitched(plane: np.ndarray, overlap: int, seed: int) -> tuple[float, float]:
    """Largest distance of a tile from its true place, pixels, and the share of trusted links."""
    tiles, nominal, true = cut(plane, seed)
    tiles = cropped(tiles, overlap)
    links = []
    for i, j in neighbouring(nominal, tiles[0].shape, least_overlap=overlap // 2):
        found = measure_offset(tiles[i], tiles[j], tuple(nominal[j] - nominal[i]), search=SEARCH)
        links.append(Link(i=i, j=j, offset=(found.y, found.x), confidence=found.confidence))
    placement = solve_positions(len(tiles), links, nominal)
    apart = placement.positions - true
    return float(np.hypot(*(apart - apart.mean(axis=0)).T).max()), float(placement.trusted.mean())


def main() -> None:
    """Prints, for every picture and overlap, how many of the sets were stitched."""
    stack, labels = read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")
    assert labels is not None
    pictures = {"phase contrast": stack.planes[6].astype(float)}
    for label, channel in zip(labels.labels, labels.channels, strict=True):
        pictures[label] = channel[:MEASURED_ROWS].astype(float)
    print(f"{'':<16}{'overlap':>8}{'stitched':>10}{'worst tile':>12}{'links trusted':>15}")
    for name, plane in pictures.items():
        for overlap in OVERLAPS:
            found = [stitched(plane, overlap, seed) for seed in range(SEEDS)]
            good = sum(error < WITHIN for error, _ in found)
            worst, trusted = max(e for e, _ in found), float(np.mean([t for _, t in found]))
            print(
                f"{name:<16}{overlap:>8}{f'{good} of {SEEDS}':>10}{worst:>9.2f} px{trusted:>15.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
