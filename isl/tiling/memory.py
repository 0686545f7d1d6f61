"""How much memory work on tiles may take, and what that leaves for tiles, windows and planes.

A quarter of the budget is left to decoders and to what allocators keep. Of the rest, half is the
network's while it computes a batch of tiles (on a CPU; a GPU has memory of its own), a quarter
holds the window of the image from which tiles are cut, and a quarter the stored planes, where they
fit, so that a file is read once. What Python, JAX and compiled programs take comes on top: 0.3 to
0.6 GiB.
"""

import os
import re
from pathlib import Path

from isl.errors import InputError

GIB = 2**30
# Half of what is free.
_DEFAULT_SHARE = 2
_FLOAT = 4


def memory_budget(gib: float | None) -> int:
    """Bytes that prediction may take; by default half of what is free.

    Raises:
        InputError: Nothing, or less, is allowed.
    """
    if gib is None:
        return _free_memory() // _DEFAULT_SHARE
    if not 0 < gib < float("inf"):
        raise InputError(f"`memory={gib:g}`: expected GiB above 0")
    return round(gib * GIB)


def batch_pixels(budget: int, per_pixel: int) -> int:
    """Pixels that a batch of tiles may read together."""
    return _usable(budget) // 2 // per_pixel


def window_pixels(budget: int, planes: int) -> int:
    """Pixels [Y, X] of the image that may be held normalized, of all planes."""
    return max(1, _usable(budget) // 4 // window_bytes(1, planes))


def window_bytes(pixels: int, planes: int) -> int:
    """Memory of a window of so many pixels [Y, X]."""
    # Besides, a plane at a time as it is stored and as it is decoded.
    return pixels * (_FLOAT * planes + 8)


def may_hold(budget: int, stored: int) -> bool:
    """Whether so many bytes of stored planes may stay in memory."""
    return stored <= _usable(budget) // 4


def _usable(budget: int) -> int:
    return budget // 4 * 3


def _free_memory() -> int:
    """Bytes that are free, or could be at once; what a container may take counts."""
    free = [int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))]
    if "MemAvailable" in (machine := _numbers("/proc/meminfo")):
        free.append(machine["MemAvailable"] * 1024)
    limit, used = (_numbers(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if "" in limit and "" in used:
        # Files that were read lately count as used, and go when memory is asked for.
        files = _numbers("/sys/fs/cgroup/memory.stat").get("inactive_file", 0)
        free.append(max(0, limit[""] - used[""] + files))
    return min(free)


def _numbers(path: str) -> dict[str, int]:
    """The numbers in one of the kernel's files by their names; a single one has the name ""."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = re.findall(r"^(?:(\w+):?\s+)?(\d+)", "\n".join(lines), re.MULTILINE)
    return {name: int(number) for name, number in found}
