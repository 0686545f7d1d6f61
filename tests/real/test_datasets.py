"""The manifests in configs/data on the images they name."""

import os
from pathlib import Path

import numpy as np
import pytest

from isl.labeling.dataset import load_manifest
from isl.labeling.fields import LoadedField, load_field

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


def load_only_field(name: str) -> LoadedField:
    if not os.environ.get("ISL_DATA"):
        pytest.fail("ISL_DATA is not set; set it to the folder of real images")
    (field,) = load_manifest(CONFIGS / f"{name}.toml").fields
    return load_field(field)


def test_condition_b():
    loaded = load_only_field("condition_b_A4")
    assert loaded.transmitted.planes.shape == (13, 1024, 1024)
    assert loaded.transmitted.planes.dtype == np.uint16
    assert loaded.transmitted.modality == "PHASE_CONTRAST"
    assert set(loaded.labels.labels) == {"DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL"}
    train, validation = loaded.measured_for("train"), loaded.measured_for("validation")
    assert validation.sum() == 3 * 387 * 388
    assert not validation[:, :637].any()
    assert not validation[:, :, 388:].any()
    assert not train[:, 637:, :388].any()
    # The block that its masks blank is blind ground.
    assert not (train | validation)[:, 629:, 629:].any()
    assert (train | validation)[:, :629].all()


def test_sephace():
    loaded = load_only_field("sephace")
    assert loaded.transmitted.planes.shape == (6, 1024, 1344)
    assert loaded.labels.labels == ("DAPI",)
    assert loaded.measured_for("validation").sum() == 384 * 480
    assert loaded.transmitted.pixel_size is not None
    assert loaded.transmitted.pixel_size.x == 0.2004
