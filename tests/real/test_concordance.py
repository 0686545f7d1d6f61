"""Exactness: the published network's own outputs for its own weights, met patch by patch.

The reference was made by running the published code with random weights (base depth 40, 13 planes);
it lies beside the folder that ISL_DATA names. Tolerances are the specification's: float32 rounding
through about a hundred layers.
"""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from isl.imaging.image import ZStack
from isl.labeling import bins
from isl.labeling.model import Model, load_model
from isl.labeling.predict import predict
from isl.labeling.published_weights import import_weights
from isl.model_folder import arrays_of

PATCH = 250


@pytest.fixture(scope="module")
def file() -> Path:
    return Path(os.environ["ISL_DATA"]).resolve().parent / "reference/concordance_base40_z13.npz"


@pytest.fixture(scope="module")
def reference(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files if not name.startswith("var/")}


@pytest.fixture(scope="module")
def model(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(import_weights(file, 13, tmp_path_factory.mktemp("models") / "published"))


@pytest.fixture(scope="module")
def embedding(model: Model, reference: dict[str, np.ndarray]) -> np.ndarray:
    patches = np.stack(
        [reference["input"][y : y + PATCH, x : x + PATCH] for y, x in reference["patch_offsets"]]
    )
    embed = jax.jit(lambda batch: model.network.embed(batch))
    return np.concatenate([embed(patches[i : i + 1]) for i in range(len(patches))])


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_stored_values_are_as_many_as_the_published_ones(model: Model) -> None:
    assert sum(array.size for array in arrays_of(model.network).values()) == 723_040


def test_embedding_and_logits_are_met(
    model: Model, embedding: np.ndarray, reference: dict[str, np.ndarray]
) -> None:
    assert _relative(embedding, reference["embedding"]) <= 1e-5
    logits = np.asarray(model.network.label_logits(embedding))[..., 0, :]
    assert _relative(logits, reference["head_logits"]) <= 1e-5


def test_statistics_are_met(
    model: Model, embedding: np.ndarray, reference: dict[str, np.ndarray]
) -> None:
    _check_statistics(bins.statistics(model.network.label_logits(embedding)[..., 0, :]), reference)


def _check_statistics(given: dict[str, jax.Array], reference: dict[str, np.ndarray]) -> None:
    logits = reference["head_logits"].astype(np.float64)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    ranked = np.sort(p, axis=-1)
    tied = {
        "mode": ranked[..., -1] - ranked[..., -2] < 1e-6,
        "median": np.abs(np.cumsum(p, axis=-1) - 0.5).min(axis=-1) < 1e-6,
    }
    names = [str(name) for name in reference["statistic_names"]]
    assert sorted(names) == sorted(bins.STATISTICS)
    for name, expected in zip(names, np.moveaxis(reference["statistics"], -1, 0), strict=True):
        difference = np.abs(np.asarray(given[name]) - expected)
        if name in tied:
            assert np.all((difference < 1e-6) | tied[name]), name
        else:
            assert difference.max() <= 1e-4, name


def test_exact_stitching_is_the_published_patches_with_stride_8(
    model: Model, reference: dict[str, np.ndarray]
) -> None:
    stack = ZStack(name="reference", planes=np.moveaxis(reference["input"], -1, 0))
    prediction = predict(
        model, stack, statistics=bins.STATISTICS, stitch="exact", border="valid", normalize="off"
    )
    patches = {
        name: np.stack([values[0, y : y + 8, x : x + 8] for y, x in reference["patch_offsets"]])
        for name, values in prediction.statistics.items()
    }
    assert next(iter(prediction.statistics.values())).shape == (1, 24, 24)
    _check_statistics(patches, reference)
