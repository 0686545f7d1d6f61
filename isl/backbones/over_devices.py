"""A batch of tiles shared by all devices of the machine."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec


def over_devices(function: Callable[[Any], Any], batch: Any) -> Any:
    """`function(batch)`, of which every local device computes an equal part.

    Args:
        function: Treats every example by itself; its results begin with the batch's axis.
        batch: [B, ...], or several of these in a tree; where B is no multiple of the number of
            devices, one computes all.
    """
    devices = jax.local_devices()
    if len(devices) == 1 or jax.tree.leaves(batch)[0].shape[0] % len(devices):
        return function(batch)
    parts = PartitionSpec("devices")
    mesh = Mesh(devices, ("devices",))
    return jax.shard_map(function, mesh=mesh, in_specs=parts, out_specs=parts, check_vma=False)(
        batch
    )
