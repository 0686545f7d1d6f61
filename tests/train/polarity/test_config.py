"""Configurations of polarity experiments: defaults, kinds of backbones, and what is refused."""

import tomllib

import pytest

from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.config import parse, to_toml
from isl.errors import InputError
from isl.polarity.classifier import EncoderConfig
from isl_train.polarity.config import PolarityExperiment


def config(**tables) -> PolarityExperiment:
    given = {
        "task": "polarity",
        "dataset": "manifest.toml",
        "ezrin": {"experiment": "ezrin.toml"},
        "training": {"steps": 3},
        **tables,
    }
    return parse(given, PolarityExperiment, source="test")


def test_what_is_said_of_nothing() -> None:
    experiment = config()
    assert experiment.arm == "dic+ezrin"
    assert experiment.backbone == ResNetConfig()
    assert experiment.members == 6
    assert experiment.ezrin.model == ""
    assert experiment.leave_out == ()
    assert (experiment.combine, experiment.rule, experiment.threshold) == ("mean", "smoothed", 0.5)


def test_members_take_their_optimizers_in_turn() -> None:
    """As in the paper: sgd with momentum, and adam."""
    sgd = {"kind": "sgd", "weight_decay": 1e-4}
    experiment = config(optimizers=[sgd, {"kind": "adam"}])
    kinds = [experiment.optimizer_of(member).kind for member in range(5)]
    assert kinds == ["sgd", "adam", "sgd", "adam", "sgd"]
    alone = config(optimizer={"kind": "adamw"})
    assert {alone.optimizer_of(member).kind for member in range(3)} == {"adamw"}


def test_a_member_alone_has_its_own_seed_optimizer_and_sight() -> None:
    sgd, adam = {"kind": "sgd"}, {"kind": "adam"}
    sight = {"standardize": [True, False, False]}
    experiment = config(seed=10, optimizers=[sgd, adam], sight=sight)
    members = [experiment.of_member(member) for member in range(4)]
    assert [member.seed for member in members] == [10, 11, 12, 13]
    assert [member.optimizer.kind for member in members] == ["sgd", "adam", "sgd", "adam"]
    flags = [member.sight.standardize for member in members]
    assert flags == [(True,), (False,), (False,), (True,)]
    assert {member.backbone for member in members} == {experiment.backbone}


def test_a_backbone_may_be_the_way_down_of_a_unet() -> None:
    experiment = config(backbone={"kind": "encoder", "unet": {"levels": 3, "width": 8, "stem": 2}})
    assert experiment.backbone == EncoderConfig(unet=UNetConfig(levels=3, width=8, stem=2))
    assert experiment.encoder_start == "labeling"
    mixed = {"standardize": [True, False]}
    fresh = config(backbone={"kind": "encoder"}, encoder_start="fresh", sight=mixed)
    assert fresh.sight.standardize == (True, False)


def test_the_settings_kept_with_a_run_are_read_back() -> None:
    experiment = config(
        leave_out=["E016"], optimizers=[{"kind": "sgd"}], backbone={"kind": "encoder"}
    )
    kept = parse_text(to_toml(experiment))
    assert kept == experiment


def parse_text(text: str) -> PolarityExperiment:
    return parse(tomllib.loads(text), PolarityExperiment, source="kept")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"arm": "ezrin+dic"}, "arm: Input should be 'dic', 'ezrin', 'dic.ezrin' or 'measured'"),
        ({"task": "labeling"}, "task: Input should be 'polarity'"),
        ({"members": 0}, "members"),
        ({"ezrin": {}}, "key 'ezrin.experiment' is missing"),
        ({"ezrin": {"experiment": "a", "folds": 1}}, "ezrin.folds"),
        ({"ezrin": {"experiment": "a", "share": 1.0}}, "ezrin.share"),
        ({"ezrin": {"experiment": "a", "share": 0.5, "model": "m"}}, "model 'm' and share both"),
        ({"backbone": {"kind": "vgg"}}, "backbone"),
        ({"backbone": {"kind": "resnet", "depht": 10}}, "did you mean 'backbone.depth'"),
        ({"sight": {"windw": 1}}, "unknown key 'sight.windw'; did you mean 'sight.window'"),
        ({"sight": {"window": 0}}, "sight.window"),
        ({"sight": {"standardize": []}}, "sight.standardize"),
        (
            {"backbone": {"kind": "encoder"}, "sight": {"standardize": [True, False]}},
            "'encoder' needs sight.standardize = .true.",
        ),
        ({"sight": {"size": 8}}, "sight.size"),
        ({"loss": {"softness": -1}}, "loss.softness"),
        ({"optimizers": [{"kind": "adam", "weight_decay": 1}]}, "weight_decay needs kind = 'adamw"),
        ({"threshold": 1.0}, "threshold"),
        ({"training": {}}, "key 'training.steps' is missing"),
        ({"training": {"steps": 1, "crop": 3}}, "unknown key 'training.crop'"),
    ],
)
def test_what_makes_no_sense_is_refused(tables: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**tables)
