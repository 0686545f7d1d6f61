"""Everything that changes while training, as one pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .task import Tree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """The state between two calls of the train step.

    Attributes:
        step: int32 scalar, calls of the train step so far (parts of batches, when accumulating).
        params: float32 arrays, what is optimized.
        model_state: What the network keeps beside its parameters: batch statistics.
        opt_state: The optimizer's moments.
        ema_params: Running average of `params`, or None.
        key: The run's random key; each step folds its number in.
    """

    step: jax.Array
    params: Tree
    model_state: Tree
    opt_state: optax.OptState
    ema_params: Tree | None
    key: jax.Array

    @property
    def averaged_params(self) -> Tree:
        """The parameters to evaluate and export: the running average where there is one."""
        return self.params if self.ema_params is None else self.ema_params


def initial_state(
    params: Tree,
    model_state: Tree,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *,
    average: bool,
) -> TrainState:
    """The state before the first step.

    Args:
        params: Initial parameters.
        model_state: Initial batch statistics.
        optimizer: Gives the optimizer state its shape.
        key: The run's random key.
        average: Whether a running average of the parameters is kept.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if average else None,
        key=key,
    )


def to_plain(state: TrainState) -> dict[str, Any]:
    """The state as a dict of plain arrays, as a checkpoint stores it.

    Every array is a copy: the next step donates the state's own buffers while the checkpoint is
    still being written.
    """
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    fields["key"] = jax.random.key_data(state.key)
    return jax.tree.map(jnp.copy, fields)


def from_plain(plain: dict[str, Any]) -> TrainState:
    """The inverse of `to_plain`."""
    return TrainState(**{**plain, "key": jax.random.wrap_key_data(plain["key"])})
