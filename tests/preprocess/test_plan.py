"""What is found in a folder of raw files, and what is said before anything is done."""

import dataclasses

import numpy as np
import pytest
import tifffile

from isl.config import parse
from isl.errors import InputError
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.plan import choose, described, plan_run, single_tiles

ALONE = ("downscale", "stitching", "projection", "normalization", "quality")


def settings(**changed):
    given = {
        "transmitted": "phase",
        "layout": {"pattern": "{well}_{row}_{col}_z{z}_{channel}.tif", "overlap": 0.5},
        "sample": {"least": 3},
        "pixel_size": 0.3,
    }
    return parse(given | changed, PreprocessConfig, source="test")


def write(folder, wells=("A1", "A2"), tiles=2, depth=2, size=(64, 80), exposures=1):
    rng = np.random.default_rng(0)
    for well in wells:
        for column in range(tiles):
            for z in range(depth):
                for channel in ("phase", "DAPI"):
                    for number in range(exposures if channel == "DAPI" else 1):
                        end = f"_e{number}" if exposures > 1 and channel == "DAPI" else ""
                        tifffile.imwrite(
                            folder / f"{well}_0_{column}_z{z}_{channel}{end}.tif",
                            rng.integers(0, 9, size).astype(np.uint16),
                        )
    return folder


def test_what_is_found(tmp_path):
    plan = plan_run(settings(), write(tmp_path))
    assert [field.name for field in plan.fields] == ["A1", "A2"]
    assert (plan.count, plan.steps, plan.failed) == (2, 4, ())
    assert {channel.name: channel.fluorescence for channel in plan.channels} == {
        "phase": False,
        "DAPI": True,
    }
    for channel in plan.channels:
        assert channel.count == 2 * 2 * 2
        assert len(channel.planes) == 2 * 2
        assert channel.pixel_size == 0.3
    assert described(plan, settings()) == [
        "A1 (group A1): 2 tiles of 64 x 80; planes: DAPI 2, phase 2",
        "A2 (group A2): 2 tiles of 64 x 80; planes: DAPI 2, phase 2",
        "estimates of phase: from 8 of 8 images",
        "estimates of DAPI: from 8 of 8 images",
    ]


def test_only_channels_that_need_it_are_estimated(tmp_path):
    write(tmp_path)
    assert plan_run(settings(stages=ALONE), tmp_path).channels == ()
    plan = plan_run(settings(stages=(*ALONE, "additive_dust")), tmp_path)
    assert [channel.name for channel in plan.channels] == ["DAPI"]
    plan = plan_run(settings(labels=["DAPI"], stages=(*ALONE, "multiplicative_dust")), tmp_path)
    assert [channel.name for channel in plan.channels] == ["phase"]


def test_without_stitching_every_tile_is_a_field(tmp_path):
    stages = [stage for stage in ALONE if stage != "stitching"]
    plan = plan_run(settings(stages=stages), write(tmp_path))
    assert [field.name for field in plan.fields] == [
        f"{well}-r0-c{column}" for well in ("A1", "A2") for column in (0, 1)
    ]
    assert [field.group for field in plan.fields] == ["A1", "A1", "A2", "A2"]
    assert all(field.tiles[0].position == (0, 0) for field in plan.fields)
    assert all(len(field.tiles) == 1 for field in plan.fields)
    assert plan.count == 4


def test_a_field_of_one_tile_keeps_its_name(tmp_path):
    plan = plan_run(settings(stages=ALONE), write(tmp_path, tiles=1))
    assert [each.name for each in single_tiles(plan.fields[0])] == ["A1"]


def test_planes_around_the_sharpest(tmp_path):
    field = plan_run(settings(stages=ALONE), write(tmp_path, depth=5)).fields[0]
    assert choose(field, 1, settings()).planes == (0, 1, 2, 3, 4)
    config = settings(planes={"count": 3, "spacing": 1})
    assert choose(field, 3, config).planes == (2, 3, 4)
    with pytest.raises(InputError, match="field 'A1': 6 planes are wanted, but the stack has 5"):
        choose(field, 3, settings(planes={"count": 6}))


def test_fields_unlike_most_fail_where_something_is_estimated(tmp_path):
    write(tmp_path, ("A1", "A2"))
    write(tmp_path, ("A3",), size=(64, 96))
    plan = plan_run(settings(), tmp_path)
    assert [name for name, _ in plan.failed] == ["A3"]
    assert "has tiles of 64 x 96 pixels, most fields 64 x 80; give it a run" in plan.failed[0][1]
    assert plan.count == 3
    assert plan_run(settings(stages=ALONE), tmp_path).failed == ()


def test_fields_of_other_exposures_fail_too(tmp_path):
    layout = {
        "pattern": [
            "{well}_{row}_{col}_z{z}_{channel}_e{exposure}.tif",
            "{well}_{row}_{col}_z{z}_{channel}.tif",
        ],
        "overlap": 0.5,
    }
    write(tmp_path, ("A1", "A2"), exposures=2)
    write(tmp_path, ("A3",), exposures=3)
    plan = plan_run(settings(layout=layout), tmp_path)
    assert [name for name, _ in plan.failed] == ["A3"]
    assert "has 3 exposures of 'DAPI', most fields 2" in plan.failed[0][1]


def test_what_fails_in_one_field_leaves_the_others(tmp_path):
    write(tmp_path, ("A1", "A2"))
    write(tmp_path, ("A3",), depth=1)
    plan = plan_run(settings(stages=ALONE, planes={"count": 2}), tmp_path)
    assert [field.name for field in plan.fields] == ["A1", "A2"]
    assert plan.failed[0][0] == "A3"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["DAPPI"]}, r"'A1': unknown channel 'DAPPI'; did you mean 'DAPI'\?.*1 more"),
        ({"transmitted": "dic"}, r"unknown channel 'dic'"),
        ({"stages": ("stitching",)}, r"'DAPI' has 2 planes, and a label is one image"),
        ({"planes": {"count": 3}}, r"3 planes are wanted, but the stack has 2"),
        ({"downscale": 65}, r"tiles of 64 x 80 pixels cannot be downscaled by 65; set downscale"),
        ({"stitching": {"plane": 2}}, r"stitching.plane is 2, but 'phase' has 2 planes"),
        ({"sample": {"least": 9}}, r"channel 'phase': 8 images are too few"),
    ],
)
def test_what_cannot_be_done_at_all(changed, message, tmp_path):
    with pytest.raises(InputError, match=message):
        plan_run(settings(**changed), write(tmp_path))


def test_dust_needs_to_know_how_large_pixels_are(tmp_path):
    config = settings().model_copy(update={"pixel_size": None})
    with pytest.raises(InputError, match=r"stage additive_dust: .*set pixel_size"):
        plan_run(config, write(tmp_path))


def test_warnings_are_part_of_the_description(tmp_path):
    plan = plan_run(settings(stages=ALONE), write(tmp_path))
    field = dataclasses.replace(plan.fields[0], warnings=("lacks tile r0-c7",))
    lines = described(dataclasses.replace(plan, fields=(field,)), settings())
    assert lines[1] == "  warning: lacks tile r0-c7"
