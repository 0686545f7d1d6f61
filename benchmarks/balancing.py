"""Whether balancing pseudo-labels helps: methods compared on vectors of a frozen backbone.

    python benchmarks/balancing.py VECTORS.npy CELLS.npz [--shares 0.01 0.1] [--seeds 2]

VECTORS.npy is what `isl eval configs/colony_mlcp.toml` leaves in OUT/vectors (float32 [N, 1,
1 + views, D]), CELLS.npz the data that they are of. A dense layer is trained over five folds by the
parts that `isl train` uses (`meta_update`, `drawn`), without its checkpoints and reports, so that
all of it takes a minute or two. No label is kept for validation: the last update counts.

Prints balanced accuracy, recall by class, how often calls of the rarest classes are right, and
differences with 95 % intervals over images.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from isl_eval.statistics.folds import dealt_folds
from isl_train.colony.balance import Balance, drawn
from isl_train.colony.calibration import confusion_of, recalls
from isl_train.colony.losses import confident, cross_entropy
from isl_train.colony.meta import MetaConfig, Pair, Patches, meta_update
from isl_train.optimizer import OptimizerConfig, build_optimizer

BATCH = 32
STEPS = 300
EPOCH = 50
OPTIMIZER = OptimizerConfig(kind="sgd", learning_rate=0.03, b1=0.9, weight_decay=0.1)
META = MetaConfig(uda_weight=2.0, uda_steps=200)
ARMS: dict[str, Balance | None] = {
    "supervised": None,
    "fixmatch": None,
    "mpl": "none",
    "ipb": "inverse",
    "ipb-smoothed": "smoothed",
    "ipb-prior": "prior_corrected",
}
PAIRS = (
    ("fixmatch", "supervised"),
    ("mpl", "supervised"),
    ("ipb", "supervised"),
    ("ipb", "mpl"),
    ("ipb-smoothed", "mpl"),
    ("ipb-prior", "mpl"),
)


def apply(params, state, x):
    """A dense layer: vectors [B, D] to logits [B, K]; there is no state."""
    return x @ params["kernel"] + params["bias"], state


def fresh(depth: int, classes: int) -> dict[str, jax.Array]:
    """A layer that says nothing of any class."""
    return {"kernel": jnp.zeros((depth, classes)), "bias": jnp.zeros(classes)}


def optimizer():
    """Momentum, with the rate as a keyword."""
    return build_optimizer(OPTIMIZER, fresh(1, 1), steps=STEPS)


def rate(step: jax.Array) -> jax.Array:
    """Half a cosine."""
    return OPTIMIZER.learning_rate * (0.05 + 0.95 * 0.5 * (1 + jnp.cos(jnp.pi * step / STEPS)))


def batch(key: jax.Array, views: jax.Array, labels: jax.Array, chances: jax.Array):
    """A batch of labelled images by their chances, any of their views."""
    which, view = jax.random.split(key)
    index = jax.random.choice(which, len(chances), (BATCH,), p=chances)
    return any_view(view, views, index), labels[index]


def any_view(key: jax.Array, views: jax.Array, index: jax.Array) -> jax.Array:
    """Any view of some images."""
    return views[index, jax.random.randint(key, (len(index),), 0, views.shape[1])]


@functools.partial(jax.jit, static_argnames=("classes", "fixmatch"))
def supervised(key, views, labels, chances, unlabelled, *, classes: int, fixmatch: bool):
    """Learns labels; with `fixmatch` its own sure calls on unlabelled images, too."""
    change = optimizer()
    first = fresh(views.shape[-1], classes)

    def loss(params, x, y, plain, strong):
        value = cross_entropy(apply(params, {}, x)[0], y).mean()
        if fixmatch:
            soft = jax.lax.stop_gradient(jax.nn.softmax(apply(params, {}, plain)[0]))
            own = cross_entropy(apply(params, {}, strong)[0], soft.argmax(axis=-1))
            value += (own * confident(soft, META.threshold)).mean()
        return value

    def step(carry, number):
        params, moments = carry
        one, two, three = jax.random.split(jax.random.fold_in(key, number), 3)
        x, y = batch(one, views, labels, chances)
        index = jax.random.choice(two, len(unlabelled), (BATCH,), p=unlabelled)
        gradients = jax.grad(loss)(params, x, y, views[index, 0], any_view(three, views, index))
        updates, moments = change.update(gradients, moments, params, learning_rate=rate(number))
        return (optax.apply_updates(params, updates), moments), None

    return jax.lax.scan(step, (first, change.init(first)), jnp.arange(STEPS))[0][0]


@jax.jit
def epoch(key, params, moments, first, views, labels, chances, chosen):
    """Teacher and student over one epoch's images, int [EPOCH, BATCH]."""

    def step(carry, given):
        params, moments = carry
        number, index = given
        one, two = jax.random.split(jax.random.fold_in(key, number))
        x, y = batch(one, views, labels, chances)
        patches = Patches(
            labelled=x, labels=y, plain=views[index, 0], augmented=any_view(two, views, index)
        )
        rates = Pair(teacher=rate(number), student=rate(number) * jnp.minimum(1, number / EPOCH))
        nothing = Pair(teacher={}, student={})
        params, _, moments, _ = meta_update(
            apply, optimizer(), params, nothing, moments, patches, number, rates, META
        )
        return (params, moments), None

    numbers = first + jnp.arange(EPOCH)
    return jax.lax.scan(step, (params, moments), (numbers, chosen))[0]


def train(arm: str, key, views, labels, lent: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Trains an arm; returns what it calls every image."""
    classes = int(labels.max()) + 1
    counts = np.bincount(labels[lent], minlength=classes)
    chances = np.zeros(len(labels))
    chances[lent] = 1 / counts[labels[lent]] / (counts > 0).sum()
    spread = np.zeros(len(labels))
    spread[rest] = 1 / max(1, len(rest))
    known = jnp.asarray(labels)
    chances, spread = jnp.asarray(chances, jnp.float32), jnp.asarray(spread, jnp.float32)
    balance = ARMS[arm]
    first = supervised(
        key, views, known, chances, spread, classes=classes, fixmatch=arm == "fixmatch"
    )
    if balance is None:
        return np.asarray(apply(first, {}, views[:, 0])[0].argmax(axis=1))
    change = optimizer()
    params = Pair(teacher=first, student=fresh(views.shape[-1], classes))
    moments = Pair(teacher=change.init(first), student=change.init(params.student))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    for number in range(0, STEPS, EPOCH):
        said = np.asarray(apply(params.teacher, {}, views[:, 0])[0].argmax(axis=1))
        # No label is left over to measure the confusion on but those that were learned.
        confusion = np.array(confusion_of(labels[lent], said[lent], classes))
        index = rest[drawn(said[rest], classes, balance, rng, confusion=confusion)]
        chosen = jnp.asarray(np.resize(index, (EPOCH, BATCH)))
        params, moments = epoch(
            jax.random.fold_in(key, 1), params, moments, number, views, known, chances, chosen
        )
    return np.asarray(apply(params.student, {}, views[:, 0])[0].argmax(axis=1))


def interval(values: np.ndarray) -> str:
    """Mean and 95 % of bootstrap draws."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("cells")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.05, 0.1, 1.0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    given = parser.parse_args()
    every = np.load(given.vectors)[:, 0]
    with np.load(given.cells) as stored:
        names, labels = np.unique(stored["phase"], return_inverse=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = [
        np.array([int(name) for name in fold])
        for fold in dealt_folds([str(i) for i in order], given.folds, noun="image")
    ]
    draws = [np.arange(len(labels))] + [
        rng.integers(0, len(labels), len(labels)) for _ in range(300)
    ]
    print("classes:", ", ".join(names))
    for share in given.shares:
        arms = [arm for arm in ARMS if share < 1 or arm == "supervised"]
        said = {arm: np.zeros((given.seeds, len(labels)), int) for arm in arms}
        for seed in range(given.seeds):
            for number, held in enumerate(folds):
                free = np.setdiff1d(np.arange(len(labels)), held)
                own = np.random.default_rng([seed, number])
                part = min(1.0, share * len(labels) / len(free))
                lent = np.concatenate(
                    [
                        own.permutation(k)[: max(1, round(part * len(k)))]
                        for k in (free[labels[free] == c] for c in range(len(names)))
                    ]
                )
                rest = np.setdiff1d(free, lent)
                mean, deviation = every[free, 0].mean(axis=0), every[free, 0].std(axis=0)
                views = jnp.asarray((every - mean) / (deviation + 1e-3))
                for arm in arms:
                    key = jax.random.key(100 * seed + number)
                    said[arm][seed, held] = train(arm, key, views, labels, lent, rest)[held]
        judged = {
            arm: np.array(
                [
                    np.mean([recalls(labels[d], s[d], len(names)) for s in own], axis=0)
                    for d in draws
                ]
            )
            for arm, own in said.items()
        }
        common = np.bincount(labels) >= 40
        for arm, values in judged.items():
            right = [
                np.mean([(labels[s == c] == c).mean() if (s == c).any() else 0 for s in said[arm]])
                for c in range(len(names))
            ]
            print(
                f"{share:.0%} {arm}: {interval(values.mean(axis=1))}; classes of 40 or more "
                f"{interval(values[:, common].mean(axis=1))}; recall "
                f"{' '.join(f'{r:.2f}' for r in values[0])}; precision "
                f"{' '.join(f'{r:.2f}' for r in right)}",
                flush=True,
            )
        for one, other in PAIRS:
            if one in judged:
                gap = judged[one] - judged[other]
                print(
                    f"{share:.0%} {one} - {other}: {interval(gap.mean(axis=1))}; classes of 40 or "
                    f"more {interval(gap[:, common].mean(axis=1))}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
