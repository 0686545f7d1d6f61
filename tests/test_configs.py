"""Every experiment that comes with isl says what it is for, and is one."""

from pathlib import Path

import pytest

from isl.config import load_toml
from isl.dataset import load_manifest
from isl_train.labeling_config import LabelingConfig

CONFIGS = Path(__file__).parents[1] / "configs"
EXPERIMENTS = sorted(CONFIGS.glob("*.toml"))


def test_there_are_experiments_for_every_machine() -> None:
    names = {path.stem for path in EXPERIMENTS}
    assert names >= {"towers_paper", "towers_gpu", "unet_gpu", "neurons_cpu", "phantom"}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_loads_and_fits_its_network(path: Path) -> None:
    config = load_toml(path, LabelingConfig)
    assert len(config.description) > 40
    assert config.network.geometry.is_valid(config.training.crop)
    assert config.dataset.suffix == ".toml"


def test_a_key_that_is_misspelled_is_refused() -> None:
    from isl.errors import InputError

    with pytest.raises(InputError, match=r"did you mean 'training\.steps'"):
        load_toml(EXPERIMENTS[0], LabelingConfig, overrides=["training.step=3"])


def test_the_real_fields_manifest_needs_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from isl.errors import InputError

    monkeypatch.setenv("ISL_DATA", str(tmp_path))
    with pytest.raises(InputError, match="condition_b_A4"):
        load_manifest(CONFIGS / "data" / "condition_b_A4.toml")
