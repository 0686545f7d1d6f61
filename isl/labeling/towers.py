"""The published network: five towers at five scales, and a final one (specification, sections 2-4).

Tower s looks at a centre crop of the input at scale 2^s: s down-scale modules, each followed by an
in-scale one, then in-scale modules, then s up-scale modules, each followed by an in-scale one. The
five results, equally wide, are concatenated and pass through a tower of in-scale modules. Every
module has a depth that makes it cost about as much as any other.

All sizes are derived from the constants just below, all of them the paper's (Figure 3 and its
methods) or the published code's.
"""

import bisect
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones import layers
from isl.backbones.layers import Activation
from isl.backbones.networks import Compute
from isl.config import Config
from isl.tiling.geometry import Geometry

SCALES = 5
LOWER_MODULES = 18
UPPER_MODULES = 14
IN_SCALE_KERNEL = 3
_SCALING_KERNEL = 4
_UPSCALE_DISCOUNT = 4
_EXPANSION = 211 / 39
_PAPERS_PLANES = 13
_LARGEST_BASE_DEPTH = 2**14
_ACTIVATIONS: tuple[Activation, ...] = ("relu", "tanh")

Scaling = Literal["in", "down", "up"]


class TowersConfig(Config):
    """What the towers are.

    Attributes:
        base_depth: Sets the depth of every module; 400 in the published code, and about 750 gives
            the paper's 27 million parameters. In its place `parameters` may be given: how many
            weights the convolutions are to have, as in the paper's search, which held them. It is
            met as nearly as whole depths allow, and wins where both are given.
        projection: Features per pixel that the planes are projected to before the towers, so that
            stacks of another depth need only that layer anew; 0 leaves the projection out, as the
            paper's own network does.
        expansion: How much deeper a module's expand convolution is than its reduce convolution: a
            factor, 211 / 39 in the published code; the paper searched 0.1 to 10. Below 1 a module
            may be narrower than its input, by as much; from 1 on it never is.
        activations: Side by side before every convolution of a module, so that each has so many
            times its input's depth to read. The paper searched all subsets. Heads keep their own.
    """

    kind: Literal["towers"] = "towers"
    base_depth: int = pydantic.Field(default=400, gt=_UPSCALE_DISCOUNT)
    projection: int = pydantic.Field(default=16, ge=0)
    # Not stated where they are the published ones: a checkpoint says in words which network it is
    # of, and must go on saying the same.
    expansion: float = pydantic.Field(
        default=_EXPANSION, gt=0, allow_inf_nan=False, exclude_if=lambda value: value == _EXPANSION
    )
    activations: tuple[Activation, ...] = pydantic.Field(
        default=_ACTIVATIONS, min_length=1, exclude_if=lambda value: value == _ACTIVATIONS
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_so_many_parameters(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "parameters" not in given:
            return given
        wanted = given["parameters"]
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise ValueError(f"parameters: expected a whole number above 0, not {wanted!r}")
        rest = {k: v for k, v in given.items() if k not in ("parameters", "base_depth")}

        def weights(depth: int) -> int:
            return convolution_weights(cls.model_validate({**rest, "base_depth": depth}))

        depths = range(_UPSCALE_DISCOUNT + 1, _LARGEST_BASE_DEPTH)
        fewest, most = weights(depths[0]), weights(depths[-1])
        if not fewest <= wanted <= most:
            raise ValueError(
                f"parameters: such towers have {fewest:,} to {most:,}, and not {wanted:,}"
            )
        above = bisect.bisect_left(depths, wanted, key=weights)
        nearest = min(
            depths[max(above - 1, 0) : above + 1], key=lambda depth: abs(weights(depth) - wanted)
        )
        return {**rest, "base_depth": nearest}

    @pydantic.field_validator("activations")
    @classmethod
    def _each_once(cls, activations: tuple[Activation, ...]) -> tuple[Activation, ...]:
        if len(set(activations)) < len(activations):
            raise ValueError("names one twice")
        return activations

    @property
    def geometry(self) -> Geometry:
        """Margin, step and smallest input: the widest tower's."""
        step = 2 ** (SCALES - 1)
        output = next(size for size in range(1, step + 1) if _fits(size))
        widest = max(tower_widths(scale, output)[0] for scale in range(SCALES))
        return Geometry(margin=(widest - output) // 2, step=step, smallest=widest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModulePlan:
    """One module of a tower.

    Attributes:
        name: The name of its variables in the published code.
        scaling: Whether it keeps the scale, halves it or doubles it.
        size: Its output width for the smallest input.
        cost_size: The width that its depth is derived from.
    """

    name: str
    scaling: Scaling
    size: int
    cost_size: int

    def depths(self, config: TowersConfig, depth_in: int) -> tuple[int, int]:
        """Expand and reduce depth.

        Below the up-scaling part the reduce depth never shrinks, nor the expand depth, but for an
        `expansion` below 1.
        """
        base = config.base_depth - (_UPSCALE_DISCOUNT if self.scaling == "up" else 0)
        expand = _next_even(config.expansion * math.ceil(base / self.cost_size))
        reduce = _next_even(math.ceil(base / self.cost_size))
        if self.scaling == "up":
            return expand, reduce
        narrowest = _next_even(min(1.0, config.expansion) * depth_in)
        return max(expand, min(narrowest, depth_in)), max(reduce, depth_in)


def tower_scalings(scale: int) -> list[tuple[str, Scaling]]:
    """Published name and scaling of every module of the tower at `scale`, in order."""
    return [
        *_paired(f"downscale_{scale}", "down", scale),
        *_in_scale(f"lower_scale_{scale}_recursion", LOWER_MODULES - 4 * scale),
        *_paired(f"upscale_{scale}", "up", scale),
    ]


def tower_widths(scale: int, output: int) -> list[int]:
    """Input width and the width after every module of a lower tower, for a final output width."""
    before_final = output + 2 * UPPER_MODULES
    return _widths([scaling for _, scaling in tower_scalings(scale)], before_final)


@functools.cache
def plan_tower(scale: int) -> list[ModulePlan]:
    """The modules of the tower at `scale`."""
    output = TowersConfig().geometry.output_size(TowersConfig().geometry.smallest)
    return _plan(tower_scalings(scale), tower_widths(scale, output))


@functools.cache
def plan_final_tower() -> list[ModulePlan]:
    """The in-scale modules over the concatenated towers."""
    output = TowersConfig().geometry.output_size(TowersConfig().geometry.smallest)
    scalings = _in_scale("upper_recursion", UPPER_MODULES)
    return _plan(scalings, _widths([scaling for _, scaling in scalings], output))


def module_depths(config: TowersConfig, depth_in: int) -> dict[str, tuple[int, int]]:
    """Expand and reduce depth of every module, by published name, for towers on `depth_in`."""
    depths: dict[str, tuple[int, int]] = {}

    def walk(plans: list[ModulePlan], depth: int) -> int:
        for plan in plans:
            depths[plan.name] = plan.depths(config, depth)
            depth = depths[plan.name][1]
        return depth

    concatenated = sum(walk(plan_tower(scale), depth_in) for scale in range(SCALES))
    walk(plan_final_tower(), concatenated)
    return depths


def convolution_weights(config: TowersConfig) -> int:
    """How many weights the convolutions of the towers have, projection and heads aside.

    Without a projection the input is taken to be the paper's 13 planes deep.
    """
    depth_in = config.projection or _PAPERS_PLANES
    depths, times = module_depths(config, depth_in), len(config.activations)

    def walk(plans: list[ModulePlan], depth: int) -> tuple[int, int]:
        weights = 0
        for plan in plans:
            expand, reduce = depths[plan.name]
            kernel = IN_SCALE_KERNEL if plan.scaling == "in" else _SCALING_KERNEL
            read = expand if plan.scaling == "up" else expand + depth
            weights += times * (kernel**2 * depth * expand + read * reduce)
            depth = reduce
        return weights, depth

    towers = [walk(plan_tower(scale), depth_in) for scale in range(SCALES)]
    final, _ = walk(plan_final_tower(), sum(depth for _, depth in towers))
    return sum(weights for weights, _ in towers) + final


def _paired(name: str, scaling: Scaling, count: int) -> list[tuple[str, Scaling]]:
    """Modules that change the scale, each followed by one that keeps it."""
    modules: list[tuple[str, Scaling]] = []
    for i in range(count):
        modules.append((f"{name}_{i}", scaling))
        modules.append((f"{name}_{i}_in_scale", "in"))
    return modules


def _in_scale(name: str, count: int) -> list[tuple[str, Scaling]]:
    return [(f"{name}_{i}", "in") for i in range(count)]


def _widths(scalings: list[Scaling], output: int) -> list[int]:
    """Widths from the input on, found by walking back from the output; odd halves are an error."""
    widths = [output]
    for scaling in reversed(scalings):
        width = widths[-1]
        if scaling == "in":
            width += 2
        elif scaling == "down":
            width = 2 * width + 2
        else:
            width, remainder = divmod(width + 2, 2)
            if remainder:
                raise ValueError(f"no input gives an output of {output}")
        widths.append(width)
    return widths[::-1]


def _fits(output: int) -> bool:
    try:
        return all(min(tower_widths(scale, output)) > 0 for scale in range(SCALES))
    except ValueError:
        return False


def _plan(scalings: list[tuple[str, Scaling]], widths: list[int]) -> list[ModulePlan]:
    """Module plans; a module that changes the scale costs what the one after it does."""
    outputs = widths[1:]
    return [
        ModulePlan(
            name=name,
            scaling=scaling,
            size=outputs[i],
            cost_size=outputs[i] if scaling == "in" else outputs[i + 1],
        )
        for i, (name, scaling) in enumerate(scalings)
    ]


def _next_even(number: float) -> int:
    whole = math.ceil(number)
    return whole + whole % 2


class ResidualModule(nnx.Module):
    """Pre-activation residual module: expand, reduce, and a skip around both.

    Attributes:
        depth: Depth of the result.
        padded: Whether pixels at the border are repeated beyond it, so that the result is as wide
            as the input, half or twice as wide; see
            `isl.labeling.network.LabelingNetwork.padded`.
    """

    def __init__(
        self,
        plan: ModulePlan,
        config: TowersConfig,
        depth_in: int,
        compute: Compute,
        rngs: nnx.Rngs,
    ) -> None:
        """The module that `plan` describes, on inputs of `depth_in`."""
        expand, reduce = plan.depths(config, depth_in)
        self.activations = config.activations
        times = len(config.activations)
        self.scaling: Scaling = plan.scaling
        self.depth = reduce
        self.padded = False
        self.expand_norm = layers.batch_norm(depth_in, compute, rngs)
        self.expand: layers.ValidConv | nnx.ConvTranspose
        if plan.scaling == "up":
            self.expand = nnx.ConvTranspose(
                times * depth_in,
                expand,
                kernel_size=(_SCALING_KERNEL, _SCALING_KERNEL),
                strides=(2, 2),
                padding="VALID",
                use_bias=False,
                transpose_kernel=True,
                dtype=compute.dtype,
                kernel_init=nnx.initializers.zeros,
                rngs=rngs,
            )
            expanded = expand
        else:
            self.expand = layers.ValidConv(
                times * depth_in, expand, self.kernel, compute, stride=self.stride
            )
            expanded = expand + depth_in
        self.reduce_norm = layers.batch_norm(expanded, compute, rngs)
        self.reduce = layers.ValidConv(times * expanded, reduce, 1, compute)

    @property
    def kernel(self) -> int:
        """Width of the expand convolution."""
        return IN_SCALE_KERNEL if self.scaling == "in" else _SCALING_KERNEL

    @property
    def stride(self) -> int:
        """Stride of the expand convolution."""
        return 1 if self.scaling == "in" else 2

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, y, x, depth]."""
        if self.padded or not self.expand_norm.use_running_average:
            # Training: a batch's statistics are those of whole images.
            return self._whole(x)
        return layers.by_bands(
            self._whole,
            x,
            overlap=1 if self.scaling == "up" else 2,
            stride=2 if self.scaling == "down" else 1,
            scale=2 if self.scaling == "up" else 1,
            depth=self.depth,
            numbers=len(self.activations) * self.reduce_norm.num_features,
        )

    def _whole(self, x: jax.Array) -> jax.Array:
        if self.padded and self.scaling != "up":
            x = layers.repeat_border(x, 1, 1)
        h = self.expand(layers.activated(self.expand_norm(x), self.activations))
        if self.scaling != "up":
            h = jnp.concatenate([h, layers.max_pool(x, self.kernel, self.stride)], axis=-1)
        # Without this, XLA merges the pooling into each use of h, and does it again for each.
        h = jax.lax.optimization_barrier(h)
        y = self.reduce(layers.activated(self.reduce_norm(h), self.activations))
        result = _match_depth(self._skip(x), self.depth) + y
        if self.scaling != "up":
            return result
        return layers.crop(result, 1 if self.padded else 2)

    def _skip(self, x: jax.Array) -> jax.Array:
        if self.scaling == "in":
            return layers.crop(x, 1)
        if self.scaling == "down":
            return layers.average_pool(layers.crop(x, 1))
        doubled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return jnp.pad(doubled, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")


def _match_depth(skip: jax.Array, depth: int) -> jax.Array:
    """Crops [B, Y, X, D] to `depth`, or fills it up with zeros."""
    lacking = depth - skip.shape[-1]
    if lacking <= 0:
        return skip[..., :depth]
    return jnp.pad(skip, ((0, 0), (0, 0), (0, 0), (0, lacking)))


class Tower(nnx.Module):
    """Residual modules in a row.

    Attributes:
        depth: Depth of the result.
    """

    def __init__(
        self,
        plans: list[ModulePlan],
        config: TowersConfig,
        depth_in: int,
        compute: Compute,
        rngs: nnx.Rngs,
    ) -> None:
        """The modules that `plans` describe, on inputs of `depth_in`."""
        modules: list[ResidualModule] = []
        depth = depth_in
        for plan in plans:
            modules.append(ResidualModule(plan, config, depth, compute, rngs))
            depth = modules[-1].depth
        self.depth = depth
        self.modules = nnx.List(modules)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, y, x, depth]."""
        for module in self.modules:
            x = module(x)
        return x


class Towers(nnx.Module):
    """The body of the published network, up to the embedding that the heads read.

    Attributes:
        geometry: Sizes of what it takes and gives.
        depth: Depth of the embedding.
        padded: Whether every tower sees all of the input; see `ResidualModule`.
    """

    def __init__(self, config: TowersConfig, planes: int, compute: Compute, rngs: nnx.Rngs) -> None:
        """Towers for `planes` input planes."""
        depth = config.projection or planes
        self.projection = (
            layers.ValidConv(planes, depth, 1, compute, use_bias=True)
            if config.projection
            else None
        )
        self.geometry = config.geometry
        self.padded = False
        output = self.geometry.output_size(self.geometry.smallest)
        # Pixels that each tower's crop takes off every side, whatever the input's width.
        self.borders = tuple(
            self.geometry.margin - (tower_widths(scale, output)[0] - output) // 2
            for scale in range(SCALES)
        )
        self.towers = nnx.List(
            Tower(plan_tower(scale), config, depth, compute, rngs) for scale in range(SCALES)
        )
        concatenated = sum(tower.depth for tower in self.towers)
        self.final = Tower(plan_final_tower(), config, concatenated, compute, rngs)
        self.depth = self.final.depth

    def project(self, transmitted: jax.Array) -> jax.Array:
        """What the towers see: float32 [B, Y, X, Z] in [0, 1] to [B, Y, X, C]."""
        return transmitted if self.projection is None else self.projection(transmitted)

    def __call__(self, transmitted: jax.Array) -> jax.Array:
        """float32 [B, Y, X, Z] in [0, 1] to [B, y, x, depth]."""
        x = self.project(transmitted)
        embedded = [
            tower(x if self.padded else layers.crop(x, border))
            for tower, border in zip(self.towers, self.borders, strict=True)
        ]
        return self.final(jnp.concatenate(embedded, axis=-1))
