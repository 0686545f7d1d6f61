"""State dicts as timm and torchvision lay them out, of made-up numbers, and images to go with them.

Numbers come from a formula, not from a generator, so that stored results stay theirs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

Shapes = dict[str, tuple[int, ...]]


def numbers(start: int, shape: Sequence[int]) -> np.ndarray:
    """float64 of `shape` in [0, 1), as scattered as random ones."""
    index = start + np.arange(np.prod(shape, dtype=int))
    return (np.sin(12.9898 * index) * 43758.5453 % 1).reshape(shape)


def images(batch: int, rows: int, columns: int, channels: int = 3) -> np.ndarray:
    """float32 [B, Y, X, C] in [-2, 2)."""
    return (4 * numbers(7, (batch, rows, columns, channels)) - 2).astype(np.float32)


def norm_shapes(name: str, depth: int) -> Shapes:
    """What PyTorch stores of a batch norm."""
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{vector}": (depth,) for vector in vectors} | {
        f"{name}.num_batches_tracked": ()
    }


def timm_shapes(blocks: Sequence[int], width: int, *, bottleneck: bool) -> Shapes:
    """timm's resnetv2: batch norm and relu before each convolution, none in the stem."""
    shapes: Shapes = {"stem.conv.weight": (width, 3, 7, 7)}
    depth = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        result = 4 * inner if bottleneck else inner
        for block in range(count):
            name = f"stages.{stage}.blocks.{block}"
            for i, (before, after, size) in enumerate(_convs(depth, inner, bottleneck), start=1):
                shapes |= norm_shapes(f"{name}.norm{i}", before)
                shapes[f"{name}.conv{i}.weight"] = (after, before, size, size)
            if depth != result or (stage and not block):
                shapes[f"{name}.downsample.conv.weight"] = (result, depth, 1, 1)
            depth = result
    shapes |= norm_shapes("norm", depth)
    return shapes | {"head.fc.weight": (5, depth, 1, 1), "head.fc.bias": (5,)}


def torchvision_shapes(blocks: Sequence[int], width: int, *, bottleneck: bool) -> Shapes:
    """torchvision's resnet: batch norm after each convolution."""
    shapes: Shapes = {"conv1.weight": (width, 3, 7, 7), **norm_shapes("bn1", width)}
    depth = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        result = 4 * inner if bottleneck else inner
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            for i, (before, after, size) in enumerate(_convs(depth, inner, bottleneck), start=1):
                shapes[f"{name}.conv{i}.weight"] = (after, before, size, size)
                shapes |= norm_shapes(f"{name}.bn{i}", after)
            if depth != result or (stage and not block):
                shapes[f"{name}.downsample.0.weight"] = (result, depth, 1, 1)
                shapes |= norm_shapes(f"{name}.downsample.1", result)
            depth = result
    return shapes | {"fc.weight": (5, depth), "fc.bias": (5,)}


def made_up(shapes: Shapes) -> dict[str, np.ndarray]:
    """Numbers that keep a deep network's activations within bounds, each array its own."""
    return {name: _array(name, shape, 10_007 * i) for i, (name, shape) in enumerate(shapes.items())}


def save(arrays: dict[str, np.ndarray], path: Path) -> Path:
    """Writes a state dict as safetensors and returns its path."""
    safetensors.numpy.save_file(arrays, path)
    return path


def _convs(depth: int, inner: int, bottleneck: bool) -> list[tuple[int, int, int]]:
    """Depth before, depth after and width of a block's convolutions."""
    if bottleneck:
        return [(depth, inner, 1), (inner, inner, 3), (inner, 4 * inner, 1)]
    return [(depth, inner, 3), (inner, inner, 3)]


def _array(name: str, shape: tuple[int, ...], start: int) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(start, np.int64)
    values = numbers(start, shape)
    if name.endswith("running_var"):
        values = 0.5 + values
    elif name.endswith("weight") and len(shape) == 1:
        values = 0.5 + values
    else:
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 12
        values = (2 * values - 1) * np.sqrt(6 / fan_in)
    return values.astype(np.float32)
