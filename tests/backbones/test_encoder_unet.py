"""A U-Net on a pretrained encoder: sizes, what it starts from, enlargements without a lattice."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.efficientnet_weights import load_encoder, start_from_pretrained
from isl.backbones.encoder_unet import EncoderUNetConfig, enlarged, means_of_blocks
from isl.labeling.network import LabelingNetwork, build_network
from isl.model_folder import arrays_of

CONFIG = EncoderUNetConfig(stem=2, decoder=(6, 5, 4, 3), margin=1)


@pytest.fixture(scope="module")
def network():
    built = build_network(CONFIG, planes=2, labels=("EZRIN",), rngs=nnx.Rngs(0))
    start_from_pretrained(built.body.encoder, CONFIG.encoder)
    built.eval()
    return built


def test_sizes_are_those_of_the_coarsest_maps() -> None:
    geometry = CONFIG.geometry
    assert (geometry.margin, geometry.step, geometry.smallest) == (32, 32, 96)
    assert geometry.is_valid(128)
    assert geometry.output_size(128) == 64


def test_what_comes_out_is_the_inside_of_the_padded_network(network) -> None:
    image = jnp.asarray(np.random.default_rng(0).random((1, 96, 96, 2)), jnp.float32)
    embed = nnx.jit(LabelingNetwork.embed)
    inside = embed(network, image)
    padded = network.padded()
    assert padded.geometry.output_size(96) == 96
    whole = embed(padded, image)
    assert inside.shape == (1, 32, 32, 3)
    assert whole.shape == (1, 96, 96, 3)
    np.testing.assert_allclose(whole[:, 32:64, 32:64], inside, atol=1e-5)


def test_it_starts_from_the_encoder_up_to_a_sixteenth_of_the_resolution(network) -> None:
    given, own = arrays_of(load_encoder(CONFIG.encoder)), arrays_of(network.body.encoder)
    kept = [name for name in own if name.startswith("blocks/")]
    assert "blocks/10/project/kernel" in own
    assert "blocks/11/project/kernel" not in own
    for name in kept:
        np.testing.assert_array_equal(own[name], given[name])
    # Two grey planes for three colours.
    np.testing.assert_allclose(
        own["stem/kernel"].sum(axis=2), given["stem/kernel"].sum(axis=2), rtol=1e-5, atol=1e-6
    )


def test_an_enlargement_keeps_ramps_and_mirror_images() -> None:
    ramp = jnp.arange(8.0).reshape(1, 8, 1, 1) * jnp.ones((1, 8, 6, 2))
    for factor in (2, 4):
        large = enlarged(ramp, factor)
        assert large.shape == (1, 8 * factor, 6 * factor, 2)
        steps = np.diff(np.asarray(large[0, factor:-factor, 0, 0]))
        np.testing.assert_allclose(steps, 1 / factor, rtol=1e-5)
    noise = jnp.asarray(np.random.default_rng(1).normal(size=(1, 6, 6, 1)), jnp.float32)
    np.testing.assert_allclose(enlarged(noise[:, ::-1], 2), enlarged(noise, 2)[:, ::-1], atol=1e-6)


def test_an_enlargement_treats_the_pixels_that_come_of_one_alike() -> None:
    """Their deviations agree, so that noise leaves no lattice."""
    noise = jnp.asarray(np.random.default_rng(2).normal(size=(1, 200, 200, 1)), jnp.float32)
    large = np.asarray(enlarged(noise, 2))[0, :, :, 0]
    deviations = [large[y::2, x::2].std() for y in (0, 1) for x in (0, 1)]
    np.testing.assert_allclose(deviations, np.mean(deviations), rtol=0.01)


def test_blocks_are_averaged() -> None:
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(means_of_blocks(image, 2)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert means_of_blocks(image, 1) is image
