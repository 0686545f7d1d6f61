"""The forward passes of VGG and HRNet agree with PyTorch, written down once more layer by layer."""

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

from torch.nn import functional

from isl.backbones.hrnet import HRNetConfig, TwoScaleHRNet, abstract_hrnet
from isl.backbones.vgg import VGGConfig, abstract_vgg
from isl.model_folder import arrays_of, fill


def made_up(network: nnx.Module) -> dict[str, np.ndarray]:
    """Weights that keep activations near 1, batch statistics unlike those of a fresh network."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, array in arrays_of(nnx.merge(*_zeros(network))).items():
        if name.endswith("kernel"):
            deviation = np.sqrt(2 / np.prod(array.shape[:-1]))
            arrays[name] = rng.normal(0, deviation, array.shape).astype(np.float32)
        elif name.endswith(("scale", "var")):
            arrays[name] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        else:
            arrays[name] = rng.normal(0, 0.1, array.shape).astype(np.float32)
    return arrays


def _zeros(network: nnx.Module):
    graph, state = nnx.split(network)
    return graph, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)


class Layers:
    """Convolution and batch norm of PyTorch by the name of our arrays."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def has(self, name: str) -> bool:
        return any(key.startswith(f"{name}/") for key in self.arrays)

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def conv(self, name: str, x: torch.Tensor, stride: int = 1, bias: str = "") -> torch.Tensor:
        kernel = self.tensor(f"{name}/kernel").permute(3, 2, 0, 1)
        offset = self.tensor(bias) if bias in self.arrays else None
        return functional.conv2d(x, kernel, offset, stride, padding=kernel.shape[-1] // 2)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var, scale, bias = (
            self.tensor(f"{name}/{part}") for part in ("mean", "var", "scale", "bias")
        )
        return functional.batch_norm(x, mean, var, scale, bias, eps=1e-5)

    def conv_norm(self, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return self.norm(f"{name}/norm", self.conv(f"{name}/conv", x, stride, f"{name}/bias"))

    def block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A basic block or a bottleneck."""
        h, count = x, 0
        while self.has(f"{name}/convs/{count}"):
            h = h if count == 0 else torch.relu(h)
            h = self.norm(f"{name}/norms/{count}", self.conv(f"{name}/convs/{count}", h))
            count += 1
        if self.has(f"{name}/shortcut"):
            x = self.norm(f"{name}/shortcut_norm", self.conv(f"{name}/shortcut", x))
        return torch.relu(x + h)

    def blocks(self, name: str, x: torch.Tensor) -> torch.Tensor:
        count = 0
        while self.has(f"{name}/{count}"):
            x = self.block(f"{name}/{count}", x)
            count += 1
        return x


def hrnet_stem(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    x = torch.relu(layers.conv_norm("stem/convs/0", x, 2))
    x = torch.relu(layers.conv_norm("stem/convs/1", x, 2))
    return layers.blocks("stem/blocks", x)


def exchanged(layers: Layers, name: str, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    maps = [layers.blocks(f"{name}/blocks/{i}", x) for i, x in enumerate(maps)]
    if len(maps) == 1:
        return maps
    results = []
    for i in range(len(maps)):
        total = 0
        for j, x in enumerate(maps):
            path = f"{name}/exchange/{i}/{j}"
            if j > i:
                x = layers.conv_norm(f"{path}/0", x)
                x = functional.interpolate(x, scale_factor=2 ** (j - i), mode="nearest")
            for step in range(i - j):
                x = layers.conv_norm(f"{path}/{step}", x, 2)
                x = x if step == i - j - 1 else torch.relu(x)
            total = total + x
        results.append(torch.relu(total))
    return results


def entered(
    layers: Layers, name: str, maps: list[torch.Tensor], branches: int
) -> list[torch.Tensor]:
    results = []
    for i in range(branches):
        if i >= len(maps):
            results.append(torch.relu(layers.conv_norm(f"{name}/{i}/0", maps[-1], 2)))
        elif layers.has(f"{name}/{i}"):
            results.append(torch.relu(layers.conv_norm(f"{name}/{i}/0", maps[i])))
        else:
            results.append(maps[i])
    return results


def hrnet_trunk(
    layers: Layers, name: str, maps: list[torch.Tensor], config: HRNetConfig, first: int
) -> torch.Tensor:
    for stage, (branches, modules) in enumerate(zip(config.branches, config.modules, strict=True)):
        if stage >= first:
            maps = entered(layers, f"{name}/transitions/{stage - first}", maps, branches)
        for module in range(modules):
            maps = exchanged(layers, f"{name}/stages/{stage}/{module}", maps)
    x = layers.block(f"{name}/widen/0", maps[0])
    for i, finer in enumerate(maps[1:]):
        halved = torch.relu(layers.conv_norm(f"{name}/halve/{i}", x, 2))
        x = layers.block(f"{name}/widen/{i + 1}", finer) + halved
    for i in range(len(config.final)):
        x = torch.relu(layers.conv_norm(f"{name}/final/{i}", x))
    return x


def pictures(size: int, channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, size, size, channels)).astype(np.float32)


def as_torch(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def filled(network: nnx.Module, arrays: dict[str, np.ndarray]) -> nnx.Module:
    fill(network, arrays, source="made-up weights")
    network.eval()
    return network


def agree(found: jax.Array, expected: torch.Tensor) -> None:
    """To 1e-4 of the largest value: sums of hundreds of float32, taken in another order."""
    wanted = expected.numpy()
    assert found.shape == wanted.shape
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_hrnet() -> None:
    config = HRNetConfig(width=6, modules=(1, 2, 1), blocks=2, final=(32,))
    network = abstract_hrnet(config, 3)
    arrays = made_up(network)
    x = pictures(96, 3)
    vector = nnx.jit(type(network).vector)(filled(network, arrays), jnp.asarray(x))
    layers = Layers(arrays)
    with torch.no_grad():
        maps = hrnet_trunk(layers, "trunk", [hrnet_stem(layers, as_torch(x))], config, 0)
    agree(vector, maps.mean((2, 3)))


def test_two_scales() -> None:
    config = HRNetConfig(width=6, modules=(1, 1, 1), blocks=1, final=(64, 16))
    network = nnx.eval_shape(lambda: TwoScaleHRNet(config, 1))
    arrays = made_up(network)
    x = pictures(128, 1)
    vector = nnx.jit(TwoScaleHRNet.vector)(filled(network, arrays), jnp.asarray(x))
    layers = Layers(arrays)
    smaller = config.model_copy(update={"branches": (1, 2, 3)})
    with torch.no_grad():
        large, small = (hrnet_stem(layers, as_torch(each)) for each in (x, x[:, 32:96, 32:96]))
        first = hrnet_trunk(layers, "trunk", [large], config, 0)
        entrance = entered(layers, "trunk/transitions/0", [small], 1)
        second = hrnet_trunk(layers, "small", entrance, smaller, 1)
    agree(vector, torch.cat([first.mean((2, 3)), second.mean((2, 3))], dim=1))


@pytest.mark.parametrize("size", [64, 100])
def test_vgg(size: int) -> None:
    config = VGGConfig(depth=19, width=16, pooled=2, hidden=(12,))
    network = abstract_vgg(config, 3)
    arrays = made_up(network)
    x = pictures(size, 3)
    vector = nnx.jit(type(network).vector)(filled(network, arrays), jnp.asarray(x))
    layers = Layers(arrays)
    with torch.no_grad():
        h = as_torch(x)
        for block, count in enumerate((2, 2, 4, 4, 4)):
            for i in range(count):
                h = layers.conv(f"convs/{block}/{i}", h, 1, f"convs/{block}/{i}/bias")
                h = torch.relu(layers.norm(f"norms/{block}/{i}", h))
            h = functional.max_pool2d(h, 2)
        h = functional.adaptive_avg_pool2d(h, 2).flatten(1)
        kernel, bias = layers.tensor("hidden/0/kernel"), layers.tensor("hidden/0/bias")
        expected = torch.relu(h @ kernel + bias)
    agree(vector, expected)
