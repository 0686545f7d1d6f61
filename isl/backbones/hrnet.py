"""HRNet: maps of several resolutions side by side, which exchange what they know.

Wang et al., "Deep high-resolution representation learning for visual recognition" (2020), with the
classification head of its appendix: every resolution is widened by a bottleneck, the finer ones are
halved and added to the coarser, and 1 x 1 convolutions end it. HRNet-W18 has width 18.

`TwoScaleHRNet` is the variant of Witmer and Bhanu (2024): a patch and its central half go through
one stem and one first stage, then through trunks of their own, the smaller one with one resolution
fewer in every stage.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.networks import Compute, batch_norm
from isl.backbones.resnet import PaddedConv, PostactivationBlock, ResNetConfig
from isl.config import Config

BATCH_NORM_EPSILON = 1e-5
# Blocks as residual networks have them: their depth says which kind.
_BOTTLENECK = ResNetConfig(depth=50, preactivation=False, input_norm=False)
_BASIC = ResNetConfig(depth=18, preactivation=False, input_norm=False)


class HRNetConfig(Config):
    """What an HRNet is; the defaults are HRNet-W18 for classification.

    Attributes:
        stem: Depth of the stem's two convolutions, and of the first stage's bottlenecks inside.
        first_blocks: Bottlenecks of the first stage.
        width: Depth of the finest maps; every coarser ones are twice as deep.
        branches: Resolutions in every stage after the first.
        modules: Times that resolutions exchange, in every stage after the first.
        blocks: Basic blocks between two exchanges.
        head: Depth inside the bottleneck that widens each resolution, by four.
        final: Depths of the 1 x 1 convolutions at the end.
    """

    kind: Literal["hrnet"] = "hrnet"
    stem: int = pydantic.Field(default=64, ge=1)
    first_blocks: int = pydantic.Field(default=4, ge=1)
    width: int = pydantic.Field(default=18, ge=1)
    branches: tuple[int, ...] = pydantic.Field(default=(2, 3, 4), min_length=1)
    modules: tuple[int, ...] = pydantic.Field(default=(1, 4, 3), min_length=1)
    blocks: int = pydantic.Field(default=4, ge=1)
    head: tuple[int, ...] = pydantic.Field(default=(32, 64, 128, 256), min_length=1)
    final: tuple[int, ...] = pydantic.Field(default=(2048,), min_length=1)

    @pydantic.model_validator(mode="after")
    def _stages_fit(self) -> "HRNetConfig":
        if len(self.branches) != len(self.modules):
            raise ValueError(
                f"{len(self.branches)} stages of branches but {len(self.modules)} of modules; give "
                "one number of each for every stage after the first"
            )
        before = (1, *self.branches)
        if any(not 0 <= after - b <= 1 for b, after in zip(before, self.branches, strict=False)):
            raise ValueError(
                f"branches {list(self.branches)}: a stage has as many resolutions as the one "
                "before it or one more, beginning at 1 or 2"
            )
        if len(self.head) < self.branches[-1]:
            raise ValueError(
                f"head has {len(self.head)} depths, and the last stage {self.branches[-1]} "
                "resolutions; give one depth for each"
            )
        return self

    @property
    def depth_out(self) -> int:
        """Depth of the features."""
        return self.final[-1]

    def depth_of(self, branch: int) -> int:
        """Depth of the maps of a branch, counted from the finest."""
        return self.width * 2**branch


class ConvNorm(nnx.Module):
    """A padded convolution and batch norm, and relu unless it is left out."""

    def __init__(
        self,
        depth_in: int,
        depth_out: int,
        kernel: int,
        compute: Compute,
        *,
        stride: int = 1,
        bias: bool = False,
        relu: bool = True,
    ) -> None:
        """Weights of 0, which `draw_weights` or stored ones replace."""
        self.conv = PaddedConv(depth_in, depth_out, kernel, compute, stride=stride)
        self.bias = nnx.Param(jnp.zeros(depth_out)) if bias else None
        self.norm = batch_norm(depth_out, compute, BATCH_NORM_EPSILON)
        self.relu = relu

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, ceil(Y / stride), ceil(X / stride), depth_out]."""
        x = self.conv(x)
        if self.bias is not None:
            x = x + self.bias[...].astype(x.dtype).reshape(1, 1, 1, -1)
        x = self.norm(x)
        return jax.nn.relu(x) if self.relu else x


class Stem(nnx.Module):
    """Two convolutions of stride 2 and the first stage's bottlenecks.

    Attributes:
        depth: Depth of the maps.
    """

    def __init__(self, config: HRNetConfig, channels: int, compute: Compute) -> None:
        """A stem with weights of 0."""
        self.convs = nnx.List(
            [
                ConvNorm(channels, config.stem, 3, compute, stride=2),
                ConvNorm(config.stem, config.stem, 3, compute, stride=2),
            ]
        )
        self.blocks = nnx.List()
        self.depth = config.stem
        for _ in range(config.first_blocks):
            self.blocks.append(
                PostactivationBlock(self.depth, _BOTTLENECK, config.stem, 1, compute)
            )
            self.depth = self.blocks[-1].depth

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [B, Y, X, C] to [B, ceil(Y / 4), ceil(X / 4), depth]."""
        for layer in (*self.convs, *self.blocks):
            x = layer(x)
        return x


class Module(nnx.Module):
    """Basic blocks on every resolution, then an exchange between all of them."""

    def __init__(self, config: HRNetConfig, branches: int, compute: Compute) -> None:
        """A module with weights of 0."""
        depths = [config.depth_of(branch) for branch in range(branches)]
        self.blocks = nnx.List(
            nnx.List(
                PostactivationBlock(depth, _BASIC, depth, 1, compute) for _ in range(config.blocks)
            )
            for depth in depths
        )
        self.exchange = nnx.List(
            nnx.List(_path(depths, source, target, compute) for source in range(branches))
            for target in range(branches)
        )

    def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
        """Maps of every resolution, finest first, to maps of the same sizes."""
        computed = []
        for x, blocks in zip(maps, self.blocks, strict=True):
            for block in blocks:
                x = block(x)
            computed.append(x)
        if len(computed) == 1:
            return computed
        results = []
        for target, paths in enumerate(self.exchange):
            total = jnp.zeros_like(computed[target])
            for source, layers in enumerate(paths):
                x = computed[source]
                for layer in layers:
                    x = layer(x)
                if source > target:
                    x = enlarged(x, 2 ** (source - target), computed[target].shape[1:3])
                total = total + x
            results.append(jax.nn.relu(total))
        return results


class Trunk(nnx.Module):
    """All that follows the first stage, up to the features.

    Attributes:
        depth: Depth of the features.
    """

    def __init__(
        self, config: HRNetConfig, depth_in: int, compute: Compute, *, transition: bool = True
    ) -> None:
        """A trunk with weights of 0; without `transition` it is given the second stage's maps."""
        self.depth = config.depth_out
        self.transitions, self.stages = nnx.List(), nnx.List()
        depths = [depth_in]
        for stage, (branches, modules) in enumerate(
            zip(config.branches, config.modules, strict=True)
        ):
            wanted = [config.depth_of(branch) for branch in range(branches)]
            if stage or transition:
                self.transitions.append(_transition(depths, wanted, compute))
            self.stages.append(nnx.List(Module(config, branches, compute) for _ in range(modules)))
            depths = wanted
        self.given = not transition
        self.widen, self.halve = nnx.List(), nnx.List()
        for depth, inner in zip(depths, config.head, strict=False):
            self.widen.append(PostactivationBlock(depth, _BOTTLENECK, inner, 1, compute))
        widened = [block.depth for block in self.widen]
        for finer, coarser in itertools.pairwise(widened):
            self.halve.append(ConvNorm(finer, coarser, 3, compute, stride=2, bias=True))
        self.final = nnx.List()
        depth = widened[-1]
        for wanted_depth in config.final:
            self.final.append(ConvNorm(depth, wanted_depth, 1, compute, bias=True))
            depth = wanted_depth

    def __call__(self, maps: Sequence[jax.Array]) -> jax.Array:
        """The first stage's maps, alone in a list, or the second's, to [B, y, x, depth]."""
        maps = list(maps)
        transitions = [None, *self.transitions] if self.given else list(self.transitions)
        for transition, modules in zip(transitions, self.stages, strict=True):
            if transition is not None:
                maps = branched(transition, maps)
            for module in modules:
                maps = module(maps)
        x = self.widen[0](maps[0])
        for widen, halve, finer in zip(list(self.widen)[1:], self.halve, maps[1:], strict=True):
            x = widen(finer) + halve(x)
        for layer in self.final:
            x = layer(x)
        return x


class HRNet(nnx.Module):
    """An HRNet up to the maps that enter global average pooling.

    Attributes:
        config: What it is.
        depth: Depth of the features.
    """

    def __init__(self, config: HRNetConfig, channels: int, compute: Compute | None = None) -> None:
        """A network for `channels` input channels, with weights of 0; see `draw_weights`."""
        compute = compute or Compute()
        self.config = config
        self.depth = config.depth_out
        self.stem = Stem(config, channels, compute)
        self.trunk = Trunk(config, self.stem.depth, compute)

    def features(self, x: jax.Array) -> jax.Array:
        """float32 [B, Y, X, C] to [B, y, x, depth]; y = ceil(Y / 32) with four resolutions."""
        return self.trunk([self.stem(x)])

    def vector(self, x: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth]."""
        return self.features(x).astype(jnp.float32).mean(axis=(1, 2))


class TwoScaleHRNet(nnx.Module):
    """A patch and its central half through one stem and two trunks.

    Attributes:
        config: The larger patch's; the smaller one's has a resolution fewer in every stage.
        depth: Length of both vectors together.
    """

    def __init__(self, config: HRNetConfig, channels: int, compute: Compute | None = None) -> None:
        """A network for `channels` input channels, with weights of 0."""
        compute = compute or Compute()
        self.config = config
        self.depth = 2 * config.depth_out
        self.stem = Stem(config, channels, compute)
        self.trunk = Trunk(config, self.stem.depth, compute)
        # The published code takes the smaller patch through the larger one's first transition.
        small = config.model_copy(
            update={"branches": tuple(max(1, count - 1) for count in config.branches)}
        )
        self.small = Trunk(small, config.width, compute, transition=False)

    def vector(self, x: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth], the larger scale's part first."""
        half = central_half(x)
        large = self.trunk([self.stem(x)])
        entrance = self.trunk.transitions[0]
        branches = len(self.small.stages[0][0].blocks)
        small = self.small(branched(entrance, [self.stem(half)])[:branches])
        means = [maps.astype(jnp.float32).mean(axis=(1, 2)) for maps in (large, small)]
        return jnp.concatenate(means, axis=-1)


def central_half(x: jax.Array) -> jax.Array:
    """The middle of [B, Y, X, C], half as wide and half as high; 224 becomes 112."""
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    top, left = (x.shape[1] - rows) // 2, (x.shape[2] - columns) // 2
    return x[:, top : top + rows, left : left + columns]


def branched(transition: nnx.List, maps: Sequence[jax.Array]) -> list[jax.Array]:
    """Maps of one stage as the next one wants them: widened, or halved from the coarsest."""
    results = []
    for branch, layers in enumerate(transition):
        x = maps[min(branch, len(maps) - 1)]
        for layer in layers:
            x = layer(x)
        results.append(x)
    return results


def enlarged(x: jax.Array, factor: int, size: tuple[int, ...]) -> jax.Array:
    """[B, y, x, C] with every pixel repeated `factor` times each way, cut to `size`."""
    return jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)[:, : size[0], : size[1]]


def abstract_hrnet(config: HRNetConfig, channels: int, compute: Compute | None = None) -> HRNet:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: HRNet(config, channels, compute))


def _path(depths: Sequence[int], source: int, target: int, compute: Compute) -> nnx.List:
    """What maps of one resolution go through before they are added to those of another."""
    if source == target:
        return nnx.List([])
    if source > target:
        return nnx.List([ConvNorm(depths[source], depths[target], 1, compute, relu=False)])
    layers = nnx.List([])
    for step in range(target - source):
        last = step == target - source - 1
        depth = depths[target] if last else depths[source]
        layers.append(ConvNorm(depths[source], depth, 3, compute, stride=2, relu=not last))
    return layers


def _transition(before: Sequence[int], wanted: Sequence[int], compute: Compute) -> nnx.List:
    """From the maps of one stage to those that the next one begins with."""
    branches = nnx.List([])
    for branch, depth in enumerate(wanted):
        if branch >= len(before):
            branches.append(nnx.List([ConvNorm(before[-1], depth, 3, compute, stride=2)]))
        elif before[branch] != depth:
            branches.append(nnx.List([ConvNorm(before[branch], depth, 3, compute)]))
        else:
            branches.append(nnx.List([]))
    return branches
