"""One train step, jitted, data-parallel over every device of every process."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .state import TrainState
from .task import Batch, Sums, Task, Tree

TrainStep = Callable[..., tuple[TrainState, Sums]]


def device_mesh() -> Mesh:
    """All devices of all processes in one row, along which a batch is cut."""
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Puts a tree, equal in every process, onto all devices."""
    return jax.tree.map(lambda array: _replicate_array(array, replicated(mesh)), tree)


def _replicate_array(array: jax.Array, sharding: NamedSharding) -> jax.Array:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_replicate_array(jax.random.key_data(array), sharding))
    return jax.make_array_from_process_local_data(sharding, np.asarray(array), array.shape)


def shard(batch: Batch, mesh: Mesh) -> dict[str, jax.Array]:
    """Joins every process's part of a batch into one global batch cut over the devices.

    Args:
        batch: This process's examples [b, ...]; b is a multiple of its number of devices.
        mesh: As `device_mesh` gives it.
    """
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    return {
        name: jax.make_array_from_process_local_data(sharding, np.asarray(array))
        for name, array in batch.items()
    }


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    ema_decay: float = 0.0,
    accumulate: int = 1,
) -> TrainStep:
    """The jitted step `(state, batch, learning_rate) -> (state, diagnostics)`.

    It donates the state. Without a learning rate the optimizer's schedule has one.

    The loss is written for the whole batch, and the batch is cut over the devices: sums over pixels
    and batch statistics are therefore those of the whole batch, on any number of devices.

    Args:
        task: Its `loss` is minimized.
        optimizer: As `build_optimizer` gives it.
        mesh: The devices.
        ema_decay: Decay of the running average of parameters, 0 for none.
        accumulate: Calls that make one update.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def train_step(
        state: TrainState, batch: Batch, learning_rate: jax.Array | None = None
    ) -> tuple[TrainState, Sums]:
        key = jax.random.fold_in(state.key, state.step)
        gradient_of = jax.value_and_grad(task.loss, has_aux=True)
        (loss, (model_state, sums)), gradients = gradient_of(
            state.params, state.model_state, batch, key
        )
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, state.params, learning_rate=learning_rate
        )
        params = optax.apply_updates(state.params, updates)
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema_params=_averaged(state, params, ema_decay, accumulate),
            key=state.key,
        )
        one = jnp.ones((), jnp.float32)
        norm = optax.tree.norm(gradients)
        return new_state, {"loss": (loss, one), "gradient_norm": (norm, one), **sums}

    return jax.jit(train_step, donate_argnums=0, out_shardings=replicated(mesh))


def _averaged(state: TrainState, params: Tree, decay: float, accumulate: int) -> Tree | None:
    """The running average after an update; early on the decay is lower, so that it can follow."""
    if state.ema_params is None:
        return None
    updates = ((state.step + 1) // accumulate).astype(jnp.float32)
    warm_decay = jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    is_update = (state.step + 1) % accumulate == 0
    weight = jnp.where(is_update, 1.0 - warm_decay, 0.0)
    return jax.tree.map(
        lambda average, new: average + weight * (new - average), state.ema_params, params
    )
