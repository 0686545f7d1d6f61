"""How much memory prediction may take, and what that leaves for tiles, windows and planes.

A quarter of the budget is left to decoders and to what allocators keep. Of the rest, half is the
network's while it computes a batch of tiles (on a CPU; a GPU has memory of its own), a quarter
holds the window of the image from which tiles are cut, and a quarter the stored planes, where they
fit, so that a file is read once. What Python, JAX and compiled programs take comes on top: 0.3 to
0.6 GiB.
"""

import os
import re
from pathlib import Path

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.labeling.model import ModelConfig
from isl.labeling.network import ArchitectureConfig
from isl.labeling.towers import TowersConfig, module_depths

GIB = 2**30
# Half of what is free.
_DEFAULT_SHARE = 2
# Bytes at the network's peak for each pixel that a batch reads, as XLA says of compiled programs
# for CPUs, rounded up: 26 to 32 for each of a U-Net's widest features; towers of base depth 100 and
# 400 take 1376 and 3534, whatever their expansion and activations, since what lies within a module
# is never there at once; 4 to 6.5 for each feature of a DeepLab's first stage and decoder.
_UNET_BYTES = 33
_TOWERS_BYTES = (700, 7.3)
_DEEPLAB_BYTES = 7
# One batch is read, one computed, one written, and JAX copies what it is given: so many times there
# is what a batch reads, and its results.
_INPUTS = 4
_RESULTS = 3
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


def bytes_per_pixel(
    config: ModelConfig, *, statistics: int, labels: int, on_cpu: bool, symmetries: int = 1
) -> int:
    """Memory for each pixel that a batch of tiles reads.

    Args:
        config: The model's.
        statistics: How many.
        labels: How many.
        on_cpu: Whether the network computes in the same memory.
        symmetries: How often each network sees the image, turned.
    """
    network = max(_network_bytes(architecture) for architecture in config.architectures)
    if symmetries * len(config.architectures) > 1:
        # Embeddings are kept until all there are can be averaged.
        depths = [_embedding_depth(architecture, config) for architecture in config.architectures]
        network += _FLOAT * symmetries * sum(depths)
    held = _FLOAT * (_INPUTS * config.input.planes + _RESULTS * statistics * labels)
    return round(network) * on_cpu + held


def _network_bytes(architecture: ArchitectureConfig) -> float:
    """Memory at the network's peak for each pixel that it sees."""
    if isinstance(architecture, TowersConfig):
        return _TOWERS_BYTES[0] + _TOWERS_BYTES[1] * architecture.base_depth
    if isinstance(architecture, UNetConfig):
        return _UNET_BYTES * architecture.width / architecture.stem**2
    return _DEEPLAB_BYTES * (architecture.width + architecture.decoder)


def _embedding_depth(architecture: ArchitectureConfig, config: ModelConfig) -> int:
    """Numbers for each pixel that the heads read."""
    if isinstance(architecture, UNetConfig):
        return architecture.width
    if not isinstance(architecture, TowersConfig):
        return architecture.decoder
    depths = module_depths(architecture, architecture.projection or config.input.planes)
    return list(depths.values())[-1][1]


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
