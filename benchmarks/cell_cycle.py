"""What heads and vectors tell phases of the cell cycle best, behind an encoder as ImageNet left it.

    python benchmarks/cell_cycle.py ISL_DATA VECTORS [--size 64] [--shares 1.0 0.1] [--draws 3]

Vectors of every cell are computed by what `isl train configs/cell_cycle.toml` uses, at all strides
and of both channels, and kept in the folder VECTORS. Over five folds of what is given, each cell is
judged once by heads that learned of the other folds: all of their labels, or a share of them drawn
several times. How strongly a head is held back is chosen by folds inside what it learns of. Over
the cells of the other folds a vector has mean 0 and one deviation in every entry.

Prints balanced accuracy with a 95 % interval over cells, that of the classes of 40 cells or more,
and the recall of each class.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.svm import SVC

from isl.backbones.efficientnet_lite import PYRAMID_DEPTHS, PYRAMID_STRIDES
from isl.config import load_toml
from isl_eval.statistics.folds import dealt_folds
from isl_train.colony.calibration import recalls
from isl_train.colony.config import ColonyExperiment
from isl_train.colony.frozen import with_vectors
from isl_train.colony.images import load_images

CONFIG = Path(__file__).parents[1] / "configs" / "cell_cycle.toml"
RINGS = 5
# Two vectors are some 200 apart, squared.
_GAMMA = 0.005
INNER = 3
# Of the sum of squared weights; smaller holds back more.
STRENGTHS = (0.005, 0.02, 0.1, 0.5)
Head = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(vectors learned of, their labels, those asked about, those without a label, classes) to scores
[asked, classes]."""
Pick = Callable[[list[np.ndarray]], np.ndarray]


def logistic(strength: float) -> Head:
    """Logistic regression; classes weigh alike."""

    def head(
        x: np.ndarray, y: np.ndarray, asked: np.ndarray, rest: np.ndarray, classes: int
    ) -> np.ndarray:
        depth, truth = x.shape[1], np.eye(classes)[y]
        counts = np.bincount(y, minlength=classes)
        weights = len(y) / np.maximum(counts, 1)[y] / (counts > 0).sum()

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            kernel, bias = flat[:-classes].reshape(depth, classes), flat[-classes:]
            logs = log_softmax(x @ kernel + bias, axis=1)
            slope = (np.exp(logs) - truth) * weights[:, None]
            value = -(weights * logs[np.arange(len(y)), y]).sum()
            value += 0.5 / strength * np.square(kernel).sum()
            kernel_slope = x.T @ slope + kernel / strength
            return float(value), np.concatenate([kernel_slope.ravel(), slope.sum(axis=0)])

        found = minimize(
            loss, np.zeros((depth + 1) * classes), jac=True, method="L-BFGS-B",
            options={"maxiter": 100},
        ).x  # fmt: skip
        return log_softmax(asked @ found[:-classes].reshape(depth, classes) + found[-classes:], 1)

    return head


def support_vectors(strength: float) -> Head:
    """A support vector machine with a Gaussian kernel; one class against each other."""

    def head(
        x: np.ndarray, y: np.ndarray, asked: np.ndarray, rest: np.ndarray, classes: int
    ) -> np.ndarray:
        settings: Any = {"gamma": _GAMMA, "class_weight": "balanced"}
        machine = SVC(C=20 * strength, **settings)
        machine.fit(x, y)
        scores = np.full((len(asked), classes), -np.inf)
        scores[:, machine.classes_] = machine.decision_function(asked)
        return scores

    return head


def chosen(kind: Callable[[float], Head]) -> Head:
    """A head whose strength is that of the best balanced accuracy over folds of what it learns."""

    def head(
        x: np.ndarray, y: np.ndarray, asked: np.ndarray, rest: np.ndarray, classes: int
    ) -> np.ndarray:
        order = np.random.default_rng(0).permutation(len(y))
        place = np.empty(len(y), int)
        for c in range(classes):
            own = order[y[order] == c]
            place[own] = np.arange(len(own)) % INNER
        best = []
        for strength in STRENGTHS:
            said = np.empty(len(y), int)
            for held in range(INNER):
                out = place == held
                said[out] = kind(strength)(x[~out], y[~out], x[out], rest, classes).argmax(axis=1)
            best.append(float(np.nanmean(recalls(y, said, classes))))
        return kind(STRENGTHS[int(np.argmax(best))])(x, y, asked, rest, classes)

    return head


def self_taught(strength: float) -> Head:
    """Logistic regression that then learns its own sure calls on cells without a label, too."""

    def head(
        x: np.ndarray, y: np.ndarray, asked: np.ndarray, rest: np.ndarray, classes: int
    ) -> np.ndarray:
        said = np.exp(logistic(strength)(x, y, rest, rest, classes))
        sure = said.max(axis=1, initial=0) > 0.8
        more, own = np.concatenate([x, rest[sure]]), said[sure].argmax(axis=1)
        return logistic(strength)(more, np.concatenate([y, own]), asked, rest, classes)

    return head


def columns(strides: tuple[int, ...], channels: tuple[int, ...], rings: bool) -> np.ndarray:
    """Which entries of a vector are of these strides and channels, with or without rings."""
    depths = dict(zip(PYRAMID_STRIDES, PYRAMID_DEPTHS, strict=True))
    found, at = [], 0
    for channel in range(2):
        for part in (1, RINGS):
            for stride, depth in depths.items():
                wanted = channel in channels and stride in strides and (rings or part == 1)
                found.append(np.full(part * depth, wanted))
                at += part * depth
    return np.flatnonzero(np.concatenate(found))


def main() -> None:
    """Computes vectors, learns, judges and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--size", type=int, nargs="+", default=[64])
    parser.add_argument("--shares", type=float, nargs="*", default=[1.0, 0.1])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=None)
    given = parser.parse_args()
    os.environ["ISL_DATA"] = str(given.data.resolve())
    given.vectors.mkdir(parents=True, exist_ok=True)
    stacks = [_vectors(size, given.vectors) for size in given.size]
    labels, names = stacks[0][1], stacks[0][2]
    every = [stack[0] for stack in stacks]
    folds = _folds(labels)
    for share in given.shares:
        for name, (kind, pick) in _contenders(len(every)).items():
            if given.only and not any(part in name for part in given.only):
                continue
            x = pick(every)
            said = [
                _judged(x, labels, folds, kind, share, draw, len(names))
                for draw in range(1 if share >= 1 else given.draws)
            ]
            print(f"{share:4.0%} {name:52s} {_line(labels, said, len(names))}", flush=True)


def _contenders(sizes: int) -> dict[str, tuple[Head, Pick]]:
    bright, dark, both = (0,), (1,), (0, 1)

    def pick(strides: tuple[int, ...], channels: tuple[int, ...], rings: bool, at: int = 0) -> Pick:
        own = columns(strides, channels, rings)
        return lambda every: every[at][:, own]

    def all_sizes(every: list[np.ndarray]) -> np.ndarray:
        own = columns((8, 16), bright, True)
        return np.concatenate([each[:, own] for each in every], axis=1)

    tuned, fixed = chosen(logistic), logistic(0.02)
    found: dict[str, tuple[Head, Pick]] = {
        "strides 8, 16; logistic": (tuned, pick((8, 16), bright, False)),
        "strides 8, 16, rings; logistic": (tuned, pick((8, 16), bright, True)),
        "all strides; logistic": (tuned, pick(PYRAMID_STRIDES, bright, False)),
        "all strides, rings; logistic": (tuned, pick(PYRAMID_STRIDES, bright, True)),
        "strides 4 to 32, rings; logistic": (tuned, pick((4, 8, 16, 32), bright, True)),
        "strides 8, 16, rings; support vectors": (
            chosen(support_vectors),
            pick((8, 16), bright, True),
        ),
        "strides 8, 16, rings; logistic, strength 0.02": (fixed, pick((8, 16), bright, True)),
        "strides 8, 16, rings; self-taught, strength 0.02": (
            self_taught(0.02),
            pick((8, 16), bright, True),
        ),
        "dark field, strides 8, 16, rings; logistic": (tuned, pick((8, 16), dark, True)),
        "both channels, strides 8, 16, rings; logistic": (tuned, pick((8, 16), both, True)),
    }
    if sizes > 1:
        found["second size, strides 8, 16, rings; logistic"] = (
            tuned,
            pick((8, 16), bright, True, 1),
        )
        found["all sizes, strides 8, 16, rings; logistic"] = (tuned, all_sizes)
    return found


def _vectors(size: int, kept: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    changes = [
        "data.channels=['brightfield', 'darkfield']",
        f"network.backbone.size={size}",
        f"network.backbone.strides={list(PYRAMID_STRIDES)}",
        f"network.backbone.rings={RINGS}",
        "frozen.views=1",
    ]
    experiment = load_toml(CONFIG, ColonyExperiment, changes)
    images = with_vectors(load_images(experiment, CONFIG.parent), experiment, kept, say=print)
    assert images.vectors is not None
    return images.vectors[:, 0, 0].astype(np.float64), images.labels, images.classes


def _folds(labels: np.ndarray) -> list[np.ndarray]:
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    dealt = dealt_folds([str(i) for i in order], 5, noun="image")
    return [np.array([int(name) for name in fold]) for fold in dealt]


def _judged(
    x: np.ndarray,
    labels: np.ndarray,
    folds: list[np.ndarray],
    head: Head,
    share: float,
    draw: int,
    classes: int,
) -> np.ndarray:
    """What every cell is called, int [N]."""
    said = np.empty(len(labels), int)
    for number, held in enumerate(folds):
        free = np.setdiff1d(np.arange(len(labels)), held)
        lent = _lent(free, labels, share, np.random.default_rng([draw, number]), classes)
        deviation = x[free].std(axis=0) + 1e-6
        # A dot product of two vectors is as large whatever their length.
        z = (x - x[free].mean(axis=0)) / deviation * np.sqrt(100 / x.shape[1])
        rest = z[np.setdiff1d(free, lent)]
        scores = head(z[lent], labels[lent], z[held], rest, classes)
        said[held] = scores.argmax(axis=1)
    return said


def _lent(
    free: np.ndarray, labels: np.ndarray, share: float, rng: np.random.Generator, classes: int
) -> np.ndarray:
    """Cells whose labels are learned; the share is of all cells, the held-out ones too."""
    part = min(1.0, share * len(labels) / len(free))
    own = [rng.permutation(free[labels[free] == c]) for c in range(classes)]
    return np.concatenate([k[: max(1, round(part * len(k)))] for k in own])


def _line(labels: np.ndarray, said: list[np.ndarray], classes: int) -> str:
    rng = np.random.default_rng(0)
    draws = [np.arange(len(labels))]
    draws += [rng.integers(0, len(labels), len(labels)) for _ in range(300)]
    each = np.array(
        [np.mean([recalls(labels[d], s[d], classes) for s in said], axis=0) for d in draws]
    )
    total = np.nanmean(each, axis=1)
    low, high = np.percentile(total[1:], [2.5, 97.5])
    common = np.bincount(labels) >= 40
    return (
        f"{total[0]:.3f} ({low:.3f} to {high:.3f})  40 or more {each[0, common].mean():.3f}  "
        f"recall {' '.join(f'{r:.2f}' for r in each[0])}"
    )


if __name__ == "__main__":
    main()
