"""One update, jitted, data-parallel over every device of every process."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .optimizer import EVERYTHING, path_mask
from .state import TrainState
from .task import Batch, Sums, Task, Tree, updates_itself

Update = Callable[[TrainState, Batch, Any], tuple[TrainState, Sums]]
"""From a state, this process's examples and a learning rate to the next state and diagnostics."""


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


def make_update(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    ema_decay: float = 0.0,
    parts: int = 1,
    free: Sequence[str] = EVERYTHING,
) -> Update:
    """What makes an update from the examples that this process drew for it.

    A batch that does not fit in memory is cut into parts, whose gradients add up to that of the
    whole batch: of each part as much as it has measured (`isl_train.task.Task.loss`), else equally.

    Args:
        task: Its `loss` is minimized, or its `update` called.
        optimizer: As `build_optimizer` gives it.
        mesh: The devices.
        ema_decay: Decay of the running average of parameters, 0 for none.
        parts: How many a batch is cut into.
        free: Paths of what is trained, in parameters and model state; all else stays.
    """
    if parts == 1:
        step = make_train_step(task, optimizer, mesh, ema_decay=ema_decay, free=free)
        return lambda state, batch, rate: step(state, shard(batch, mesh), rate)
    everywhere = replicated(mesh)
    part = make_part(task, mesh, parts=parts, free=free)
    add = jax.jit(
        lambda total, more: jax.tree.map(jnp.add, total, more),
        donate_argnums=0,
        out_shardings=everywhere,
    )

    def finish(
        state: TrainState, model_state: Tree, total: "_Part", rate: jax.Array
    ) -> tuple[TrainState, Sums]:
        gradients = jax.tree.map(
            lambda array: array / jnp.maximum(total.weight, 1e-12), total.gradients
        )
        return _updated(
            state,
            gradients,
            model_state,
            total.sums,
            optimizer,
            rate,
            ema_decay=ema_decay,
            free=free,
        )

    finish_jitted = jax.jit(finish, donate_argnums=0, out_shardings=everywhere)

    def update(state: TrainState, batch: Batch, rate: Any) -> tuple[TrainState, Sums]:
        model_state, total = state.model_state, None
        for number in range(parts):
            examples = shard(_part_of(batch, number, parts), mesh)
            model_state, more = part(state, model_state, examples, number)
            total = more if total is None else add(total, more)
        return finish_jitted(state, model_state, total, rate)

    return update


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    ema_decay: float = 0.0,
    free: Sequence[str] = EVERYTHING,
) -> Callable[..., tuple[TrainState, Sums]]:
    """The jitted step `(state, batch, learning_rate) -> (state, diagnostics)` of whole batches.

    It donates the state. Without a learning rate the optimizer's schedule has one.

    The loss is written for the whole batch, and the batch is cut over the devices: sums over pixels
    and batch statistics are therefore those of the whole batch, on any number of devices.

    Arguments as for `make_update`.
    """

    def train_step(
        state: TrainState, batch: Batch, learning_rate: jax.Array | None = None
    ) -> tuple[TrainState, Sums]:
        key = jax.random.fold_in(state.key, state.step)
        if updates_itself(task):
            new, sums = task.update(state, batch, key, learning_rate)
            return _next(state, new, ema_decay=ema_decay, free=free), sums
        gradients, model_state, sums = _gradients(
            task, state.params, state.model_state, batch, key, free=free
        )
        return _updated(
            state,
            gradients,
            model_state,
            sums,
            optimizer,
            learning_rate,
            ema_decay=ema_decay,
            free=free,
        )

    return jax.jit(train_step, donate_argnums=0, out_shardings=replicated(mesh))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """What parts of a batch add up: gradients times their weight, weights, and diagnostics."""

    gradients: Tree
    weight: jax.Array
    sums: Sums


def make_part(task: Task, mesh: Mesh, *, parts: int, free: Sequence[str] = EVERYTHING) -> Any:
    """The jitted `(state, model_state, examples, number) -> (model_state, part)`."""

    def part(
        state: TrainState, model_state: Tree, batch: Batch, number: jax.Array
    ) -> tuple[Tree, _Part]:
        key = jax.random.fold_in(state.key, state.step * parts + number)
        gradients, model_state, sums = _gradients(
            task, state.params, model_state, batch, key, free=free
        )
        weight = sums["loss"][1]
        weighted = jax.tree.map(lambda array: weight * array, gradients)
        return model_state, _Part(gradients=weighted, weight=weight, sums=sums)

    return jax.jit(part, out_shardings=replicated(mesh))


def _part_of(batch: Batch, number: int, parts: int) -> dict[str, np.ndarray]:
    """Every so many examples of a batch [b, ...]."""
    return {name: np.split(np.asarray(array), parts)[number] for name, array in batch.items()}


def _gradients(
    task: Task,
    params: Tree,
    model_state: Tree,
    batch: Batch,
    key: jax.Array,
    *,
    free: Sequence[str],
) -> tuple[Tree, Tree, Sums]:
    """Gradients of what is free, else 0; the new model state; diagnostics with the loss."""

    def loss_of(params: Tree) -> tuple[jax.Array, tuple[Tree, Sums]]:
        return task.loss(
            _kept(jax.lax.stop_gradient(params), params, free), model_state, batch, key
        )

    (loss, (new_state, sums)), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
    one = jnp.ones((), jnp.float32)
    return gradients, _kept(model_state, new_state, free), {"loss": (loss, one), **sums}


def _updated(
    state: TrainState,
    gradients: Tree,
    model_state: Tree,
    sums: Sums,
    optimizer: optax.GradientTransformation,
    learning_rate: jax.Array | None,
    *,
    ema_decay: float,
    free: Sequence[str],
) -> tuple[TrainState, Sums]:
    updates, opt_state = optax.with_extra_args_support(optimizer).update(
        gradients, state.opt_state, state.params, learning_rate=learning_rate
    )
    new = dataclasses.replace(
        state,
        params=optax.apply_updates(state.params, updates),
        model_state=model_state,
        opt_state=opt_state,
    )
    norm = (optax.tree.norm(gradients), jnp.ones((), jnp.float32))
    loss_first = {"loss": sums["loss"], "gradient_norm": norm, **sums}
    return _next(state, new, ema_decay=ema_decay, free=free), loss_first


def _next(
    state: TrainState, new: TrainState, *, ema_decay: float, free: Sequence[str]
) -> TrainState:
    """The state after an update that gave `new`: what is not free as it was, the average moved."""
    params = _kept(state.params, new.params, free)
    average = _averaged(state, params, ema_decay)
    return dataclasses.replace(
        new,
        step=state.step + 1,
        params=params,
        model_state=_kept(state.model_state, new.model_state, free),
        ema_params=None if average is None else _kept(state.ema_params, average, free),
        key=state.key,
    )


def _kept(old: Tree, new: Tree, free: Sequence[str]) -> Tree:
    """`new` where a path is free, else `old`."""
    if tuple(free) == EVERYTHING:
        return new
    return jax.tree.map(
        lambda is_free, before, after: after if is_free else before, path_mask(new, free), old, new
    )


def _averaged(state: TrainState, params: Tree, decay: float) -> Tree | None:
    """The running average after an update; early on the decay is lower, so that it can follow."""
    if state.ema_params is None:
        return None
    updates = (state.step + 1).astype(jnp.float32)
    weight = 1.0 - jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    return jax.tree.map(
        lambda average, new: average + weight * (new - average), state.ema_params, params
    )
