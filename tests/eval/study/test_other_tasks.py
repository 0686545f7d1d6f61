"""Another task than labeling is compared by the same study, through its recipe and some methods."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from isl import registry
from isl.errors import InputError
from isl.files.records import as_json
from isl_eval.statistics.classification import accuracy, auc
from isl_eval.study.bench import Bench
from isl_eval.study.comparison import compare_variants
from isl_eval.study.config import StudyConfig
from isl_eval.study.subject import Subject
from isl_train.experiment import ExperimentConfig
from isl_train.recipe import Recipe

GROUPS = tuple(f"g{number}" for number in range(8) for _ in range(5))
TRUTH = np.arange(len(GROUPS)) % 2


class ToyConfig(ExperimentConfig):
    noise: float = 0.0


def train(experiment, run) -> Path:
    """The model is how noisy its scores are."""
    model = run.workdir / "model"
    model.mkdir(parents=True)
    (run.workdir / "checkpoints").mkdir()
    facts = {"noise": experiment.noise, "seed": experiment.seed, "by": run.name}
    (model / "toy.json").write_text(as_json(facts))
    (run.workdir / "validation.csv").write_text("update,accuracy\n1,0.5\n2,0.75\n")
    (run.workdir / "clock.csv").write_text("update,seconds\n1,0.5\n2,1.5\n")
    return model


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Truth and score of every case: figures that do not come of sums."""

    fields: tuple[str, ...]
    groups: tuple[str, ...]
    sums: np.ndarray
    over = "groups"
    facts = {"of": "toy"}  # noqa: RUF012

    @property
    def drawn(self):
        return self.groups

    def figures_from(self, sums):
        truth, score = sums.T
        return {"auc": auc(truth, score), "accuracy": accuracy(truth, score > 0.5)}


class ToyBench(Bench):
    def ground_of(self, variant):
        return {"learned_from": {"all": "1"}, "judged": {"all": "2"}}

    def judge(self, run, model):
        facts = json.loads((model / "toy.json").read_text())
        assert facts["by"] == run.variant
        noise = np.random.default_rng(facts["seed"]).normal(size=TRUTH.size)
        score = TRUTH + facts["noise"] * noise
        return {"alive": self.restored({}, np.stack([TRUTH, score], axis=1))}, {}

    def restored(self, facts, sums):
        return Scores(fields=GROUPS, groups=GROUPS, sums=sums)


SUBJECT = Subject(
    config=StudyConfig,
    bench=ToyBench,
    figures=("auc", "accuracy"),
    titles={"auc": ("AUC", 3)},
    overview=("auc",),
    in_tables=("auc",),
    main="auc",
    curves={"accuracy": "accuracy"},
    along={"auc": "AUC"},
    about=lambda findings: [f"Judged on {len(findings.groups['alive'])} groups."],
)
STUDY = """
task = "comparison"
experiment = "toy.toml"
seeds = [0, 1]
reference = "loud"
replicates = 50
[axis]
name = "noise"
[budget.examples]
pixels = 64
[variant.still]
changes = ["noise=0.1"]
at = 0.1
[variant.loud]
changes = ["noise=2.0"]
at = 2.0
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = registry.load
    parts = {registry.TRAIN: Recipe(config=ToyConfig, train=train), registry.STUDY: SUBJECT}
    monkeypatch.setattr(
        registry,
        "load",
        lambda group, name, what: parts[group] if name == "toy" else real(group, name, what=what),
    )
    monkeypatch.setattr("isl_eval.study.comparison._keep_programs", lambda out: None)
    (tmp_path / "toy.toml").write_text('task = "toy"\n[training]\nsteps = 9\nbatch_size = 8\n')
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_a_recipe_is_trained_within_a_budget_and_judged_by_group(study: Path) -> None:
    out = study.parent / "out"
    compare_variants(study, [], out)
    with (out / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["variant"], row["label"]): row for row in csv.DictReader(file)}
    still, loud = rows["still", "alive"], rows["loud", "alive"]
    assert (still["seeds"], still["pixels"], still["seconds"]) == ("2", "64", "1.5")
    assert float(still["auc"]) == 1.0 > float(loud["auc"])
    gained = float(still["auc"]) - float(loud["auc"])
    assert float(still["auc_difference"]) == pytest.approx(gained, rel=1e-4)
    assert float(loud["auc_low"]) < float(loud["auc"]) < float(loud["auc_high"])
    record = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert record["runs"][0]["updates"] == 8
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("AUC above loud", "Judged on 8 groups.", "Learning curves", "AUC against noise"):
        assert words in page
    before = (out / "comparison.csv").read_bytes()
    compare_variants(study, [], out)
    assert (out / "comparison.csv").read_bytes() == before


def test_what_a_task_does_not_know_is_refused(study: Path) -> None:
    budget = "budget={ time = { seconds = 5 } }"
    with pytest.raises(InputError, match="give budgets in updates or pixels"):
        compare_variants(study, [budget], study.parent / "out")
    (study.parent / "toy.toml").write_text('task = "unheard"\n')
    with pytest.raises(InputError, match=r"unknown task that can be compared, in .*toy\.toml:"):
        compare_variants(study, [], study.parent / "out")
