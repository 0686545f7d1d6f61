"""From maps to embryos, shares and verdicts."""

import dataclasses

import numpy as np
import pytest

from isl.fragmentation.assess import assess_frame, sentence
from isl.fragmentation.familiar import Familiar
from isl.fragmentation.model import Alone, FragmentationConfig, Prediction
from isl.fragmentation.network import NetworkConfig
from isl.fragmentation.separation import separate
from isl.fragmentation.stages import StageHead

CONFIG = FragmentationConfig(
    name="test",
    network=NetworkConfig(),
    size=64,
    share_from="area",
    residuals=tuple(np.linspace(-0.05, 0.05, 21)),
    disagreement=0.1,
)


def disc(size: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - y, columns - x) < radius


def said(embryo: np.ndarray, fragment: np.ndarray, regressed: float | None = None) -> Prediction:
    maps = np.stack([embryo, fragment], axis=-1).astype(np.float32)
    return Prediction(probabilities=maps, attention=None, regressed=regressed)


def noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (size, size)).astype(np.float32)


def test_share_interval_grade_and_sentence() -> None:
    embryo = disc(100, 50, 50, 30)
    fragment = disc(100, 35, 50, 9) | disc(100, 70, 50, 4)
    (made,), labels = assess_frame(noise(100), said(embryo, fragment), CONFIG, frame=0)
    expected = fragment.sum() / embryo.sum()
    assert made.share == made.by_area == pytest.approx(expected)
    assert made.low == pytest.approx(expected - 0.05, abs=0.006)
    assert made.grade == "10-25 %"
    assert made.fragments == 2
    assert sum(made.probabilities) == pytest.approx(1)
    assert (labels == 2).sum() == fragment.sum()
    text = sentence(made, "P3")
    assert "10-25 %" in text
    assert f"{expected:.1%}" in text
    assert "2 fragments" in text


def test_specks_are_no_fragments() -> None:
    embryo = disc(400, 200, 200, 120)
    fragment = disc(400, 200, 150, 12) | disc(400, 200, 250, 3)
    (made,), labels = assess_frame(noise(400), said(embryo, fragment), CONFIG, frame=0)
    assert made.fragments == 1
    assert (labels == 2).sum() == disc(400, 200, 150, 12).sum()
    assert (labels > 0).sum() == embryo.sum()
    assert made.share == pytest.approx((labels == 2).sum() / embryo.sum())


def test_two_embryos_have_a_row_each_and_no_regression() -> None:
    embryo = disc(120, 60, 30, 20) | disc(120, 60, 90, 22)
    fragment = disc(120, 60, 90, 10)
    made, _ = assess_frame(noise(120), said(embryo, fragment, 0.9), CONFIG, frame=3)
    assert [m.embryo for m in made] == [1, 2]
    assert made[0].share == 0
    assert made[1].share == pytest.approx(100 / 484, abs=0.02)
    assert all(m.by_regression is None and m.frame == 3 for m in made)


def test_each_of_two_embryos_is_judged_by_what_a_look_at_it_alone_says() -> None:
    head = StageHead(weights=(1.0,), bias=-0.5, refused=0.05)
    config = CONFIG.model_copy(update={"stages": head})
    embryo = disc(120, 60, 30, 20) | disc(120, 60, 90, 22)
    both = said(embryo, disc(120, 60, 90, 10), 0.9)
    alone = tuple(
        Alone(regressed=share, features=np.float32([score]))
        for share, score in ((0.02, 0.0), (0.2, 1.0))
    )
    seen = dataclasses.replace(both, features=np.float32([0.0]), each=alone)
    made, _ = assess_frame(noise(120), seen, config, frame=0)
    assert [m.verdict for m in made] == ["graded", "cannot tell"]
    assert "no cleavage stage" in made[1].reason
    assert [m.by_regression for m in made] == [0.02, 0.2]
    # Of a look that holds all of them the score answers for every row, as before.
    made, _ = assess_frame(
        noise(120), dataclasses.replace(both, features=np.float32([1.0])), config, frame=0
    )
    assert [m.verdict for m in made] == ["cannot tell"] * 2


def test_blastomeres_apart_are_one_embryo_and_specks_are_none() -> None:
    """Two cells that do not touch are pressed against the zona that holds both."""
    y, x = np.mgrid[:200, :200]
    cells = [((x - middle) / 20) ** 2 + ((y - 100) / 30) ** 2 < 1 for middle in (78, 122)]
    labels = (cells[0] | cells[1] | disc(200, 20, 20, 4)).astype(np.uint8)
    numbers = separate(labels, smallest=0.01)
    assert numbers.max() == 1
    assert numbers[20, 20] == 0
    assert numbers[100, 78] == numbers[100, 122] == 1
    assert not labels[100, 100]


def test_embryos_that_touch_are_two_and_blastomeres_that_touch_are_one() -> None:
    y, x = np.mgrid[:200, :400]
    size = (y - 100) ** 2

    def at(column: float, radius: float) -> np.ndarray:
        return size + (x - column) ** 2 < radius**2

    two = (at(120, 60) | at(235, 55)).astype(np.uint8)
    assert separate(two, smallest=0.01)[100, [120, 235]].tolist() == [1, 2]
    assert separate(two.T, smallest=0.01)[[120, 235], 100].max() == 2
    three = (at(80, 50) | at(175, 50) | at(270, 50)).astype(np.uint8)
    assert separate(three, smallest=0.01)[100, [80, 175, 270]].tolist() == [1, 2, 3]
    # Two cells that fill their zona overlap, for the volume of one egg is theirs.
    cells = (at(120, 50) | at(165, 50)).astype(np.uint8)
    assert separate(cells, smallest=0.01).max() == 1
    # What is long and narrow nowhere is one.
    assert (
        separate(((abs(y - 100) < 20) & (abs(x - 200) < 90)).astype(np.uint8), smallest=0.01).max()
        == 1
    )
    # At a slant pixels fall unevenly along the axis.
    for angle in np.deg2rad([0, 26.57, 45, 63.43, 135]):
        along = (x - 200) * np.cos(angle) + (y - 100) * np.sin(angle)
        across = (y - 100) * np.cos(angle) - (x - 200) * np.sin(angle)
        long = ((along / 90) ** 2 + (across / 45) ** 2 < 1).astype(np.uint8)
        np.testing.assert_array_equal(separate(long, smallest=0.01), long)
        pair = (np.hypot(abs(along) - 44, across) < 45).astype(np.uint8)
        assert separate(pair, smallest=0.01).max() == 2
    dot = np.zeros((200, 400), np.uint8)
    dot[100, 200] = 1
    assert separate(dot, smallest=0.0).max() == 1


@pytest.mark.parametrize("radius", [20, 26, 30, 34])
def test_a_heap_of_fragments_beside_an_embryo_is_its_own(radius: int) -> None:
    y, x = np.mgrid[:200, :320]
    cell = ((x - 100) / 62) ** 2 + ((y - 100) / 50) ** 2 < 1
    heap = np.hypot(x - 160 - radius, y - 100) < radius
    speck = np.hypot(x - 165 - 2 * radius, y - 100) < 8
    labels = np.where(cell, 1, np.where(heap | speck, 2, 0)).astype(np.uint8)
    np.testing.assert_array_equal(separate(labels, smallest=0.01), labels > 0)


@pytest.mark.parametrize(
    ("image", "prediction", "reason"),
    [
        (np.full((64, 64), 0.5, np.float32), None, "blank"),
        (np.pad(np.ones((64, 50), np.float32), ((0, 0), (0, 14))), None, "saturated"),
        (np.full((64, 64), np.nan, np.float32), None, "no numbers"),
        (noise(64), said(np.zeros((64, 64)), np.zeros((64, 64))), "no embryo"),
        (noise(64), said(disc(64, 32, 0, 20), np.zeros((64, 64))), "cut by the frame's border"),
        (noise(64), said(disc(64, 32, 32, 20), np.zeros((64, 64)), 0.3), "further apart"),
    ],
)
def test_cannot_tell_says_why(
    image: np.ndarray, prediction: Prediction | None, reason: str
) -> None:
    whole = prediction or said(disc(64, 32, 32, 20), np.zeros((64, 64)))
    (made,), _ = assess_frame(image, whole, CONFIG, frame=0)
    assert made.verdict == "cannot tell"
    assert reason in made.reason
    assert made.share is None
    assert "cannot tell" in sentence(made, "P3")


def test_a_stage_that_is_not_graded_cannot_be_told() -> None:
    head = StageHead(weights=(1.0, -0.5), bias=-0.25, refused=0.05)
    config = CONFIG.model_copy(update={"stages": head})
    prediction = said(disc(100, 50, 50, 30), disc(100, 35, 50, 9))
    for features, verdict in (((0.5, 0.6), "graded"), ((0.6, 0.6), "cannot tell")):
        seen = dataclasses.replace(prediction, features=np.array(features))
        (made,), labels = assess_frame(noise(100), seen, config, frame=0)
        assert made.verdict == verdict
        assert (labels > 0).any()
    assert "an oocyte, a one-cell stage, a morula or a blastocyst" in made.reason
    assert made.share is None
    assert made.by_area is not None
    np.testing.assert_allclose(head.score(np.float32([[0, 0], [1, 0.5]])), [-0.25, 0.5])


def test_an_embryo_unlike_those_of_the_training_cannot_be_told() -> None:
    familiar = Familiar(mean=(0.0, 1.0), deviation=(1.0, 2.0), limit=2.0)
    config = CONFIG.model_copy(update={"familiar": familiar})
    embryo = disc(100, 50, 50, 30)
    plain = said(embryo, disc(100, 35, 50, 9))
    near = dataclasses.replace(plain, features=np.float32([1, 1]))
    far = dataclasses.replace(plain, features=np.float32([3, 7]))
    (made,), _ = assess_frame(noise(100), near, config, frame=0)
    assert made.verdict == "graded"
    (made,), labels = assess_frame(noise(100), far, config, frame=0)
    assert made.verdict == "cannot tell"
    assert "distance 3.00, at most 2.00" in made.reason
    assert made.share is None
    assert (labels > 0).any()
