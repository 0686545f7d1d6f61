"""Evaluation: figures against plain counts, and a comparison from its configuration to a report."""

import csv
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from flax import nnx
from simulated import NETWORK, dataset

from isl.config import load_toml, parse, to_toml
from isl.errors import InputError
from isl.fragmentation.dataset import load_dataset, load_ground
from isl.fragmentation.grades import GradeScale
from isl.fragmentation.model import (
    FragmentationConfig,
    load_fragmentation_model,
    save_fragmentation_model,
)
from isl.fragmentation.network import NetworkConfig, Seen, build_network
from isl_eval.fragmentation.config import FragmentationEvaluation
from isl_eval.fragmentation.evaluation import _examples, evaluate_fragmentation
from isl_eval.fragmentation.judge import hausdorff_95, overlap_of, rows_of, statistics_of
from isl_train.fragmentation.config import FragmentationExperiment
from isl_train.fragmentation.ground import fingerprints, load_training_ground
from isl_train.recipe import Run

NETWORKS = {"multiscale": {}, "off": {"regression": "off"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("cleavage"))


def untrained(folder: Path, seed: int, network: dict, **described: object) -> Path:
    """A model folder whose network was never trained, but finds something in most places."""
    config = parse({**NETWORK, **network}, NetworkConfig, source="test")
    made = build_network(config, rngs=nnx.Rngs(seed))
    made.classes_bias = nnx.Param(np.float32([0.3, 0.0]))
    about = FragmentationConfig(name="tiny", network=config, size=64, smallest=0.0, **described)
    save_fragmentation_model(folder, made, about, "# tiny\n", overwrite=True)
    return folder


def test_overlap_and_distance_of_two_squares() -> None:
    one, other = np.zeros((2, 30, 30), bool)
    one[5:15, 5:15] = True
    other[5:15, 10:20] = True
    dice, iou = overlap_of(one, other)
    assert dice == pytest.approx(50 / 100)
    assert iou == pytest.approx(50 / 150)
    assert hausdorff_95(one, other) == pytest.approx(5)
    assert np.isnan(overlap_of(one & ~one, other & ~other)[0])
    assert np.isnan(hausdorff_95(one & ~one, other))


def test_truth_judged_as_a_prediction_is_perfect(data: Path) -> None:
    ground = load_ground(load_dataset(data).of("test"), 64)
    logits = np.stack([ground.labels > 0, ground.labels == 2], axis=-1) * 20.0 - 10
    config = FragmentationConfig(
        name="t", network=parse(NETWORK, NetworkConfig, source="test"), size=64, share_from="area"
    )
    share = ground.shares + np.float32([0.02, -0.04])
    without = rows_of(Seen(logits, share, None), ground, config)
    assert statistics_of(without, GradeScale())["coverage"] is None
    config = config.model_copy(update={"residuals": (0.01, -0.01) * 10})
    rows = rows_of(Seen(logits, share, None), ground, config)
    found = statistics_of(rows, GradeScale())
    for name in ("embryo_dice", "embryo_iou", "coverage"):
        assert found[name] == pytest.approx(1)
    assert found["false_inside"] == 0
    assert found["area_mae"] == pytest.approx(0, abs=0.02)
    assert found["regression_mae"] == pytest.approx(0.03, abs=1e-5)
    assert found["regression_bias"] == pytest.approx(-0.01, abs=1e-5)


def test_comparison_trains_every_variant_and_seed_and_reports(data: Path, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(
        f'task = "fragmentation"\ndataset = "{data}"\nmode = "segmentation"\n'
        "[lengths]\nfirst = 2\n[training]\nbatch_size = 2\n[optimizer]\nlearning_rate = 0.1\n"
    )
    untrained(tmp_path / "ready", 9, {}, share_from="regression", residuals=(0.1,) * 20)
    (tmp_path / "compare.toml").write_text(
        f'task = "fragmentation"\ndataset = "{data}"\nreference = "plain"\nseeds = [0, 1]\n'
        'replicates = 20\n[[variant]]\nname = "plain"\nexperiment = "train.toml"\n'
        'changes = ["network.regression=off"]\n'
        '[[variant]]\nname = "regression"\nexperiment = "train.toml"\n'
        '[[variant]]\nname = "ready"\nmodels = ["ready"]\n'
    )
    asked = []

    def train(experiment: FragmentationExperiment, run: Run) -> Path:
        asked.append((run.name, experiment.seed, experiment.network.regression))
        network = NETWORKS[experiment.network.regression]
        if experiment.seed == 1 and run.name == "regression":
            run.workdir.mkdir(parents=True)
            log = "update,loss,gradient_cosine\n10,1,-0.5\n20,1,\n30,1,0.1\n"
            (run.workdir / "training.csv").write_text(log)
        return untrained(run.workdir / "model", experiment.seed, network, share_from="area")

    out = tmp_path / "out"
    evaluate_fragmentation(tmp_path / "compare.toml", [], out, train=train)
    assert asked == [
        ("plain", 0, "off"),
        ("plain", 1, "off"),
        ("regression", 0, "multiscale"),
        ("regression", 1, "multiscale"),
    ]
    with (out / "variants.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == [
        "plain",
        "plain",
        "regression",
        "regression",
        "ready",
    ]
    assert rows[0]["regression_mae"] == ""
    assert float(rows[4]["given_mae"]) == pytest.approx(float(rows[4]["regression_mae"]))
    record = json.loads((out / "metrics.json").read_text())
    assert set(record["differences"]) == {"regression", "ready"}
    assert record["variants"]["regression"]["gradient_cosine"] == pytest.approx([-0.2])
    assert record["variants"]["plain"]["gradient_cosine"] == []
    assert 0 < record["mean_share_mae"] < 0.5
    page = (out / "report.html").read_text()
    assert "never of one model" in page
    assert "Differences to plain" in page
    assert "50% of the points below 0" in page
    # These stand-ins wrote down no settings, so nobody knows what they were trained with.
    with pytest.raises(InputError, match="holds a run of other settings"):
        evaluate_fragmentation(tmp_path / "compare.toml", [], out, train=train)


def with_sites(
    data: Path, sites: dict[str, str], folder: Path, *, zygotes: tuple[str, ...] = ()
) -> Path:
    """The dataset with its groups' sites written down; those not named have none."""
    tables = tomllib.loads(data.read_text())
    examples = [
        {**e, "site": sites[e["group"]]} if e["group"] in sites else e for e in tables["example"]
    ]
    examples = [{**e, "stage": "zygote"} if e["group"] in zygotes else e for e in examples]
    path = folder / "sites.toml"
    path.write_text(tomli_w.dumps({"root": str(data.parent), "example": examples}))
    return path


def test_each_site_is_judged_by_networks_that_learned_from_the_others(
    data: Path, tmp_path: Path
) -> None:
    groups = sorted({e.group for e in load_dataset(data).examples})
    # A name beyond the BMP must get through the overrides, which are TOML.
    lyon = "Lyon\U0001f52c"
    sites = {group: (lyon, "7")[i % 2] for i, group in enumerate(groups)}
    manifest = with_sites(data, sites, tmp_path)
    (tmp_path / "train.toml").write_text(
        f'task = "fragmentation"\ndataset = "{manifest}"\n'
        "[training]\nbatch_size = 2\n[optimizer]\nlearning_rate = 0.1\n"
    )
    text = (
        f'task = "fragmentation"\ndataset = "{manifest}"\nseeds = [0, 1]\nreplicates = 20\n'
        'leave_one_site_out = true\n[[variant]]\nname = "a"\nexperiment = "train.toml"\n'
        '[[variant]]\nname = "b"\nexperiment = "train.toml"\nafter = "a"\n'
    )
    (tmp_path / "e.toml").write_text(text)
    asked, learned = [], {}

    def train(experiment: FragmentationExperiment, run: Run) -> Path:
        without = experiment.leave_out_site
        asked.append((run.name, without, experiment.seed))
        learned[without] = set(load_training_ground(experiment, run.folder).train.groups)
        if run.name == "b":
            start = run.workdir.parent / f"a_{experiment.seed}_without_{without}" / "model"
            assert experiment.start == str(start)
            assert experiment.start_sha256 == load_fragmentation_model(start).hash
        return untrained(run.workdir / "model", experiment.seed, {}, share_from="area")

    evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "out", train=train)
    assert asked == [(v, s, n) for v in "ab" for s in ("7", lyon) for n in (0, 1)]
    trained_on = {e.group for e in load_dataset(data).of("train")}
    for site, found in learned.items():
        assert found == {g for g in trained_on if sites[g] != site}
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())["variants"]["a"]
    assert set(record["sites"]) == {"7", lyon}
    assert len(record["seeds"]) == 2
    assert record["intervals"]["area_mae"]["units"] == len(groups)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "once without each site (7, Lyon" in page
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["sites_left_out"] == ["7", "Lyon\U0001f52c"]
    # The trivial guess knows the judged site's embryos as little as the networks do.
    train = load_ground(load_dataset(manifest).of("train"), 32)
    judged = load_ground(load_dataset(manifest).examples, 64)
    means = {s: train.shares[np.array(train.sites) != s].mean() for s in set(train.sites)}
    off = [abs(t - means[s]) for t, s in zip(judged.shares, judged.sites, strict=True)]
    assert metrics["mean_share_mae"] == pytest.approx(np.mean(off), abs=1e-4)


def test_other_stages_are_not_judged_as_cleavage_stages(data: Path, tmp_path: Path) -> None:
    groups = sorted({e.group for e in load_dataset(data).examples})
    sites = {group: ("Lyon", "Rome")[i % 2] for i, group in enumerate(groups)}
    # What is at another stage needs no site either.
    of_train = [e.group for e in load_dataset(data).of("train")]
    zygote = of_train[0]
    del sites[zygote]
    manifest = with_sites(data, sites, tmp_path, zygotes=(zygote,))
    config = parse(
        {
            "dataset": str(manifest),
            "leave_one_site_out": True,
            "variant": [{"name": "a", "experiment": "train.toml"}],
        },
        FragmentationEvaluation,
        source="test",
    )
    judged = _examples(load_dataset(manifest), config)
    assert {e.group for chosen in judged.values() for e in chosen} == set(groups) - {zygote}
    nothing = with_sites(data, {}, tmp_path, zygotes=tuple(groups))
    with pytest.raises(InputError, match="no example at a cleavage stage"):
        _examples(load_dataset(nothing), config)
    plain = config.model_copy(update={"leave_one_site_out": False})
    with pytest.raises(InputError, match="no example at a cleavage stage has split 'test'"):
        _examples(load_dataset(nothing), plain)


def test_a_start_that_may_know_the_site_left_out_is_refused(data: Path, tmp_path: Path) -> None:
    groups = sorted({e.group for e in load_dataset(data).examples})
    sites = {group: ("Lyon", "Rome")[i % 2] for i, group in enumerate(groups)}
    manifest = with_sites(data, sites, tmp_path)
    (tmp_path / "train.toml").write_text(
        f'task = "fragmentation"\ndataset = "{manifest}"\nstart = "fragmentation"\n'
        "[training]\nbatch_size = 2\n[optimizer]\nlearning_rate = 0.1\n"
    )
    (tmp_path / "e.toml").write_text(
        f'task = "fragmentation"\ndataset = "{manifest}"\nleave_one_site_out = true\n'
        '[[variant]]\nname = "a"\nexperiment = "train.toml"\n'
    )
    with pytest.raises(InputError, match="may have learned from the site that is left out"):
        evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_began_with_networks_trained_anew_is_refused_and_a_moved_folder_is_not(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.toml").write_text(
        f'task = "fragmentation"\ndataset = "{data}"\n'
        "[training]\nbatch_size = 2\n[optimizer]\nlearning_rate = 0.1\n"
    )
    (tmp_path / "e.toml").write_text(
        f'task = "fragmentation"\ndataset = "{data}"\nseeds = [0]\nreplicates = 20\n'
        '[[variant]]\nname = "a"\nexperiment = "train.toml"\n'
        '[[variant]]\nname = "b"\nexperiment = "train.toml"\nafter = "a"\n'
    )
    made = []

    def train(experiment: FragmentationExperiment, run: Run) -> Path:
        if not (run.workdir / "model").exists():
            made.append(run.name)
            untrained(run.workdir / "model", len(made), {}, share_from="area")
            (run.workdir / "experiment.toml").write_text(to_toml(experiment))
        return run.workdir / "model"

    evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "out", train=train)
    (tmp_path / "out").rename(tmp_path / "moved")
    evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "moved", train=train)
    assert made == ["a", "b"]
    said = data.read_text()
    example = tomllib.loads(said)["example"]
    learned = next(
        data.parent / e["mask"] for e in example if e["split"] == "train" and "mask" in e
    )
    mask = learned.read_bytes()
    for file, changed in (
        (data, said.replace('"train"', '"test"', 1).encode()),
        (learned, mask + b"x"),
    ):
        before = file.read_bytes()
        file.write_bytes(changed)
        with pytest.raises(InputError, match=r"a_0: holds an evaluation .* \(learned_from"):
            evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "moved", train=train)
        file.write_bytes(before)
    assert made == ["a", "b"]
    shutil.rmtree(tmp_path / "moved" / "runs" / "a_0")
    with pytest.raises(InputError, match=r"b_0: holds a run of other settings"):
        evaluate_fragmentation(tmp_path / "e.toml", [], tmp_path / "moved", train=train)
    assert made == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (["Lyon"] * 5, "has no site"),
        (["Lyon"] * 6, "has one site, 'Lyon'"),
    ],
)
def test_sites_that_cannot_be_left_out_are_refused(
    data: Path, tmp_path: Path, sites: list[str], message: str
) -> None:
    groups = sorted({e.group for e in load_dataset(data).examples})
    manifest = with_sites(data, dict(zip(groups, sites, strict=False)), tmp_path)
    path = tmp_path / "e.toml"
    path.write_text(
        f'task = "fragmentation"\ndataset = "{manifest}"\nleave_one_site_out = true\n'
        '[[variant]]\nname = "a"\nexperiment = "missing.toml"\n'
    )
    with pytest.raises(InputError, match=message):
        evaluate_fragmentation(path, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_evaluation_of_what_is_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    text = f'task = "fragmentation"\ndataset = "{data}"\n[[variant]]\nname = "a"\n'
    path.write_text(text)
    with pytest.raises(InputError, match="an experiment to train by, or models"):
        evaluate_fragmentation(path, [], tmp_path / "out")
    path.write_text(text + 'models = ["missing"]\n')
    with pytest.raises(InputError, match="missing"):
        evaluate_fragmentation(path, [], tmp_path / "out")
    with pytest.raises(InputError, match="'a' names models that are there"):
        evaluate_fragmentation(path, ["leave_one_site_out=true"], tmp_path / "out")
    path.write_text(text + 'experiment = "train.toml"\nafter = "b"\n')
    with pytest.raises(InputError, match="after 'b', which is no trained variant before it"):
        evaluate_fragmentation(path, [], tmp_path / "out")
    models = 'models = ["missing"]\n'
    path.write_text(f'{text}{models}[[variant]]\nname = "b/c"\n{models}')
    path.write_text(path.read_text() + f'[[variant]]\nname = "b_c"\n{models}')
    with pytest.raises(InputError, match="'b/c' and 'b_c' would have one folder; rename one"):
        evaluate_fragmentation(path, [], tmp_path / "out")


def test_what_is_learned_from_may_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "e1").mkdir()
    picture = tmp_path / "e1" / "t0.png"
    (tmp_path / "d.toml").write_text('[[example]]\nimage = "e1"\nshare = 0.1\n')
    (tmp_path / "train.toml").write_text(
        'task = "fragmentation"\ndataset = "d.toml"\n'
        "[training]\nbatch_size = 2\n[optimizer]\nlearning_rate = 0.1\n"
    )
    experiment = load_toml(tmp_path / "train.toml", FragmentationExperiment)
    found = []
    for pixels in (b"some", b"others"):
        picture.write_bytes(pixels)
        found.append(fingerprints(experiment, tmp_path))
    assert found[0].keys() == {"d.toml"}
    assert found[0] != found[1]
