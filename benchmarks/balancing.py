"""Whether balancing pseudo-labels helps: methods compared on vectors of a frozen backbone.

    python benchmarks/balancing.py VECTORS.npy CELLS.npz [--shares 0.01 0.1] [--seeds 2]
        [--steps 300] [--rate 0.03] [--decay 0.1] [--threshold 0.65] [--meta-weight 1]

VECTORS.npy is what `isl eval configs/colony_mlcp.toml` leaves in OUT/vectors (float32 [N, 1,
1 + views, D]), CELLS.npz the data that they are of. A dense layer is trained over five folds by the
parts that `isl train` uses (`meta_update`, `drawn`), without its checkpoints and reports, so that
all of it takes a minute or two. No label is kept for validation: the last update counts.

Prints balanced accuracy, recall by class, how often calls of the rarest classes are right, and
differences with 95 % intervals over images.
"""

import argparse
import dataclasses
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
EPOCH = 50
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How every arm is trained.

    Attributes:
        steps: Updates, a multiple of `EPOCH`; of teacher and student as many again.
        rate: Learning rate at first.
        decay: Weight decay.
        threshold: Less sure pseudo-labels are not learned.
        meta_weight: Of what the student's benefit teaches the teacher.
    """

    steps: int = 300
    rate: float = 0.03
    decay: float = 0.1
    threshold: float = 0.65
    meta_weight: float = 1.0

    @property
    def optimizer(self):
        """Momentum, with the rate as a keyword."""
        config = OptimizerConfig(
            kind="sgd", learning_rate=self.rate, b1=0.9, weight_decay=self.decay
        )
        return build_optimizer(config, fresh(1, 1), steps=self.steps)

    @property
    def meta(self) -> MetaConfig:
        """How teacher and student teach each other."""
        return MetaConfig(
            uda_weight=2.0,
            uda_steps=200,
            threshold=self.threshold,
            uda_threshold=self.threshold,
            meta_weight=self.meta_weight,
        )

    def rate_at(self, step: jax.Array) -> jax.Array:
        """Half a cosine."""
        return self.rate * (0.05 + 0.95 * 0.5 * (1 + jnp.cos(jnp.pi * step / self.steps)))


def apply(params, state, x):
    """A dense layer: vectors [B, D] to logits [B, K]; there is no state."""
    return x @ params["kernel"] + params["bias"], state


def fresh(depth: int, classes: int) -> dict[str, jax.Array]:
    """A layer that says nothing of any class."""
    return {"kernel": jnp.zeros((depth, classes)), "bias": jnp.zeros(classes)}


def batch(key: jax.Array, views: jax.Array, labels: jax.Array, chances: jax.Array):
    """A batch of labelled images by their chances, any of their views."""
    which, view = jax.random.split(key)
    index = jax.random.choice(which, len(chances), (BATCH,), p=chances)
    return any_view(view, views, index), labels[index]


def any_view(key: jax.Array, views: jax.Array, index: jax.Array) -> jax.Array:
    """Any view of some images."""
    return views[index, jax.random.randint(key, (len(index),), 0, views.shape[1])]


@functools.partial(jax.jit, static_argnames=("classes", "fixmatch", "settings"))
def supervised(key, views, labels, chances, unlabelled, *, classes: int, fixmatch: bool, settings):
    """Learns labels; with `fixmatch` its own sure calls on unlabelled images, too."""
    change = settings.optimizer
    first = fresh(views.shape[-1], classes)

    def loss(params, x, y, plain, strong):
        value = cross_entropy(apply(params, {}, x)[0], y).mean()
        if fixmatch:
            soft = jax.lax.stop_gradient(jax.nn.softmax(apply(params, {}, plain)[0]))
            own = cross_entropy(apply(params, {}, strong)[0], soft.argmax(axis=-1))
            value += (own * confident(soft, settings.threshold)).mean()
        return value

    def step(carry, number):
        params, moments = carry
        one, two, three = jax.random.split(jax.random.fold_in(key, number), 3)
        x, y = batch(one, views, labels, chances)
        index = jax.random.choice(two, len(unlabelled), (BATCH,), p=unlabelled)
        gradients = jax.grad(loss)(params, x, y, views[index, 0], any_view(three, views, index))
        updates, moments = change.update(
            gradients, moments, params, learning_rate=settings.rate_at(number)
        )
        return (optax.apply_updates(params, updates), moments), None

    return jax.lax.scan(step, (first, change.init(first)), jnp.arange(settings.steps))[0][0]


@functools.partial(jax.jit, static_argnames="settings")
def epoch(key, params, moments, first, views, labels, chances, chosen, settings):
    """Teacher and student over one epoch's images, int [EPOCH, BATCH]."""

    def step(carry, given):
        params, moments = carry
        number, index = given
        one, two = jax.random.split(jax.random.fold_in(key, number))
        x, y = batch(one, views, labels, chances)
        patches = Patches(
            labelled=x, labels=y, plain=views[index, 0], augmented=any_view(two, views, index)
        )
        rate = settings.rate_at(number)
        rates = Pair(teacher=rate, student=rate * jnp.minimum(1, number / EPOCH))
        nothing = Pair(teacher={}, student={})
        params, _, moments, _ = meta_update(
            apply,
            settings.optimizer,
            params,
            nothing,
            moments,
            patches,
            number,
            rates,
            settings.meta,
        )
        return (params, moments), None

    numbers = first + jnp.arange(EPOCH)
    return jax.lax.scan(step, (params, moments), (numbers, chosen))[0]


def train(
    arm: str, key, views, labels, lent: np.ndarray, rest: np.ndarray, settings: Settings
) -> np.ndarray:
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
        key,
        views,
        known,
        chances,
        spread,
        classes=classes,
        fixmatch=arm == "fixmatch",
        settings=settings,
    )
    if balance is None:
        return np.asarray(apply(first, {}, views[:, 0])[0].argmax(axis=1))
    change = settings.optimizer
    params = Pair(teacher=first, student=fresh(views.shape[-1], classes))
    moments = Pair(teacher=change.init(first), student=change.init(params.student))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    for number in range(0, settings.steps, EPOCH):
        said = np.asarray(apply(params.teacher, {}, views[:, 0])[0].argmax(axis=1))
        # No label is left over to measure the confusion on but those that were learned.
        confusion = np.array(confusion_of(labels[lent], said[lent], classes))
        index = rest[drawn(said[rest], classes, balance, rng, confusion=confusion)]
        chosen = jnp.asarray(np.resize(index, (EPOCH, BATCH)))
        params, moments = epoch(
            jax.random.fold_in(key, 1),
            params,
            moments,
            number,
            views,
            known,
            chances,
            chosen,
            settings,
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
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    for field in dataclasses.fields(Settings):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=type(field.default), default=field.default)
    given = parser.parse_args()
    settings = Settings(**{f.name: getattr(given, f.name) for f in dataclasses.fields(Settings)})
    print(settings)
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
        arms = [arm for arm in given.arms if share < 1 or arm == "supervised"]
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
                    said[arm][seed, held] = train(arm, key, views, labels, lent, rest, settings)[
                        held
                    ]
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
            if one in judged and other in judged:
                gap = judged[one] - judged[other]
                print(
                    f"{share:.0%} {one} - {other}: {interval(gap.mean(axis=1))}; classes of 40 or "
                    f"more {interval(gap[:, common].mean(axis=1))}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
