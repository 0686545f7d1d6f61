"""Small raw sets, simulated once, and runs over them."""

import pytest

from isl.config import parse
from isl.phantom.wells.wells import WellConfig, write_wells
from isl.preprocess import pipeline
from isl.preprocess.config import PreprocessConfig

PATTERN = "{well}_r{row}_c{col}_z{z}_{channel}.tif"


class Quiet:
    """Progress that nobody looks at, but for its last words."""

    def __init__(self):
        self.ended = []

    def begin(self, name):
        self.name = name

    def tiles(self, done, total):
        assert 0 < done <= total

    def end(self, outcome):
        self.ended.append((self.name, outcome))


@pytest.fixture(scope="session")
def quiet():
    return Quiet


@pytest.fixture(scope="session")
def settings():
    """Makes a configuration for simulated wells; keys are those of its TOML."""

    def make(wells, **changed):
        given = {
            "layout": {"pattern": PATTERN, "overlap": wells.config.overlap},
            "transmitted": "phase",
            "modality": "PHASE_CONTRAST",
            "sensor_offset": wells.config.offset,
            "stitching": {"search": 12},
            "sample": {"least": 3},
        }
        return parse(given | changed, PreprocessConfig, source="test")

    return make


@pytest.fixture(scope="session")
def run():
    """Runs the pipeline over a folder; returns its outcome."""

    def make(config, folder, out, *, workers=1, progress=None, say=None):
        return pipeline.preprocess(
            pipeline.plan_run(config, folder),
            config,
            out,
            workers=workers,
            progress=progress or Quiet(),
            say=say or (lambda line: None),
        )

    return make


@pytest.fixture(scope="session")
def wells(tmp_path_factory):
    """Eight wells of 2 x 2 tiles, one plane; the last but one is empty, the last overexposed."""
    config = WellConfig(
        rows=2,
        columns=2,
        tile=128,
        overlap=64,
        jitter=3,
        planes=1,
        label_planes=1,
        exposures=1,
        dust_disks=1,
        empty=1,
        overexposed=1,
    )
    return write_wells(tmp_path_factory.mktemp("wells"), 8, config, 3)


@pytest.fixture(scope="session")
def whole(wells, settings, run, tmp_path_factory):
    """A run of all stages over all wells: its folder, configuration, outcome and what it said."""
    config = settings(
        wells,
        # Tiles of 64 pixels leave the paper's blur too few pixels to average over.
        flat_field={"transmitted_divisor": 6.0, "fluorescence_divisor": 4.0},
        additive_dust={"disk_diameter": 0.3 * wells.config.dust_diameter},
        split={"train": 2.0, "validation": 1.0, "seed": 4},
    )
    out = tmp_path_factory.mktemp("whole")
    said = []
    outcome = run(config, wells.folder, out, say=said.append)
    return {"out": out, "config": config, "outcome": outcome, "said": said}


@pytest.fixture(scope="session")
def stacks(tmp_path_factory):
    """Two wells of two tiles, several planes of everything."""
    config = WellConfig(
        rows=1,
        columns=2,
        tile=96,
        overlap=56,
        jitter=2,
        planes=4,
        label_planes=3,
        exposures=2,
    )
    return write_wells(tmp_path_factory.mktemp("stacks"), 2, config, 5)
