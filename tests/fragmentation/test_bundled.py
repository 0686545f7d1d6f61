"""The model that comes with isl, on simulated embryos that it never saw."""

import numpy as np
import pytest

from isl.fragmentation.assess import assess_frame
from isl.fragmentation.inspect import describe_model
from isl.fragmentation.model import FragmentationModel, Prediction, load_fragmentation_model
from isl.fragmentation.stages import CLEAVAGE
from isl.model_folder import WEIGHTS_FILE
from isl.phantom.cleavage.dataset import CleavageConfig, frames_of, stage_of


@pytest.fixture(scope="module")
def model() -> FragmentationModel:
    return load_fragmentation_model()


def test_it_is_small_and_its_card_says_what_it_saw(model: FragmentationModel) -> None:
    assert (model.directory / WEIGHTS_FILE).stat().st_size < 8e6
    for words in ("simulated", "decides nothing", "Apache License"):
        assert words in model.card
    assert np.isfinite(model.config.radius)
    assert model.config.disagreement is not None
    facts = dict(describe_model(model.directory))
    assert "then 1.3 times what was found" in facts["view"]
    assert "blastocyst" in facts["stages graded"]


def test_it_finds_simulated_embryos_at_another_size(model: FragmentationModel) -> None:
    config = CleavageConfig(frames=1, size=300)
    frames = [frames_of(number, config, 77, 2)[0] for number in range(4)]
    images = np.stack([picture for picture, _ in frames]).astype(np.float32) / 255
    dice, errors = [], []
    for t, said in enumerate(model.look(images)):
        made, labels = assess_frame(images[t], said, model.config, frame=t)
        truth = frames[t][1]
        dice.append(
            2 * ((labels > 0) & (truth > 0)).sum() / ((labels > 0).sum() + (truth > 0).sum())
        )
        if made[0].by_area is not None:
            errors.append(abs(made[0].by_area - (truth == 2).sum() / (truth > 0).sum()))
    assert np.mean(dice) > 0.85
    assert np.mean(errors) < 0.15


def test_text_burnt_into_the_corners_is_no_fragment(model: FragmentationModel) -> None:
    config = CleavageConfig(frames=1, size=300)
    frame = np.stack([frames_of(3, config, 77, 2)[0][0]]).astype(np.float32) / 255
    written = frame.copy()
    for columns in (slice(4, 34), slice(266, 296)):
        written[:, 280:296, columns] = 1
        written[:, 284:292, columns][..., ::3] = 0
    plain, burnt = (
        assess_frame(image[0], model.look(image)[0], model.config, frame=0)
        for image in (frame, written)
    )
    assert not (burnt[1][:, 276:] > 0).any() or (plain[1][:, 276:] > 0).any()
    assert burnt[0][0].by_area == pytest.approx(plain[0][0].by_area, abs=0.03)


def test_simulated_oocytes_and_blastocysts_are_not_graded(model: FragmentationModel) -> None:
    """Of others than those learned from; cleavage stages in between are graded."""
    config = CleavageConfig(frames=1, size=320, stages=True)
    refused: dict[str, list[bool]] = {}
    for number in range(24):
        stage = stage_of(number)
        if stage not in (CLEAVAGE, "oocyte", "blastocyst"):
            continue
        image = frames_of(number, config, 78, 2)[0][0].astype(np.float32)[None] / 255
        made, _ = assess_frame(image[0], model.look(image)[0], model.config, frame=0)
        said = any("no cleavage stage" in each.reason for each in made)
        refused.setdefault(stage, []).append(said)
    assert len(refused["oocyte"]) == len(refused["blastocyst"]) == 3
    assert sum(refused["oocyte"] + refused["blastocyst"]) >= 4
    assert np.mean(refused[CLEAVAGE]) <= 0.1


def test_each_of_two_embryos_apart_is_looked_at_alone(model: FragmentationModel) -> None:
    """A zygote beside a cleavage stage is told from it; both in one look passed for cleavage."""
    config = CleavageConfig(frames=1, size=320, stages=True)
    cells, zygote = (frames_of(number, config, 79, 2)[0][0] for number in (2, 3))
    assert stage_of(2) == CLEAVAGE
    assert stage_of(3) == "zygote"
    frame = np.concatenate([cells, zygote], axis=1).astype(np.float32) / 255
    (said,) = model.look(frame[None])
    assert len(said.each) == 2
    stages = model.config.stages
    assert stages is not None
    assert said.features is not None
    scores = [float(stages.score(each.features)) for each in said.each]
    assert scores[0] < 0 < scores[1]
    assert stages.score(said.features) < 0
    made, _ = assess_frame(frame, said, model.config, frame=0)
    assert "no cleavage stage" in made[1].reason
    assert "no cleavage stage" not in made[0].reason
    assert all(each.by_regression is not None for each in made)
    (alone,) = model.look(zygote.astype(np.float32)[None] / 255)
    assert alone.each == ()


def test_what_is_no_embryo_gets_no_share(model: FragmentationModel) -> None:
    rng = np.random.default_rng(0)
    frame = np.clip(rng.normal(0.5, 0.02, (1, 200, 200)), 0, 1).astype(np.float32)
    (said,) = model.look(frame)
    made, _ = assess_frame(frame[0], said, model.config, frame=0)
    assert all(each.share is None for each in made)


def test_each_of_two_embryos_that_touch_is_looked_at_alone(model: FragmentationModel) -> None:
    y, x = np.mgrid[:200, :320]
    both = np.minimum(np.hypot(y - 100, x - 100), np.hypot(y - 100, x - 215)) < 60
    maps = np.stack([both, np.zeros_like(both)], axis=-1).astype(np.float32)
    said = Prediction(probabilities=maps, attention=None, regressed=None)
    assert len(model._each(np.full(both.shape, 0.5, np.float32), said, 1)) == 2
