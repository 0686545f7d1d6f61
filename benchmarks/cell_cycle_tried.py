"""Ways to come nearer to the cell cycle's aims that were tried, by folds of what is given.

    python benchmarks/cell_cycle_tried.py vectors CELLS.npz FOLDER
    python benchmarks/cell_cycle_tried.py judge CELLS.npz FOLDER

The first makes vectors of every cell by EfficientNet-Lite0 (bright field at 64 and 96 pixels, dark
field at 64; averages and five rings of strides 8 and 16, over four turns) and leaves them in
FOLDER; the second prints what a head makes of them: balanced accuracy over five folds, mean and
deviation over two seeds of folds and draws, that of the classes of 40 or more, recalls.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from cell_cycle import Head, _lent, logistic, self_taught, support_vectors
from flax import nnx
from scipy.ndimage import binary_fill_holes, gaussian_gradient_magnitude, gaussian_laplace

from isl.colony.cells import whole_cell
from isl.colony.network import EncoderConfig, NetworkConfig, build_network
from isl_eval.statistics.folds import dealt_folds
from isl_train.colony.augment import seen
from isl_train.colony.calibration import recalls

SETS = (("brightfield", 64), ("brightfield", 96), ("darkfield", 64))
SEEDS = (0, 1)
STRENGTH = 0.02
_AT_ONCE = 64


def make_vectors(cells: Path, folder: Path) -> None:
    """Writes vectors float32 [N, D] of every set."""
    with np.load(cells) as stored:
        raw = {channel: stored[channel] for channel, _ in SETS}
    for channel, size in SETS:
        config = EncoderConfig(size=size, strides=(8, 16), rings=5, turns=4)
        network = build_network(NetworkConfig(scales=1, backbone=config), 1, 7, rngs=nnx.Rngs(0))
        network.eval()
        graph, state = nnx.split(network.backbone)
        vector = jax.jit(lambda state, x, graph=graph: nnx.merge(graph, state).vector(seen(x)))
        pictures = np.stack([whole_cell(cell, 40) for cell in raw[channel]])[..., None]
        made = []
        for first in range(0, len(pictures), _AT_ONCE):
            which = np.arange(first, min(first + _AT_ONCE, len(pictures)))
            padded = jnp.asarray(pictures[np.resize(which, _AT_ONCE)])
            made.append(np.asarray(vector(state, padded))[: len(which)])
        np.save(folder / f"{channel}_{size}.npy", np.concatenate(made))


def brightness(cells: np.ndarray) -> np.ndarray:
    """How bright and dark cells [N, 40, 40] are, as stored: float64 [N, 17]."""
    flat = cells.reshape(len(cells), -1).astype(float)
    edge = np.concatenate([cells[:, :3], cells[:, -3:]], axis=1).reshape(len(cells), -1)
    ground = np.median(edge, axis=1)
    off = np.abs(cells - ground[:, None, None])
    levels = np.percentile(flat, [0, 1, 5, 25, 50, 75, 95, 99, 100], axis=1).T - ground[:, None]
    usual = np.median(levels[:, 7])
    areas = [(off > part * usual).mean(axis=(1, 2)) for part in (0.1, 0.2, 0.4, 0.8)]
    middle = cells[:, 12:28, 12:28].reshape(len(cells), -1).std(axis=1)
    some = [ground, flat.std(axis=1), middle, off.mean(axis=(1, 2))]
    return np.stack([*some, *levels.T, *areas], axis=1)


def by_hand(cells: np.ndarray) -> np.ndarray:
    """Radial profiles, spectra, edges, sizes and elongation of cells [N, 40, 40]."""
    edge = np.concatenate([cells[:, :3], cells[:, -3:]], axis=1).reshape(len(cells), -1)
    x = cells - np.median(edge, axis=1)[:, None, None]
    x /= cells.reshape(len(cells), -1).std(axis=1).mean()
    y, across = np.mgrid[:40, :40] - 19.5
    radius = np.hypot(y, across)
    found = []
    for inner in range(0, 20, 2):
        ring = x[:, (radius >= inner) & (radius < inner + 2)]
        found += [ring.mean(axis=1), ring.std(axis=1)]
    window = np.hanning(40)
    power = np.abs(np.fft.fft2(x * window[:, None] * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(40), np.fft.fftfreq(40)))
    for low in np.arange(0, 0.5, 0.05):
        band = power[:, (frequency >= low) & (frequency < low + 0.05)]
        found.append(np.log(band.mean(axis=1) + 1e-6))
    slopes = np.stack([gaussian_gradient_magnitude(cell, 1) for cell in x])
    bends = np.stack([gaussian_laplace(cell, 1.5) for cell in x])
    found += [slopes.mean(axis=(1, 2)), slopes.std(axis=(1, 2))]
    found += [bends.std(axis=(1, 2)), np.abs(bends).max(axis=(1, 2))]
    for times in (0.5, 1, 2):
        masks = (binary_fill_holes(np.abs(cell) > times * np.abs(cell).mean()) for cell in x)
        found.append(np.array([np.asarray(mask).sum() for mask in masks]))
    weights = slopes / slopes.sum(axis=(1, 2), keepdims=True)
    one, two = ((weights * at).sum(axis=(1, 2))[:, None, None] for at in (y, across))
    high = (weights * (y - one) ** 2).sum(axis=(1, 2))
    wide = (weights * (across - two) ** 2).sum(axis=(1, 2))
    both = (weights * (y - one) * (across - two)).sum(axis=(1, 2))
    long = np.sqrt(((high - wide) / 2) ** 2 + both**2)
    mean = (high + wide) / 2
    return np.stack([*found, mean, (mean - long) / (mean + long)], axis=1)


def mixed(strength: float) -> Head:
    """Logistic regression that also learns mixtures of two cells of one class."""

    def head(x, y, asked, rest, classes):
        rng = np.random.default_rng(0)
        chances = 1 / np.bincount(y, minlength=classes)[y]
        one, two = (rng.choice(len(y), 4 * len(y), p=chances / chances.sum()) for _ in range(2))
        alike = y[one] == y[two]
        one, two = one[alike], two[alike]
        part = rng.beta(0.5, 0.5, (len(one), 1))
        more = np.concatenate([x, part * x[one] + (1 - part) * x[two]])
        return logistic(strength)(more, np.concatenate([y, y[one]]), asked, rest, classes)

    return head


def main() -> None:
    """Makes vectors, or judges."""
    cells, folder = Path(sys.argv[2]), Path(sys.argv[3])
    if sys.argv[1] == "vectors":
        make_vectors(cells, folder)
        return
    with np.load(cells) as stored:
        names, labels = np.unique(stored["phase"], return_inverse=True)
        bright, dark = (stored[name].astype(float) for name in ("brightfield", "darkfield"))
    v64, v96, d64 = (np.load(folder / f"{c}_{s}.npy").astype(float) for c, s in SETS)
    how_bright, how_dark, hand = brightness(bright), brightness(dark), by_hand(bright)
    ways: list[tuple[str, Sequence[np.ndarray], Sequence[float], Callable[[float], Head]]] = [
        ("vectors", [v64], [1], logistic),
        ("and brightness", [v64, how_bright], [1, 0.5], logistic),
        ("96 pixels", [v96], [1], logistic),
        ("64 and 96", [v64, v96], [0.7, 0.7], logistic),
        ("all, by hand", [v64, v96, how_bright, hand], [0.6, 0.6, 0.4, 0.4], logistic),
        ("mixed within a class", [v64, how_bright], [1, 0.5], mixed),
        ("self-taught", [v64, how_bright], [1, 0.5], self_taught),
        ("support vectors", [v64, how_bright, hand], [1, 0.5, 0.5], support_vectors),
        ("dark field", [v64, d64], [0.7, 0.7], logistic),
        ("and brightness", [v64, d64, how_bright, how_dark], [0.7, 0.7, 0.5, 0.5], logistic),
    ]
    for share in (1.0, 0.1):
        for name, parts, weights, head in ways:
            own = 0.15 if head is support_vectors else STRENGTH
            each = [
                _recalls(seed, labels, parts, weights, head(own), share, len(names))
                for seed in SEEDS
            ]
            balanced = [recall.mean() for recall in each]
            common = np.mean([recall[np.bincount(labels) >= 40].mean() for recall in each])
            print(
                f"{share:4.0%} {name:24s} {np.mean(balanced):.3f} deviation "
                f"{np.std(balanced, ddof=1):.3f}  40 or more {common:.3f}  recall "
                + " ".join(f"{r:.2f}" for r in np.mean(each, axis=0)),
                flush=True,
            )


def _recalls(seed, labels, parts, weights, head: Head, share: float, classes: int) -> np.ndarray:
    """Of all folds of a seed, float64 [K]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    said = np.empty(len(labels), int)
    for number, names in enumerate(dealt_folds([str(i) for i in order], 5, noun="image")):
        held = np.array([int(name) for name in names])
        free = np.setdiff1d(np.arange(len(labels)), held)
        lent = _lent(free, labels, share, np.random.default_rng([seed, number]), classes)
        x = np.concatenate(
            [
                weight
                * (part - part[free].mean(axis=0))
                / (part[free].std(axis=0) + 1e-6)
                * np.sqrt(100 / part.shape[1])
                for part, weight in zip(parts, weights, strict=True)
            ],
            axis=1,
        )
        rest = x[np.setdiff1d(free, lent)]
        said[held] = head(x[lent], labels[lent], x[held], rest, classes).argmax(axis=1)
    return recalls(labels, said, classes)


if __name__ == "__main__":
    main()
