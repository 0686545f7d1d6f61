"""Model folders, batching, patches, composition, and classes added to a trained network."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_models import CLASSES, NETWORK, saved_model

from isl.backbones.hrnet import HRNetConfig
from isl.backbones.resnet import ResNetConfig
from isl.backbones.vgg import VGGConfig
from isl.colony.kind import KIND
from isl.colony.model import (
    DEFAULT_CELL_MODEL,
    corrected_composition,
    load_colony_model,
    softmax,
)
from isl.colony.network import (
    EncoderConfig,
    NetworkConfig,
    abstract_network,
    build_network,
    with_more_classes,
)
from isl.colony.patches import cut_out, patches_of, place_patch, standardized
from isl.errors import InputError


def random_patches(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 1)).astype(np.uint8)


def test_a_saved_model_says_the_same(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "small", temperature=2.0)
    patches = random_patches(5)
    network = build_network(NETWORK, 1, 4, rngs=nnx.Rngs(0))
    network.dense.bias[...] = model.network.dense.bias[...]
    network.eval()
    expected = np.asarray(network(jnp.asarray(standardized(patches))))
    np.testing.assert_allclose(model.logits(patches), expected, atol=1e-5)
    np.testing.assert_allclose(model.probabilities(patches), softmax(expected / 2), atol=1e-6)
    assert load_colony_model(tmp_path / "small").config == model.config
    facts = dict(KIND.describe(tmp_path / "small"))
    assert facts["classes"] == ", ".join(CLASSES)
    assert KIND.summary(tmp_path / "small").startswith("classes of colonies: debris")


def test_batches_do_not_change_what_is_said(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "small")
    patches = random_patches(70)
    alone = np.concatenate([model.logits(patches[i : i + 1]) for i in (0, 40, 69)])
    np.testing.assert_allclose(model.logits(patches)[[0, 40, 69]], alone, atol=1e-5)
    assert model.logits(patches[:0]).shape == (0, 4)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    saved_model(tmp_path / "small")
    toml = tmp_path / "small" / "model.toml"
    toml.write_text(toml.read_text().replace('"dense"', '"debris"'))
    with pytest.raises(InputError, match="occurs twice"):
        load_colony_model(tmp_path / "small")


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize(
    "backbone",
    [
        VGGConfig(depth=11, width=2),
        HRNetConfig(
            stem=2, first_blocks=1, width=2, branches=(2,), modules=(1,), blocks=1, head=(1, 2)
        ),
        ResNetConfig(depth=10, width=2, stem="small"),
    ],
    ids=lambda backbone: backbone.kind,
)
def test_every_backbone_at_both_scales(backbone, scales) -> None:
    network = abstract_network(NetworkConfig(backbone=backbone, scales=scales), 2, 3)
    logits = nnx.eval_shape(lambda n, x: n(x), network, jnp.zeros((2, 64, 64, 2)))
    assert logits.shape == (2, 3)


def test_new_classes_leave_old_scores_as_they_are() -> None:
    network = build_network(NETWORK, 1, 3, rngs=nnx.Rngs(0))
    network.eval()
    x = jnp.asarray(standardized(random_patches(4)))
    before = np.asarray(network(x))
    with_more_classes(network, 5, nnx.Rngs(1))
    after = np.asarray(network(x))
    assert after.shape == (4, 5)
    np.testing.assert_array_equal(after[:, :3], before)
    assert np.abs(after[:, 3:]).max() > 0
    with pytest.raises(ValueError, match="no more than"):
        with_more_classes(network, 5, nnx.Rngs(1))


def test_patches_lie_in_the_colony() -> None:
    mask = np.zeros((200, 120), bool)
    mask[:90, :60] = True
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        top, left = place_patch(mask, 40, rng)
        assert 0 <= top <= 160
        assert 0 <= left <= 80
        shares.append(mask[top : top + 40, left : left + 40].mean())
    once = np.random.default_rng(1)
    single = [
        mask[t : t + 40, c : c + 40].mean()
        for t, c in zip(once.integers(0, 161, 4000), once.integers(0, 81, 4000), strict=True)
    ]
    below = np.mean(np.array(single) < 0.25)
    # Two tries fail only where both do: four standard errors.
    assert abs(np.mean(np.array(shares) < 0.25) - below**2) < 4 * np.sqrt(below**2 / 400)


def test_small_colonies_are_enlarged() -> None:
    pixels = np.arange(20 * 30, dtype=np.float32).reshape(20, 30, 1) / 600
    colony = cut_out(pixels, np.ones((20, 30), bool), 64)
    assert colony.pixels.shape == (64, 96, 1)
    assert colony.mask.all()
    same = cut_out(pixels, np.ones((20, 30), bool), 16)
    np.testing.assert_array_equal(same.pixels, pixels)
    assert cut_out(pixels, np.ones((20, 30), bool), 16, scale=2.0).pixels.shape == (40, 60, 1)
    patches = patches_of(colony, 64, 3, np.random.default_rng(0))
    assert patches.shape == (3, 64, 64, 1)


def test_standardized_patches() -> None:
    values = standardized(random_patches(2))
    np.testing.assert_allclose(values.mean((1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(values.std((1, 2)), 1, atol=0.01)
    assert np.isfinite(standardized(np.full((1, 8, 8, 1), 7, np.uint8))).all()


def test_composition_is_corrected_exactly_where_the_confusion_is_known() -> None:
    confusion = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])
    true = np.array([0.05, 0.15, 0.8])
    np.testing.assert_allclose(corrected_composition(true @ confusion, confusion), true, atol=1e-6)
    impossible = corrected_composition([0.0, 0.0, 1.0], confusion)
    assert (impossible >= 0).all()
    assert impossible.sum() == pytest.approx(1)


def test_a_turned_patch_has_the_same_vector() -> None:
    """Of two channels, each is seen by itself."""
    backbone = EncoderConfig(size=32, strides=(2, 4), turns=8, spread=True, rings=2)
    network = build_network(NetworkConfig(backbone=backbone, scales=1), 2, 3, rngs=nnx.Rngs(0))
    network.eval()
    patches = np.random.default_rng(0).normal(size=(2, 12, 12, 2)).astype(np.float32)
    vector = network.vector(jnp.asarray(patches))
    assert vector.shape == (2, 2 * 4 * (16 + 24))
    mirrored = network.vector(jnp.asarray(np.rot90(patches, axes=(1, 2))[:, ::-1]))
    np.testing.assert_allclose(mirrored, vector, atol=1e-3)
    first, second = np.split(np.asarray(vector), 2, axis=1)
    exchanged = network.vector(jnp.asarray(patches[..., ::-1]))
    np.testing.assert_allclose(exchanged, np.concatenate([second, first], axis=1), atol=1e-4)


@pytest.mark.parametrize("name", [DEFAULT_CELL_MODEL])
def test_models_that_come_with_isl(name: str) -> None:
    model = load_colony_model(name)
    assert "## Limits" in model.card
    assert (model.directory / "weights.safetensors").stat().st_size < 4e6
    assert len(model.config.calibration_error) == 2
    patch = model.config.patch
    said = model.probabilities(random_patches(3, patch))
    np.testing.assert_allclose(said.sum(axis=1), 1)
