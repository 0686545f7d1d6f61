"""All-in-focus images: of every wavelet coefficient, the plane that holds it strongest.

What is in focus has the largest coefficients, so the transform of the all-in-focus image takes each
of them from the plane where its magnitude is largest (complex wavelets: Forster, Van De Ville,
Berent, Sage and Unser, Microsc. Res. Tech. 65, 33, 2004; here the dual-tree transform, as in Shen
et al., Sci. Rep. 12, 2404, 2022, who give no parameters). Then choices that stand alone are mended:
all six sub-bands of a position take the same plane, and on the three finest levels the plane that
most of the neighbors have. What is left after the last level is averaged. In the end every pixel
may be given the nearest value that a plane really holds there, which also says how deep it lies.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from isl.errors import InputError
from isl.polarity.wavelet import LEVELS, Pyramid, forward, inverse

# Of the 6 sub-bands of a position, so many overrule the others.
AGREEING_SUBBANDS = 4
# A window's middle follows where more than half of it agree; on so many of the finest levels.
MAJORITY_WIDTH = 5
MAJORITY_LEVELS = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AllInFocus:
    """A z-stack as if all of it were in focus.

    Attributes:
        image: float32 [Y, X], in the range of the stack's own values.
        depth: float32 [Y, X], index of the plane that is nearest to the image there.
    """

    image: np.ndarray
    depth: np.ndarray


def fuse(
    planes: np.ndarray,
    *,
    reassign: bool = True,
    levels: int = LEVELS,
    source: object = "z-stack",
) -> AllInFocus:
    """Fuses a z-stack.

    Of planes that are equally near to what the wavelets say, the depth is the one that the second
    level's coefficients came from, or the nearest to it.

    Args:
        planes: uint8, uint16 or float32 [Z, Y, X] of any size. A single plane is returned as it is.
        reassign: Whether every pixel takes the value of the plane at its depth, so that the image
            holds nothing that the stack does not. Otherwise it is what the wavelets say, within the
            stack's range.
        levels: Of the wavelet transform, at least 1.
        source: The file or folder, named in messages.

    Raises:
        InputError: It is no z-stack of intensities, or holds NaN or infinity.
    """
    _check(planes, source)
    if planes.shape[0] == 1:
        return AllInFocus(
            image=planes[0].astype(np.float32), depth=np.zeros(planes.shape[1:], np.float32)
        )
    fused, depth = _fuse(planes.astype(np.float32, copy=False), levels=levels)
    if reassign:
        image = np.take_along_axis(planes, np.asarray(depth)[None], axis=0)[0]
    else:
        image = np.clip(fused, planes.min(), planes.max())
    return AllInFocus(
        image=np.asarray(image, np.float32), depth=np.asarray(depth).astype(np.float32)
    )


def fuse_movie(
    frames: np.ndarray,
    *,
    reassign: bool = True,
    levels: int = LEVELS,
    source: object = "movie",
) -> tuple[np.ndarray, np.ndarray]:
    """Fuses every time point of a movie by itself.

    Args:
        frames: uint8, uint16 or float32 [T, Z, Y, X].
        reassign: As in `fuse`.
        levels: As in `fuse`.
        source: The file or folder, named in messages.

    Returns:
        Images and depths, float32 [T, Y, X], as in AllInFocus.

    Raises:
        InputError: As in `fuse`.
    """
    if frames.ndim != 4:
        raise InputError(f"{source}: a movie is [T, Z, Y, X]; this has shape {frames.shape}")
    fused = [
        fuse(planes, reassign=reassign, levels=levels, source=f"{source}: frame {t}")
        for t, planes in enumerate(frames)
    ]
    return np.stack([one.image for one in fused]), np.stack([one.depth for one in fused])


def stretched(images: np.ndarray) -> np.ndarray:
    """Images [..., Y, X], each with its lowest pixel 0 and its highest 1, as float32.

    Frames are stretched one by one because those that the bundled models learned from were.
    """
    images = np.asarray(images, np.float32)
    low = images.min(axis=(-2, -1), keepdims=True)
    high = images.max(axis=(-2, -1), keepdims=True)
    return (images - low) / np.maximum(high - low, np.finfo(np.float32).tiny)


def majority(choice: jax.Array) -> jax.Array:
    """The 5 x 5 majority filter: a position follows where more than half of its window agree.

    Args:
        choice: int32 [y, x]; beyond its border it is mirrored.
    """
    rows, columns = choice.shape
    padded = jnp.pad(choice, MAJORITY_WIDTH // 2, mode="symmetric")
    neighbors = [
        padded[y : y + rows, x : x + columns]
        for y in range(MAJORITY_WIDTH)
        for x in range(MAJORITY_WIDTH)
    ]
    # Boyer and Moore's vote: one pass leaves the only candidate, another counts it.
    candidate, votes = neighbors[0], jnp.zeros_like(choice)
    for neighbor in neighbors:
        candidate = jnp.where(votes == 0, neighbor, candidate)
        votes += jnp.where(neighbor == candidate, 1, -1)
    agreeing = jnp.zeros_like(choice)
    for neighbor in neighbors:
        agreeing += neighbor == candidate
    return jnp.where(2 * agreeing > len(neighbors), candidate, choice)


def choose(highpass: jax.Array) -> jax.Array:
    """The plane that each position of one level is taken from.

    Args:
        highpass: complex64 [Z, 6, y, x].

    Returns:
        int32 [y, x]: the plane in which at least 4 sub-bands are largest, else the one in which the
        largest sub-band is.
    """
    power = jnp.square(highpass.real) + jnp.square(highpass.imag)
    planes = jnp.argmax(power, axis=0).astype(jnp.int32)
    strongest = jnp.argmax(power.max(axis=0), axis=0)
    choice = jnp.take_along_axis(planes, strongest[None], axis=0)[0]
    # If 4 of 6 agree, so does one of any 3.
    for candidate in planes[: len(planes) - AGREEING_SUBBANDS + 1]:
        agreeing = (planes == candidate[None]).sum(axis=0)
        choice = jnp.where(agreeing >= AGREEING_SUBBANDS, candidate, choice)
    return choice


@functools.partial(jax.jit, static_argnames="levels")
def _fuse(planes: jax.Array | np.ndarray, levels: int) -> tuple[jax.Array, jax.Array]:
    """What the wavelets say, float32 [Y, X], and the nearest plane, int32 [Y, X].

    Args:
        planes: float32 [Z, Y, X].
        levels: At least 1.
    """
    planes = jnp.asarray(planes)
    pyramid = forward(planes, levels)
    choices = [choose(highpass) for highpass in pyramid.highpasses]
    choices[:MAJORITY_LEVELS] = [majority(choice) for choice in choices[:MAJORITY_LEVELS]]
    highpasses = tuple(
        jnp.take_along_axis(highpass, choice[None, None], axis=0)[0]
        for highpass, choice in zip(pyramid.highpasses, choices, strict=True)
    )
    lowpass = pyramid.lowpass.mean(axis=0)
    fused = inverse(Pyramid(lowpass=lowpass, highpasses=highpasses, size=pyramid.size))
    level = min(1, levels - 1)
    expected = _enlarged(choices[level], 2 ** (level + 1), pyramid.size)
    return fused, _nearest(planes, fused, expected)


def _nearest(planes: jax.Array, image: jax.Array, expected: jax.Array) -> jax.Array:
    """The plane nearest in value to the image; of equals, the one nearest to that expected."""
    distance = jnp.abs(planes - image[None])
    numbers = jnp.arange(len(planes), dtype=jnp.int32)[:, None, None]
    steps = jnp.abs(numbers - expected[None])
    steps = jnp.where(distance == distance.min(axis=0)[None], steps, len(planes))
    return jnp.argmin(steps, axis=0).astype(jnp.int32)


def _enlarged(choice: jax.Array, factor: int, size: tuple[int, int]) -> jax.Array:
    """A level's choices at the image's pixels."""
    return choice.repeat(factor, axis=0).repeat(factor, axis=1)[: size[0], : size[1]]


def _check(planes: np.ndarray, source: object) -> None:
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"{source}: a z-stack is [Z, Y, X]; this has shape {planes.shape}")
    if planes.dtype.kind not in "uif":
        raise InputError(f"{source}: pixels of type {planes.dtype} are no intensities")
    if planes.dtype.kind == "f" and not np.isfinite(planes).all():
        raise InputError(f"{source}: holds pixels that are NaN or infinite; replace them first")
