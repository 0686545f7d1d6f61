"""The bundled model on the real field: at least the figures of its card.

The card's figures were measured on a block that was held out until the last stage of training,
which saw it; that makes this a test of the whole chain, from files to scores, and not of how well
the model generalizes.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from isl import cli, demo
from isl.imaging.agreement import pearson
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.normalize import normalize_label
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field

MANIFEST = Path(__file__).parents[2] / "configs" / "data" / "condition_b_A4.toml"
# The card's, for the mean image.
LEAST = {"DAPI_CONFOCAL": 0.873, "MAP2_CONFOCAL": 0.904, "NFH_CONFOCAL": 0.665}


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted")
    words = ["predict", str(Path(os.environ["ISL_DATA"]) / "condition_b_A4"), "--out", str(out)]
    assert cli.main([*words, "--statistics", "mean,median,standard_deviation"]) == 0
    return out


def test_files_are_named_and_shaped_as_promised(predicted: Path) -> None:
    names = {path.name for path in predicted.iterdir()}
    assert names == {
        "condition_b_A4.ome.tif",
        "condition_b_A4.median.ome.tif",
        "condition_b_A4.standard_deviation.ome.tif",
        "condition_b_A4.preview.png",
        "condition_b_A4.json",
        "isl-run.jsonl",
    }
    image = read_fluorescence(predicted / "condition_b_A4.ome.tif")
    assert image.labels == tuple(LEAST)
    assert image.channels.shape == (3, 1024, 1024)


def test_the_block_is_predicted_at_least_as_well_as_the_card_says(predicted: Path) -> None:
    (field,) = load_manifest(MANIFEST).fields
    truth = load_field(field)
    image = read_fluorescence(predicted / "condition_b_A4.ome.tif")
    held_out = truth.measured_for("validation")
    for index, label in enumerate(image.labels):
        true_index = truth.labels.labels.index(label)
        score = pearson(
            normalize_label(image.channels[index]),
            normalize_label(truth.labels.channels[true_index]),
            held_out[true_index],
        )
        assert score >= LEAST[label], label


def test_the_demonstration_scores_the_block_of_the_card() -> None:
    (field,) = load_manifest(MANIFEST).fields
    block = np.zeros((1024, 1024), bool)
    block[demo.REAL_BLOCK] = True
    np.testing.assert_array_equal(load_field(field).measured_for("validation")[0], block)
