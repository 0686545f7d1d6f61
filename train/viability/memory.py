"""How many films fit in memory at a time, from what the compiled step says of itself."""

import os
from collections.abc import Callable

import jax

# Of the memory that is there, what a step's own buffers may take.
_SHARE = 0.6


def device_memory() -> int:
    """Bytes that the first device has; a CPU has those of the machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    if limit:
        return int(limit)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fitting_micro_batch(
    bytes_needed: Callable[[int], int], batch: int, memory: int | None = None
) -> int:
    """The largest part of a batch, dividing it, for which a step fits in memory.

    Args:
        bytes_needed: Films in memory at a time to the bytes that the compiled step needs.
        batch: Films of a batch.
        memory: Bytes that there are; None: the device's.

    Returns:
        At least 1: whether that fits can only be tried.
    """
    room = _SHARE * (device_memory() if memory is None else memory)
    divisors = [size for size in range(batch, 0, -1) if batch % size == 0]
    one, two = bytes_needed(1), bytes_needed(2)
    each = max(1, two - one)
    for size in divisors:
        if one + (size - 1) * each <= room:
            return size
    return 1
