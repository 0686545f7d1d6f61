"""How many parts a batch must be cut into to fit in memory, as compiled programs say it."""

import os
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from isl.errors import InputError

from .experiment import TrainingConfig
from .state import TrainState
from .step import make_part
from .task import Task, updates_itself

# Of what is free, the rest being for what is transferred meanwhile and for fragmentation.
_USABLE = 0.8


def parts_of(training: TrainingConfig, task: Task, state: TrainState, mesh: Mesh, seed: int) -> int:
    """Parts that each batch of a run is cut into.

    Args:
        training: Says how many, or that it depends on memory.
        task: Its loss is what takes the memory.
        state: As on the devices.
        mesh: The devices.
        seed: For an example, to learn its shape.

    Raises:
        InputError: Parts cannot be divided among the devices, or the task cannot have any.
    """
    if updates_itself(task) and training.parts != 1:
        raise InputError(
            "training: this task makes its own updates, of whole batches; leave accumulate and "
            "micro_batch out"
        )
    if training.parts is not None:
        return training.parts
    size, devices = training.batch_size, mesh.size
    counts = [n for n in range(1, size + 1) if size % n == 0 and size // n % devices == 0]
    free = _USABLE * free_memory(mesh.local_devices[0])
    for count in counts:
        if part_memory(task, state, mesh, seed, parts=count, examples=size // count) <= free:
            return count
    return counts[-1]


def part_memory(
    task: Task, state: TrainState, mesh: Mesh, seed: int, *, parts: int, examples: int
) -> int:
    """Bytes that a device needs for a part of so many examples, beside the state."""
    example: Any = task.examples(seed)[0]
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    batch = {
        name: jax.ShapeDtypeStruct((examples, *array.shape), array.dtype, sharding=sharding)
        for name, array in example.items()
    }
    part = make_part(task, mesh, parts=parts)
    used = part.lower(state, state.model_state, batch, 0).compile().memory_analysis()
    if used is None:  # A backend that does not say.
        return 0
    data = sum(array.size * array.dtype.itemsize for array in batch.values()) // mesh.size
    # Gradients stand twice: those summed up, and those that are added.
    return used.temp_size_in_bytes + 2 * used.output_size_in_bytes + data


def free_memory(device: Any) -> int:
    """Bytes free on a device, or in this machine where the device is its processor."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2**32
