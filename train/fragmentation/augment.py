"""Views turned, enlarged and relit, with their labels; pure and jitted with the loss."""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from isl.fragmentation.dataset import UNKNOWN

from .config import AugmentationConfig


def augmented(
    images: jax.Array, labels: jax.Array, config: AugmentationConfig, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Every view moved and relit in its own way.

    Args:
        images: float32 [B, S, S] in [0, 1].
        labels: uint8 [B, S, S]; moved by nearest neighbours, UNKNOWN beyond the border.
        config: How much.
        key: Of this batch.

    Returns:
        The same, of the same shapes.
    """
    of_place, of_light = jax.random.split(key)
    places = _places(images.shape[0], images.shape[1], config, of_place)
    image = functools.partial(map_coordinates, order=1, mode="nearest")
    label = functools.partial(map_coordinates, order=0, mode="constant", cval=UNKNOWN)
    moved = jax.vmap(lambda x, y, z: image(x, [y, z]))(images, *places)
    moved_labels = jax.vmap(lambda x, y, z: label(x, [y, z]))(labels, *places)
    return relit(moved, config, of_light), moved_labels


def relit(images: jax.Array, config: AugmentationConfig, key: jax.Array) -> jax.Array:
    """Contrast, brightness and noise changed; [B, S, S] in [0, 1] stays in [0, 1]."""
    of_contrast, of_brightness, of_level, of_noise = jax.random.split(key, 4)
    shape = (images.shape[0], 1, 1)
    gain = jnp.exp(config.contrast * jax.random.normal(of_contrast, shape))
    offset = config.brightness * jax.random.normal(of_brightness, shape)
    level = config.noise * jax.random.uniform(of_level, shape)
    noise = level * jax.random.normal(of_noise, images.shape)
    middle = images.mean(axis=(1, 2), keepdims=True)
    return jnp.clip(middle + gain * (images - middle) + offset + noise, 0, 1)


def _places(
    batch: int, size: int, config: AugmentationConfig, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Where every pixel of every view is taken from: rows and columns, each [B, S, S]."""
    of_flip, of_angle, of_scale, of_shift = jax.random.split(key, 4)
    flip = jnp.where(jax.random.bernoulli(of_flip, shape=(batch, 1, 1)), -1.0, 1.0)
    angle = jax.random.uniform(of_angle, (batch, 1, 1), minval=-1.0)
    angle = jnp.deg2rad(config.rotation) * angle
    scale = jnp.exp(config.scale * jax.random.uniform(of_scale, (batch, 1, 1), minval=-1.0))
    shift = config.shift * size * jax.random.uniform(of_shift, (2, batch, 1, 1), minval=-1.0)
    middle = (size - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(size) - middle, jnp.arange(size) - middle, indexing="ij")
    y, x = y[None], flip * x[None]
    cosine, sine = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    return cosine * y - sine * x + middle + shift[0], sine * y + cosine * x + middle + shift[1]
