"""What every network here has in common: how it computes, and its first weights."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.config import Config

Module = TypeVar("Module", bound=nnx.Module)


class Compute(Config):
    """How a network computes, as opposed to what it is.

    Attributes:
        precision: "float32", or "bfloat16" for convolutions on an accelerator; weights, batch
            statistics and logits stay float32.
        batch_norm_decay: Memory of the running batch statistics for one step of training.
    """

    precision: str = "float32"
    batch_norm_decay: float = pydantic.Field(default=0.999, ge=0, lt=1)

    @property
    def dtype(self) -> jnp.dtype:
        """The type that convolutions work in."""
        return jnp.dtype(self.precision)


class _NoRandomness:
    """Stands in for nnx.Rngs where all first values are constants.

    A stream of real keys, traced, takes most of the 16 seconds that the towers then need.
    """

    def params(self) -> None:
        """No key: initializers of constants do not look at it."""


NO_RANDOMNESS = cast(nnx.Rngs, _NoRandomness())
"""For layers laid out with `nnx.eval_shape`; `draw_weights` or a model's file gives the values."""


def he_normal(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The first value of a kernel, or of a batch norm's or a bias's array, which change nothing."""
    if name == "kernel":
        deviation = np.sqrt(2 / np.prod(shape[:-1]))
        return rng.normal(0, deviation, shape).astype(np.float32)
    return np.full(shape, 1 if name in ("scale", "var") else 0, np.float32)


def draw_weights(
    module: Module,
    rngs: nnx.Rngs,
    fresh: Callable[[str, tuple[int, ...], np.random.Generator], np.ndarray] = he_normal,
) -> Module:
    """Gives a module, and all within it, fresh weights, and returns it.

    Weights are drawn with NumPy: JAX would compile a program for every shape, which takes a minute
    for the towers.

    Args:
        module: Changed in place; may hold shapes in place of arrays.
        rngs: Source of the weights.
        fresh: What an array is first, by its name and shape.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rngs.params())))
    flat = [
        (path, variable.replace(jnp.asarray(fresh(str(path[-1]), variable.shape, rng))))
        for path, variable in nnx.to_flat_state(nnx.state(module))
    ]
    nnx.update(module, nnx.from_flat_state(flat))
    return module


def batch_norm(
    depth: int,
    compute: Compute,
    epsilon: float,
    *,
    affine: bool = True,
    rngs: nnx.Rngs = NO_RANDOMNESS,
) -> nnx.BatchNorm:
    """Batch norm over the last axis; with a scale and an offset if it is affine."""
    norm = nnx.BatchNorm(
        depth,
        momentum=compute.batch_norm_decay,
        epsilon=epsilon,
        dtype=compute.dtype,
        use_bias=affine,
        use_scale=affine,
        rngs=rngs,
    )
    norm.mean, norm.var = (_RunningStatistic(each[...]) for each in (norm.mean, norm.var))
    return norm


class _RunningStatistic(nnx.BatchStat):
    """A running mean or variance, which a batch norm sets as a whole.

    Where a part may be set, Flax asks old and new values how they are sharded. Of an array that is
    being traced nobody knows, and for the text of its error JAX walks through all that was traced
    before: nine tenths of the time that it took to trace the towers, with their 211 norms.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        """Takes the new value; as a whole where `key` is `...`."""
        if key is ...:
            self.set_value(value)
        else:
            super().__setitem__(key, value)


def count_parameters(module: nnx.Module) -> int:
    """How many numbers training adjusts (batch statistics are not among them)."""
    leaves = jax.tree.leaves(nnx.state(module, nnx.Param))
    return sum(int(np.prod(leaf.shape)) for leaf in leaves)
