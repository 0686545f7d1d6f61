"""Valid convolutions in the form that is fastest on the device.

An accelerator's own library knows best. XLA's convolutions for CPUs do not: on planes of many
pixels and few channels they reach 20 to 45 GFLOP/s where the processor's matrix product reaches
200, and their filter gradients are no better. So on a CPU a convolution is a loop over blocks of a
few rows: the patches under the kernel are laid out as one matrix that still fits into the cache,
and multiplied; in training, small images are taken whole. `benchmarks/convolution.py` measures it.
Compiling such a loop takes longer than compiling one convolution, so it is for networks of few,
large ones.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# Patch matrices of about this many numbers (1 MiB) stay in the second-level cache.
_PATCH_NUMBERS = 250_000
# Forward, several threads share a block, and larger ones are up to half as fast again.
_FORWARD_NUMBERS = 1_000_000
# Larger images are faster in blocks of rows.
_IMAGE_NUMBERS = 1_000_000


@jax.custom_vjp
def blocked_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution of stride 1 without padding.

    Args:
        x: float [B, Y, X, C].
        kernel: float [K, K, C, D], of the type of x.

    Returns:
        float [B, Y - K + 1, X - K + 1, D].
    """
    return lax.platform_dependent(x, kernel, cpu=_by_rows, default=native_convolution)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _in_training(x, kernel), (x, kernel)


def _backward(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    border = kernel.shape[0] - 1
    padded = jnp.pad(gradient, ((0, 0), (border, border), (border, border), (0, 0)))
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    filter_gradient = functools.partial(_blocked_filter_gradient, size=kernel.shape[0])
    native_filter_gradient = functools.partial(_native_filter_gradient, kernel=kernel)
    return (
        _in_training(padded, turned),
        lax.platform_dependent(x, gradient, cpu=filter_gradient, default=native_filter_gradient),
    )


blocked_convolution.defvjp(_forward, _backward)


def native_convolution(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """XLA's own convolution without padding; arguments as in `blocked_convolution`."""
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _native_filter_gradient(x: jax.Array, gradient: jax.Array, kernel: jax.Array) -> jax.Array:
    (result,) = jax.vjp(functools.partial(native_convolution, x), kernel)[1](gradient)
    return result


def _in_training(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `blocked_convolution`; small images, as crops are, in the faster of two ways.

    Prediction has one way for images of all sizes, so that tiles of any size agree to the bit.
    """
    size, _, depth_in, depth = kernel.shape
    an_image = x.shape[1] * x.shape[2] * size * max(depth_in, depth)
    images = max(1, min(x.shape[0], _PATCH_NUMBERS // an_image))
    by_images = functools.partial(_by_images, images=images)
    fastest = _by_rows if an_image > _IMAGE_NUMBERS else by_images
    return lax.platform_dependent(x, kernel, cpu=fastest, default=native_convolution)


def _by_images(x: jax.Array, kernel: jax.Array, images: int) -> jax.Array:
    """A few small images at a time: a third of the copying that patches need.

    The columns under the kernel are laid side by side and multiplied with the kernel's rows, which
    stand side by side too. Each row of the kernel thus gives an image; shifted, they are added up.
    """
    size, _, depth_in, depth = kernel.shape
    count, height, width = x.shape[0], x.shape[1] - size + 1, x.shape[2] - size + 1
    matrix = kernel.transpose(1, 2, 0, 3).reshape(size * depth_in, size * depth)

    def block(index: jax.Array, result: jax.Array) -> jax.Array:
        # The last block starts earlier than its turn, so that it holds as many as the others.
        first = jnp.minimum(index * images, count - images)
        read = lax.dynamic_slice_in_dim(x, first, images)
        beside = jnp.concatenate([read[:, :, at : at + width] for at in range(size)], axis=-1)
        product = (beside.reshape(-1, size * depth_in) @ matrix).reshape(
            images, height + size - 1, width, size * depth
        )
        rows = (
            product[:, row : row + height, :, row * depth : (row + 1) * depth]
            for row in range(size)
        )
        return lax.dynamic_update_slice_in_dim(result, sum(rows), first, axis=0)

    empty = jnp.zeros((count, height, width, depth), x.dtype)
    return lax.fori_loop(0, -(-count // images), block, empty)


def _by_rows(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A few rows of all images at a time, by the patches under the kernel."""
    size, _, depth_in, depth = kernel.shape
    batch, height, width = x.shape[0], x.shape[1] - size + 1, x.shape[2] - size + 1
    rows = _rows_per_block(_FORWARD_NUMBERS, height, batch * width * size**2 * depth_in)
    matrix = kernel.reshape(-1, depth)

    def block(index: jax.Array, result: jax.Array) -> jax.Array:
        # The last block starts earlier than its turn, so that it is as high as the others.
        top = jnp.minimum(index * rows, height - rows)
        product = (_patches(x, top, rows, size) @ matrix).reshape(batch, rows, width, depth)
        return lax.dynamic_update_slice_in_dim(result, product, top, axis=1)

    empty = jnp.zeros((batch, height, width, depth), x.dtype)
    return lax.fori_loop(0, -(-height // rows), block, empty)


def _blocked_filter_gradient(x: jax.Array, gradient: jax.Array, size: int) -> jax.Array:
    batch, height, width, depth = gradient.shape
    depth_in = x.shape[-1]
    rows = _rows_per_block(_PATCH_NUMBERS, height, batch * width * size**2 * depth_in)

    def part(top: jax.Array | int, rows: int) -> jax.Array:
        of_block = lax.dynamic_slice_in_dim(gradient, top, rows, axis=1).reshape(-1, depth)
        # The tall matrix stands on the right: transposed on the left, it takes three times as long.
        return of_block.T @ _patches(x, top, rows, size)

    total = lax.fori_loop(
        0,
        height // rows,
        lambda index, total: total + part(index * rows, rows),
        jnp.zeros((depth, size * size * depth_in), x.dtype),
    )
    if height % rows:
        total = total + part(height - height % rows, height % rows)
    return total.T.reshape(size, size, depth_in, depth)


def _rows_per_block(numbers: int, height: int, a_row: int) -> int:
    return max(1, min(height, numbers // a_row))


def _patches(x: jax.Array, top: jax.Array | int, rows: int, size: int) -> jax.Array:
    """The pixels under the kernel for `rows` rows from `top`: [B * rows * width, K * K * C]."""
    width = x.shape[2] - size + 1
    band = lax.dynamic_slice_in_dim(x, top, rows + size - 1, axis=1)
    shifted = [
        band[:, row : row + rows, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    patches = jnp.concatenate(shifted, axis=-1)
    return patches.reshape(-1, patches.shape[-1])
