"""Views moved and lit anew, each in its own way, on the device."""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from .config import SightConfig


def moved(views: jax.Array, sight: SightConfig, key: jax.Array) -> jax.Array:
    """Every view [B, Y, X, C] mirrored, turned, scaled and shifted in its own way."""
    batch, size = views.shape[:2]
    of_flip, of_angle, of_scale, of_shift = jax.random.split(key, 4)
    flip = jnp.where(jax.random.bernoulli(of_flip, shape=(batch,)), -1.0, 1.0)
    angle = jnp.deg2rad(sight.rotation) * jax.random.uniform(of_angle, (batch,), minval=-1.0)
    if sight.turned < 1:
        angle *= jax.random.bernoulli(jax.random.fold_in(of_angle, 1), sight.turned, (batch,))
    upset = jnp.ones(batch)
    if sight.flip_rows:
        upset -= 2.0 * jax.random.bernoulli(jax.random.fold_in(of_flip, 1), shape=(batch,))
    scale = 1 + sight.scale * jax.random.uniform(of_scale, (batch,), minval=-1.0)
    shift = sight.shift * size * jax.random.uniform(of_shift, (batch, 2), minval=-1.0)
    middle = (size - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(size) - middle, jnp.arange(size) - middle, indexing="ij")

    def move(
        image: jax.Array,
        flip: jax.Array,
        upset: jax.Array,
        angle: jax.Array,
        scale: jax.Array,
        by: jax.Array,
    ):
        cosine, sine = scale * jnp.cos(angle), scale * jnp.sin(angle)
        places = [
            cosine * upset * y - sine * flip * x + (by[0] + middle),
            sine * upset * y + cosine * flip * x + (by[1] + middle),
        ]
        sample = functools.partial(map_coordinates, coordinates=places, order=1, mode="reflect")
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(move)(views, flip, upset, angle, scale, shift)


def relit(views: jax.Array, sight: SightConfig, key: jax.Array) -> jax.Array:
    """Every channel of every view with its own contrast and brightness.

    Views are standardized first if the member's are; the first of `standardize` counts.
    """
    means = views.mean(axis=(1, 2), keepdims=True)
    deviations = views.std(axis=(1, 2), keepdims=True) + 1e-3
    shape = (views.shape[0], 1, 1, views.shape[-1])
    of_contrast, of_brightness = jax.random.split(key)
    gain = jnp.exp(sight.contrast * jax.random.normal(of_contrast, shape))
    offset = sight.brightness * jax.random.normal(of_brightness, shape)
    lit = (views - means) / deviations * gain + offset
    return lit if sight.standardize[0] else means + deviations * lit
