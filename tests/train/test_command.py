import json
import math
from pathlib import Path

import pytest
from PIL import Image
from simulated_embryos import write_embryos
from simulated_fields import write_dataset

from isl.cli import main
from isl.config import load_toml
from isl.labeling.model import load_model
from isl.polarity.model import load_polarity_model
from isl_train.labeling.config import LabelingConfig
from isl_train.lengths import of_share
from isl_train.polarity.ensemble import ezrin_experiment
from isl_train.polarity.recipe import RECIPE
from isl_train.recipe import Run

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
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
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


def test_checking_reads_everything_and_leaves_nothing(experiment: Path, capsys) -> None:
    arguments = ["train", str(experiment), "--workdir", str(experiment.parent / "run"), "--check"]
    assert main([*arguments, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "train a: 3 x 64x64, measured DAPI 90%" in printed
    assert "validation a: 3 x 20x20, measured DAPI 100%" in printed
    assert "unet (levels 2, width 4" in printed
    assert "a batch of 2 drawn: " in printed
    assert "training a model called 'tiny'" in printed
    assert not (experiment.parent / "run").exists()
    for refused in (["--set", "start.freeze=['neck']"], ["--budget", "1min"]):
        assert main([*arguments, *refused]) == 2
    assert "--check trains nothing; leave --budget out" in capsys.readouterr().err
    assert not (experiment.parent / "run").exists()


def test_a_run_within_a_budget_says_what_to_expect_and_is_resumed(experiment: Path, capsys) -> None:
    workdir = experiment.parent / "run"
    arguments = ["train", str(experiment), "--workdir", str(workdir), "--device", "cpu"]
    # Long runs would be chosen of a tiny network; more than the pace takes is all that is wanted.
    assert main([*arguments, "--budget", "1s"]) == 2
    assert "--budget 1s: reading, compiling and judging once take" in capsys.readouterr().err
    assert not workdir.exists()
    workdir.mkdir()
    kept = {"seconds": 60.0, "share": 2.0, "evaluations": 2}
    (workdir / "budget.json").write_text(json.dumps(kept))
    assert main([*arguments, "--budget", "1min"]) == 0
    assert load_toml(workdir / "experiment.toml", LabelingConfig).training.steps == 4
    assert main([*arguments, "--budget", "2min"]) == 2
    assert "was begun with --budget 1min; give the same" in capsys.readouterr().err


def test_a_run_leaves_one_page_that_shows_all_of_it(experiment: Path, capsys) -> None:
    workdir = experiment.parent / "run"
    assert main(["train", str(experiment), "--workdir", str(workdir), "--device", "cpu"]) == 0
    assert f"how it went: {workdir / 'report.html'}" in capsys.readouterr().err
    page = (workdir / "report.html").read_text(encoding="utf-8")
    for part in ("Update 2.", "pearson_median", "validation field a", "The model", "levels = 2"):
        assert part in page
    assert page.count("data:image/png;base64,") == 2
    with Image.open(workdir / "curves.png") as curves:
        assert curves.width > curves.height > 300


def test_a_model_has_the_name_it_is_given_or_that_of_its_data(experiment: Path) -> None:
    def card_after(*arguments: str) -> tuple[str, str]:
        workdir = experiment.parent / f"run{len(arguments)}{arguments[-1:]}".replace("/", "_")
        words = ["train", str(experiment), "--workdir", str(workdir), "--device", "cpu"]
        assert main([*words, *arguments]) == 0
        model = load_model(workdir / "model")
        return model.name, model.card.splitlines()[2]

    settings = "with the settings of tiny.toml."
    data = experiment.parent.name
    purpose = "Predicts fluorescence from transmitted light."
    assert card_after() == ("tiny", f"{purpose} Learned from {data}, {settings}")
    mine = experiment.parent / "mine.toml"
    mine.write_text((experiment.parent / "manifest.toml").read_text())
    found = card_after("--set", f"dataset={mine}")
    assert found == ("mine", f"{purpose} Learned from mine, {settings}")
    assert card_after("--name", "cells", "--description", "Of cells.") == ("cells", "Of cells.")


def test_paths_that_are_set_are_relative_to_where_they_were_typed(
    experiment: Path, capsys, monkeypatch
) -> None:
    elsewhere = experiment.parent / "elsewhere"
    elsewhere.mkdir()
    write_dataset(elsewhere, {"b": ["DAPI"]})
    (elsewhere / "manifest.toml").rename(elsewhere / "here.toml")
    monkeypatch.chdir(elsewhere)
    arguments = ["train", str(experiment), "--workdir", "run", "--check", "--device", "cpu"]
    assert main([*arguments, "--set", "dataset=here.toml"]) == 0
    assert "train b: " in capsys.readouterr().out
    # What is only found beside the configuration is meant so.
    assert main([*arguments, "--set", "dataset=manifest.toml"]) == 0
    assert "train a: " in capsys.readouterr().out
    assert main([*arguments, "--set", "dataset=nowhere.toml"]) == 2
    assert f"{elsewhere / 'nowhere.toml'}: there is no such file" in capsys.readouterr().err


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    """A polarity experiment that goes on from the labeling networks it cross-fits."""
    more = {"C": 'split = "test"', "D": ""}
    write_embryos(tmp_path, {name: (0, 0, 1, 1) for name in "ABCD"}, more=more)
    path = tmp_path / "polarity.toml"
    text = path.read_text().replace('model = "ezrin-aif"', 'model = ""')
    path.write_text(text.replace('task = "polarity"', 'task = "polarity"\narm = "dic"'))
    return path


def test_an_ensemble_from_the_command_line(ensemble: Path, capsys) -> None:
    workdir = ensemble.parent / "run"
    arguments = ["train", str(ensemble), "--workdir", str(workdir), "--device", "cpu"]
    arguments += ["--set", "leave_out=['D']"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(workdir / "model")
    # Neither who is on another side nor who is left out is known to any network.
    runs = {path.name for path in (workdir / "ezrin").iterdir()}
    assert runs == {"without_A_C_D", "without_B_C_D", "without_C_D"}
    for line in ("EZRIN without A, C, D", "EZRIN without C, D", "update 2/2"):
        assert line in captured.err
    model = load_polarity_model(workdir / "model")
    assert (model.name, model.config.arm) == ("polarity", "dic")
    assert model.config.embryos == ("A", "B")
    assert model.ezrin_model().name == "ezrin"
    assert "- A/t5" in model.ezrin_model().card
    assert "C/t5" not in model.ezrin_model().card
    before = (workdir / "model" / "weights.safetensors").read_bytes()
    assert main(arguments) == 0
    assert capsys.readouterr().err.count("nothing to do") == 1
    assert (workdir / "model" / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "arm=ezrin+dic"], "arm: Input should be"),
        (["--set", "sight.windw=1"], "did you mean 'sight.window'"),
        (["--set", "task=polarty"], "did you mean 'polarity'"),
        (["--set", "leave_out=['E']"], "unknown group 'E'"),
        (["--set", "leave_out=['A', 'B', 'D']"], "no time-lapse has split 'train'"),
        (["--set", "ezrin.folds=4"], "3 embryos cannot be cut into 4 folds"),
        (["--set", "ezrin.experiment=absent.toml"], "absent.toml: there is no such file"),
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
    ],
)
def test_an_ensemble_that_cannot_be_trained_is_refused_in_one_line(
    ensemble: Path, capsys, arguments: list[str], message: str
) -> None:
    workdir = ensemble.parent / "run"
    assert main(["train", str(ensemble), "--workdir", str(workdir), *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not workdir.exists()


def test_checking_an_ensemble_reads_the_embryos_and_the_fields_of_ezrin(
    ensemble: Path, capsys
) -> None:
    workdir = ensemble.parent / "run"
    assert main(["train", str(ensemble), "--workdir", str(workdir), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "A: 4 frames, onset at frame 2" in printed
    assert "EZRIN: train A/t5: " in printed
    assert "C: " not in printed
    assert not workdir.exists()


def test_the_labeling_runs_behind_an_ensemble_are_part_of_its_budget(ensemble: Path) -> None:
    experiment = load_toml(ensemble, RECIPE.config)
    run = Run(folder=ensemble.parent, workdir=ensemble.parent, name="", say=print)
    whole = ezrin_experiment(experiment, ensemble.parent).training.steps
    assert RECIPE.fits(experiment, run)["ezrin/*"].training.steps == whole
    longer = RECIPE.resized(experiment, ensemble.parent, of_share(3, 2))
    assert longer.training.steps == 3 * experiment.training.steps
    ezrin = ezrin_experiment(longer, ensemble.parent).training
    assert (ezrin.steps, ezrin.evaluate_every) == (3 * whole, math.ceil(3 * whole / 2))


def test_labels_that_go_back_cost_one_line(ensemble: Path, capsys) -> None:
    table = ensemble.parent / "labels.csv"
    table.write_text(table.read_text().replace("B,8,1", "B,8,0"))
    assert main(["train", str(ensemble), "--workdir", str(ensemble.parent / "run")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "embryo 'B' in " in line
    assert "label of frame 8 goes back to 0 (before) after the onset at frame 7" in line
    assert not (ensemble.parent / "run").exists()


def test_an_ensemble_is_trained_in_one_process(ensemble: Path, capsys, monkeypatch) -> None:
    for name, value in (("COORDINATOR", "localhost:1"), ("PROCESSES", "2"), ("PROCESS", "0")):
        monkeypatch.setenv(f"ISL_{name}", value)
    assert main(["train", str(ensemble), "--workdir", str(ensemble.parent / "run")]) == 2
    assert "task 'polarity' trains in one process" in capsys.readouterr().err
