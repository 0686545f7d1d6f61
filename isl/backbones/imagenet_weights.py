"""ImageNet-trained weights from PyTorch, under the names and layouts of timm and torchvision.

timm's `resnetv2_50` is the pre-activation network (without batch norm in its stem), torchvision's
`resnet18` and `resnet50` are the post-activation ones; each as a safetensors file of the state
dict. Both take colours: show them a grey image three times, or average their stem over the colours.
The classifier's own layer and counts of batches are left out, and nothing else may be.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isl.backbones.resnet import BATCH_NORM_EPSILON, DEPTHS, Depth, ResNet, ResNetConfig
from isl.errors import InputError
from isl.model_folder import abstract_arrays, check_shapes, fill, read_weights

_LEFT_OUT = re.compile(r"(^|\.)num_batches_tracked$|^(head\.)?fc\.(weight|bias)$")
_STEM = {True: "stem.conv", False: "conv1"}
_VARIABLES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def imagenet_config(file: Path) -> ResNetConfig:
    """The network that a file's weights are of, from their names and shapes.

    Args:
        file: A state dict as safetensors.

    Raises:
        InputError: The file cannot be read, or is of no network that is built here.
    """
    return _config_of(_shapes(read_weights(file)), file)


def load_imagenet_weights(network: ResNet, file: Path, *, average_stem: bool = False) -> None:
    """Puts a file's weights and batch statistics into a network, in place.

    The first batch norm, which these networks lack, becomes the identity where the network has one.

    Args:
        network: As `imagenet_config` describes it; it may hold shapes in place of arrays.
        file: A state dict as safetensors.
        average_stem: For another number of input channels than colours: each channel's kernel is
            the colours' mean, scaled so that equal channels give what a grey image would.

    Raises:
        InputError: The file is of another network, or arrays are missing, surplus or misshapen.
    """
    arrays = {
        name: array for name, array in read_weights(file).items() if not _LEFT_OUT.search(name)
    }
    _check_config(network.config, _config_of(_shapes(arrays), file), file)
    own = {path: array.shape for path, array in abstract_arrays(network).items()}
    names = {path: name for path in own if (name := _published_name(path, network.config))}
    stem = names["stem/kernel"]
    channels = own["stem/kernel"][2]
    if average_stem:
        arrays[stem] = _averaged(arrays[stem], channels)
    elif arrays[stem].shape[1:2] != (channels,):
        raise InputError(
            f"{file}: '{stem}' takes {arrays[stem].shape[1]} channels, the network {channels}; "
            f"give it each grey image {arrays[stem].shape[1]} times, or average the stem"
        )
    wanted = {name: _published_shape(own[path]) for path, name in names.items()}
    check_shapes(wanted, _shapes(arrays), source=str(file))
    converted = {path: _own_layout(arrays[name]) for path, name in names.items()}
    fill(network, _identity_norm(own) | converted, source=str(file))


def _config_of(shapes: Mapping[str, tuple[int, ...]], file: Path) -> ResNetConfig:
    layouts = [pre for pre, stem in _STEM.items() if len(shapes.get(f"{stem}.weight", ())) == 4]
    if not layouts:
        raise InputError(
            f"{file}: holds neither 'stem.conv.weight' (timm's resnetv2_50) nor 'conv1.weight' "
            "(torchvision's resnet18 or resnet50); give the state dict of one of these"
        )
    preactivation = layouts[0]
    stages = _blocks(shapes, preactivation)
    bottleneck = any(name.endswith(".conv3.weight") for name in shapes)
    depths: list[Depth] = [
        depth
        for depth, counts in DEPTHS.items()
        if counts == stages and ResNetConfig(depth=depth).bottleneck == bottleneck
    ]
    if not depths:
        blocks = "bottlenecks" if bottleneck else "basic blocks"
        raise InputError(
            f"{file}: holds stages of {', '.join(map(str, stages)) or 'no'} {blocks}; give the "
            f"state dict of a ResNet of depth {', '.join(map(str, DEPTHS))}"
        )
    return ResNetConfig(
        depth=depths[0],
        width=shapes[f"{_STEM[preactivation]}.weight"][0],
        preactivation=preactivation,
        stem_norm=not preactivation,
    )


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _blocks(shapes: Mapping[str, tuple[int, ...]], preactivation: bool) -> tuple[int, ...]:
    """How many blocks every stage has."""
    pattern = r"stages\.(\d+)\.blocks\.(\d+)\." if preactivation else r"layer(\d+)\.(\d+)\."
    found = {match.groups() for name in shapes if (match := re.match(pattern, name))}
    numbers = [int(stage) for stage, _ in found]
    return tuple(numbers.count(stage) for stage in sorted(set(numbers)))


def _check_config(config: ResNetConfig, found: ResNetConfig, file: Path) -> None:
    for key in ("depth", "width", "preactivation", "stem", "stem_norm"):
        theirs, ours = (json.dumps(getattr(value, key)) for value in (found, config))
        if theirs != ours:
            raise InputError(
                f"{file}: is of a network with {key} = {theirs}, but this one has {key} = {ours}; "
                f"set {key} = {theirs}"
            )


def _published_name(path: str, config: ResNetConfig) -> str | None:
    """A file's name for an array of the network; None for the first batch norm."""
    *place, variable = path.split("/")
    match place:
        case ["stem"]:
            part = _STEM[config.preactivation]
        case ["stem_norm"]:
            part = "bn1"
        case ["final_norm"]:
            part = "norm"
        case ["stages", stage, block, *inner] if config.preactivation:
            part = f"stages.{stage}.blocks.{block}.{_timm_part(inner)}"
        case ["stages", stage, block, *inner]:
            part = f"layer{int(stage) + 1}.{block}.{_torchvision_part(inner)}"
        case _:
            return None
    return f"{part}.{_VARIABLES[variable]}"


def _timm_part(inner: list[str]) -> str:
    if inner == ["shortcut"]:
        return "downsample.conv"
    kind, index = inner
    return f"{kind.removesuffix('s')}{int(index) + 1}"


def _torchvision_part(inner: list[str]) -> str:
    if len(inner) == 1:
        return {"shortcut": "downsample.0", "shortcut_norm": "downsample.1"}[inner[0]]
    kind, index = inner
    return f"{'conv' if kind == 'convs' else 'bn'}{int(index) + 1}"


def _published_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Kernels are [out, in, Y, X] there, and [Y, X, in, out] here."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _own_layout(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _averaged(kernel: np.ndarray, channels: int) -> np.ndarray:
    """[out, colours, Y, X] to [out, channels, Y, X] with the same sum over the second axis."""
    total = kernel.astype(np.float32).sum(axis=1, keepdims=True)
    return np.repeat(total / channels, channels, axis=1)


def _identity_norm(own: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Statistics by which a batch norm without scale and offset changes nothing."""
    values = {"input_norm/mean": 0.0, "input_norm/var": 1.0 - BATCH_NORM_EPSILON}
    return {path: np.full(own[path], value) for path, value in values.items() if path in own}
