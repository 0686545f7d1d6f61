"""The U-Net in PyTorch, with the weights of ours, for comparison only."""

import jax
import numpy as np
import torch
from flax import nnx

from isl.labeling.network import LabelingNetwork


class Pair(torch.nn.Sequential):
    """Two valid 3 x 3 convolutions, each followed by batch norm and relu."""

    def __init__(self, depth_in: int, depth: int) -> None:
        """From `depth_in` channels to `depth`."""
        layers: list[torch.nn.Module] = []
        for inputs in (depth_in, depth):
            layers += [
                torch.nn.Conv2d(inputs, depth, 3, bias=False),
                torch.nn.BatchNorm2d(depth, eps=1e-3, momentum=0.001),
                torch.nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class TorchUNet(torch.nn.Module):
    """[B, Z, Y, X] to logits [B, L, 256, y, x]."""

    def __init__(self, network: LabelingNetwork, planes: int) -> None:
        """With the weights of a U-Net without a stem."""
        super().__init__()
        body = network.body
        depths = [pair.second.kernel.shape[-1] for pair in body.down]
        depths_in = [planes, *depths[:-1]]
        self.down = torch.nn.ModuleList(map(Pair, depths_in, depths))
        self.upscale = torch.nn.ModuleList(
            torch.nn.ConvTranspose2d(2 * depth, depth, 2, stride=2, bias=False)
            for depth in depths[:-1]
        )
        self.up = torch.nn.ModuleList(Pair(2 * depth, depth) for depth in depths[:-1])
        self.norms = torch.nn.ModuleList(
            torch.nn.BatchNorm2d(depths[0], eps=1e-3, momentum=0.001) for _ in network.labels
        )
        self.heads = torch.nn.ModuleList(
            torch.nn.Conv2d(2 * depths[0], 256, 1) for _ in network.labels
        )
        with torch.no_grad():
            self._take(network)

    def _take(self, network: LabelingNetwork) -> None:
        body = network.body
        for ours, theirs in ((body.down, self.down), (body.up, self.up)):
            for pair, copy in zip(ours, theirs, strict=True):
                for kernel, norm, at in (
                    (pair.first.kernel, pair.first_norm, 0),
                    (pair.second.kernel, pair.second_norm, 3),
                ):
                    copy[at].weight.copy_(_tensor(kernel).permute(3, 2, 0, 1))
                    _take_norm(copy[at + 1], norm)
        for upscale, copy in zip(body.upscale, self.upscale, strict=True):
            kernel = _tensor(upscale.kernel)[0, 0]
            copy.weight.copy_(kernel.reshape(len(kernel), 2, 2, -1).permute(0, 3, 1, 2))
        for label, norm, head in zip(network.labels, self.norms, self.heads, strict=True):
            _take_norm(norm, network.label_heads[label].norm)
            linear = network.label_heads[label].linear
            head.weight.copy_(_tensor(linear.kernel).T[:, :, None, None])
            head.bias.copy_(_tensor(linear.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.embed(x)
        found = []
        for norm, head in zip(self.norms, self.heads, strict=True):
            normalized = norm(x)
            found.append(head(torch.cat([normalized.relu(), normalized.tanh()], dim=1)))
        return torch.stack(found, dim=1)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """The body alone: [B, Z, Y, X] to [B, D, y, x]."""
        passed = [self.down[0](x)]
        for pair in self.down[1:]:
            passed.append(pair(torch.nn.functional.max_pool2d(passed[-1], 2)))
        x = passed[-1]
        for level in reversed(range(len(self.up))):
            x = self.upscale[level](x)
            border = (passed[level].shape[2] - x.shape[2]) // 2
            beside = passed[level][:, :, border:-border, border:-border]
            x = self.up[level](torch.cat([beside, x], dim=1))
        return x


def _take_norm(copy: torch.nn.Module, norm: nnx.BatchNorm) -> None:
    for name, ours in (
        ("weight", norm.scale),
        ("bias", norm.bias),
        ("running_mean", norm.mean),
        ("running_var", norm.var),
    ):
        getattr(copy, name).copy_(_tensor(ours))


def _tensor(variable: nnx.Variable | jax.Array) -> torch.Tensor:
    return torch.from_numpy(np.array(variable[...]))
