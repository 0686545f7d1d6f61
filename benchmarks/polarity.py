"""What a frame of an embryo takes, from a stack of planes to its probability, step by step.

    python benchmarks/polarity.py [MODEL]

The recording is random noise, 16 frames of 13 planes, 512 x 512; what is in a frame makes no
difference to the time. Best of three rounds once compiled; seconds passed and seconds of CPU for
one frame, and each step's share.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from isl.imaging.image import Movie
from isl.labeling.predict import predict
from isl.polarity.assess import EZRIN_STATISTICS, frames_to_show
from isl.polarity.focus import fuse_movie
from isl.polarity.model import DEFAULT_MODEL, load_polarity_model
from isl.polarity.onset import find_onset

FRAMES, PLANES, SIZE, ROUNDS = 16, 13, 512, 3


def main() -> None:
    """Prints the table."""
    model = load_polarity_model(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
    ezrin_model = model.ezrin_model()
    stacks = np.random.default_rng(0).integers(0, 256, (FRAMES, PLANES, SIZE, SIZE), np.uint8)
    fused = np.asarray(fuse_movie(stacks)[0], np.float32) / 255
    movie = Movie(name="random", frames=fused[:, None], modality=ezrin_model.config.input.modality)

    def ezrin() -> np.ndarray:
        made = predict(ezrin_model, movie, statistics=EZRIN_STATISTICS)
        return made.statistics[EZRIN_STATISTICS[0]][:, 0]

    def classify() -> np.ndarray:
        # What was asked lately is remembered, so no two rounds see the same.
        fused[:, 0, 0] = next(brightness)
        return model.member_logits(fused, seen)

    brightness = itertools.cycle(np.linspace(0, 1, 97))
    seen = ezrin()
    logits = model.member_logits(fused, seen)
    probabilities = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    shown = list(frames_to_show(None, FRAMES))
    steps: dict[str, Callable[[], Any]] = {
        "fusing 13 planes": lambda: fuse_movie(stacks),
        "EZRIN": ezrin,
        f"{len(model.members)} classifiers": classify,
        f"activation maps of {len(shown)}": lambda: model.activation_maps(
            fused[shown], seen[shown], probabilities.mean(axis=0)[shown] > 0.5
        ),
        "onset": lambda: find_onset(probabilities),
    }
    rows = {name: timed(step) for name, step in steps.items()}
    whole = np.sum(list(rows.values()), axis=0)
    device = jax.devices()[0].device_kind
    print(
        f"{model.name}; {FRAMES} frames of {PLANES} x {SIZE} x {SIZE}; {device}, {os.cpu_count()}"
    )
    print(f"{'a frame takes, s':>24} {'passed':>8} {'of CPU':>8} {'share':>6}")
    for name, (passed, cpu) in [*rows.items(), ("all", whole)]:
        print(f"{name:>24} {passed:8.3f} {cpu:8.3f} {cpu / whole[1]:6.0%}")


def timed(step: Callable[[], Any]) -> tuple[float, float]:
    """Seconds passed and of CPU that a step takes for one frame, the better of some rounds."""
    step()
    best = (np.inf, np.inf)
    for _ in range(ROUNDS):
        passed, cpu = time.perf_counter(), time.process_time()
        step()
        round_ = (time.perf_counter() - passed, time.process_time() - cpu)
        best = min(best[0], round_[0]), min(best[1], round_[1])
    return best[0] / FRAMES, best[1] / FRAMES


if __name__ == "__main__":
    main()
