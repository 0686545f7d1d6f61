import dataclasses
import re

import numpy as np
import pytest
import scipy.ndimage

from isl.config import parse
from isl.errors import InputError
from isl.imaging.sharpness import sharpness
from isl.phantom import PhantomConfig, make_phantom
from isl.preprocess.quality import (
    Measures,
    QualityConfig,
    decided_by_hand,
    judge,
    read_decisions,
    write_decisions,
)
from isl.preprocess.stages.image_quality import content, saturated, uneven

GOOD = Measures(
    field="A1",
    sharpness=0.3,
    sharpest_plane=6,
    content=0.4,
    label_content=0.5,
    saturated=0.002,
    uneven=0.01,
    stitching_residual=0.3,
    trusted_links=1.0,
    registration_shift=1.5,
)
CONFIG = QualityConfig()


def measured(name, image, **others):
    return Measures(
        field=name,
        sharpness=sharpness(image),
        content=content(image),
        saturated=saturated(image),
        uneven=uneven(image),
        **others,
    )


@pytest.mark.parametrize("modality", ["PHASE_CONTRAST", "DIC", "BRIGHTFIELD"])
def test_good_fields_are_kept_and_bad_ones_named(modality):
    rng = np.random.default_rng(0)
    config = PhantomConfig(height=160, width=170, planes=1, depth=8.0, modality=modality)
    fields = [make_phantom(config, seed)[0].planes[0] for seed in range(3)]
    blurred = scipy.ndimage.gaussian_filter(fields[0].astype(float), 3)
    blurred = (blurred + 300 * rng.standard_normal(blurred.shape)).astype(np.uint16)
    agarose = (20000 + 300 * rng.standard_normal((160, 170))).astype(np.uint16)
    bright = np.full((160, 170), 65535, np.uint16)
    images = [*fields, blurred, agarose, bright]
    decisions = judge([measured(str(i), image) for i, image in enumerate(images)], CONFIG)
    assert [decision.keep for decision in decisions] == [True, True, True, False, False, False]
    assert [d.reasons for d in decisions[:3]] == [()] * 3
    assert any(reason.startswith("out of focus") for reason in decisions[3].reasons)
    assert any(reason.startswith("empty: 0.0") for reason in decisions[4].reasons)
    assert any(reason.startswith("saturated: 100.00%") for reason in decisions[5].reasons)


def test_content_is_the_share_that_shows_something():
    rng = np.random.default_rng(0)
    noise = 500 + 10 * rng.standard_normal((200, 200))
    assert content(noise) < 1e-3
    checks = np.kron(np.indices((10, 20)).sum(axis=0) % 2, np.ones((10, 10)))
    half = noise.copy()
    half[:100] += 400 * checks
    assert 0.35 < content(half) < 0.6
    assert content(half * 3 + 7) == pytest.approx(content(half), abs=1e-3)
    top = np.arange(200)[:, None] + np.zeros(200) < 100
    assert content(half, top) > 0.7
    assert content(half, ~top) < 0.02
    assert content(half, np.zeros((200, 200), bool)) == 0


def test_resampled_noise_is_no_content():
    rng = np.random.default_rng(0)
    noise = 500 + 10 * rng.standard_normal((200, 200))
    assert content(scipy.ndimage.shift(noise, (0.5, 0.3), order=1, mode="nearest")) < 0.005


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (31, 47)])
def test_odd_and_tiny_images_are_measured(shape):
    flat = np.full(shape, 300, np.uint16)
    assert content(flat) == 0
    assert uneven(flat) == pytest.approx(0, abs=1e-6)
    assert saturated(flat) == 0


def test_saturated_pixels_are_counted():
    image = np.zeros((4, 5), np.uint16)
    image[0] = 65535
    assert saturated(image) == 0.25
    image[1] = 4095
    assert saturated(image, 4095) == 0.5
    assert saturated(np.full((2, 2), 255, np.uint8)) == 1
    assert saturated(np.full((2, 2), 1e9, np.float32)) == 0


def test_unevenness_is_that_of_the_light():
    rng = np.random.default_rng(0)
    cells = 1000 + 200 * scipy.ndimage.gaussian_filter(rng.standard_normal((256, 250)), 1.5) * 5
    assert uneven(cells) < 0.02
    x = np.linspace(-1, 1, 250)
    lit = cells * (1 + 0.4 * x)
    # A slope of +-40 % has a deviation of 0.4 / sqrt(3); the blur flattens its ends a little.
    assert 0.8 * 0.4 / np.sqrt(3) < uneven(lit) < 0.4 / np.sqrt(3)
    left = np.broadcast_to(x < -0.5, lit.shape)
    assert uneven(lit, left) < 0.5 * uneven(lit)
    assert uneven(np.zeros((64, 64))) == 0
    assert uneven(lit, np.zeros(lit.shape, bool)) == 0


@pytest.mark.parametrize(
    ("measure", "value", "key", "limit", "reason"),
    [
        ("sharpness", 0.1, "least_sharpness", 0.5, "out of focus: sharpness is 0.33 of the set's"),
        ("content", 0.001, "least_content", 0.005, "empty: 0.10% .* more than noise .*0.50%"),
        ("label_content", 0.0, "least_label_content", 0.001, "label is empty: 0.00% .*0.10%"),
        ("saturated", 0.5, "most_saturated", 0.02, "saturated: 50.00% .*at most 2.00%"),
        ("uneven", 0.25, "most_uneven", 0.1, "varies by 25.0% .*at most 10.0%"),
        ("stitching_residual", 5.0, "most_stitching_residual", 2.0, "by 5.00 pixels .*most 2.00"),
        ("trusted_links", 0.2, "least_trusted_links", 0.5, "20% of the overlaps .*at least 50%"),
        ("registration_shift", 30.0, "most_registration_shift", 8.0, "30.0 pixels off .*most 8.0"),
    ],
)
def test_every_measure_has_a_reason_and_a_threshold(measure, value, key, limit, reason):
    assert getattr(CONFIG, key) == limit
    others = [dataclasses.replace(GOOD, field=name) for name in ("B1", "B2", "B3")]
    bad = dataclasses.replace(GOOD, **{measure: value})
    first, *rest = judge([bad, *others], CONFIG)
    assert all(decision.keep and not decision.reasons for decision in rest)
    assert not first.keep
    assert len(first.reasons) == 1
    assert re.search(reason, first.reasons[0]), first.reasons[0]
    assert judge([bad, *others], CONFIG.model_copy(update={key: None}))[0].keep
    assert judge([dataclasses.replace(GOOD, **{measure: None}), *others], CONFIG)[0].keep


def test_fields_that_hold_nothing_do_not_set_the_usual_sharpness():
    empty = [
        dataclasses.replace(GOOD, field=f"empty{i}", content=0.0, sharpness=9.0) for i in range(5)
    ]
    decisions = judge([*empty, GOOD], CONFIG)
    assert [decision.keep for decision in decisions] == [False] * 5 + [True]
    assert judge([], CONFIG) == ()


def test_what_a_person_decides_counts():
    decisions = judge([GOOD, dataclasses.replace(GOOD, field="B1", content=0.0)], CONFIG)
    changed = decided_by_hand(decisions, {"A1": False, "B1": True})
    assert [(d.field, d.keep, d.reasons[0]) for d in changed] == [
        ("A1", False, "rejected by hand"),
        ("B1", True, "kept by hand"),
    ]
    assert changed[1].reasons[1:] == decisions[1].reasons
    assert decided_by_hand(decisions, {"A1": True}) == decisions


def test_decisions_are_written_and_read_back(tmp_path):
    measures = [GOOD, Measures(field="B 1, left", content=0.0, saturated=1e-7)]
    decisions = judge(measures, CONFIG)
    file = tmp_path / "new" / "quality.csv"
    write_decisions(file, decisions, measures)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("field,keep,reasons,sharpness,sharpest_plane,content,label_content,")
    assert lines[1] == "A1,yes,,0.3,6,0.4,0.5,0.002,0.01,0.3,1,1.5"
    assert lines[2].startswith('"B 1, left",no,empty')
    assert lines[2].endswith(",,,0,,1e-07,,,,")
    assert read_decisions(file, ["A1", "B 1, left", "C1"]) == {"A1": True, "B 1, left": False}
    with pytest.raises(InputError, match="exists already"):
        write_decisions(file, decisions, measures)


@pytest.mark.parametrize(
    "text",
    [
        "field,keep,reasons\nA1,yes,\nB1,no,empty\n",
        "\ufefffield;keep;reasons\r\nA1;YES;\r\nB1;No;sharpness 0,3\r\n;;\r\n",
        'keep,field\n true ," A1 "\nfalse,B1\n\n',
        "Field;Keep\nA1;1\nB1;0",
    ],
)
def test_tables_from_spreadsheets_are_read(tmp_path, text):
    file = tmp_path / "quality.csv"
    file.write_bytes(text.encode())
    assert read_decisions(file, ["A1", "B1"]) == {"A1": True, "B1": False}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"field,keep\nA1,yes\nB7,no\n", "line 3: unknown field 'B7'"),
        (b"field,keep\nA1,maybe\n", "line 2: keep is 'maybe'; write yes or no"),
        (b"field,keep\nA1\n", "line 2: keep is ''"),
        (b"field,keep\nA1,yes\n\nA1,no\n", "line 4: field 'A1' is there twice"),
        (b"", "no column 'field'"),
        (b"name,keep\nA1,yes\n", "no column 'field'"),
        (b"field,reasons\nA1,\n", "no column 'keep'"),
        (b"field,keep,keep\nA1,yes,no\n", "no column 'keep'|column 'keep'"),
        ("field,keep\nA1,yes\nB\xe41,no\n".encode("latin-1"), "is not UTF-8; save it as 'CSV"),
    ],
)
def test_tables_that_say_nothing_clear_are_refused(tmp_path, text, complaint):
    file = tmp_path / "quality.csv"
    file.write_bytes(text)
    with pytest.raises(InputError, match=complaint):
        read_decisions(file, ["A1", "B1"])


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_decisions(tmp_path / "none.csv", ["A1"])
    with pytest.raises(InputError, match="cannot be read"):
        read_decisions(tmp_path, ["A1"])


def test_thresholds_outside_their_range_are_refused():
    with pytest.raises(InputError, match="least_content"):
        parse({"least_content": 2.0}, QualityConfig, source="c.toml")
    with pytest.raises(InputError, match="did you mean 'least_sharpness'"):
        parse({"least_sharpnes": 0.1}, QualityConfig, source="c.toml")
