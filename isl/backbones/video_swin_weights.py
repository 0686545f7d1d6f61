"""Weights of torchvision's `swin3d_t`, `swin3d_s` and `swin3d_b`, under its names and layouts.

A state dict as safetensors, whole or without its head. Pretrained ones (Kinetics) take colours, as
mean-free and scaled as torchvision prepares them: show them a grey film three times, or average
their patches over the colours. Indices that torchvision stores beside the bias tables follow from
the windows and are left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isl.backbones.video_swin import VideoSwin, VideoSwinConfig
from isl.errors import InputError
from isl.model_folder import abstract_arrays, arrays_of, check_shapes, fill, read_weights

_LEFT_OUT = re.compile(r"\.relative_position_index$")
_VARIABLES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_BLOCK_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "expand": "mlp.0",
    "contract": "mlp.3",
}
_PATCH = "patch_embed.proj.weight"


def video_swin_config(file: Path) -> VideoSwinConfig:
    """The network that a file's weights are of, from their names and shapes.

    Windows are 7 x 7 positions wide, as in all published ones; their frames and the heads follow
    from the bias tables.

    Args:
        file: A state dict as safetensors.

    Raises:
        InputError: The file cannot be read, or is of no Video Swin Transformer.
    """
    return _config_of({name: array.shape for name, array in read_weights(file).items()}, file)


def load_video_swin_weights(
    network: VideoSwin, file: Path, *, average_colours: bool = False, keep_head: bool = False
) -> None:
    """Puts a file's weights into a network, in place.

    Args:
        network: As `video_swin_config` describes it.
        file: A state dict as safetensors.
        average_colours: For another number of channels than colours: the kernels of each are the
            colours' mean, scaled so that equal channels give what a grey film would.
        keep_head: Whether the network's own last layer stays; it then must hold arrays.

    Raises:
        InputError: The file is of another network, or arrays are missing, surplus or misshapen.
    """
    arrays = {n: array for n, array in read_weights(file).items() if not _LEFT_OUT.search(n)}
    _check_config(network.config, _config_of(_shapes(arrays), file), file)
    own = {path: tuple(array.shape) for path, array in abstract_arrays(network).items()}
    kept: dict[str, np.ndarray] = {}
    if keep_head:
        arrays = {n: array for n, array in arrays.items() if not n.startswith("head.")}
        kept = {p: array for p, array in arrays_of(network).items() if p.startswith("head/")}
    patch = network.config.patch
    channels = own["patch/kernel"][0] // int(np.prod(patch))
    if average_colours:
        arrays[_PATCH] = _averaged(arrays[_PATCH], channels)
    elif arrays[_PATCH].shape[1] != channels:
        raise InputError(
            f"{file}: '{_PATCH}' takes {arrays[_PATCH].shape[1]} channels, the network {channels}; "
            f"give it each grey film {arrays[_PATCH].shape[1]} times, or average the colours"
        )
    names = {path: published_name(path) for path in own if path not in kept}
    wanted = {name: _published_shape(name, own[p], patch) for p, name in names.items()}
    check_shapes(wanted, _shapes(arrays), source=str(file))
    converted = {path: _own_layout(name, arrays[name]) for path, name in names.items()}
    fill(network, converted | kept, source=str(file))


def published_name(path: str) -> str:
    """The published name of an array of the network, such as `features.0.1.attn.qkv.weight`."""
    *place, variable = path.split("/")
    if variable == "bias_table":
        return f"features.{2 * int(place[1])}.{place[2]}.attn.relative_position_bias_table"
    match place:
        case ["patch"]:
            part = "patch_embed.proj"
        case ["patch_norm"]:
            part = "patch_embed.norm"
        case ["norm" | "head" as part]:
            pass
        case ["merges", stage, inner]:
            part = f"features.{2 * int(stage) + 1}.{inner}"
        case ["stages", stage, block, "attention", inner]:
            own = {"qkv": "qkv", "projection": "proj"}[inner]
            part = f"features.{2 * int(stage)}.{block}.attn.{own}"
        case ["stages", stage, block, inner]:
            part = f"features.{2 * int(stage)}.{block}.{_BLOCK_PARTS[inner]}"
        case _:
            raise ValueError(f"{path} is no array of a Video Swin Transformer")
    return f"{part}.{_VARIABLES[variable]}"


def _config_of(shapes: Mapping[str, tuple[int, ...]], file: Path) -> VideoSwinConfig:
    if len(shapes.get(_PATCH, ())) != 5:
        raise InputError(
            f"{file}: holds no '{_PATCH}'; give the state dict of torchvision's swin3d_t, swin3d_s "
            "or swin3d_b"
        )
    width, _, *patch = shapes[_PATCH]
    found = {m.groups() for n in shapes if (m := re.match(r"features\.(\d+)\.(\d+)\.", n))}
    stages = sorted({int(stage) for stage, _ in found if int(stage) % 2 == 0})
    depths = tuple(sum(int(stage) == own for stage, _ in found) for own in stages)
    tables = [
        shapes.get(f"features.{stage}.0.attn.relative_position_bias_table", (0, 0))
        for stage in stages
    ]
    frames = {(rows // 13**2 + 1) // 2 for rows, _ in tables}
    if not tables or len(frames) != 1 or any(rows % 13**2 for rows, _ in tables):
        raise InputError(f"{file}: its bias tables are not of windows of 7 x 7 positions")
    heads = tuple(heads for _, heads in tables)
    t, y, x = patch
    return VideoSwinConfig(
        width=width, depths=depths, heads=heads, patch=(t, y, x), window=(frames.pop(), 7, 7)
    )


def _check_config(config: VideoSwinConfig, found: VideoSwinConfig, file: Path) -> None:
    for key in ("width", "depths", "heads", "patch", "window"):
        theirs, ours = getattr(found, key), getattr(config, key)
        if theirs != ours:
            raise InputError(
                f"{file}: is of a network with {key} = {_shown(theirs)}, but this one has {key} = "
                f"{_shown(ours)}; set {key} = {_shown(theirs)}"
            )


def _shown(value: int | tuple[int, ...]) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _published_shape(
    name: str, shape: tuple[int, ...], patch: tuple[int, int, int]
) -> tuple[int, ...]:
    """Kernels are [out, in] there and [in, out] here; patches have axes of their own there."""
    if name == _PATCH:
        return (shape[1], shape[0] // int(np.prod(patch)), *patch)
    return shape[::-1] if _is_kernel(name, shape) else shape


def _own_layout(name: str, array: np.ndarray) -> np.ndarray:
    if name == _PATCH:
        return array.transpose(2, 3, 4, 1, 0).reshape(-1, array.shape[0])
    return array.T if _is_kernel(name, array.shape) else array


def _is_kernel(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and name.endswith(".weight")


def _averaged(kernel: np.ndarray, channels: int) -> np.ndarray:
    """[out, colours, T, Y, X] to [out, channels, T, Y, X] with the same sum over the second."""
    total = kernel.astype(np.float32).sum(axis=1, keepdims=True)
    return np.repeat(total / channels, channels, axis=1)
