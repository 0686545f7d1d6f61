"""What averaging over the eight symmetries costs, and what it gains on phantoms never seen.

    python benchmarks/symmetries.py [MODEL...]

Cost: processor seconds of all cores and peak resident memory above a process that only loaded the
model, for one random field of 512 x 512, compiled before; best of two processes each, in turns.
Gain: the bundled model `phantom` on eight simulated fields whose seeds were never trained on, with
intervals by bootstrap over fields.
"""

import json
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from isl.imaging.image import ZStack
from isl.imaging.normalize import normalize
from isl.labeling import bins
from isl.labeling.mixture import AnyModel, predictor
from isl.labeling.model import load_model
from isl.labeling.options import check_options
from isl.labeling.predict import predict
from isl.phantom import LABELS, PhantomConfig, make_phantom
from isl.tiling.plan import reflected

SIZE, ROUNDS = 512, 2
FIELDS, FIELD_SIZE, FIRST_SEED = 8, 256, 90_000
WAYS = ("plain", "symmetries")


def measure(name: str, way: str) -> dict[str, float]:
    """In a process of its own: processor seconds of one prediction, and peak resident bytes."""
    model = load_model(name)
    rng = np.random.default_rng(0)
    planes = rng.normal(0.5, 0.125, (model.config.input.planes, SIZE, SIZE)).clip(0, 1)
    stack = ZStack(name="random", planes=planes.astype(np.float32))
    seconds = 0.0
    for _ in range(0 if way == "idle" else 2):
        start = time.process_time()
        predict(model, stack, symmetries=way == "symmetries")
        seconds = time.process_time() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak": peak}


def print_cost(name: str) -> None:
    """Measures in turns, in processes of their own."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for way in ("idle", *WAYS):
            words = [sys.executable, __file__, "--measure", name, way]
            printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found.setdefault(way, []).append(json.loads(printed))
    seconds = {way: min(one["seconds"] for one in found[way]) for way in WAYS}
    idle = min(one["peak"] for one in found["idle"])
    peak = {way: min(one["peak"] for one in found[way]) - idle for way in WAYS}
    print(
        f"{name}: {seconds['plain']:.1f} and {seconds['symmetries']:.1f} s of processor, ratio "
        f"{seconds['symmetries'] / seconds['plain']:.2f}; {peak['plain'] / 2**30:.2f} and "
        f"{peak['symmetries'] / 2**30:.2f} GiB, ratio {peak['symmetries'] / peak['plain']:.2f}"
    )


def distributions(model: AnyModel, planes: np.ndarray, *, symmetries: bool) -> np.ndarray:
    """Probabilities [Y, X, L, 256] of a normalized z-stack [Z, Y, X]; no tiles."""
    size = (planes.shape[1], planes.shape[2])
    options = check_options(model.config, symmetries=symmetries)
    predicting = predictor(model, options, size)
    margin = predicting.geometry.margin
    widths = [predicting.geometry.input_size(n) for n in size]
    rows, columns = (
        reflected(np.arange(width) - margin, n) for width, n in zip(widths, size, strict=True)
    )
    batch = np.moveaxis(planes[:, rows[:, None], columns], 0, -1)[None]
    logits = predicting.logits(batch, LABELS)[0, : size[0], : size[1]]
    return np.asarray(jax.nn.softmax(logits))


def figures(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of one label: probabilities [Y, X, 256] and intensities [Y, X]."""
    true_bins = np.asarray(bins.to_bins(jnp.asarray(truth)))
    at_truth = np.take_along_axis(probabilities, true_bins[..., None], axis=-1)
    images = bins.statistics_of(jnp.asarray(probabilities), ("median", "mean"))
    return {
        "cross-entropy": float(-np.mean(np.log(at_truth)) / np.log(bins.BINS)),
        **{
            f"Pearson, {name}": float(np.corrcoef(np.ravel(image), truth.ravel())[0, 1])
            for name, image in images.items()
        },
    }


def print_gain() -> None:
    """Prints, for every label, each figure without and with symmetries, and the difference."""
    model = load_model("phantom")
    config = PhantomConfig(height=FIELD_SIZE, width=FIELD_SIZE)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + FIELDS):
        stack, truth = make_phantom(config, seed)
        planes, _ = normalize(stack.planes)
        both = [distributions(model, planes, symmetries=turned) for turned in (False, True)]
        for place, label in enumerate(LABELS):
            intensities = truth.channels[truth.labels.index(label)] / np.float32(65535)
            of = [figures(given[:, :, place], intensities) for given in both]
            for name in of[0]:
                found.setdefault((label, name), []).append((of[0][name], of[1][name]))
    rng = np.random.default_rng(0)
    print(f"phantom, {FIELDS} unseen fields of {FIELD_SIZE} x {FIELD_SIZE}, means over fields")
    print(f"{'':<28}{'plain':>8}{'symmetries':>12}   difference, 95 % interval")
    for (label, name), pairs in found.items():
        plain, turned = np.mean(pairs, axis=0)
        differences = np.diff(pairs, axis=1)[:, 0]
        drawn = differences[rng.integers(FIELDS, size=(2000, FIELDS))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        print(
            f"{label + ' ' + name:<28}{plain:>8.4f}{turned:>12.4f}   {turned - plain:+.4f} "
            f"({low:+.4f} to {high:+.4f})"
        )


def main() -> None:
    """Prints both tables."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
        return
    print(f"one random field of {SIZE} x {SIZE}, plain and with symmetries")
    for name in sys.argv[1:] or ["phantom"]:
        print_cost(name)
    print_gain()


if __name__ == "__main__":
    main()
