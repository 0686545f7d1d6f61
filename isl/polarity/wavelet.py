"""The two-dimensional dual-tree complex wavelet transform, and back, in JAX.

Two trees of real filters a quarter of a sample apart give, at every level, six complex sub-bands
that point in six directions and whose magnitudes hardly change when the image moves (Kingsbury,
Appl. Comput. Harmon. Anal. 10, 234, 2001; Selesnick, Baraniuk and Kingsbury, IEEE Signal Process.
Mag. 22(6), 123, 2005). Filters are near_sym_b (13 and 19 taps) for the first level and qshift_b (14
taps) for all others, from the tables of the dtcwt package; coefficients are those of its NumPy
transform, with the axis of sub-bands before the image's.

The first level's filters are symmetric and leave no sample out: they are applied as sums of shifted
images, which costs a CPU a fifth of anything else. Every other filter stage along one axis is
linear and local, so it is a matrix that is zero but for a band. Mirroring at the borders, the
doubled samples that make lengths even, decimation and the final crop are all in that matrix; it is
applied in dense blocks, at the speed of matrix products on a CPU as on a GPU. Images of any size
can be transformed: one that is shorter than the filters is mirrored more than once.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import dtcwt.coeffs
import jax
import jax.numpy as jnp
import numpy as np

LEVELS = 5
# Outputs a block: wide enough for a fast product, narrow enough that few of its factors are zero.
_BLOCK = 64
_HALF = np.float32(np.sqrt(0.5))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["lowpass", "highpasses"],
    meta_fields=["size"],
)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pyramid:
    """Coefficients of images [..., Y, X].

    Attributes:
        lowpass: float32 [..., y, x], what is left after the last level.
        highpasses: For every level, finest first, complex64 [..., 6, y, x]; the sub-bands point to
            about 15, 45, 75, 105, 135 and 165 degrees.
        size: Y, X of the images.
    """

    lowpass: jax.Array
    highpasses: tuple[jax.Array, ...]
    size: tuple[int, int]


@functools.partial(jax.jit, static_argnames="levels")
def forward(images: jax.Array | np.ndarray, levels: int = LEVELS) -> Pyramid:
    """Transforms images.

    Args:
        images: float32 [..., Y, X], of any size.
        levels: Number of levels, at least 1.
    """
    if levels < 1:
        raise ValueError(f"levels {levels}: expected at least 1")
    batch, size = images.shape[:-2], (images.shape[-2], images.shape[-1])
    # One image at a time: of several, XLA would add up every sample anew for each use of it.
    flat = jnp.asarray(images, jnp.float32).reshape(-1, *size)
    lowpass, finest = jax.lax.map(_first_level, flat)
    lowpass = _rows_first(lowpass)
    highpasses = [finest.reshape(*batch, *finest.shape[1:])]
    for _ in range(1, levels):
        rows, columns = (_analysis(lowpass.shape[axis]) for axis in (0, 2))
        parts = _along_rows(rows, lowpass[None, :, :, None])
        parts = _along_columns(columns, parts)
        lowpass = parts[0, :, :, 0]
        highpass = _subbands([parts[1, :, :, 0], parts[1, :, :, 1], parts[0, :, :, 1]])
        highpasses.append(highpass.reshape(*batch, *highpass.shape[1:]))
    return Pyramid(lowpass=_images_first(lowpass, batch), highpasses=tuple(highpasses), size=size)


@jax.jit
def inverse(pyramid: Pyramid) -> jax.Array:
    """The images that a pyramid describes: float32 [..., Y, X]."""
    batch = pyramid.lowpass.shape[:-2]
    lowpass = _rows_first(pyramid.lowpass)
    finer = [2 * np.array(highpass.shape[-2:]) for highpass in pyramid.highpasses[:-1]]
    sizes = [pyramid.size, *((int(y), int(x)) for y, x in finer)]
    for level in reversed(range(len(sizes))):
        highpass = pyramid.highpasses[level]
        parts = _parts(lowpass, highpass.reshape(-1, *highpass.shape[-3:]))
        rows, columns = (_synthesis(length, level == 0) for length in sizes[level])
        parts = _along_columns(columns, parts)
        lowpass = _along_rows(rows, parts)[0, :, :, 0]
    return _images_first(lowpass, batch)


def _rows_first(images: jax.Array) -> jax.Array:
    """[..., Y, X] to [Y, N, X]: blocks of rows are then contiguous."""
    return jnp.moveaxis(images.reshape(-1, *images.shape[-2:]), 0, 1)


def _images_first(rows: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    return jnp.moveaxis(rows, 1, 0).reshape(*batch, rows.shape[0], rows.shape[2])


def _first_level(image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of [Y, X] the low samples, of even sizes, and sub-bands complex64 [6, y, x]."""
    low_low, low_high, high_low, high_high = (
        part for along_y in _symmetric(image, 0) for part in _symmetric(along_y, 1)
    )
    return low_low, _subbands([part[:, None] for part in (high_low, high_high, low_high)])[0]


def _symmetric(image: jax.Array, axis: int) -> list[jax.Array]:
    """Low and high samples along one axis of [Y, X]: a weighted sum of pairs about each.

    An odd length is made even by its last sample, twice.
    """
    length = image.shape[axis] + image.shape[axis] % 2
    low, _, high, _ = (table.ravel() for table in dtcwt.coeffs.biort("near_sym_b"))
    reach = max(low.size, high.size) // 2
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, length - image.shape[axis])
    image = jnp.pad(image, widths, mode="edge")
    widths[axis] = (reach, reach)
    image = jnp.pad(image, widths, mode="symmetric")

    def moved(by: int) -> jax.Array:
        return jax.lax.slice_in_dim(image, reach + by, reach + by + length, axis=axis)

    found = []
    for taps in (low, high):
        middle = taps.size // 2
        total = np.float32(taps[middle]) * moved(0)
        for away in range(1, middle + 1):
            total = total + np.float32(taps[middle + away]) * (moved(away) + moved(-away))
        found.append(total)
    return found


def _subbands(high: Sequence[jax.Array]) -> jax.Array:
    """Complex sub-bands: the trees' samples, which lie in quads, added and subtracted.

    Args:
        high: float32 [y, N, x] each: high along y, along both axes, and along x.

    Returns:
        complex64 [N, 6, y / 2, x / 2].
    """
    lows, highs = [], []
    for part in high:
        quads = part * _HALF
        one = jax.lax.complex(quads[0::2, :, 0::2], quads[0::2, :, 1::2])
        two = jax.lax.complex(quads[1::2, :, 1::2], -quads[1::2, :, 0::2])
        lows.append(one - two)
        highs.append(one + two)
    return jnp.transpose(jnp.stack([*lows, *reversed(highs)]), (2, 0, 1, 3))


def _parts(lowpass: jax.Array, bands: jax.Array) -> jax.Array:
    """The inverse of `_subbands`.

    Args:
        lowpass: float32 [y, N, x].
        bands: complex64 [N, 6, y / 2, x / 2].

    Returns:
        float32 [2, y, N, 2, x].
    """
    high = []
    for low in range(3):
        one = (bands[:, low] + bands[:, 5 - low]) * _HALF
        two = (bands[:, 5 - low] - bands[:, low]) * _HALF
        even = jnp.stack([one.real, one.imag], axis=-1)
        odd = jnp.stack([-two.imag, two.real], axis=-1)
        images, y, x = one.shape
        quads = jnp.stack([even, odd], axis=2).reshape(images, 2 * y, 2 * x)
        high.append(jnp.moveaxis(quads, 0, 1))
    along_y, along_both, along_x = high
    return jnp.stack(
        [jnp.stack([lowpass, along_x], axis=2), jnp.stack([along_y, along_both], axis=2)]
    )


class _Block(NamedTuple):
    """Some rows of a band matrix, without the zeros.

    Attributes:
        read: The samples that these outputs are made from.
        matrix: float32 [outputs, rows, inputs, samples]; a stage has one or two inputs and outputs.
    """

    read: slice
    matrix: np.ndarray


def _along_rows(blocks: tuple[_Block, ...], parts: jax.Array) -> jax.Array:
    """Float32 [inputs, Y, N, q, X] to [outputs, Y', N, q, X]."""
    done = []
    for read, matrix in blocks:
        outputs, rows, inputs, samples = matrix.shape
        product = jnp.dot(
            matrix.reshape(outputs * rows, inputs * samples),
            parts[:, read].reshape(inputs * samples, -1),
            precision=jax.lax.Precision.HIGHEST,
        )
        done.append(product.reshape(outputs, rows, *parts.shape[2:]))
    return jnp.concatenate(done, axis=1)


def _along_columns(blocks: tuple[_Block, ...], parts: jax.Array) -> jax.Array:
    """Float32 [p, Y, N, inputs, X] to [p, Y, N, outputs, X']."""
    done = []
    for read, matrix in blocks:
        outputs, rows, inputs, samples = matrix.shape
        product = jnp.dot(
            parts[..., read].reshape(-1, inputs * samples),
            matrix.reshape(outputs * rows, inputs * samples).T,
            precision=jax.lax.Precision.HIGHEST,
        )
        done.append(product.reshape(*parts.shape[:3], outputs, rows))
    return jnp.concatenate(done, axis=-1)


@functools.lru_cache(maxsize=64)
def _analysis(length: int) -> tuple[_Block, ...]:
    """The matrix from `length` samples of a level to the low and high ones of the next."""
    low_a, low_b, _, _, high_a, high_b, _, _ = dtcwt.coeffs.qshift("qshift_b")
    added = _added(length)
    pairs = ((low_b, low_a), (high_b, high_a))
    tables = [_decimating(*pair, length + 2 * added) for pair in pairs]
    position, weight = (np.stack(table) for table in zip(*tables, strict=True))
    position = np.clip(position - added, 0, length - 1)
    return _blocks(position[:, None], weight[:, None])


@functools.lru_cache(maxsize=64)
def _synthesis(length: int, first: bool) -> tuple[_Block, ...]:
    """The matrix from low and high samples to the `length` ones of the level below."""
    if first:
        _, low, _, high = dtcwt.coeffs.biort("near_sym_b")
        position, weight = _undecimated(low, high, length + length % 2)
        kept = slice(length)
    else:
        _, _, low_a, low_b, _, _, high_a, high_b = dtcwt.coeffs.qshift("qshift_b")
        added = _added(length)
        pairs = ((low_b, low_a), (high_b, high_a))
        tables = [_interpolating(*pair, length + 2 * added) for pair in pairs]
        position, weight = (np.stack(table) for table in zip(*tables, strict=True))
        kept = slice(added, added + length)
    return _blocks(position[None, :, kept], weight[None, :, kept])


def _added(length: int) -> int:
    """Samples repeated at each end of an even length, so that it becomes a multiple of 4."""
    return 1 if length % 4 else 0


def _undecimated(low: np.ndarray, high: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What the first level's samples are made from.

    Returns:
        For low and high, int [2, length, taps]: which sample a tap reads; and its weight, alike.
    """
    taps = max(low.size, high.size)
    filters = np.stack([np.pad(h.ravel(), (taps - h.size) // 2) for h in (low, high)])
    position = np.arange(length)[:, None] + taps // 2 - np.arange(taps)
    shape = (2, length, taps)
    return (
        np.broadcast_to(_mirrored(position, length), shape),
        np.broadcast_to(filters[:, None], shape),
    )


def _decimating(a: np.ndarray, b: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What length / 2 samples of two interleaved trees are made from; each reads every second one.

    Returns:
        int [length / 2, taps], which of `length` samples a tap reads; and its weight, alike.
    """
    a, b = a.ravel(), b.ravel()
    start = 4 * np.arange(length // 4)[:, None] + a.size - 2 * np.arange(a.size)
    trees = [(start, a), (start + 1, b)]
    if a @ b < 0:
        trees.reverse()
    position = np.stack([position for position, _ in trees], axis=1).reshape(-1, a.size)
    weight = np.tile(np.stack([weight for _, weight in trees]), (length // 4, 1))
    return _mirrored(position, length), weight


def _interpolating(a: np.ndarray, b: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What `length` samples are made from half as many, by every second tap of a filter.

    Returns:
        int [length, taps / 2], which of length / 2 samples a tap reads; and its weight, alike.
    """
    a, b = a.ravel(), b.ravel()
    taps = a.size // 2
    start = 2 * np.arange(length // 4)[:, None] + taps - 2 * np.arange(taps)
    one, two = (start - 1, start) if a @ b > 0 else (start, start - 1)
    position = np.stack([one, two, one, two], axis=1).reshape(-1, taps)
    weight = np.tile(np.stack([a[0::2], b[0::2], a[1::2], b[1::2]]), (length // 4, 1))
    return _mirrored(position, length // 2), weight


def _mirrored(position: np.ndarray, length: int) -> np.ndarray:
    """Positions mirrored into [0, length), the samples at the ends repeated."""
    folded = position % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _blocks(position: np.ndarray, weight: np.ndarray) -> tuple[_Block, ...]:
    """A band matrix from what each output reads: int and float [outputs, inputs, length, taps]."""
    outputs, inputs, length, _ = position.shape
    blocks = []
    for first in range(0, length, _BLOCK):
        where, taps = (table[:, :, first : first + _BLOCK] for table in (position, weight))
        low, high = int(where.min()), int(where.max()) + 1
        matrix = np.zeros((outputs, where.shape[2], inputs, high - low))
        number = np.ogrid[: where.shape[0], : where.shape[1], : where.shape[2], :1]
        # Mirrored taps may read one sample twice: their weights add up.
        np.add.at(matrix, (number[0], number[2], number[1], where - low), taps)
        blocks.append(_Block(slice(low, high), matrix.astype(np.float32)))
    return tuple(blocks)
