"""From raw tiles to a table of cells on the published field, as the guide says it.

The field is cut into the two tiles that a microscope would have taken of its upper part, below
which a block of the labels is blind. What is asked: that nothing is done by hand between the
commands, and that the field at the end is the field at the beginning.
"""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl import cli
from isl.imaging.agreement import pearson
from isl.imaging.formats.published import read_published
from isl.imaging.inputs.read import read_fluorescence

ROWS, TILE, OVERLAP = 629, 560, 96
LABELS = ("DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL")
PLATE = """
transmitted = "PHASE"
modality = "PHASE_CONTRAST"
pixel_size = 0.3
stages = ["stitching", "normalization", "quality"]

[layout]
root = "raw"
pattern = "{condition}/{well}_{row}_{col}_z{z}_{channel}.tif"
overlap = 96

[stitching]
search = 20
"""
JUDGE = """
task = "labeling"
model = "neurons-phase"
dataset = "plate/dataset.toml"
objects = ["DAPI_CONFOCAL"]
allow_seen = true
replicates = 50
"""


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiles, in which all commands were run."""
    folder = tmp_path_factory.mktemp("walk")
    raw = folder / "raw" / "untreated"
    raw.mkdir(parents=True)
    stack, labels = read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")
    assert labels is not None
    images = {f"z{z}_PHASE": plane for z, plane in enumerate(stack.planes)}
    images |= {f"z0_{label}": labels.channels[labels.labels.index(label)] for label in LABELS}
    for column, left in enumerate((0, TILE - OVERLAP)):
        for name, image in images.items():
            tile = image[:ROWS, left : left + TILE]
            tifffile.imwrite(raw / f"A4_0_{column}_{name}.tif", tile)
    (folder / "plate.toml").write_text(PLATE)
    (folder / "judge.toml").write_text(JUDGE)
    commands = (
        "preprocess plate.toml --out plate",
        "predict plate --model neurons-phase --statistics mean,standard_deviation --out predicted",
        "measure predicted --wells plate/dataset.toml --out cells",
        "eval judge.toml --out judged",
    )
    before = Path.cwd()
    os.chdir(folder)
    try:
        for command in commands:
            assert cli.main(command.split()) == 0, command
    finally:
        os.chdir(before)
    return folder


def test_tiles_become_the_field_that_they_were_cut_from(walk: Path) -> None:
    stack, _ = read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")
    (file,) = (walk / "plate" / "fields").glob("untreated-A4.tif")
    stitched = tifffile.imread(file)
    assert stitched.shape == (13, ROWS, 2 * TILE - OVERLAP)
    for plane, true in zip(stitched, stack.planes, strict=True):
        assert np.corrcoef(plane.ravel(), true[:ROWS].ravel())[0, 1] > 0.995


def test_predictions_are_those_of_the_whole_field(walk: Path) -> None:
    image = read_fluorescence(walk / "predicted" / "untreated-A4.ome.tif")
    _, labels = read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")
    assert labels is not None
    assert image.labels == LABELS
    for index, label in enumerate(LABELS):
        true = labels.channels[labels.labels.index(label)][:ROWS]
        assert pearson(image.channels[index].astype(float), true.astype(float)) > 0.6, label


def test_cells_have_well_condition_and_certainty(walk: Path) -> None:
    with (walk / "cells" / "cells.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert 30 < len(cells) < 120
    assert {cell["condition"] for cell in cells} == {"untreated"}
    assert all(0 <= float(cell["certainty"]) <= 1 for cell in cells)
    record = json.loads((walk / "judged" / "metrics.json").read_text(encoding="utf-8"))
    found = record["labels"]["DAPI_CONFOCAL"]["neurons-phase"]
    # Nuclei of the table are those that isl eval finds in the same predictions.
    assert abs(len(cells) - found["objects"]["counts"]["predicted_count"]) < 25
    assert [field["condition"] for field in record["ground"]["fields"]] == ["untreated"]
    report = (walk / "judged" / "report.html").read_text(encoding="utf-8")
    assert "Crops in full resolution" in report
