"""What is minimized: cross-entropy of every target, of the films whose outcome is known."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ..task import Sums


def masked_entropies(
    logits: jax.Array, outcomes: jax.Array, known: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sums over films, so that parts of a batch add up and are divided once.

    Args:
        logits: float32 [B, targets, 2].
        outcomes: int32 [B, targets], 0 or 1; anything where nobody knows.
        known: bool [B, targets].

    Returns:
        Cross-entropy, films called rightly and films known, each float32 [targets].
    """
    # What is masked may hold anything: it must not reach the logarithm, nor its gradient.
    truth = jnp.where(known, outcomes, 0)
    logits = jnp.where(known[..., None], logits, 0.0)
    entropy = optax.softmax_cross_entropy_with_integer_labels(logits, truth)
    right = (logits[..., 1] > logits[..., 0]) == (truth == 1)
    weight = known.astype(jnp.float32)
    return (
        jnp.where(known, entropy, 0.0).sum(axis=0),
        (right * weight).sum(axis=0),
        weight.sum(axis=0),
    )


def divided(entropies: jax.Array, counts: jax.Array, weights: jax.Array) -> jax.Array:
    """The loss: a weighted sum of targets' mean entropies; a target nobody measured adds 0.

    Args:
        entropies: float32 [targets], sums.
        counts: float32 [targets].
        weights: float32 [targets].
    """
    return jnp.sum(weights * entropies / jnp.maximum(counts, 1.0))


def in_parts(
    function: Callable[..., tuple[jax.Array, ...]],
    parts: int,
    films: jax.Array,
    key: jax.Array,
    *beside: jax.Array,
) -> tuple[jax.Array, ...]:
    """Sums of a function over parts of a batch, of which one at a time is in memory.

    Each part is computed once more for the gradient, so that nothing of the others is kept. Sums
    are exact, whatever each part has measured: this is gradient accumulation without its error.

    Args:
        function: (films, key, *beside) to sums.
        parts: How many; the batch is a multiple of it.
        films: [B, ...].
        key: Each part gets one of its own.
        *beside: [B, ...], cut like the films.
    """
    if parts == 1:
        return function(films, key, *beside)
    cut = [each.reshape(parts, -1, *each.shape[1:]) for each in (films, *beside)]

    @jax.checkpoint
    def one(sums: tuple[jax.Array, ...], part: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        number, own_films, *own = part
        made = function(own_films, jax.random.fold_in(key, number), *own)
        return tuple(total + each for total, each in zip(sums, made, strict=True))

    shapes = jax.eval_shape(function, cut[0][0], key, *[each[0] for each in cut[1:]])
    zeros = tuple(jnp.zeros(shape.shape, shape.dtype) for shape in shapes)
    numbered = (jnp.arange(parts), *cut)
    return jax.lax.scan(lambda sums, part: (one(sums, part), None), zeros, numbered)[0]


def as_sums(
    targets: tuple[str, ...], entropies: jax.Array, right: jax.Array, counts: jax.Array
) -> Sums:
    """Diagnostics of every target, as (sum, count)."""
    sums: Sums = {}
    for number, target in enumerate(targets):
        sums[f"{target}/cross_entropy"] = (entropies[number], counts[number])
        sums[f"{target}/accuracy"] = (right[number], counts[number])
    return sums
