"""Labels that lie a few pixels beside the light: moved, crop by crop, to where they fit best."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from isl.labeling import bins

Pixels = Callable[[jax.Array], jax.Array]
"""[B, Y, X, L] to the pixels of each example that count, [B, N, L]."""


def moved_labels(
    logits: jax.Array, targets: jax.Array, measured: jax.Array, pixels: Pixels, *, most: int
) -> tuple[jax.Array, jax.Array]:
    """Each label of each crop, moved by whole pixels to where the distributions' means fit it best.

    What is moved in over a crop's border was measured nowhere.

    Args:
        logits: float32 [B, N, L, 256], of the pixels that count.
        targets: float32 [B, Y, X, L].
        measured: bool [B, Y, X, L].
        pixels: What takes whole crops to the pixels that count.
        most: How far a label may lie off, in pixels, either way along rows and along columns.

    Returns:
        Targets and where they were measured, [B, N, L].
    """
    means = jax.lax.stop_gradient(bins.mean(jax.nn.softmax(logits, axis=-1)))
    steps = jnp.arange(-most, most + 1)
    # The nearest first, so that of equals the smallest move is taken.
    moves = jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    moves = moves[jnp.argsort(jnp.sum(moves**2, axis=-1), stable=True)]
    beyond = ((0, 0), (most, most), (most, most), (0, 0))
    wide, wide_measured = jnp.pad(targets, beyond), jnp.pad(measured, beyond)

    def moved(move: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = (0, most - move[0], most - move[1], 0)
        images = (wide, wide_measured)
        labels, there = (jax.lax.dynamic_slice(image, first, targets.shape) for image in images)
        return pixels(labels), pixels(there)

    def misfit(move: jax.Array) -> jax.Array:
        labels, there = moved(move)
        squares = jnp.where(there, jnp.square(means - labels), 0.0)
        return jnp.sum(squares, axis=1) / jnp.maximum(jnp.sum(there, axis=1), 1)

    best = jnp.argmin(jax.lax.map(misfit, moves), axis=0)

    def keep(
        kept: tuple[jax.Array, jax.Array], number_and_move: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        number, move = number_and_move
        labels, there = moved(move)
        taken = (best == number)[:, None, :]
        return (jnp.where(taken, labels, kept[0]), jnp.where(taken, there, kept[1])), None

    start = (pixels(targets), pixels(measured))
    kept, _ = jax.lax.scan(keep, start, (jnp.arange(len(moves)), moves))
    return kept
