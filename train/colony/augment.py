"""What happens to patches in training, on the device: each thing to some of them, independently."""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from .config import AugmentConfig

_BLUR_REACH = 3


def seen(patches: jax.Array) -> jax.Array:
    """uint8 [B, Y, X, C] as the network sees them; as `isl.colony.patches.standardized`."""
    values = patches.astype(jnp.float32) / 255
    means = values.mean(axis=(1, 2), keepdims=True)
    deviations = values.std(axis=(1, 2), keepdims=True)
    return (values - means) / (deviations + 1e-3)


def augmented(patches: jax.Array, config: AugmentConfig, key: jax.Array) -> jax.Array:
    """Standardized patches float32 [B, Y, X, C], each flipped, turned, blurred, ... or not."""
    keys = iter(jax.random.split(key, 12))
    count = patches.shape[0]

    def chosen() -> jax.Array:
        return jax.random.bernoulli(next(keys), config.probability, (count, 1, 1, 1))

    def one_each(low: float, high: float) -> jax.Array:
        return jax.random.uniform(next(keys), (count, 1, 1, 1), minval=low, maxval=high)

    x = jnp.where(chosen(), patches[:, ::-1], patches)
    x = jnp.where(chosen(), x[:, :, ::-1], x)
    turned = chosen()
    angle = jnp.deg2rad(jnp.where(turned, one_each(0.0, config.rotation), 0.0))
    x = rotated(x, angle[:, 0, 0, 0])
    gain = jnp.where(chosen(), one_each(1 - config.contrast, 1 + config.contrast), 1.0)
    offset = jnp.where(chosen(), one_each(-config.brightness, config.brightness), 0.0)
    means = x.mean(axis=(1, 2), keepdims=True)
    x = (x - means) * gain + means + offset
    width = jnp.where(chosen(), one_each(0.0, config.blur), 0.0)
    return blurred(x, width)


def rotated(patches: jax.Array, angle: jax.Array) -> jax.Array:
    """Patches [B, Y, X, C] turned about their middle by angles [B], mirrored at the border."""
    rows, columns = patches.shape[1:3]
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    y, x = jnp.meshgrid(
        jnp.arange(rows) - middle[0], jnp.arange(columns) - middle[1], indexing="ij"
    )

    def turn(image: jax.Array, angle: jax.Array) -> jax.Array:
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        places = [cosine * y - sine * x + middle[0], sine * y + cosine * x + middle[1]]
        sample = functools.partial(map_coordinates, coordinates=places, order=1, mode="reflect")
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(turn)(patches, angle)


def blurred(patches: jax.Array, width: jax.Array) -> jax.Array:
    """Patches [B, Y, X, C] after a Gaussian of their own width [B, 1, 1, 1] in pixels."""
    steps = range(-_BLUR_REACH, _BLUR_REACH + 1)
    safe = jnp.maximum(width, 1e-3)
    taps = [jnp.exp(-0.5 * (step / safe) ** 2) for step in steps]
    total = sum(taps)
    for axis in (1, 2):
        border = [(0, 0)] * 4
        border[axis] = (_BLUR_REACH, _BLUR_REACH)
        padded = jnp.pad(patches, border, mode="reflect")
        length = patches.shape[axis]
        patches = jnp.zeros_like(patches)
        for i, tap in enumerate(taps):
            patches += tap / total * jax.lax.slice_in_dim(padded, i, i + length, axis=axis)
    return patches
