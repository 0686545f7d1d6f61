from pathlib import Path

import pytest
from simulated_fields import write_dataset

from isl.cli import main
from isl.config import load_toml
from isl_train.labeling_config import LabelingConfig

CONFIG = """
task = "labeling"
dataset = "manifest.toml"
[network]
kind = "unet"
levels = 2
width = 4
[training]
steps = 2
crop = 32
batch_size = 2
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"a": ["DAPI"]}, validation_region=(0, 20, 0, 20))
    (tmp_path / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "tiny.toml"


def test_training_from_the_command_line(experiment: Path, capsys) -> None:
    workdir = experiment.parent / "run"
    arguments = ["train", str(experiment), "--workdir", str(workdir), "--device", "cpu"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(workdir / "model")
    assert "update 2/2" in captured.err
    assert (workdir / "model" / "model.toml").is_file()
    assert load_toml(workdir / "experiment.toml", LabelingConfig).training.steps == 2
    assert main([*arguments, "--set", "training.steps=3"]) == 0
    assert "resuming after update 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.step=3"], "unknown key 'training.step'; did you mean"),
        (["--set", "task=labelling"], "did you mean 'labeling'"),
        (["--set", "training.crop=31"], "crop 31 does not fit"),
        (["--set", "dataset=absent.toml"], "absent.toml: there is no such file"),
        (["--set", "start.model=absent"], "absent"),
        (["--set", "start.freeze=['neck']"], "parameter to freeze 'neck'"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--workers", "-1"], "--workers"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    experiment: Path, capsys, arguments: list[str], message: str
) -> None:
    workdir = experiment.parent / "run"
    assert main(["train", str(experiment), "--workdir", str(workdir), *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert not workdir.exists()


def test_a_workdir_that_cannot_be_is_refused(experiment: Path, capsys) -> None:
    assert main(["train", str(experiment), "--workdir", str(experiment / "run")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_no_such_configuration(tmp_path: Path, capsys) -> None:
    assert main(["train", str(tmp_path / "no.toml"), "--workdir", str(tmp_path / "run")]) == 2
    assert "no.toml: there is no such file" in capsys.readouterr().err
