"""A frozen backbone: its vectors are the finished model's, and every method learns on them."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from stripes import CLASSES, experiment, run_in, write_stripes

from isl.backbones.efficientnet_weights import load_encoder
from isl.colony.cells import whole_cell
from isl.colony.model import load_colony_model
from isl.colony.network import without_backbone
from isl.errors import InputError
from isl.model_folder import abstract_arrays
from isl_train.colony.config import ColonyExperiment
from isl_train.colony.frozen import vectors_of, with_vectors
from isl_train.colony.images import Images, load_images
from isl_train.colony.recipe import train_colony

ENCODER = {"kind": "efficientnet-lite0", "size": 32, "strides": [2, 4], "turns": 1, "spread": True}
PLACES = 2


def frozen(path: Path, **settings) -> ColonyExperiment:
    network = {"scales": 1, "backbone": ENCODER, **settings.pop("network", {})}
    made = experiment(
        path,
        network=network,
        frozen={"views": 2, "places": PLACES},
        optimizer={"kind": "adamw", "learning_rate": 0.01},
        **settings,
    )
    return made


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> tuple[Path, Images]:
    folder = tmp_path_factory.mktemp("stripes")
    path = write_stripes(folder / "stripes.npz", (16, 10))
    plan = frozen(path)
    images = load_images(plan, folder)
    return path, with_vectors(images, plan, folder / "vectors")


def test_vectors_are_made_once(stripes) -> None:
    path, images = stripes
    plan = frozen(path)
    said: list[str] = []
    again = vectors_of(images, plan, images.backbone, path.parent / "vectors", said.append)
    assert said == []
    np.testing.assert_array_equal(again, images.vectors)
    assert again.shape == (26, PLACES, 3, 2 * (16 + 24))
    # Views of a patch are not alike, and not those of another one.
    assert (np.abs(again[:, 0, 1] - again[:, 0, 2]).max(axis=1) > 0).any()


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "simclr", "meta"])
def test_every_method_learns_on_vectors(tmp_path: Path, stripes, method: str) -> None:
    path, images = stripes
    plan = frozen(
        path,
        method=method,
        network={"hidden": 8 if method == "simclr" else 0},
        training={"steps": 40, "evaluate_every": 40, "checkpoint_every": 40},
        pretraining={"steps": 20},
    )
    folder = train_colony(plan, run_in(tmp_path), images=images)
    model = load_colony_model(folder)
    with np.load(path) as stored:
        cells = np.stack([whole_cell(cell, 16) for cell in stored["light"]])[..., None]
        truth = np.array([CLASSES.index(kind) for kind in stored["kind"]])
    logits = model.logits(cells)
    body, pretrained = abstract_arrays(model.network.backbone.body), abstract_arrays(load_encoder())
    for name, array in body.items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(pretrained[name]))
    assert (logits.argmax(axis=1) == truth).mean() > 0.9
    # The finished model says of pictures what its head says of their vectors.
    assert images.vectors is not None
    head = without_backbone(model.network)
    np.testing.assert_allclose(head(jnp.asarray(images.vectors[:, 0, 0])), logits, atol=1e-3)


def test_what_a_frozen_backbone_cannot_do(tmp_path: Path) -> None:
    path = tmp_path / "none.npz"
    with pytest.raises(InputError, match=r"nothing to train.*network\.hidden"):
        frozen(path, method="simclr")
    with pytest.raises(InputError, match=r"patches = 3 are more than frozen\.places = 2"):
        frozen(path, patches=3)


def test_a_pretrained_backbone_can_be_tuned(tmp_path: Path) -> None:
    path = write_stripes(tmp_path / "stripes.npz", (8, 6))
    plan = experiment(
        path,
        network={"backbone": {**ENCODER, "turns": 1, "strides": [2]}},
        method="supervised",
        training={"steps": 1, "evaluate_every": 0},
        optimizer={"kind": "adamw", "learning_rate": 1e-3, "rates": {"backbone": 0.1}},
    )
    model = load_colony_model(train_colony(plan, run_in(tmp_path)))
    stem = np.asarray(model.network.backbone.body.stem.kernel[...])
    before = np.asarray(load_encoder().stem.kernel[...])
    assert 0 < np.abs(stem - before).max() < 1e-2
