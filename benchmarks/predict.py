"""What predicting one field takes with a bundled model: seconds, once compiled, by tile width.

    python benchmarks/predict.py [MODEL] [TILE...]

The field is random, 1024 x 1024; widths are measured in turns, best of three, and the table gives
each as a ratio to the default.
"""

import sys
import time

import numpy as np

from isl.imaging.image import ZStack
from isl.labeling.model import load_model
from isl.labeling.predict import predict

SIZE, ROUNDS = 1024, 3


def main() -> None:
    """Prints the table."""
    model = load_model(sys.argv[1] if len(sys.argv) > 1 else "neurons-phase")
    tiles: list[int | str] = ["auto", *(int(tile) for tile in sys.argv[2:])]
    rng = np.random.default_rng(0)
    planes = rng.normal(0.5, 0.125, (model.config.input.planes, SIZE, SIZE)).clip(0, 1)
    stack = ZStack(name="random", planes=planes.astype(np.float32))
    first, best = {}, {}
    for turn in range(ROUNDS + 1):
        for tile in tiles:
            start = time.perf_counter()
            predict(model, stack, tile=tile)
            seconds = time.perf_counter() - start
            if turn == 0:
                first[tile] = seconds
            else:
                best[tile] = min(seconds, best.get(tile, seconds))
    print(f"{model.name}, {SIZE} x {SIZE} x {model.config.input.planes}, median of all labels")
    print(f"{'tile':>6} {'first, compiling':>17} {'then':>7} {'to auto':>8}")
    for tile in tiles:
        ratio = best[tile] / best["auto"]
        print(f"{tile!s:>6} {first[tile]:>15.1f} s {best[tile]:>5.2f} s {ratio:>8.2f}")


if __name__ == "__main__":
    main()
