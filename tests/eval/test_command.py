"""`isl eval` from the command line: what it writes, resumes and refuses."""

import json
import shutil
from types import SimpleNamespace

import pytest
from simulated_polarity import Recorder, make_embryos, write_dataset

from isl import cli
from isl_eval.polarity.config import PolarityEvaluation
from isl_eval.polarity.crossval import _train
from isl_eval.polarity.evaluation import plan_cross_validation

FILES = {"arms.csv", "frames.csv", "onsets.csv", "metrics.json", "report.html", "settings.json"}
FILES |= {"ensembles.csv", "discrepancies.csv"}


@pytest.fixture
def config(tmp_path):
    return write_dataset(tmp_path)


@pytest.fixture
def run(config, monkeypatch, capsys):
    """Runs `isl eval` with a trainers that trains nothing; returns code, stdout, stderr."""
    recorders = []
    fail_at = [0]

    def trainers(plan, out, console, say):
        recorders.append(Recorder(plan.ezrin_folds, fail_at=fail_at[0]))
        return recorders[-1].trainers()

    monkeypatch.setattr("isl_eval.polarity.evaluation._real_trainers", trainers)
    monkeypatch.setattr(
        "isl_eval.polarity.evaluation.polarity_page", lambda findings: findings.title
    )

    def call(*words, out="out", fail=0):
        fail_at[0] = fail
        given = [str(word) for word in words]
        code = cli.main(
            ["eval", str(config), "--out", str(config.parent / out), "--device", "cpu", *given]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    call.recorders = recorders
    return call


def results(folder):
    """All that was written but how long it took."""
    record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for arm in record["arms"].values():
        del arm["seconds"]
    texts = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    return record, texts, (folder / "settings.json").read_bytes()


def test_an_evaluation_from_the_command_line(run, config):
    out = config.parent / "out"
    code, printed, said = run()
    assert (code, printed.strip()) == (0, str(out / "report.html"))
    assert {path.name for path in out.iterdir()} == FILES | {"predictions"}
    assert len(list((out / "predictions").iterdir())) == 3 * (4 + 1)
    title = "4 arms on 3 embryos, 12 frames; cross-validated in 3 folds of embryos"
    assert (out / "report.html").read_text(encoding="utf-8") == title
    assert "Mean onset error by the smoothed rule: dic+ezrin wins" in said
    assert "Rule: the default arm" in said


def test_interrupted_and_resumed_gives_the_same_files(run, config):
    assert run(out="broken", fail=6)[0] == cli.INTERRUPTED
    assert not (config.parent / "broken" / "metrics.json").exists()
    assert run(out="broken")[0] == 0
    assert len(run.recorders[-1].trained) == 12 - 5
    assert run(out="whole")[0] == 0
    assert results(config.parent / "broken") == results(config.parent / "whole")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--set", 'changes=["members=5"]'), "(experiment.members is 5 now, and was 2)"),
        (("--set", 'ezrin_changes=["seed=5"]'), "(labeling.seed is 5 now, and was 0)"),
        (("--set", 'folds=[["A"], ["C"], ["B"]]'), "(folds is [['A'], ['C'], ['B']] now,"),
    ],
)
def test_a_folder_of_other_settings_is_refused(run, config, change, said):
    run()
    before = results(config.parent / "out")
    trained = len(run.recorders)
    code, _, err = run(*change)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert f"holds an evaluation of other settings {said}" in err
    assert results(config.parent / "out") == before
    assert len(run.recorders) == trained


def test_what_the_dataset_of_ezrin_says_is_part_of_it(run, config):
    run()
    manifest = config.parent / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"DIC"', '"BRIGHTFIELD"', 1))
    code, _, err = run()
    assert code == 2
    assert "modality is 'BRIGHTFIELD' now, and was 'DIC')" in err


def test_how_it_is_judged_may_change_without_asking_again(run):
    run()
    assert run("--set", "replicates=30", "--set", "decide_by=onset_error")[0] == 0
    assert run.recorders[-1].trained == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "task=polarty"], "'polarty'; did you mean 'polarity'?"),
        (["--set", "task=labelling"], "did you mean 'labeling'? (known: colony, "),
        (["--set", "experiment="], "{config}: the file: give either 'experiment'"),
        (["--set", "model=polarity"], "give either 'experiment' (arms are trained and"),
        (["--set", "experiment=absent.toml"], "absent.toml: there is no such file"),
        (["--set", "dataset=absent.toml"], "absent.toml: there is no such file"),
        (["--set", "fold=3"], "unknown key 'fold'; did you mean 'folds'?"),
        (["--set", "folds=1"], "1 folds leave nothing to train on; give 2 or more"),
        (["--set", 'folds=[["A", "B", "C"]]'], "1 folds leave nothing to train on"),
        (["--set", 'folds=[["A", "B"], ["B", "C"]]'], "embryo 'B' is in more than one fold"),
        (["--set", 'folds=[["A"], ["B"]]'], "embryo 'C' is in no fold"),
        (["--set", "folds=4"], "3 embryos cannot be cut into 4 folds; give fewer folds"),
        (["--set", "folds=2"], "while fold 1 is held out, no network is left"),
        (["--set", 'leave_out=["A"]'], "needs 3 embryos or more"),
        (["--set", 'leave_out=["D"]'], "unknown group 'D'"),
        (["--set", "split=test"], "arms are trained on split 'train', so split cannot be test"),
        (["--set", 'arms=["dic", "ezrim"]'], "arms.1: Input should be 'dic', 'ezrin'"),
        (["--set", "arms=[]"], "arms: Tuple should have at least 1 item"),
        (["--set", "decide_by=luck"], "decide_by: Input should be 'auc'"),
        (["--set", 'changes=["member=3"]'], "polarity.toml: unknown key 'member'"),
        (["--set", 'ezrin_changes=["start.model=ezrin-aif"]'], "starts from model 'ezrin-aif'"),
        (["--set", "ezrin_changes=[\"leave_out=['D']\"]"], "unknown group 'D'"),
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(run, config, words, message):
    if words[1].endswith("="):
        text = config.read_text(encoding="utf-8").replace('experiment = "polarity.toml"', "")
        config.write_text(text, encoding="utf-8")
        words = []
    code, printed, err = run(*words)
    assert (code, printed) == (2, "")
    assert len(err.splitlines()) == 1
    assert message.format(config=config) in err
    assert not (config.parent / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"B": [0, 1, 0, 1]}}, "embryo 'B' in"),
        ({"splits": dict.fromkeys("ABC", "test")}, "no time-lapse has split 'train'"),
    ],
)
def test_data_that_cannot_be_judged_is_refused(run, config, options, message):
    for kind in ("dic", "ezrin"):
        shutil.rmtree(config.parent / kind)
    write_dataset(config.parent, **options)
    code, _, err = run()
    assert code == 2
    assert len(err.splitlines()) == 1
    assert message in err
    assert not (config.parent / "out").exists()


def test_measured_ezrin_that_is_not_there_is_refused_and_not_missed_by_other_arms(run, config):
    manifest = config.parent / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('labels = { EZRIN = "ezrin/B" }', ""), encoding="utf-8")
    code, _, err = run()
    assert (code, len(err.splitlines())) == (2, 1)
    assert "embryo 'B' has no measured EZRIN; leave 'measured' out of arms" in err
    assert not (config.parent / "out").exists()
    assert run("--set", 'arms=["dic", "ezrin"]')[0] == 0


@pytest.mark.parametrize("inside", ["", "deep/"])
def test_results_cannot_go_into_a_file(run, config, inside):
    (config.parent / "out").write_text("a file", encoding="utf-8")
    code, _, err = run(out=f"out/{inside}" if inside else "out")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is a file; name a folder" in err


def test_help_tells_what_to_give(capsys):
    assert cli.main(["eval", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--out" in printed
    assert "held-out data" in printed


def test_compaction_is_told_where_the_table_has_it(tmp_path, config, run):
    for kind in ("dic", "ezrin"):
        shutil.rmtree(tmp_path / kind)
    write_dataset(tmp_path, compaction={"A": 0, "B": 1, "C": 3})
    assert run()[0] == 0
    record = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert [embryo["compaction"] for embryo in record["embryos"]] == [0, 1, 3]
    assert [each["pearson"]["pairs"] for each in record["compaction"]] == [3] * 4
    # The predicted onsets are 1, 2 and (censored) 4, the compaction 0, 1 and 3.
    both = next(each for each in record["compaction"] if each["name"] == "dic+ezrin")
    assert both["pearson"]["interval"]["estimate"] == pytest.approx(1.0)


def test_embryos_of_other_splits_are_seen_by_nobody(tmp_path):
    onsets = {"A": 1, "B": 2, "C": None, "D": 1}
    splits = {"A": "train", "B": "train", "C": "train", "D": "test"}
    path = write_dataset(tmp_path, onsets, splits=splits)
    plan = plan_cross_validation(
        PolarityEvaluation(task="polarity", experiment="polarity.toml", folds=3), path
    )
    assert [embryo.name for embryo in plan.embryos] == ["A", "B", "C"]
    assert plan.labeling.leave_out == ("D",)


def test_variants_are_compared_in_place_of_arms(tmp_path):
    path = write_dataset(tmp_path)
    variants = {"small": ("backbone.width=2",), "sure": ("loss.softness=0", "arm=dic")}
    config = PolarityEvaluation(
        task="polarity", experiment="polarity.toml", folds=3, variants=variants
    )
    plan = plan_cross_validation(config, path)
    assert list(plan.experiments) == ["small", "sure"]
    assert plan.experiments["small"].backbone.width == 2
    assert (plan.experiments["small"].arm, plan.experiments["sure"].arm) == ("dic+ezrin", "dic")
    assert plan.experiments["sure"].loss.softness == 0
    assert plan.experiment.backbone.width == 8


def test_embryos_with_defects_are_left_out_where_told_to(tmp_path):
    onsets = {"A": 1, "B": 2, "C": None, "D": 1}
    path = write_dataset(tmp_path, onsets)
    shutil.copy(tmp_path / "dic" / "B" / "t000.png", tmp_path / "dic" / "B" / "t001.png")
    given = {"task": "polarity", "experiment": "polarity.toml", "folds": 3}
    said = []
    plan = plan_cross_validation(
        PolarityEvaluation(**given, leave_out_defects=("missing",)), path, said.append
    )
    assert [embryo.name for embryo in plan.embryos] == ["A", "C", "D"]
    assert plan.labeling.leave_out == ("B",)
    assert len(said) == 1
    assert said[0].startswith("B is left out; missing: frame 1: it repeats")
    assert len(plan_cross_validation(PolarityEvaluation(**given), path).embryos) == 4


def test_an_ensemble_keeps_the_labeling_model_that_did_not_know_the_held_out(tmp_path, monkeypatch):
    def train_ensemble(experiment, embryos, ezrin, run, *, name, labeling_model, folder, console):
        assert (name, folder) == ("fold_1-dic", tmp_path)
        (run / "model").mkdir(parents=True)
        return run / "model"

    monkeypatch.setattr("isl_eval.polarity.crossval.train_ensemble", train_ensemble)
    labeling = tmp_path / "without_A"
    labeling.mkdir()
    (labeling / "card.md").write_text("knows not A", encoding="utf-8")
    embryos = make_embryos()
    run = tmp_path / "runs" / "fold_1" / "dic"
    experiment = SimpleNamespace(needs_ezrin=True)
    model = _train(experiment, embryos, {}, run, labeling, folder=tmp_path, console=None)
    assert (model / "ezrin" / "card.md").read_text(encoding="utf-8") == "knows not A"
