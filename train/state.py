"""Everything that changes while training, as one pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

Tree = Any
"""A nested dict of arrays: parameters, or what a network keeps beside them (batch statistics)."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """The state between two updates.

    Attributes:
        step: int32 scalar, updates so far.
        params: float32 arrays, what is optimized; of several networks, a branch each.
        model_state: What networks keep beside their parameters: batch statistics.
        opt_state: The optimizers' moments.
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
    opt_state: optax.OptState,
    key: jax.Array,
    *,
    average: bool,
    step: int = 0,
) -> TrainState:
    """The state before the first update of a run, or of a stage.

    Args:
        params: Initial parameters.
        model_state: Initial batch statistics.
        opt_state: What optimizers start with.
        key: The run's random key.
        average: Whether a running average of the parameters is kept.
        step: Updates so far.
    """
    return TrainState(
        step=jnp.full((), step, jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=opt_state,
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
