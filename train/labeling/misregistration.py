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

    Moves are compared on what was measured after each of them, or one could win by moving out of
    the crop what does not fit; where there is nothing such, a label stays. What is moved in over a
    crop's border was measured nowhere.

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
    moves = jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    # The nearest first, so that of equals the smallest move is taken.
    moves = moves[jnp.argsort(jnp.sum(moves**2, axis=-1), stable=True)]
    beyond = ((0, 0), (most, most), (most, most), (0, 0))
    wide, wide_measured = jnp.pad(targets, beyond), jnp.pad(measured, beyond)

    def moved(image: jax.Array, move: jax.Array) -> jax.Array:
        first = (0, most - move[0], most - move[1], 0)
        return jax.lax.dynamic_slice(image, first, targets.shape)

    always = jnp.all(jax.lax.map(lambda move: pixels(moved(wide_measured, move)), moves), axis=0)

    def misfit(move: jax.Array) -> jax.Array:
        squares = jnp.square(means - pixels(moved(wide, move)))
        return jnp.sum(jnp.where(always, squares, 0.0), axis=1)

    best = moves[jnp.argmin(jax.lax.map(misfit, moves), axis=0)]

    def of_label(image: jax.Array, move: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, most - move, targets.shape[1:3])

    of_labels = jax.vmap(jax.vmap(of_label, in_axes=(-1, 0), out_axes=-1))
    return pixels(of_labels(wide, best)), pixels(of_labels(wide_measured, best))
