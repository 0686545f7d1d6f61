"""Comparisons: which runs there are, that each is made once, and what the tables say of them."""

import csv
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).parents[2] / "train"))
from simulated_fields import write_dataset

from isl.config import load_toml, parse, to_toml
from isl.errors import InputError
from isl.labeling.dataset import load_manifest
from isl_eval.labeling import study as labeling_study
from isl_eval.labeling.blocks import FIGURES, BlockRows, block_rows
from isl_eval.labeling.study import SUBJECT, LabelingStudyConfig
from isl_eval.statistics.bootstrap import Interval
from isl_eval.study.bench import Run, RunResult, plan_runs
from isl_eval.study.comparison import compare_variants
from isl_eval.study.learning_curves import draw_along_axis, draw_learning_curves
from isl_eval.study.report import study_page
from isl_eval.study.tables import (
    Findings,
    best_settings,
    run_rows,
    standing_rows,
    standings_of,
    study_record,
)
from isl_train.budget import BudgetConfig
from isl_train.checkpoint import Progress
from isl_train.experiment import EXPERIMENT_FILE
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.ground import load_ground
from isl_train.labeling.task import LabelingTask
from isl_train.ledger import Diverged

BASE = """
task = "labeling"
dataset = "manifest.toml"
[network]
kind = "unet"
levels = 2
width = 2
[training]
steps = 5
batch_size = 2
crop = 32
[loss]
labels = 1.0
autoencoding = 0.0
"""
STUDY = """
task = "comparison"
experiment = "base.toml"
seeds = [3, 4]
evaluations = 2
replicates = 20
reference = "unet"
[budget.work]
pixels = 5120
[variant.unet]
[variant.plain]
kind = "regressor"
[variant.trees]
kind = "gradient_boosting"
pixels = 200
trees = 3
widest = 1
[variant.mean]
kind = "mean"
"""


def config(**tables) -> LabelingStudyConfig:
    given = {"task": "comparison", "experiment": "base.toml", "variant": {"a": {}}, **tables}
    return parse(given, LabelingStudyConfig, source="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"a": ["DAPI"]}, validation_region=(0, 20, 0, 64))
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Takes the place of the training loop: leaves a model with fresh weights behind."""
    made: list[str] = []

    def fit(task, experiment, place, **_):
        made.append(place.name)
        (place / "checkpoints").mkdir(parents=True)
        (place / "validation.csv").write_text("update,pearson_mean,cross_entropy\n3,0.5,\n")
        (place / "clock.csv").write_text("update,seconds\n3,1.5\n")
        task.export(*task.initial(jax.random.key(0)), place / "model", {"updates": 1})
        return Progress(update=experiment.training.steps, seconds=2.0)

    monkeypatch.setattr(labeling_study, "fit", fit)
    monkeypatch.setattr("isl_eval.study.comparison._keep_programs", lambda out: None)
    # Programs of one seed serve the next.
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    return made


def test_every_network_has_every_budget_and_seed_and_others_their_own() -> None:
    variants = {"net": {}, "trees": {"kind": "gradient_boosting"}, "mean": {"kind": "mean"}}
    budgets = {"work": {"pixels": 10}, "time": {"seconds": 5}}
    runs = plan_runs(config(variant=variants, budget=budgets, seeds=[1, 2]))
    assert runs == (
        Run(variant="net", budget="work", seed=1),
        Run(variant="net", budget="time", seed=1),
        Run(variant="trees", budget="own", seed=1),
        Run(variant="mean", budget="own", seed=1),
        Run(variant="net", budget="work", seed=2),
        Run(variant="net", budget="time", seed=2),
        Run(variant="trees", budget="own", seed=2),
    )
    assert Run(variant="plain U-Net", budget="1/4", seed=0).name == "plain_U_Net.1_4.0"


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            "'lr 1.5' = {}, 'lr 1/5' = {}",
            r"study\.toml: variant 'lr 1\.5', budget 'work' and variant 'lr 1/5', budget 'work' "
            r"would have one folder, lr_1_5\.work\.3; give one of them another name",
        ),
        ("unet = {}, UNet = {}", r"would have one folder, UNet\.work\.3"),
        (f"'{130 * 'ä'}' = {{}}", "a name of 267 bytes, and file systems take 255; give a shorter"),
    ],
)
def test_names_that_make_no_folder_are_refused_before_anything_is_written(
    folder: Path, variants: str, message: str
) -> None:
    overrides = [f"variant={{ {variants} }}", "seeds=[3]"]
    text = (folder / "study.toml").read_text().replace('reference = "unet"', "")
    (folder / "study.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        compare_variants(folder / "study.toml", overrides, folder / "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"reference": "b"}, "reference 'b' is no variant"),
        ({"seeds": [1, 1]}, "name one twice"),
        ({"variant": {"a": {"at": 1.0}}}, "no table axis"),
        ({"budget": {"own": {"pixels": 1}}}, "can be called 'own'"),
        ({"budget": {"x": {"pixels": 1, "seconds": 1}}}, "one of updates, pixels and seconds"),
        ({"variant": {"a": {"kind": "forest"}}}, "forest"),
        ({"variant": {"a": {"change": []}}}, "change"),
        ({"variant": {}}, "variant"),
    ],
)
def test_what_does_not_fit_together_is_refused(tables: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**tables)


def test_a_study_leaves_tables_and_a_report_and_makes_each_run_once(
    folder: Path, fits: list[str]
) -> None:
    out = folder / "out"
    compare_variants(folder / "study.toml", [], out)
    assert fits == ["unet.work.3", "plain.work.3", "unet.work.4", "plain.work.4"]
    assert not list(out.glob("runs/*/checkpoints"))
    with (out / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["variant"], row["label"]): row for row in csv.DictReader(file)}
    assert {variant for variant, _ in rows} == {"unet", "plain", "trees", "mean"}
    unet = rows["unet", "DAPI"]
    # Ten updates of two crops with outputs of 16 x 16 pixels.
    assert (unet["seeds"], float(unet["pixels"]), float(unet["seconds"])) == ("2", 5120, 2.0)
    assert float(unet["cross_entropy"]) > 0
    assert rows["plain", "DAPI"]["cross_entropy"] == ""
    assert rows["mean", "DAPI"]["pearson"] == ""
    assert float(rows["mean", "DAPI"]["cross_entropy"]) > 0
    assert float(rows["trees", "DAPI"]["pearson"]) > 0.3
    record = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    first = record["runs"][0]
    assert first["curve"] == [{"update": 3, "pixels": 3 * 512, "seconds": 1.5, "pearson_mean": 0.5}]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "training pixels each" in page
    assert "Pearson above unet" in page

    before = (out / "comparison.csv").read_text(encoding="utf-8")
    compare_variants(folder / "study.toml", [], out)
    assert len(fits) == 4
    assert (out / "comparison.csv").read_text(encoding="utf-8") == before
    # Another seed makes its own runs alone; another image is another study.
    with pytest.raises(InputError, match="image is 'median' now, and was 'mean'"):
        compare_variants(folder / "study.toml", ["image=median"], out)
    shutil.rmtree(out / "runs" / "plain.work.4")
    compare_variants(folder / "study.toml", [], out)
    assert fits[4:] == ["plain.work.4"]


@pytest.mark.parametrize("experiments", [1, 2])
def test_stretched_labels_are_judged_stretched(
    folder: Path, fits: list[str], experiments: int
) -> None:
    """Judged as they are stored, distributions would be said to be worse than none."""
    dataset = "manifest.toml"
    if experiments == 2:
        (folder / "other").mkdir()
        write_dataset(folder / "other", {"b": ["DAPI"]}, validation_region=(0, 20, 0, 64))
        for file in (folder / "other").glob("b-DAPI.tif"):
            tifffile.imwrite(file, tifffile.imread(file) // 8)
        dataset = "both.toml"
        (folder / dataset).write_text(
            'include = [{ manifest = "manifest.toml", name = "one" }, '
            '{ manifest = "other/manifest.toml", name = "two" }]'
        )
    changes = ["changes=['label_scale=[5, 60]', 'dataset=" + dataset + "']", "seeds=[3]"]
    variants = "variant={ unet = {}, trees = { kind = 'gradient_boosting', pixels = 200, trees = 3 "
    variants += "}, mean = { kind = 'mean' } }"
    compare_variants(folder / "study.toml", [*changes, variants], folder / "out")
    with (folder / "out" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file) if row["label"] == "DAPI"}
    ground = load_ground(load_manifest(folder / dataset), label_scale=(5, 60))
    learned = np.concatenate([f.targets[..., 0][f.measured[..., 0]] for f in ground.training])
    judged = np.concatenate([f.targets[f.measured] for f in ground.validation])
    # The mean of its histogram, whose bins are 1 / 255 wide.
    mean = float(rows["mean"]["mae"])
    assert mean == pytest.approx(np.abs(judged - learned.mean()).mean(), abs=0.003)
    assert float(rows["trees"]["mae"]) < mean
    # Fresh weights say little more than the histogram.
    histogram = float(rows["mean"]["cross_entropy"])
    assert float(rows["unet"]["cross_entropy"]) == pytest.approx(histogram, abs=0.15)
    assert histogram < 1


def test_labels_of_different_units_are_not_compared(folder: Path, fits: list[str]) -> None:
    variants = "variant={ unet = {}, other = { changes = ['label_scale=[5, 60]'] } }"
    with pytest.raises(InputError, match="'unet' and 'other' learn DAPI in different units"):
        compare_variants(folder / "study.toml", [variants, "seeds=[3]"], folder / "out")
    assert not fits
    assert not (folder / "out").exists()


def test_a_start_that_was_made_anew_is_another_study(folder: Path, fits: list[str]) -> None:
    task = LabelingTask(load_toml(folder / "base.toml", LabelingConfig), folder)
    overrides = ["variant={ unet = { changes = ['start.model=trunk'] } }", "seeds=[3]"]
    for key in (0, 1):
        shutil.rmtree(folder / "trunk", ignore_errors=True)
        task.export(*task.initial(jax.random.key(key)), folder / "trunk", {"updates": 1})
        if key == 0:
            compare_variants(folder / "study.toml", overrides, folder / "out")
            compare_variants(folder / "study.toml", overrides, folder / "out")
    assert fits == ["unet.work.3"]
    with pytest.raises(InputError, match=r"other settings \(started_from is"):
        compare_variants(folder / "study.toml", overrides, folder / "out")


def test_fields_to_learn_from_that_changed_are_another_study(folder: Path, fits: list[str]) -> None:
    (folder / "manifest.toml").unlink()
    write_dataset(folder, {"a": ["DAPI"], "b": ["DAPI"]}, splits={"a": "train", "b": "validation"})
    overrides = ["variant={ unet = {} }", "seeds=[3]"]
    compare_variants(folder / "study.toml", overrides, folder / "out")
    label = tifffile.imread(folder / "a-DAPI.tif")
    tifffile.imwrite(folder / "a-DAPI.tif", label[::-1])
    with pytest.raises(InputError, match=r"other settings \(learned_from\.a\.pixels is"):
        compare_variants(folder / "study.toml", overrides, folder / "out")
    assert fits == ["unet.work.3"]


def test_all_that_a_dataset_says_of_its_fields_is_part_of_a_run(
    folder: Path, fits: list[str]
) -> None:
    (folder / "more").mkdir()
    write_dataset(folder / "more", {"a": ["DAPI"], "c": []}, validation_region=(0, 20, 0, 64))
    (folder / "base.toml").write_text(BASE.replace("manifest.toml", "more/manifest.toml"))
    manifest = folder / "more" / "manifest.toml"
    plain = manifest.read_text().replace('name = "a"', 'name = "a"\ncondition = "drug"')
    manifest.write_text(plain)
    overrides = ["variant={ unet = {}, mean = { kind = 'mean' } }", "seeds=[3]"]
    compare_variants(folder / "study.toml", overrides, folder / "out")
    changes = {
        'name = "a"\nweight = 2.0': r"weights\.a is 2\.0 now, and was 1\.0",
        'name = "a"\npixel_size = 0.25': r"judged\.a\.pixels is",
        'name = "a"\nmodality = "DIC"': r"judged\.a\.pixels is",
        # Whether light comes from one side is looked for on unlabeled fields, too.
        'name = "c"\nplanes = [0, 1, 1]': r"judged\.c\.pixels is",
    }
    for field, message in changes.items():
        manifest.write_text(plain.replace(field.partition("\n")[0], field))
        with pytest.raises(InputError, match=rf"unet\.work\.3: .* other settings \({message}"):
            compare_variants(folder / "study.toml", overrides, folder / "out")
    manifest.write_text(f"condition_weights = {{ drug = 3.0 }}\n{plain}")
    with pytest.raises(InputError, match=r"\(weights\.a is 3\.0 now, and was 1\.0\)"):
        compare_variants(folder / "study.toml", overrides, folder / "out")
    assert fits == ["unet.work.3"]
    # A mean is of all pixels, whatever their fields weigh.
    before = (folder / "out" / "runs" / "mean.own.3" / "judged.npz").stat().st_mtime_ns
    overrides[0] = "variant={ mean = { kind = 'mean' } }"
    compare_variants(folder / "study.toml", [*overrides, "reference=mean"], folder / "out")
    assert (folder / "out" / "runs" / "mean.own.3" / "judged.npz").stat().st_mtime_ns == before


def test_where_fields_lie_and_who_reads_them_is_no_part_of_a_run(
    folder: Path, fits: list[str]
) -> None:
    overrides = ["variant={ unet = {} }", "seeds=[3]"]
    compare_variants(folder / "study.toml", overrides, folder / "out")
    changes = [f"training.{key}=8" for key in ("memory", "workers", "picture_every")]
    elsewhere = [*overrides, f"changes={[*changes, 'training.checkpoint_every=0']}"]
    compare_variants(folder / "study.toml", elsewhere, folder / "out")
    assert fits == ["unet.work.3"]


def test_a_run_that_was_stopped_goes_on_with_its_own_settings_alone(
    folder: Path, fits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["variant={ unet = {} }", "seeds=[3]"]
    unheard = "changes=['loss.label_weights={ DAPY = 1.0 }']"
    with pytest.raises(InputError, match=r"unknown label in loss\.label_weights 'DAPY'"):
        compare_variants(folder / "study.toml", [*overrides, unheard], folder / "out")
    assert not (folder / "out").exists()

    def stopped(task, experiment, place, **_):
        place.mkdir(parents=True)
        (place / EXPERIMENT_FILE).write_text(to_toml(experiment))
        raise KeyboardInterrupt

    whole = labeling_study.fit
    monkeypatch.setattr(labeling_study, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare_variants(folder / "study.toml", overrides, folder / "out")
    monkeypatch.setattr(labeling_study, "fit", whole)
    faster = [*overrides, "changes=['optimizer.learning_rate=0.01']"]
    with pytest.raises(InputError, match=r"\(experiment\.optimizer\.learning_rate is 0\.01 now"):
        compare_variants(folder / "study.toml", faster, folder / "out")
    label = tifffile.imread(folder / "a-DAPI.tif")
    tifffile.imwrite(folder / "a-DAPI.tif", label[::-1])
    with pytest.raises(InputError, match=r"\(judged\.a\.pixels is"):
        compare_variants(folder / "study.toml", overrides, folder / "out")
    tifffile.imwrite(folder / "a-DAPI.tif", label)
    assert not fits
    compare_variants(folder / "study.toml", overrides, folder / "out")
    assert fits == ["unet.work.3"]


def test_of_several_settings_the_best_is_told() -> None:
    rates = ["optimizer.learning_rate=1e-3", "optimizer.learning_rate=1e-4"]
    variants = {"unet": {"changes": ["seed=1"], "best_of": rates}, "plain": {}}
    study = config(variant=variants, budget={"work": {"pixels": 1e6}}, replicates=50)
    low, high = (f"unet, {rate}" for rate in rates)
    assert list(study.variant) == [low, high, "plain"]
    changes = [getattr(study.variant[name], "changes", ()) for name in (low, high)]
    assert changes == [("seed=1", rate) for rate in rates]
    found = findings_of(study, results({low: 0.5, high: 0.1, "plain": 0.01}))
    assert best_settings(found, "work") == {"unet": high}
    page = study_page(found, {})
    assert "The best setting of each, by Pearson:" in page
    assert f"unet: {rates[1]}" in page


@pytest.mark.parametrize("as_given", [list, tuple])
def test_settings_are_named_once(as_given: type) -> None:
    study = config(variant={"unet": {"best_of": as_given(["seed=1", "seed=2"])}})
    assert list(study.variant) == ["unet, seed=1", "unet, seed=2"]
    with pytest.raises(InputError, match=r"variant\.unet\.best_of names no setting"):
        config(variant={"unet": {"best_of": as_given([])}, "plain": {}})
    own = {"unet, seed=1": {}}
    of = {"unet": {"best_of": as_given(["seed=1"])}}
    for variants in (own | of, of | own, {"unet": {"best_of": as_given(["seed=1", "seed=1"])}}):
        with pytest.raises(InputError, match="variant 'unet, seed=1' is named twice"):
            config(variant=variants)


def test_a_setting_that_diverges_is_left_out_and_named(
    folder: Path, fits: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    whole = labeling_study.fit

    def fit(task, experiment, place, **given):
        if experiment.optimizer.learning_rate > worst:
            raise Diverged("loss is nan at update 3")
        return whole(task, experiment, place, **given)

    monkeypatch.setattr(labeling_study, "fit", fit)
    worst = 0.5
    rates = ["optimizer.learning_rate=1.0", "optimizer.learning_rate=1e-4"]
    study = [f"variant={{ unet = {{ best_of = {json.dumps(rates)} }} }}", "seeds=[3]"]
    study.append(f"reference='unet, {rates[1]}'")
    compare_variants(folder / "study.toml", study, folder / "out")
    assert "diverged, and is left out: loss is nan at update 3" in capsys.readouterr().err
    record = json.loads((folder / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert [run["variant"] for run in record["runs"]] == [f"unet, {rates[1]}"]
    assert [run["variant"] for run in record["diverged"]] == [f"unet, {rates[0]}"]
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert f"unet: {rates[1]}" in page
    assert f"left out: unet, {rates[0]} (seed 3)" in page

    worst = 0.0
    with pytest.raises(InputError, match="every run diverged"):
        compare_variants(folder / "study.toml", study, folder / "none")
    # What is no setting among others ends a study.
    single = ["variant={ unet = {}, plain = { kind = 'regressor' } }", "seeds=[3]"]
    with pytest.raises(Diverged, match="update 3"):
        compare_variants(folder / "study.toml", single, folder / "single")


def test_a_crop_that_does_not_fit_is_refused_before_anything_is_written(folder: Path) -> None:
    changed = 'variant.unet={ changes = ["training.crop=33"] }'
    with pytest.raises(InputError, match=r"training\.crop 33 does not fit"):
        compare_variants(folder / "study.toml", [changed], folder / "out")
    assert not (folder / "out").exists()


def test_time_is_turned_into_updates_once(
    folder: Path, fits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    out = folder / "out"

    def pace(task, experiment, freeze) -> float:
        measured.append(experiment.training.steps)
        return 0.5

    monkeypatch.setattr(labeling_study, "seconds_per_update", pace)
    overrides = ["budget={ time = { seconds = 6 } }", "seeds=[0, 1]", "variant={ unet = {} }"]
    compare_variants(folder / "study.toml", overrides, out)
    record = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert [run["updates"] for run in record["runs"]] == [12, 12]
    assert len(measured) == 1
    # A seed more is as long; a variant that was changed has a pace of its own.
    overrides[1] = "seeds=[0, 1, 2]"
    compare_variants(folder / "study.toml", [*overrides, "changes=['training.memory=8']"], out)
    assert len(measured) == 1
    shutil.rmtree(out / "runs")
    wider = "changes=['network.width=3', 'training.batch_size=4']"
    compare_variants(folder / "study.toml", [*overrides, "seeds=[0]", wider], out)
    assert len(measured) == 2


def rows_of(seed: int, noise: float) -> BlockRows:
    """A field of 6 blocks, predicted with noise."""
    truth = np.random.default_rng(0).random((256, 384)).astype(np.float32)
    error = noise * np.random.default_rng(seed).normal(size=truth.shape)
    mask = np.ones(truth.shape, bool)
    return block_rows(truth, (truth + error).astype(np.float32), mask, {}, field="f", group="g")


def results(noises: dict[str, float], seeds: int = 2) -> list[RunResult]:
    return [
        RunResult(
            run=Run(variant=variant, budget="work", seed=seed),
            updates=5,
            pixels=1e6,
            seconds=10.0 + seed,
            parameters=1000,
            curve=({"update": 1, "pixels": 5e5, "seconds": 5.0, "pearson_mean": 0.5},),
            rows={"DAPI": rows_of(10 * index + seed, noise)},
            pictures={"DAPI": np.zeros((8, 6), np.float32)},
        )
        for seed in range(seeds)
        for index, (variant, noise) in enumerate(noises.items())
    ]


def study_of(noises: dict[str, float], **tables) -> LabelingStudyConfig:
    variants = {name: {} for name in noises}
    return config(variant=variants, budget={"work": {"pixels": 1e6}}, replicates=50, **tables)


def findings_of(study: LabelingStudyConfig, found: list[RunResult]) -> Findings:
    return Findings(
        subject=SUBJECT,
        config=study,
        labels=("DAPI",),
        results=tuple(found),
        standings=standings_of(SUBJECT, study, found),
        truths={"DAPI": np.random.default_rng(0).random((8, 6)).astype(np.float32)},
        settings={},
    )


def test_standings_are_means_over_seeds_and_differences_share_replicates() -> None:
    noises = {"good": 0.05, "bad": 0.5}
    found = results(noises)
    standings = standings_of(SUBJECT, study_of(noises, reference="bad"), found)
    good = next(each for each in standings if (each.variant, each.label) == ("good", "DAPI"))
    singles = [each.rows["DAPI"].figures for each in found if each.run.variant == "good"]
    for name in FIGURES:
        values = [each[name] for each in singles]
        if None in values:
            assert good.mean[name] is None
        else:
            assert good.mean[name] == pytest.approx(np.mean(values))
            assert good.deviation[name] == pytest.approx(np.std(values, ddof=1))
    interval = good.intervals["pearson"]
    assert interval.estimate == pytest.approx(good.mean["pearson"])
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low <= good.mean["pearson"] <= interval.high
    bad = next(each for each in standings if (each.variant, each.label) == ("bad", "DAPI"))
    above = good.differences["pearson"]
    assert above.estimate == pytest.approx(good.mean["pearson"] - bad.mean["pearson"])
    assert above.excludes(0.0)
    assert (good.over, bad.differences) == ("blocks", {})
    assert {each.label for each in standings} == {"DAPI", ""}


@pytest.mark.parametrize("reference", ["net", "trees"])
def test_what_has_a_budget_of_its_own_is_compared_beside_every_budget(reference: str) -> None:
    def run(variant: str, budget: str, noise: float) -> RunResult:
        (made,) = results({variant: noise}, seeds=1)
        return dataclasses.replace(made, run=Run(variant=variant, budget=budget, seed=0))

    found = [run("net", "work", 0.5), run("net", "time", 0.1), run("trees", "own", 0.3)]
    study = config(
        variant={"net": {}, "trees": {"kind": "gradient_boosting"}},
        budget={"work": {"pixels": 1e6}, "time": {"seconds": 10}},
        reference=reference,
        replicates=20,
    )
    findings = findings_of(study, found)
    for budget, net in (("work", found[0]), ("time", found[1])):
        pearson = {
            "net": net.rows["DAPI"].figures["pearson"],
            "trees": found[2].rows["DAPI"].figures["pearson"],
        }
        (other,) = pearson.keys() - {reference}
        standing = findings.of(other, budget, "DAPI")
        expected = pearson[other] - pearson[reference]
        assert standing.differences["pearson"].estimate == pytest.approx(expected)
        assert findings.of(reference, budget, "DAPI").differences == {}
        assert findings.of("trees", budget).mean["pearson"] == pytest.approx(pearson["trees"])
    beside = [(row["variant"], row["budget"]) for row in standing_rows(findings)]
    assert set(beside) == {(v, b) for v in ("net", "trees") for b in ("work", "time")}


def test_variants_judged_on_other_ground_are_not_subtracted() -> None:
    noises = {"here": 0.1, "there": 0.1}
    found = results(noises)
    elsewhere = [
        dataclasses.replace(
            each,
            rows={"DAPI": dataclasses.replace(each.rows["DAPI"], fields=("other",) * 6)},
        )
        if each.run.variant == "there"
        else each
        for each in found
    ]
    standings = standings_of(SUBJECT, study_of(noises, reference="here"), elsewhere)
    there = next(each for each in standings if (each.variant, each.label) == ("there", "DAPI"))
    assert there.differences == {}
    assert isinstance(there.intervals["mae"], Interval)


def test_a_budget_of_time_that_was_missed_is_said() -> None:
    noises = {"quick": 0.3, "slow": 0.1}
    found = [
        dataclasses.replace(each, seconds=10.9 if each.run.variant == "quick" else 14.0)
        for each in results(noises)
    ]
    pages = []
    for budget in ({"seconds": 10}, {"pixels": 1e6}):
        study = study_of(noises).model_copy(update={"budget": {"work": BudgetConfig(**budget)}})
        findings = findings_of(study, found)
        pages.append(study_page(findings, {"isl": "1"}))
    assert "Meant were 10 seconds, spent were: slow 14. Updates" in pages[0]
    assert "Meant were" not in pages[1]


def test_tables_pictures_and_page_of_a_study_with_an_axis() -> None:
    noises = {"1 plane": 0.3, "3 planes": 0.1}
    study = study_of(noises, axis={"name": "number of planes"})
    placed = {
        name: each.model_copy(update={"at": at, "line": "<one>"})
        for (name, each), at in zip(study.variant.items(), (1.0, 3.0), strict=True)
    }
    study = study.model_copy(update={"variant": placed})
    found = results(noises)
    findings = findings_of(study, found)
    assert len(run_rows(findings)) == 4
    assert [row["label"] for row in standing_rows(findings)] == ["DAPI", "DAPI", "mean", "mean"]
    for draw in (draw_along_axis, draw_learning_curves):
        picture = draw(findings, "work")
        assert picture is not None
        assert picture.startswith(b"\x89PNG")
    page = study_page(findings, {"isl": "1"})
    assert page.count("<figure") == 3
    assert "number of planes" in page
    assert "the ground is of one group" in page
    assert "Judged on the validation ground (f), which also chose" in page
    # The spread over seeds is no part of the brackets, and trees and means chose nothing.
    assert "they do not hold the spread over seeds" in page
    assert "trees and means chose nothing" in page


def test_labels_that_were_judged_on_other_fields_are_told_with_these() -> None:
    found = [
        dataclasses.replace(
            each,
            rows={
                **each.rows,
                "MAP2": dataclasses.replace(
                    each.rows["DAPI"], fields=(*5 * ("p",), "q"), groups=tuple("hijklm")
                ),
            },
        )
        for each in results({"net": 0.1}, seeds=1)
    ]
    study = study_of({"net": 0.1})
    findings = dataclasses.replace(findings_of(study, found), labels=("DAPI", "MAP2"))
    record = study_record(findings, {})
    assert record["fields"] == {"DAPI": ["f"], "MAP2": ["p", "q"]}
    assert record["groups"] == {"DAPI": ["g"], "MAP2": list("hijklm")}
    page = study_page(findings, {})
    assert "Judged on the validation ground (DAPI: f; MAP2: p, q), which" in page
    assert "which draw DAPI: blocks of 128 pixels, since the ground is of one group (they" in page
    assert "MAP2: the 6 groups. Of the means" in page
