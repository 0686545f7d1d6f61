"""What heads and vectors tell phases of the cell cycle best, behind an encoder as ImageNet left it.

    python benchmarks/cell_cycle.py CELLS.npz NAME=VECTORS.npy ... [--shares 1.0 0.1] [--draws 3]

VECTORS.npy is what `isl train configs/cell_cycle.toml` leaves in its folder (float32 [N, 1, 1 +
views, D]); other channels, sizes and strides are set there. Several joined by + are taken together
(a=1.npy b=2.npy a+b). Over five folds of what is given, each cell is judged once by heads that
learned of the other folds: all of their labels, or a share of them drawn several times. How
strongly a head is held back is chosen by folds inside what it learns of. Over the cells of the
other folds a vector has mean 0 and one deviation in every entry.

Prints balanced accuracy with a 95 % interval over cells, that of the classes of 40 cells or more,
and the recall of each class.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.svm import SVC

from isl_eval.statistics.folds import dealt_folds
from isl_train.colony.calibration import recalls

# Two vectors are some 200 apart, squared.
_GAMMA = 0.005
INNER = 3
# Of the sum of squared weights; smaller holds back more.
STRENGTHS = (0.005, 0.02, 0.1, 0.5)
Head = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(vectors learned of, their labels, those asked about, those without a label, classes) to scores
[asked, classes]."""


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


HEADS: dict[str, Head] = {
    "logistic": chosen(logistic),
    "logistic, 0.02": logistic(0.02),
    "logistic, 0.1": logistic(0.1),
    "self-taught, 0.02": self_taught(0.02),
    "support vectors": chosen(support_vectors),
}


def main() -> None:
    """Learns, judges and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("vectors", nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--heads", nargs="+", default=["logistic"], choices=list(HEADS))
    given = parser.parse_args()
    with np.load(given.cells) as stored:
        names, labels = np.unique(stored["phase"], return_inverse=True)
    sets: dict[str, np.ndarray] = {}
    for word in given.vectors:
        name, _, file = word.partition("=")
        if file:
            sets[name] = np.load(file, mmap_mode="r")[:, 0, 0].astype(np.float64)
        else:
            sets[name] = np.concatenate([sets[part] for part in name.split("+")], axis=1)
    folds = _folds(labels)
    for share in given.shares:
        for name, x in sets.items():
            for head in given.heads:
                said = [
                    _judged(x, labels, folds, HEADS[head], share, draw, len(names))
                    for draw in range(1 if share >= 1 else given.draws)
                ]
                line = _line(labels, said, len(names))
                print(f"{share:4.0%} {name + '; ' + head:44s} {line}", flush=True)


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
