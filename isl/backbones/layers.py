"""The layers both networks are made of: valid convolutions, batch norm, and centre crops."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from isl.backbones import networks
from isl.backbones.convolution import blocked_convolution, native_convolution
from isl.backbones.networks import Compute
from isl.backbones.portable import is_portable

BATCH_NORM_EPSILON = 1e-3
Activation = Literal["relu", "tanh", "mirror_relu"]
# So many numbers (2 MiB) stay in a processor's second-level cache.
_BAND_NUMBERS = 2**19
_ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "mirror_relu": lambda x: jnp.minimum(x, 0),
}


def batch_norm(depth: int, compute: Compute, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch norm with scale and offset over the last axis (specification, section 2)."""
    return networks.batch_norm(depth, compute, BATCH_NORM_EPSILON, rngs=rngs)


class ValidConv(nnx.Module):
    """A convolution without padding: [B, Y, X, depth_in] to [B, y, x, depth_out].

    Attributes:
        padded: Whether pixels at the border are repeated beyond it, so that Y x X come out; see
            `isl.labeling.network.LabelingNetwork.padded`.
    """

    def __init__(
        self,
        depth_in: int,
        depth_out: int,
        kernel: int,
        compute: Compute,
        *,
        stride: int = 1,
        use_bias: bool = False,
        blocked: bool = False,
    ) -> None:
        """Weights of 0, which `isl.labeling.network.build_network` or a model's file replace.

        `blocked` is for few convolutions of many channels (stride 1): faster to run on a CPU, but
        slower to compile, which a network of a hundred small modules cannot afford.
        """
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, depth_in, depth_out)))
        self.bias = nnx.Param(jnp.zeros(depth_out)) if use_bias else None
        self.stride = stride
        self.blocked = blocked
        self.padded = False
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if self.padded:
            x = repeat_border(x, kernel.shape[0] // 2, kernel.shape[0] // 2)
        if is_portable():
            result = native_convolution(x, kernel, self.stride)
        elif kernel.shape[0] == 1:
            # As one matrix: on a CPU the gradient of anything else costs five times as much.
            result = (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], -1)
        elif self.blocked:
            result = blocked_convolution(x, kernel)
        else:
            result = native_convolution(x, kernel, self.stride)
        if self.bias is None:
            return result
        return result + self.bias[...].astype(self.dtype).reshape(1, 1, 1, -1)


def by_bands(
    function: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    *,
    overlap: int,
    stride: int,
    scale: int,
    depth: int,
    numbers: int,
) -> jax.Array:
    """`function(x)`, a few rows or a few images at a time where a CPU computes.

    What lies between the layers of `function` then never leaves the cache. A GPU gets all at once.

    Args:
        function: Local and valid: from any `overlap + n * stride` rows it gives those `scale * n`
            rows that they have in `function(x)`; the same of columns.
        x: [B, Y, X, C].
        overlap: See above, as for `stride` and `scale`.
        stride: Rows read for each step.
        scale: Rows given for each step.
        depth: Channels of the result.
        numbers: Held at a time for each pixel of the result.

    Returns:
        [B, y, x, depth].
    """
    if is_portable():
        return function(x)
    batch = x.shape[0]
    steps, columns = ((n - overlap) // stride for n in x.shape[1:3])
    pixels = max(1, _BAND_NUMBERS // numbers)
    a_row = columns * scale**2
    images = max(1, min(batch, pixels // (a_row * steps)))
    high = max(1, min(steps, pixels // (a_row * images)))
    bands = -(-steps // high)
    if jax.default_backend() != "cpu" or (images, high) == (batch, steps):
        return function(x)

    def band(index: jax.Array, result: jax.Array) -> jax.Array:
        # The last ones begin earlier than their turn, so that all have one size.
        first = jnp.minimum(index // bands * images, batch - images)
        top = jnp.minimum(index % bands * high, steps - high)
        size = (images, overlap + high * stride, *x.shape[2:])
        rows = lax.dynamic_slice(x, (first, top * stride, 0, 0), size)
        return lax.dynamic_update_slice(result, function(rows), (first, top * scale, 0, 0))

    result = jnp.zeros((batch, steps * scale, columns * scale, depth), x.dtype)
    return lax.fori_loop(0, -(-batch // images) * bands, band, result)


def activated(x: jax.Array, activations: Sequence[Activation]) -> jax.Array:
    """N activations side by side: [..., D] to [..., N D]; a mirrored relu keeps what is below 0."""
    return jnp.concatenate([_ACTIVATIONS[name](x) for name in activations], axis=-1)


def crop(x: jax.Array, border: int) -> jax.Array:
    """Takes `border` pixels off every side of [B, Y, X, C]."""
    batch, rows, columns, depth = x.shape
    return lax.slice(x, (0, border, border, 0), (batch, rows - border, columns - border, depth))


def repeat_border(x: jax.Array, before: int, after: int) -> jax.Array:
    """Repeats the outermost pixels of [B, Y, X, C] so many times beyond both borders of Y and X.

    On a CPU `jnp.pad` costs four times as much, and its gradient six times.
    """

    @jax.custom_vjp
    def repeated(x: jax.Array) -> jax.Array:
        for axis in (1, 2):
            nearest = jnp.arange(-before, x.shape[axis] + after)
            x = jnp.take(x, nearest, axis=axis, mode="clip")
        return x

    def backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
        # What came of a repeated pixel is added to the pixel.
        for axis in (1, 2):
            gradient = jnp.moveaxis(gradient, axis, 0)
            end = gradient.shape[0] - after
            inside = gradient[before:end].at[0].add(gradient[:before].sum(axis=0))
            gradient = jnp.moveaxis(inside.at[-1].add(gradient[end:].sum(axis=0)), 0, axis)
        return (gradient,)

    repeated.defvjp(lambda x: (repeated(x), None), backward)
    return repeated(x)


def max_pool(x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """Valid max pooling of [B, Y, X, C], as the maximum of shifted copies.

    On a CPU `reduce_window` costs three times as much forward and six times backward.
    """
    if is_portable():
        window, strides = (1, kernel, kernel, 1), (1, stride, stride, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
    rows = (x.shape[1] - kernel) // stride + 1
    columns = (x.shape[2] - kernel) // stride + 1
    highest = _shifted(x, 0, rows, stride, axis=1)
    for offset in range(1, kernel):
        highest = jnp.maximum(highest, _shifted(x, offset, rows, stride, axis=1))
    result = _shifted(highest, 0, columns, stride, axis=2)
    for offset in range(1, kernel):
        result = jnp.maximum(result, _shifted(highest, offset, columns, stride, axis=2))
    return result


def average_pool(x: jax.Array) -> jax.Array:
    """Mean of every 2 x 2 block of [B, Y, X, C]; Y and X are even."""
    batch, rows, columns, depth = x.shape
    return x.reshape(batch, rows // 2, 2, columns // 2, 2, depth).mean(axis=(2, 4))


def pixels_from_depth(x: jax.Array, block: int = 2) -> jax.Array:
    """[B, Y, X, n D] to [B, block Y, block X, D]: each pixel's depth becomes block x block = n."""
    batch, rows, columns, depth = x.shape
    left = depth // block**2
    blocks = x.reshape(batch, rows, columns, block, block, left).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, block * rows, block * columns, left)


def depth_from_pixels(x: jax.Array, block: int) -> jax.Array:
    """The inverse of `pixels_from_depth`; Y and X are multiples of `block`."""
    batch, rows, columns, depth = x.shape
    blocks = x.reshape(batch, rows // block, block, columns // block, block, depth)
    grouped = blocks.transpose(0, 1, 3, 2, 4, 5)
    return grouped.reshape(batch, rows // block, columns // block, block**2 * depth)


def _shifted(x: jax.Array, offset: int, size: int, stride: int, axis: int) -> jax.Array:
    window = [slice(None)] * x.ndim
    window[axis] = slice(offset, offset + stride * (size - 1) + 1, stride)
    return x[tuple(window)]
