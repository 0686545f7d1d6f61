"""Whether networks that see time tell the onset better than a change point of what frames say.

    python benchmarks/onset_in_time.py WORKDIR [dic|ezrin|dic+ezrin]...

One protocol for all: what the frozen encoder of `configs/polarity.toml` sees of DIC frames or of
out-of-fold EZRIN (as in `benchmarks/ezrin.py`, whose WORKDIR this is), each of the eleven embryos
left out in turn. A bidirectional GRU and a transformer of two layers are shown 24 principal
components of the others' frames, or the log odds that logistic regressions give them, each of these
embryos left out of its own. They learn from clips that start anywhere, frames of an embryo and a
class weighing alike; five of each make an ensemble. Judged are whole recordings, and the clips of
`isl_eval.polarity.clips`, of which the networks are shown no more than the clip. Their posterior is
the change point's of what they say, its temper and spread calibrated on the other embryos.
"""

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ezrin import RESAMPLING, Ground, held_out_members, words_of
from flax import nnx

from isl.polarity.embryo import Embryo
from isl.polarity.model import logits_of_features
from isl.polarity.onset import find_onset
from isl_eval.polarity.clips import SHORTEST, clips_of
from isl_eval.statistics.bootstrap import bootstrap
from isl_eval.statistics.classification import accuracy, auc
from isl_train.polarity.logistic import Features, HeldOutEmbryo, alike, calibrate, fit_members

COMPONENTS = 24
WIDTH = 16
SEEDS = 5
STEPS = 300
RATE = 3e-3
DECAY = 1e-2
NOISE = 0.5
DROPPED = 0.3

Told = dict[tuple[str, int, int], np.ndarray]
"""Of an embryo from a frame to another, what every member says: float64 [M, T]."""


class Gru(nnx.Module):
    """Both directions side by side."""

    def __init__(self, depth: int, rngs: nnx.Rngs) -> None:
        """For sequences of so many numbers."""
        self.cells = nnx.List(nnx.GRUCell(depth, WIDTH, rngs=rngs) for _ in range(2))
        self.out = nnx.Linear(2 * WIDTH, 1, rngs=rngs)

    def __call__(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """float32 [B, T, F] of so many frames each to log odds [B, T]."""
        there = jnp.arange(x.shape[1])[:, None, None] < lengths[None, :, None]
        inputs = (jnp.moveaxis(x, 1, 0), there)
        start = jnp.zeros((x.shape[0], WIDTH))
        seen = []
        for cell, reverse in zip(self.cells, (False, True), strict=True):

            def step(carry, given, cell=cell):
                frame, is_there = given
                # Beyond the end nothing is remembered, so that backward a clip begins anew.
                carry = jnp.where(is_there, cell(carry, frame)[0], 0.0)
                return carry, carry

            seen.append(jax.lax.scan(step, start, inputs, reverse=reverse)[1])
        return jnp.moveaxis(self.out(jnp.concatenate(seen, axis=-1))[..., 0], 1, 0)


class Transformer(nnx.Module):
    """Two layers; a frame's place in its clip is told by sines."""

    def __init__(self, depth: int, rngs: nnx.Rngs) -> None:
        """For sequences of so many numbers."""
        width = 2 * WIDTH
        self.first = nnx.Linear(depth, width, rngs=rngs)
        self.attention = nnx.List(
            nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs) for _ in range(2)
        )
        self.wide = nnx.List(nnx.Linear(width, 2 * width, rngs=rngs) for _ in range(2))
        self.narrow = nnx.List(nnx.Linear(2 * width, width, rngs=rngs) for _ in range(2))
        self.norms = nnx.List(nnx.LayerNorm(width, rngs=rngs) for _ in range(5))
        self.out = nnx.Linear(width, 1, rngs=rngs)

    def __call__(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """As `Gru`."""
        places = jnp.arange(x.shape[1], dtype=jnp.float32)
        periods = 2.0 ** jnp.arange(1, WIDTH + 1)
        turns = 2 * jnp.pi * places[:, None] / periods[None]
        sines = jnp.concatenate([jnp.sin(turns), jnp.cos(turns)], axis=-1)
        h = self.first(x) + sines[None]
        there = (places[None] < lengths[:, None])[:, None, None, :]
        for layer, attend in enumerate(self.attention):
            h = h + attend(self.norms[2 * layer](h), mask=there)
            wide = jax.nn.gelu(self.wide[layer](self.norms[2 * layer + 1](h)))
            h = h + self.narrow[layer](wide)
        return self.out(self.norms[4](h))[..., 0]


Rows = dict[str, np.ndarray]
"""Of every embryo what is shown of its frames, float [T, F]."""


class Sequences:
    """Embryos as padded sequences, as one fold sees them.

    Attributes:
        x: float32 [N, T, F].
        after: bool [N, T].
        weights: float32 [N, T], 0 beyond the end; the two classes of an embryo weigh alike.
        lengths: int [N].
    """

    def __init__(self, embryos: Sequence[Embryo], rows: Rows, left_out: str) -> None:
        """Nothing of the embryo left out weighs anything."""
        self.lengths = np.array([len(e.after) for e in embryos])
        shape = (len(embryos), max(self.lengths))
        self.x = np.zeros((*shape, rows[left_out].shape[1]), np.float32)
        self.after = np.zeros(shape, bool)
        self.weights = np.zeros(shape, np.float32)
        for n, embryo in enumerate(embryos):
            own = slice(0, len(embryo.after))
            self.x[n, own] = rows[embryo.name]
            self.after[n, own] = embryo.after
            self.weights[n, own] = 0 if embryo.name == left_out else alike(embryo.after)


def components(embryos: Sequence[Embryo], features: Features, left_out: str) -> Rows:
    """The first principal components of the others' frames, each of deviation 1."""
    whole = {e.name: np.concatenate(features[e.name], axis=-1) for e in embryos}
    rows = np.concatenate([whole[e.name] for e in embryos if e.name != left_out])
    weights = np.concatenate([alike(e.after) for e in embryos if e.name != left_out])
    mean = np.average(rows, axis=0, weights=weights)
    scale = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights)) + 1e-6
    alone = np.sqrt(weights / weights.sum())[:, None]
    _, size, axes = np.linalg.svd((rows - mean) / scale * alone, full_matrices=False)
    project = axes[:COMPONENTS].T / size[:COMPONENTS]
    return {name: (own - mean) / scale @ project for name, own in whole.items()}


class Odds:
    """What members say of every embryo that were fitted without it and without another."""

    def __init__(self, embryos: Sequence[Embryo], features: Features, penalty: float) -> None:
        """Fits members without each pair of embryos, and without each alone."""
        self._said: dict[tuple[str, str], np.ndarray] = {}
        names = [e.name for e in embryos]
        for pair in itertools.combinations_with_replacement(names, 2):
            others = [e for e in embryos if e.name not in pair]
            members = fit_members(others, features, penalty)
            for name, other in (pair, pair[::-1]):
                logits = logits_of_features(members, features[name])
                self._said[name, other] = (logits[..., 1] - logits[..., 0]).T

    def __call__(self, embryos: Sequence[Embryo], features: Features, left_out: str) -> Rows:
        """As `components`."""
        del features
        return {e.name: self._said[e.name, left_out] for e in embryos}


def sequence_members(
    kind: type[Gru] | type[Transformer], embryos: Sequence[Embryo], rows: Callable[[str], Rows]
) -> Told:
    """What an ensemble without each embryo says of it, and of its clips."""
    folds = [Sequences(embryos, rows(embryo.name), embryo.name) for embryo in embryos]
    build = functools.partial(kind, folds[0].x.shape[-1])
    count = len(folds)
    x, after, weights = (
        jnp.asarray(np.repeat(np.stack([getattr(f, name) for f in folds]), SEEDS, axis=0))
        for name in ("x", "after", "weights")
    )
    lengths = jnp.asarray(folds[0].lengths)
    keys = jax.random.split(jax.random.key(0), count * SEEDS)
    graph, _, others = nnx.split(build(rngs=nnx.Rngs(0)), nnx.Param, ...)
    params = jax.vmap(lambda key: nnx.state(build(rngs=nnx.Rngs(key)), nnx.Param))(keys)
    step, told = _programs(graph, others, lengths)
    state = jax.vmap(OPTIMIZER.init)(params)
    for number in range(STEPS):
        params, state = step(params, state, x, after, weights, jax.random.fold_in(keys[0], number))
    found: Told = {}
    rng = np.random.default_rng(RESAMPLING.seed)
    for n, embryo in enumerate(embryos):
        own = slice(n * SEEDS, (n + 1) * SEEDS)
        mine = jax.tree.map(lambda leaf, own=own: leaf[own], params)
        cuts = [(0, len(embryo.after)), *clips_of(len(embryo.after), rng)]
        shown = np.zeros((len(cuts), *folds[n].x.shape[1:]), np.float32)
        for place, (first, last) in enumerate(cuts):
            shown[place, : last - first] = folds[n].x[n, first:last]
        ends = np.array([last - first for first, last in cuts])
        odds = np.asarray(told(mine, jnp.asarray(shown), jnp.asarray(ends)), np.float64)
        for place, (first, last) in enumerate(cuts):
            says = 0.5 * (1 + np.tanh(0.5 * odds[:, place, : last - first]))
            found[embryo.name, first, last] = says
    return found


OPTIMIZER = optax.adamw(RATE, weight_decay=DECAY)


def _programs(graph: nnx.GraphDef, others: nnx.State, lengths: jax.Array):
    """One update of all networks at once, and what some of them say."""

    def loss(params, x, after, weights, key):
        of_start, of_length, of_noise, of_drop = jax.random.split(key, 4)
        shortest = jnp.minimum(SHORTEST, lengths)
        share = jax.random.uniform(of_length, lengths.shape)
        length = shortest + (share * (lengths - shortest + 1)).astype(int)
        first = (jax.random.uniform(of_start, lengths.shape) * (lengths - length + 1)).astype(int)
        moved = jax.vmap(functools.partial(jnp.roll, axis=0))
        x, after, weights = (moved(each, -first) for each in (x, after, weights))
        kept = jax.random.bernoulli(of_drop, 1 - DROPPED, (x.shape[0], 1, x.shape[2]))
        x = (x + NOISE * jax.random.normal(of_noise, x.shape)) * kept / (1 - DROPPED)
        there = jnp.arange(x.shape[1])[None] < length[:, None]
        odds = nnx.merge(graph, params, others)(x, length)
        entropy = optax.sigmoid_binary_cross_entropy(odds, after.astype(jnp.float32))
        weights = weights * there
        return (weights * entropy).sum() / jnp.maximum(weights.sum(), 1e-6)

    @jax.jit
    def step(params, state, x, after, weights, key):
        def one(params, state, x, after, weights, key):
            slopes = jax.grad(loss)(params, x, after, weights, key)
            updates, state = OPTIMIZER.update(slopes, state, params)
            return optax.apply_updates(params, updates), state

        return jax.vmap(one)(params, state, x, after, weights, jax.random.split(key, len(x)))

    @jax.jit
    def told(params, x, ends):
        return jax.vmap(lambda own: nnx.merge(graph, own, others)(x, ends))(params)

    return step, told


def frame_members(embryos: Sequence[Embryo], features: Features, penalty: float) -> Told:
    """What logistic regressions say, for which a clip is a part of its recording."""
    found: Told = {}
    rng = np.random.default_rng(RESAMPLING.seed)
    for held in held_out_members(embryos, features, penalty):
        count = len(held.embryo.after)
        for first, last in [(0, count), *clips_of(count, rng)]:
            found[held.embryo.name, first, last] = held.members[:, first:last]
    return found


def joined(one: Told, other: Told) -> Told:
    """Members of both, each of the same weight in all."""
    return {
        key: np.concatenate(
            [np.repeat(says, len(other[key]), 0), np.repeat(other[key], len(says), 0)]
        )
        for key, says in one.items()
    }


def judge(name: str, told: Told, embryos: Sequence[Embryo]) -> None:
    """Prints how well whole recordings and clips are told, with intervals over embryos."""
    whole = [
        HeldOutEmbryo(embryo=e, members=told[e.name, 0, len(e.after)], novelty=1.0) for e in embryos
    ]
    columns: dict[str, list[np.ndarray]] = {key: [] for key in ("truth", "alone", "after", "n")}
    clips: dict[str, list[np.ndarray]] = {key: [] for key in ("truth", "after", "number", "n")}
    errors, held, widths = [], 0, []
    for n, embryo in enumerate(embryos):
        known = calibrate([*whole[:n], *whole[n + 1 :]])
        last = len(embryo.after)
        true = last if embryo.onset is None else embryo.onset
        for (group, first, end), says in told.items():
            if group != embryo.name:
                continue
            found = find_onset(says, rule="posterior", temper=known.temper, spread=known.spread)
            truth = embryo.after[first:end]
            marks = np.full(len(truth), n)
            if (first, end) == (0, last) and says is whole[n].members:
                high = last if found.high is None else found.high
                errors.append(abs((last if found.frame is None else found.frame) - true))
                held += found.low <= true <= high
                widths.append(high - found.low)
                rows = (truth, says.mean(axis=0), found.after, marks)
                for column, row in zip(columns.values(), rows, strict=True):
                    column.append(row)
            else:
                rows = (truth, found.after, np.arange(len(truth)), marks)
                for column, row in zip(clips.values(), rows, strict=True):
                    column.append(row)

    def scores(truth: np.ndarray, alone: np.ndarray, after: np.ndarray) -> dict[str, float | None]:
        return {
            "frames' own": auc(truth, alone),
            "their accuracy": accuracy(truth, alone > 0.5),
            "in time": auc(truth, after),
            "its accuracy": accuracy(truth, after > 0.5),
        }

    def of_clips(
        truth: np.ndarray, after: np.ndarray, number: np.ndarray
    ) -> dict[str, float | None]:
        own, rival = auc(truth, after), auc(truth, number.astype(float))
        lead = None if own is None or rival is None else own - rival
        return {"clips": own, "lead over the frame's number": lead}

    joint = {key: np.concatenate(parts) for key, parts in columns.items()}
    parts = {key: np.concatenate(each) for key, each in clips.items()}
    found = bootstrap(scores, [*joint.values()][:3], groups=joint["n"], **RESAMPLING.settings)
    found |= bootstrap(of_clips, [*parts.values()][:3], groups=parts["n"], **RESAMPLING.settings)
    print(name)
    print("    " + ", ".join(f"{key} {words_of(value)}" for key, value in found.items()))
    print(
        f"    onset {np.mean(errors):.2f} frames off {errors}, {held} of {len(embryos)} held, "
        f"{np.mean(widths):.1f} wide",
        flush=True,
    )


def main(workdir: Path, arms: Sequence[str]) -> None:
    """Judges all ways of looking at time, arm by arm."""
    ground = Ground(workdir)
    embryos = ground.embryos
    for arm in arms:
        features = ground.both() if arm == "dic+ezrin" else ground.features(arm)
        frames = frame_members(embryos, features, ground.experiment.penalty)
        judge(f"{arm}, change point", frames, embryos)
        ways = {
            "components": components,
            "odds": Odds(embryos, features, ground.experiment.penalty),
        }
        for (kind, network), (shown, way) in itertools.product(
            {"GRU": Gru, "transformer": Transformer}.items(), ways.items()
        ):
            told = sequence_members(network, embryos, functools.partial(way, embryos, features))
            judge(f"{arm}, {kind} of {shown}", told, embryos)
            judge(
                f"{arm}, {kind} of {shown} with the change point's members",
                joined(frames, told),
                embryos,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["dic"])
