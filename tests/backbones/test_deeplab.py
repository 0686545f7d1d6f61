"""The DeepLab: what its geometry promises holds, although its residual network pads with zeros."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from isl.backbones import deeplab
from isl.backbones.deeplab import DeepLab, DeepLabConfig, NormedConv
from isl.backbones.networks import Compute, count_parameters
from isl.backbones.resnet import ResNetConfig
from isl.config import parse
from isl.errors import InputError
from isl.imaging.image import ZStack
from isl.labeling.model_config import ModelConfig
from isl.labeling.network import abstract_network, build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field, smaller
from isl.labeling.source import field_of
from isl.tiling.geometry import WHOLE, Geometry

TINY = {"depth": 10, "width": 2, "context": 3, "decoder": 2}


def test_the_default_has_the_size_of_a_small_residual_network() -> None:
    """An 18-layer residual network 32 wide has a quarter of 11.2 million; the rest is around it."""
    body = abstract_network(DeepLabConfig(), planes=3, labels=("A",)).body
    assert count_parameters(body.backbone) == pytest.approx(11.17e6 / 4, rel=0.01)
    assert count_parameters(body) == pytest.approx(4.0e6, rel=0.05)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Stem 1; stages 8, 14, 28, 56; atrous 64; enlargements 16 and 2; decoder 4.
        (DeepLabConfig(), Geometry(margin=208, step=16, smallest=432)),
        # Stem 1; stages 4, 6, 12, 24; atrous 16; enlargements 16 and 2; decoder 4.
        (DeepLabConfig(depth=10, rates=(1,)), Geometry(margin=96, step=16, smallest=208)),
        # Stem 1; stages 4, 6, 12, 16; atrous 16; enlargements 8 and 2; decoder 4.
        (
            DeepLabConfig(depth=10, rates=(1, 2), output_stride=8),
            Geometry(margin=72, step=8, smallest=152),
        ),
    ],
)
def test_sizes_follow_from_what_it_sees(config: DeepLabConfig, expected: Geometry) -> None:
    assert config.geometry == expected


@pytest.mark.parametrize("stride", [8, 16])
def test_output_sizes_and_shifts_follow_the_geometry(stride: int) -> None:
    """A pass over a larger input gives, one step further, what a shifted pass gives."""
    config = DeepLabConfig(**TINY, rates=(1, 3), output_stride=stride)
    geometry = config.geometry
    network = build_network(config, planes=2, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    embed = jax.jit(lambda x: network.embed(x))
    rows, columns = geometry.smallest + 2 * geometry.step, geometry.smallest + geometry.step
    x = np.random.default_rng(0).normal(size=(1, rows, columns, 2)).astype(np.float32)
    whole = np.asarray(embed(x))
    assert whole.shape[1:3] == (geometry.output_size(rows), geometry.output_size(columns))
    assert whole.std() > 0.1
    size = geometry.output_size(geometry.smallest)
    for row, column in ((stride, 0), (0, stride), (2 * stride, stride)):
        window = (slice(row, row + geometry.smallest), slice(column, column + geometry.smallest))
        part = embed(x[:, *window])
        found = whole[:, row : row + size, column : column + size]
        np.testing.assert_allclose(part, found, rtol=1e-4, atol=1e-5)


def test_the_output_sees_what_its_reach_says_and_no_padding() -> None:
    config = DeepLabConfig(**TINY, rates=(2,), output_stride=8)
    geometry = config.geometry
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    size = geometry.smallest
    x = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: network.embed(x).sum()))(x)
    rows, columns = np.nonzero(np.abs(gradient[0, :, :, 0]))
    border = geometry.margin - config.reach
    for seen in (rows, columns):
        # The reach counts every layer's widest look; strides waste some of it on odd places.
        assert border <= seen.min() <= border + config.output_stride
        assert size - 1 - border - 2 * config.output_stride <= seen.max() <= size - 1 - border


def test_steps_down_the_gradient_lower_the_loss_and_reach_every_layer() -> None:
    config = DeepLabConfig(**{**TINY, "width": 4, "decoder": 4}, rates=(1,), output_stride=8)
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.train()
    size = config.geometry.smallest
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, size, size, 1)).astype(np.float32)
    margin = config.geometry.margin
    bright = x[:, margin:-margin, margin:-margin] > 0
    target = np.where(bright, 200, 20)
    graph, params, rest = nnx.split(network, nnx.Param, ...)

    @jax.jit
    def step(params: nnx.State) -> tuple[jax.Array, nnx.State, nnx.State]:
        def loss(params: nnx.State) -> jax.Array:
            model = nnx.merge(graph, params, rest, copy=True)
            logits = model.label_logits(model.embed(x))
            log_p = jax.nn.log_softmax(logits)
            return -np.float32(1) * jax.numpy.take_along_axis(log_p, target[..., None], -1).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        return value, gradient, jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient)

    first, gradient, params = step(params)
    for _ in range(10):
        last, _, params = step(params)
    assert last < 0.95 * first
    kernels = [array for path, array in nnx.to_flat_state(gradient) if str(path[-1]) == "kernel"]
    assert all(np.any(np.asarray(kernel[...])) for kernel in kernels)


def test_an_atrous_convolution_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    conv = nnx.eval_shape(lambda: NormedConv(3, 2, 3, Compute(), nnx.Rngs(0), rate=2)).conv
    kernel = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    conv.kernel = nnx.Param(kernel)
    x = rng.normal(size=(1, 7, 6, 3)).astype(np.float32)
    expected = np.zeros((1, 3, 2, 2), np.float32)
    for y in range(3):
        for column in range(2):
            window = x[0, y : y + 5 : 2, column : column + 5 : 2]
            expected[0, y, column] = np.einsum("abc,abcd->d", window, kernel)
    np.testing.assert_allclose(deeplab._atrous(x, conv, 2), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("factor", "rows", "columns"), [(1, 2, 3), (4, 3, 2)])
def test_enlarging_is_even_between_places(factor: int, rows: int, columns: int) -> None:
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    plane = (2.0 * y - 3.0 * x + 1.0)[None, :, :, None].astype(np.float32)
    larger = np.asarray(deeplab._enlarge(plane, factor))
    assert larger.shape == (1, factor * (rows - 1), factor * (columns - 1), 1)
    y, x = np.meshgrid(
        np.arange(factor * (rows - 1)), np.arange(factor * (columns - 1)), indexing="ij"
    )
    np.testing.assert_allclose(larger[0, :, :, 0], (2.0 * y - 3.0 * x) / factor + 1.0, atol=1e-4)


def test_what_a_residual_network_sees_is_the_sum_of_its_convolutions() -> None:
    """Bottlenecks have one 3 x 3 convolution each, which is the one that changes the size."""
    config = ResNetConfig(depth=26, preactivation=False, stem="small")
    assert deeplab._reach(config) == 1 + (2 + 2) + (2 + 4) + (4 + 8) + (8 + 16)


def test_a_model_folder_names_it_like_any_other() -> None:
    described = {
        "name": "d",
        "labels": ["A"],
        "architecture": {"kind": "deeplab", **TINY},
        "input": {"planes": 2},
    }
    config = ModelConfig.model_validate(described)
    network = abstract_network(config.architecture, planes=2, labels=config.labels)
    assert isinstance(network.body, DeepLab)


def test_holes_of_no_width_are_refused() -> None:
    with pytest.raises(InputError, match="rates"):
        parse({"rates": [0]}, DeepLabConfig, source="test")


def test_a_field_is_seen_whole_on_any_number_of_devices_and_tiles_are_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = ModelConfig.model_validate(
        {
            "name": "d",
            "labels": ["A"],
            "architecture": {"kind": "deeplab", **TINY, "image_pooling": True},
            "input": {"planes": 1},
        }
    )
    field = field_of(ZStack(name="f", planes=np.zeros((1, WHOLE, WHOLE), np.uint8)))
    options = check_options(config)
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    plan = plan_field(config, field, options)
    assert len(plan.tiles) == 1
    assert not any("seams" in warning for warning in plan.fit.warnings)
    # Memory ran out, once and again: the warning counts the tiles there are.
    for _ in range(2):
        plan = smaller(config, field, options, plan)
        assert plan is not None
        (said,) = (warning for warning in plan.fit.warnings if "seams" in warning)
        assert said.startswith(f"is predicted in {len(plan.tiles)} tiles")
    for given, budget in ((options, 2**27), (dataclasses.replace(options, tile=512), None)):
        plan = plan_field(config, field, given, budget=budget)
        assert len(plan.tiles) > 1
        said = f"is predicted in {len(plan.tiles)} tiles, and model 'd' looks at all of a tile"
        assert any(said in warning for warning in plan.fit.warnings)


def test_pooling_over_the_image_makes_every_pixel_depend_on_all() -> None:
    """Also on pixels beyond its margin, which without it do not reach it."""
    # Of so many channels, some are above 0 on average.
    tiny = {**TINY, "context": 16}
    config = DeepLabConfig(**tiny, rates=(1,), output_stride=8, image_pooling=True)
    assert config.geometry == dataclasses.replace(
        config.model_copy(update={"image_pooling": False}).geometry, whole=WHOLE
    )
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    size = config.geometry.smallest + 2 * config.geometry.step
    x = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype(np.float32)
    gradient = np.asarray(jax.jit(jax.grad(lambda x: network.embed(x)[0, 0, 0].sum()))(x))[0]
    far = gradient[-config.geometry.step :, -config.geometry.step :]
    assert np.abs(far).max() > 0
    plain = build_network(
        config.model_copy(update={"image_pooling": False}),
        planes=1,
        labels=("A",),
        rngs=nnx.Rngs(0),
    )
    plain.eval()
    gradient = np.asarray(jax.jit(jax.grad(lambda x: plain.embed(x)[0, 0, 0].sum()))(x))[0]
    assert np.abs(gradient[-config.geometry.step :, -config.geometry.step :]).max() == 0
