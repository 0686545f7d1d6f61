"""The forward pass agrees with PyTorch's, on state dicts under timm's and torchvision's names.

The networks are written down here once more, in PyTorch and under those names, so that what
`load_state_dict` accepts is what the converter must read. `python tests/torch/test_resnet_torch.py`
writes what tests/golden holds of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

try:
    import torch
except ImportError as error:
    raise ImportError(
        "tests/torch compares with PyTorch, which is not installed; install the extra 'torch'"
    ) from error

sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

from made_up_weights import images, made_up, save, timm_shapes, torchvision_shapes

from isl.backbones.imagenet_weights import imagenet_config, load_imagenet_weights
from isl.backbones.resnet import ResNetConfig, abstract_resnet

GOLDEN = Path(__file__).parents[1] / "golden" / "resnet_torch.npz"
RESNET_50 = (3, 4, 6, 3)
RESNET_18 = (2, 2, 2, 2)


def conv(depth_in: int, depth: int, size: int, stride: int = 1) -> torch.nn.Conv2d:
    return torch.nn.Conv2d(depth_in, depth, size, stride, padding=size // 2, bias=False)


def convs(depth_in: int, inner: int, stride: int, bottleneck: bool) -> list[torch.nn.Conv2d]:
    if bottleneck:
        return [
            conv(depth_in, inner, 1),
            conv(inner, inner, 3, stride),
            conv(inner, 4 * inner, 1),
        ]
    return [conv(depth_in, inner, 3, stride), conv(inner, inner, 3)]


class TimmBlock(torch.nn.Module):
    def __init__(self, depth_in: int, inner: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.parts = convs(depth_in, inner, stride, bottleneck)
        self.depth = self.parts[-1].out_channels
        self.steps = []
        for i, part in enumerate(self.parts, start=1):
            norm = torch.nn.BatchNorm2d(part.in_channels)
            self.add_module(f"norm{i}", norm)
            self.add_module(f"conv{i}", part)
            self.steps.append((norm, part))
        self.downsample = None
        if stride != 1 or depth_in != self.depth:
            self.downsample = torch.nn.Sequential()
            self.downsample.add_module("conv", conv(depth_in, self.depth, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beside, h = x, x
        for i, (norm, part) in enumerate(self.steps):
            h = torch.relu(norm(h))
            if i == 0 and self.downsample is not None:
                beside = self.downsample(h)
            h = part(h)
        return beside + h


class TorchvisionBlock(torch.nn.Module):
    def __init__(self, depth_in: int, inner: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.parts = convs(depth_in, inner, stride, bottleneck)
        self.depth = self.parts[-1].out_channels
        self.steps = []
        for i, part in enumerate(self.parts, start=1):
            norm = torch.nn.BatchNorm2d(part.out_channels)
            self.add_module(f"conv{i}", part)
            self.add_module(f"bn{i}", norm)
            self.steps.append((part, norm))
        self.downsample = None
        if stride != 1 or depth_in != self.depth:
            self.downsample = torch.nn.Sequential(
                conv(depth_in, self.depth, 1, stride), torch.nn.BatchNorm2d(self.depth)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x
        for i, (part, norm) in enumerate(self.steps):
            h = norm(part(torch.relu(h) if i else h))
        return torch.relu(h + (x if self.downsample is None else self.downsample(x)))


def stage(block: type, depth: int, inner: int, index: int, count: int, bottleneck: bool) -> list:
    blocks = []
    for i in range(count):
        blocks.append(block(depth, inner, 2 if index and not i else 1, bottleneck))
        depth = blocks[-1].depth
    return blocks


class Timm(torch.nn.Module):
    def __init__(self, counts: tuple[int, ...], width: int, bottleneck: bool) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential()
        self.stem.add_module("conv", conv(3, width, 7, 2))
        self.stem.add_module("pool", torch.nn.MaxPool2d(3, 2, padding=1))
        self.stages = torch.nn.Sequential()
        depth = width
        for i, count in enumerate(counts):
            blocks = stage(TimmBlock, depth, width * 2**i, i, count, bottleneck)
            depth = blocks[-1].depth
            self.stages.append(torch.nn.Sequential())
            self.stages[-1].add_module("blocks", torch.nn.Sequential(*blocks))
        self.norm = torch.nn.BatchNorm2d(depth)
        self.head = torch.nn.Sequential()
        self.head.add_module("fc", torch.nn.Conv2d(depth, 5, 1))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.stages(self.stem(x))))


class Torchvision(torch.nn.Module):
    def __init__(self, counts: tuple[int, ...], width: int, bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = conv(3, width, 7, 2)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.pool = torch.nn.MaxPool2d(3, 2, padding=1)
        self.layers = []
        depth = width
        for i, count in enumerate(counts):
            blocks = stage(TorchvisionBlock, depth, width * 2**i, i, count, bottleneck)
            depth = blocks[-1].depth
            self.layers.append(torch.nn.Sequential(*blocks))
            self.add_module(f"layer{i + 1}", self.layers[-1])
        self.fc = torch.nn.Linear(depth, 5)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for layer in self.layers:
            x = layer(x)
        return x


NETWORKS: dict[str, tuple[type, Callable[..., dict], tuple[int, ...], bool]] = {
    "timm_resnetv2_50": (Timm, timm_shapes, RESNET_50, True),
    "timm_resnetv2_18": (Timm, timm_shapes, RESNET_18, False),
    "torchvision_resnet50": (Torchvision, torchvision_shapes, RESNET_50, True),
    "torchvision_resnet18": (Torchvision, torchvision_shapes, RESNET_18, False),
}


def state_dict(name: str, width: int) -> dict[str, np.ndarray]:
    _, shapes, counts, bottleneck = NETWORKS[name]
    return made_up(shapes(counts, width, bottleneck=bottleneck))


def torch_features(name: str, width: int, x: np.ndarray) -> np.ndarray:
    """[B, Y, X, 3] to [B, y, x, depth], by PyTorch, in evaluation."""
    network, _, counts, bottleneck = NETWORKS[name]
    module = network(counts, width, bottleneck)
    arrays = state_dict(name, width)
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    module.eval()
    with torch.no_grad():
        maps = module.features(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    return maps.numpy().transpose(0, 2, 3, 1)


def golden_features() -> dict[str, np.ndarray]:
    """What tests/golden/resnet_torch.npz holds."""
    names = ("timm_resnetv2_50", "torchvision_resnet18")
    return {name: torch_features(name, 2, images(1, 65, 78)) for name in names}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_pytorch(name: str, tmp_path: Path) -> None:
    """To 1e-4 of the largest value: sums of hundreds of float32, taken in another order."""
    width, x = 8, images(2, 97, 128)
    file = save(state_dict(name, width), tmp_path / "weights.safetensors")
    config: ResNetConfig = imagenet_config(file)
    network = abstract_resnet(config, 3)
    load_imagenet_weights(network, file)
    network.eval()
    graph, state = nnx.split(network)
    found = jax.jit(lambda state, x: nnx.merge(graph, state).features(x))(state, jnp.asarray(x))
    expected = torch_features(name, width, x)
    assert found.shape == expected.shape
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())


def test_stored_features_are_those_of_pytorch() -> None:
    """Other versions of PyTorch may add in another order."""
    expected = golden_features()
    with np.load(GOLDEN) as stored:
        assert set(stored.files) == set(expected)
        for name, features in expected.items():
            np.testing.assert_allclose(stored[name], features, rtol=0, atol=1e-5 * features.max())


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden_features())
