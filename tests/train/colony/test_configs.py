"""Every colony configuration that comes with isl can be read, and its arms change what exists."""

from pathlib import Path

import pytest
from flax import nnx

from isl.backbones.networks import count_parameters
from isl.colony.network import abstract_network
from isl.config import load_toml, read_toml
from isl_eval.colony.config import ColonyEvaluation
from isl_eval.colony.published import ABLATION, RELATED
from isl_train.colony.config import ColonyExperiment

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = [path for path in sorted(CONFIGS.glob("*.toml")) if read_toml(path)["task"] == "colony"]
EXPERIMENTS = [path for path in FILES if "training" in read_toml(path)]
EVALUATIONS = [path for path in FILES if path not in EXPERIMENTS]


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_experiments(path: Path) -> None:
    experiment = load_toml(path, ColonyExperiment)
    assert experiment.description.endswith((".", "FOLDER."))


@pytest.mark.parametrize("path", EVALUATIONS, ids=name_of)
def test_evaluations(path: Path) -> None:
    evaluation = load_toml(path, ColonyEvaluation)
    rows = {row.name for row in ABLATION} | set(RELATED)
    for arm in evaluation.arms:
        changes = [*evaluation.changes, *arm.changes]
        load_toml(path.parent / evaluation.experiment, ColonyExperiment, changes)
        assert arm.published in rows | {""}


def test_the_papers_own_settings() -> None:
    paper = load_toml(CONFIGS / "colony_paper.toml", ColonyExperiment)
    network = abstract_network(paper.network, 1, 4)
    assert round(count_parameters(network) / 1e6, 1) == 22.3
    assert (paper.patch, paper.training.batch_size, paper.optimizer.learning_rate) == (
        224,
        32,
        5e-3,
    )
    assert (paper.meta.threshold, paper.meta.uda_weight, paper.meta.uda_steps) == (0.65, 8, 5000)
    epoch = (21_342 - 1_873 - 1_868) // paper.training.batch_size
    assert paper.training.steps == 200 * epoch
    labelled = 1_873 * 0.9
    assert paper.pretraining.steps == pytest.approx(200 * labelled / 32, rel=0.15)
    assert isinstance(network, nnx.Module)


def test_the_ablation_has_the_papers_ten_rows() -> None:
    evaluation = load_toml(CONFIGS / "colony_ablation.toml", ColonyEvaluation)
    assert [arm.published for arm in evaluation.arms] == [row.name for row in ABLATION]
