"""What `isl models` and `isl inspect` say of a polarity model."""

import math

import pytest
from flax import nnx

from isl.backbones.resnet import ResNetConfig
from isl.model_folder import WEIGHTS_FILE, stored_shapes
from isl.polarity.classifier import EncoderConfig, build_classifier
from isl.polarity.inspect import describe_model, summary
from isl.polarity.model import PolarityConfig, save_polarity_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "tiny"
    backbone = ResNetConfig(depth=10, width=1, stem="small")
    members = [build_classifier(backbone, 2, rngs=nnx.Rngs(seed)) for seed in range(2)]
    config = PolarityConfig(
        name="tiny",
        arm="dic+ezrin",
        backbone=backbone,
        members=2,
        size=84,
        window=0.656,
        combine="vote",
        threshold=0.45,
        ezrin="ezrin-aif",
        embryos=("E1", "E2"),
    )
    save_polarity_model(directory, members, config, "# Tiny")
    return directory


def test_one_line(folder):
    assert summary(folder) == "onset of polarization from dic+ezrin (2 x resnet)"


def test_facts(folder):
    facts = dict(describe_model(folder))
    assert facts["model"] == "tiny"
    assert facts["summary"] == summary(folder)
    assert facts["arm"] == "dic+ezrin"
    assert facts["EZRIN"] == "ezrin-aif"
    assert facts["view"] == "84 x 84 pixels, 0.656 of the frame's width"
    assert facts["members"] == "2, joined by vote"
    assert facts["backbone"].startswith("resnet (depth 10, width 1, ")
    assert facts["onset"] == "smoothed; frames are called above 0.45"
    assert "not calibrated" in facts["intervals"]
    assert facts["trained on"] == "E1, E2"
    assert facts["card"] == str(folder / "card.md")
    shapes = stored_shapes(folder).values()
    assert facts["stored values"] == f"{sum(math.prod(shape) for shape in shapes):,}"


def test_no_weights_are_read(folder, tmp_path):
    """Their head is enough."""
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.name == WEIGHTS_FILE:
            length = 8 + int.from_bytes(content[:8], "little")
            content = content[:length] + bytes(len(content) - length)
        (tmp_path / path.name).write_bytes(content)
    assert (
        dict(describe_model(tmp_path))["stored values"]
        == (dict(describe_model(folder))["stored values"])
    )


def test_an_ensemble_of_encoders_that_brings_its_ezrin_model(tmp_path):
    config = PolarityConfig(
        name="own", arm="ezrin", backbone=EncoderConfig(), members=6, size=64, window=0.5
    )
    member = build_classifier(ResNetConfig(depth=10, width=1, stem="small"), 1, rngs=nnx.Rngs(0))
    save_polarity_model(tmp_path / "own", [member], config, "")
    facts = dict(describe_model(tmp_path / "own"))
    assert facts["summary"] == "onset of polarization from ezrin (6 x encoder)"
    assert facts["EZRIN"] == str(tmp_path / "own" / "ezrin")
    assert facts["trained on"] == "not recorded"
