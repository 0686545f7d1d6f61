"""Every experiment and evaluation that comes with isl says what it is for, and fits together."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from isl import cli, registry
from isl.backbones.networks import count_parameters
from isl.config import load_toml, parse, read_toml
from isl.data.tables import read_table
from isl.errors import InputError, as_options
from isl.labeling.dataset import load_manifest
from isl.labeling.model_config import read_model_config
from isl.model_folder import bundled_models, model_directory
from isl.phantom.kinds import PhantomKind
from isl.polarity.model import abstract_members, channels_of
from isl.preprocess.config import PreprocessConfig
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.polarity.config import PolarityEvaluation
from isl_eval.study.subject import read_study
from isl_train.labeling.config import LabelingConfig
from isl_train.polarity.config import PolarityExperiment
from isl_train.search.config import SearchConfig
from isl_train.search.search import search_space_fits

CONFIGS = Path(__file__).parents[1] / "configs"
SIMULATED: dict[str, str] = read_toml(CONFIGS / "data" / "simulated.toml")
FILES = sorted(CONFIGS.glob("*.toml"))


def is_experiment(table: dict[str, Any]) -> bool:
    return "training" in table or "backbone" in table


def of_task(task: str, *, trained: bool) -> list[Path]:
    """Experiments say how to train, or what is read; evaluations do not."""
    tables = {path: read_toml(path) for path in FILES}
    return [
        path
        for path, table in tables.items()
        if table["task"] == task and is_experiment(table) == trained
    ]


LABELING = of_task("labeling", trained=True)
POLARITY = of_task("polarity", trained=True)
EVALUATIONS = of_task("polarity", trained=False)
LABELING_EVALUATIONS = of_task("labeling", trained=False)
COMPARISONS = of_task("comparison", trained=False)
SEARCHES = of_task("search", trained=False)


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_is_of_an_installed_task(path: Path) -> None:
    table = read_toml(path)
    if is_experiment(table):
        recipe = registry.load(registry.TRAIN, table["task"], what="task")
        assert len(load_toml(path, recipe.config).description) > 40
    else:
        assert table["task"] in {"search", *registry.registered(registry.EVAL)}


def test_there_are_experiments_for_every_machine() -> None:
    names = {path.stem for path in FILES}
    assert names >= {
        "towers_paper",
        "towers_gpu",
        "unet_gpu",
        "neurons_cpu",
        "neurons_quick",
        "phantom",
    }
    assert names >= {"ezrin_aif", "ezrin_stack_phantom", "polarity", "polarity_arms"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("preprocess/*.toml")), ids=name_of)
def test_preprocessing_loads(path: Path) -> None:
    config = load_toml(path, PreprocessConfig)
    assert len(config.description) > 40
    assert config.modality is not None


@pytest.mark.parametrize("path", LABELING, ids=name_of)
def test_an_experiment_loads_and_fits_its_network(path: Path) -> None:
    config = load_toml(path, LabelingConfig)
    assert len(config.description) > 40
    assert config.training_geometry.is_valid(config.training.crop)
    assert config.dataset.suffix == ".toml"


@pytest.mark.parametrize("path", POLARITY, ids=name_of)
def test_an_ensemble_loads_and_so_does_its_way_to_ezrin(path: Path) -> None:
    config = load_toml(path, PolarityExperiment)
    assert len(config.description) > 40
    assert config.arm != "measured"
    members = abstract_members(config.backbone, len(channels_of(config.arm)), config.members)
    assert len(members) == config.members
    # What reads a frozen encoder has a number for each of its channels and little more.
    fewest = 100 if config.backbone.kind == "pretrained" else 1000
    assert min(map(count_parameters, members)) > fewest
    ezrin = load_toml(path.parent / config.ezrin.experiment, LabelingConfig)
    assert ezrin.dataset == config.dataset
    assert config.ezrin.model in ("", *bundled_models())


@pytest.mark.parametrize("path", EVALUATIONS, ids=name_of)
def test_an_evaluation_loads_and_so_does_what_it_trains(path: Path) -> None:
    evaluation = load_toml(path, PolarityEvaluation)
    assert len(evaluation.description) > 40
    assert evaluation.level == 0.95
    assert evaluation.replicates == 1000
    if evaluation.experiment is not None:
        experiment = load_toml(
            path.parent / evaluation.experiment, PolarityExperiment, evaluation.changes
        )
        labeling = path.parent / experiment.ezrin.experiment
        load_toml(labeling, LabelingConfig, evaluation.ezrin_changes)
    else:
        assert evaluation.dataset is not None


@pytest.mark.parametrize("path", LABELING_EVALUATIONS, ids=name_of)
def test_a_labeling_evaluation_loads_and_its_models_predict_what_it_counts(path: Path) -> None:
    evaluation = load_toml(path, LabelingEvaluation)
    assert len(evaluation.description) > 40
    assert (evaluation.level, evaluation.replicates) == (0.95, 1000)
    for (name,) in evaluation.model:
        assert set(evaluation.objects) <= set(read_model_config(model_directory(name)).labels)


@pytest.mark.parametrize("path", COMPARISONS, ids=name_of)
def test_a_comparison_loads_and_all_its_variants_fit(path: Path, tmp_path: Path) -> None:
    subject, study = read_study(path, [])
    assert len(study.description) > 40
    bench = subject.bench(study, path, tmp_path, say=print)
    for variant in study.variant:
        experiment = bench.experiment(variant, 7)
        assert experiment.seed == 7
        assert (path.parent / experiment.dataset).is_file()


def test_planes_of_the_z_depth_study_are_the_papers() -> None:
    """The centre of 13 first, then outward in steps of two: of 3 planes, 4, 6 and 8."""
    path = CONFIGS / "z_depth_neurons.toml"
    subject, study = read_study(path, [])
    bench = subject.bench(study, path, Path(), say=print)
    planes = {
        each.at: bench.experiment(name, 0).planes for name, each in bench.config.variant.items()
    }
    order = [6, 4, 8, 2, 10, 0, 12]
    assert planes == {n: tuple(sorted(order[:n])) for n in (1, 3, 5, 7)} | {13: None}


def test_a_study_takes_an_experiment_named_as_the_shell_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    path = Path("configs", "z_depth_neurons.toml")
    for named in ("configs/neurons_towers.toml", "neurons_towers.toml"):
        subject, study = read_study(path, [f"experiment={named}"])
        bench = subject.bench(study, path, Path(), say=print)
        assert bench.experiment("3 planes", 0).network.kind == "towers"


@pytest.mark.parametrize("path", SEARCHES, ids=name_of)
def test_a_search_loads_and_its_space_fits_the_experiment(path: Path) -> None:
    search = load_toml(path, SearchConfig)
    assert len(search.description) > 40
    search_space_fits(search, path.parent / search.experiment)


def test_all_arms_are_compared() -> None:
    evaluation = load_toml(CONFIGS / "polarity_arms.toml", PolarityEvaluation)
    assert evaluation.arms == ("dic", "ezrin", "dic+ezrin", "measured")


def test_a_key_that_is_misspelled_is_refused() -> None:
    with pytest.raises(InputError, match=r"did you mean 'training\.steps'"):
        load_toml(LABELING[0], LabelingConfig, overrides=["training.step=3"])
    with pytest.raises(InputError, match=r"did you mean 'sight\.window'"):
        load_toml(POLARITY[0], PolarityExperiment, overrides=["sight.windw=3"])


def options_in(command: str) -> tuple[list[str], str]:
    """A command's words in any order, without --out, and what that was."""
    words = shlex.split(command)
    out = words[words.index("--out") + 1] if "--out" in words else ""
    return sorted(word for word in words if word not in ("--out", out)), out


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_simulated_data_are_made_as_configurations_say(path: Path) -> None:
    text = path.read_text()
    said = re.findall(r"isl phantom [^\"\n]*?--out configs[^\"\n]*?(?=\.? [A-Z]|\"|\n)", text)
    for command in said:
        words, out = options_in(command.rstrip("."))
        assert words == options_in(SIMULATED[out.removeprefix("configs/data/")])[0]
    for folder in re.findall(r"\"data/([\w/]+)/(?:dataset\.toml|recordings\.csv)\"", text):
        assert folder in SIMULATED or "of your own" in text


@pytest.mark.parametrize("folder", SIMULATED)
def test_simulated_data_have_a_kind_and_its_settings(folder: str) -> None:
    words = shlex.split(SIMULATED[folder])
    assert words[:2] == ["isl", "phantom"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given.keys() <= {"--kind", "--count", "--validation", "--seed", "--set"}
    kind: PhantomKind = registry.load(
        registry.PHANTOMS, given.get("--kind", "cells"), what="kind of data set"
    )
    pairs = zip(words[2::2], words[3::2], strict=True)
    parse({}, kind.config, source="test", overrides=[v for key, v in pairs if key == "--set"])


def test_missing_data_are_told_how_to_make_wherever_isl_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "site packages" / "isl_configs"
    shutil.copytree(CONFIGS, installed, ignore=lambda *_: ["__pycache__"])
    monkeypatch.setattr("isl.config._configurations", lambda: installed)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = installed / "data" / "absent"
    simulated = installed / "data" / "simulated.toml"
    simulated.write_text('absent = "isl phantom --count 2 --set width=16 --set height=16"')
    manifest = folder / "dataset.toml"
    with pytest.raises(InputError, match="there is no such file; make it first: isl ph") as told:
        load_manifest(manifest)
    assert "`set=dataset=FILE`" in str(told.value)
    command = re.search(r"make it first: (isl phantom .*?) \(or", as_options(told.value))
    assert command is not None
    assert cli.main(shlex.split(command[1])[1:]) == 0
    assert len(load_manifest(manifest).fields) == 2
    with pytest.raises(InputError, match="no such file; name your own with"):
        read_table(installed / "data" / "viability_day5" / "recordings.csv")
    with pytest.raises(InputError, match=r"no such file$"):
        load_manifest(tmp_path / "dataset.toml")


@pytest.mark.parametrize("name", ["condition_b_A4", "ai4embryo"])
def test_the_manifest_of_real_data_needs_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("ISL_DATA", str(tmp_path))
    with pytest.raises(InputError, match=name):
        load_manifest(CONFIGS / "data" / f"{name}.toml")
