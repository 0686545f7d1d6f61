"""The programs that predict can be compiled for a TPU, which nobody needs to have for that.

`jax.export` lowers a program for a platform that is not there: what no TPU can do (a primitive
without a rule, a type that it lacks) is refused then.
"""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.encoder_unet import EncoderUNetConfig
from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.devices import DEVICES
from isl.labeling import model as labeling
from isl.labeling.network import build_network
from isl.labeling.towers import TowersConfig
from isl.polarity import focus, pretrained
from isl.polarity import model as polarity
from isl.polarity.classifier import EncoderConfig, build_classifier
from isl.polarity.pretrained import PretrainedConfig


def for_tpu(function, *arguments) -> jax.export.Exported:
    """A program lowered for a TPU, of arguments that are arrays or trees of them."""
    abstract = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arguments)
    exported = jax.export.export(jax.jit(function), platforms=("tpu",))(*abstract)
    assert exported.platforms == ("tpu",)
    assert exported.mlir_module_serialized
    return exported


def test_a_tpu_is_a_device_like_a_gpu():
    assert {"gpu", "tpu"} <= set(DEVICES)


@pytest.mark.parametrize(
    "backbone",
    [
        ResNetConfig(depth=10, width=4, stem="imagenet"),
        ResNetConfig(depth=26, width=2, preactivation=False),
        EncoderConfig(unet=UNetConfig(levels=2, width=4)),
    ],
    ids=["preactivation", "postactivation", "encoder"],
)
def test_calls_and_maps_of_polarity(backbone):
    member = build_classifier(backbone, 2, rngs=nnx.Rngs(0))
    member.eval()
    graph, state = nnx.split(member)
    views = jnp.zeros((4, 48, 48, 2))
    (logits,) = for_tpu(functools.partial(polarity._logits, graph), state, views).out_avals
    assert (logits.shape, logits.dtype) == ((4, 2), np.float32)
    for_tpu(functools.partial(polarity._activations, graph), state, views)


@pytest.mark.parametrize(
    "architecture",
    [
        UNetConfig(levels=2, width=4),
        TowersConfig(base_depth=5, projection=2),
        EncoderUNetConfig(decoder=(4, 4, 4, 4)),
    ],
    ids=["unet", "towers", "encoder_unet"],
)
def test_statistics_of_predicted_labels(architecture):
    network = build_network(architecture, planes=3, labels=("EZRIN",), rngs=nnx.Rngs(0))
    network.eval()
    graph, state = nnx.split(network)
    size = architecture.geometry.smallest
    tiles = jnp.zeros((1, size, size, 3))
    names = ("mean", "standard_deviation")

    def statistics(state, tiles, temperatures):
        return labeling._statistics(graph, state, tiles, temperatures, None, ("EZRIN",), names)

    exported = for_tpu(statistics, state, tiles, jnp.ones(1))
    assert len(exported.out_avals) == 2


def test_what_a_frozen_encoder_sees():
    config = PretrainedConfig()
    graph, state = pretrained._encoder(config.encoder)
    images = jnp.zeros((4, 64, 64))

    def seen(state, images):
        return pretrained._pooled(graph, state, images, config.looks)

    exported = for_tpu(seen, state, images)
    assert [out.shape for out in exported.out_avals] == [(4, look.depth) for look in config.looks]


def test_fusing_stacks():
    fused, depths = for_tpu(
        functools.partial(focus._fuse, levels=3), jnp.zeros((3, 64, 64))
    ).out_avals
    assert (fused.shape, depths.dtype) == ((64, 64), np.int32)
