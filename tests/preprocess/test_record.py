import dataclasses
import json

import pytest

from isl.preprocess.quality import Measures
from isl.preprocess.record import FieldRecord, MeasuredLink, PlacedTile, read_record, write_record
from isl.preprocess.stages.normalization import Normalization
from isl.preprocess.stages.registration import Shift

RECORD = FieldRecord(
    name="A1",
    group="A1",
    inputs="0a1b",
    size=(99, 98),
    tile_size=(64, 64),
    pixel_size=None,
    z_step=1.5,
    planes=(1, 2),
    sharpness=(0.1, 0.30000000000000004, 0.2),
    sharpest=1,
    tiles=(PlacedTile(name="r0-c0", nominal=(0, 0), position=(0.25, 1.75), anchored=False),),
    links=(
        MeasuredLink(tiles=(0, 1), offset=(-1.5, 33.0), confidence=0.4, residual=0.1, trusted=True),
    ),
    covered=0.9,
    exposures={"phase": 1, "Cy5/β": 4},
    gains={},
    normalization={
        "phase": (Normalization(scale=1e-5, offset=-0.1, mean=10.0, deviation=2.0, clipped=0.01),)
    },
    registration={"Cy5/β": Shift(y=0.5, x=-0.25, confidence=0.8)},
    measures=Measures(field="A1", sharpness=0.3, stitching_residual=None),
    warnings=("lacks tile r0-c1",),
)


def test_records_come_back_as_they_were(tmp_path):
    write_record(tmp_path / "fields" / "A1.json", RECORD)
    assert read_record(tmp_path / "fields" / "A1.json") == RECORD
    changed = dataclasses.replace(RECORD, name="A2")
    write_record(tmp_path / "fields" / "A1.json", changed)
    assert read_record(tmp_path / "fields" / "A1.json").name == "A2"


def test_what_is_no_record(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        read_record(tmp_path / "none.json")
    for text in ("", "{", "{}", '{"name": "A1"}', "[]"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match="validation error"):
            read_record(tmp_path / "a.json")
    write_record(tmp_path / "a.json", RECORD)
    said = json.loads((tmp_path / "a.json").read_text())
    del said["measures"]
    (tmp_path / "a.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match="measures"):
        read_record(tmp_path / "a.json")
