import pydantic
import pytest

from isl.config import parse, to_toml
from isl.errors import InputError
from isl.preprocess.config import STAGES, PreprocessConfig
from isl.preprocess.pipeline import load_config

LEAST = """
transmitted = "DIC"
[layout]
pattern = "{well}_{channel}.tif"
"""


def read(tmp_path, text=LEAST, *overrides):
    (tmp_path / "config.toml").write_text(text)
    return load_config(tmp_path / "config.toml", overrides)


def test_defaults_are_the_papers(tmp_path):
    config = read(tmp_path)
    assert config.stages == STAGES
    assert len(STAGES) == 9
    assert config.downscale == config.factor == 2
    assert (config.salt_and_pepper.size, config.salt_and_pepper.most_passes) == (5, 32)
    assert config.additive_dust.disk_diameter == 50
    assert config.additive_dust.most_share == 0.1
    flat = config.flat_field
    assert (flat.fluorescence_divisor, flat.transmitted_divisor) == (16, 32)
    assert config.percentile == 90


def test_stages_in_any_order_are_the_same_stages(tmp_path):
    config = read(tmp_path, LEAST, 'stages=["flat_field", "salt_and_pepper"]')
    assert config.runs("salt_and_pepper")
    assert not config.runs("stitching")
    assert config.factor == 1


def test_a_configuration_can_be_written_down(tmp_path):
    config = read(tmp_path, LEAST, "split.groups={ B2 = 'validation' }", "planes.count=5")
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert load_config(tmp_path / "again.toml") == config


def test_decisions_are_found_beside_the_configuration_and_overrides_from_the_shell(
    tmp_path, monkeypatch
):
    config = read(tmp_path, 'decisions = "mine.csv"\n' + LEAST)
    assert config.decisions == tmp_path / "mine.csv"
    monkeypatch.chdir(tmp_path.parent)
    assert read(tmp_path, LEAST, "decisions=mine.csv").decisions == tmp_path.parent / "mine.csv"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stiching.search=3", r"unknown key 'stiching'; did you mean 'stitching'\?"),
        ("stitching.serch=3", r"unknown key 'stitching.serch'; did you mean 'stitching.search'\?"),
        ('stages=["flatfield"]', r"stages"),
        ("downscale=0", r"downscale: .*1 \(got 0\)"),
        ("percentile=101", r"percentile: .*100"),
        ("sample.least=2", r"sample.least: "),
        ("split.train=0", r"split: train, validation and test are all 0"),
        ("split.region=[4, 4, 0, 9]", r"split: region is empty; give \[y0, y1, x0, x1\]"),
        ("layout.overlap=-1", r"overlap"),
        ("modality=phase", r"modality: .*'PHASE_CONTRAST'"),
        ("quality.least_content=2", r"quality.least_content: "),
        ("full_pixel=0", r"full_pixel: "),
    ],
)
def test_wrong_settings_are_refused_by_name(override, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(tmp_path, LEAST, override)


@pytest.mark.parametrize("beside", ["validation=1", "test=1", "groups={ A = 'validation' }"])
def test_a_region_is_for_training_fields_alone(beside, tmp_path):
    with pytest.raises(InputError, match="region is for sets that are all for training"):
        read(tmp_path, LEAST, "split.region=[0, 4, 0, 9]", f"split.{beside}")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="key 'transmitted' is missing"):
        parse({"layout": {"pattern": "{well}.tif"}}, PreprocessConfig, source="test")
    with pytest.raises(InputError, match="there is no such file"):
        load_config(tmp_path / "none.toml")


def test_settings_cannot_be_changed(tmp_path):
    with pytest.raises(pydantic.ValidationError):
        read(tmp_path).downscale = 3
