"""Stages, conflict, and a run from a dataset to a model that can be used."""

import dataclasses
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
import tomli_w
from flax import nnx
from made_up_weights import made_up, numbers, save, torchvision_shapes
from simulated import NETWORK, dataset, experiment

from isl.backbones.imagenet_weights import imagenet_config, load_imagenet_weights
from isl.backbones.resnet import abstract_resnet
from isl.errors import InputError
from isl.fragmentation.dataset import UNKNOWN, Example, load_dataset
from isl.fragmentation.model import load_fragmentation_model, save_fragmentation_model
from isl.fragmentation.network import abstract_network
from isl.fragmentation.stages import CLEAVAGE, STAGES, StageHead
from isl.model_folder import read_weights
from isl_train.fragmentation.config import AugmentationConfig, FragmentationExperiment
from isl_train.fragmentation.features import cached_views
from isl_train.fragmentation.ground import load_training_ground
from isl_train.fragmentation.recipe import RECIPE, train_fragmentation
from isl_train.fragmentation.stages import (
    learned_stages,
    looked_at,
    stage_features,
    threshold,
)
from isl_train.fragmentation.task import FragmentationTask, cosine, masks_of
from isl_train.parameters import Functional
from isl_train.recipe import Run
from isl_train.stages import StageConfig


def train(settings: FragmentationExperiment, workdir: Path) -> Path:
    run = Run(folder=workdir.parent, workdir=workdir, name="test", say=lambda text: None)
    return train_fragmentation(settings, run)


def task_of(settings: FragmentationExperiment) -> FragmentationTask:
    ground = load_training_ground(settings, Path())
    return FragmentationTask(settings, ground.train, ground.validation, scale=ground.scale)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("cleavage"))


def test_pictures_and_masks_are_what_a_run_knows_its_data_by(data: Path) -> None:
    settings = experiment(data, kernels="float32")
    ground = load_training_ground(settings, Path())
    hashes = set()
    for name in ("", "images", "labels", "shares"):
        train = dataclasses.replace(ground.train)
        if name:
            changed = getattr(train, name).copy()
            changed.flat[0] = changed.flat[0] == 0
            train = dataclasses.replace(train, **{name: changed})
        task = FragmentationTask(settings, train, ground.validation, scale=ground.scale)
        hashes.add(task.ground_hash())
    assert len(hashes) == 4
    assert task_of(settings).ground_hash() in hashes
    assert (
        FragmentationTask(settings, ground.train, None, scale=ground.scale).ground_hash()
        not in hashes
    )


def test_second_stage_changes_no_bit_of_the_segmentation(data: Path, tmp_path: Path) -> None:
    first = {"name": "a", "steps": 2, "free": ["encoder", "decoder", "classes", "classes_bias"]}
    alone = experiment(data, stages=[{**first, "losses": {"segmentation": 1.0}}], kernels="float32")
    both = experiment(data, kernels="float32", lengths={"first": 2, "second": 2})
    arrays = [
        read_weights(train(settings, tmp_path / name) / "weights.safetensors")
        for name, settings in (("alone", alone), ("both", both))
    ]
    same = [n for n in arrays[0] if np.array_equal(arrays[0][n], arrays[1][n])]
    changed = sorted(set(arrays[0]) - set(same))
    assert changed
    assert all(name.startswith("regression/") for name in changed)
    assert any(name.endswith("/mean") for name in same)
    begun = task_of(experiment(data, start=str(tmp_path / "both" / "model")))
    params, _ = begun.initial(jax.random.key(5))
    stored = load_fragmentation_model(tmp_path / "both" / "model").network
    np.testing.assert_array_equal(params["classes"], stored.classes[...])
    further = experiment(
        data,
        start=str(tmp_path / "both" / "model"),
        network={**NETWORK, "inject": "second_stage"},
        mode="decoupled",
    )
    injected, _ = task_of(further).initial(jax.random.key(5))
    np.testing.assert_array_equal(injected["regression"]["last"], stored.regression.last[...])
    assert (np.asarray(injected["injection"]["out"]) == 0).all()
    assert np.abs(injected["injection"]["mix"]["kernel"]).max() > 0
    other = experiment(data, start=str(tmp_path / "both" / "model"), network={**NETWORK, "fine": 6})
    with pytest.raises(InputError, match="of another network"):
        task_of(other).initial(jax.random.key(5))
    with pytest.raises(InputError, match="checkpoint of the network"):
        train(experiment(data, network={**NETWORK, "fine": 6}), tmp_path / "both")


def test_a_frozen_encoder_stays_as_it_starts(data: Path, tmp_path: Path) -> None:
    settings = experiment(
        data,
        network={**NETWORK, "encoder": {"kind": "efficientnet-lite0"}},
        pretrained=True,
        freeze_encoder=True,
        cached_views=1,
        kernels="float32",
        lengths={"first": 1, "second": 1},
    )
    start, _ = task_of(settings).initial(jax.random.key(settings.seed))
    weights = read_weights(train(settings, tmp_path / "run") / "weights.safetensors")
    for number, block in start["encoder"]["blocks"].items():
        stored = weights[f"encoder/blocks/{number}/project/kernel"]
        np.testing.assert_array_equal(stored, block["project"]["kernel"])
    assert not np.array_equal(weights["classes"], start["classes"])


def test_what_has_a_grade_only_teaches_no_segmentation(data: Path) -> None:
    task = task_of(experiment(data, network={**NETWORK, "dropout": 0.0}))
    params, state = task.initial(jax.random.key(0))
    rng = np.random.default_rng(0)
    batch = {
        "images": rng.integers(0, 255, (2, 64, 64), np.uint8),
        "labels": np.full((2, 64, 64), UNKNOWN, np.uint8),
        "share": np.full(2, np.nan, np.float32),
        "low": np.float32([0.5, 0.5]),
        "high": np.float32([1, 1]),
    }
    (_, (_, sums)), gradient = jax.jit(jax.value_and_grad(task.loss, has_aux=True))(
        params, state, batch, jax.random.key(1)
    )
    assert float(sums["entropy"][1]) == 0
    assert float(sums["range"][1]) == 2
    for part in ("decoder", "classes", "classes_bias"):
        for leaf in jax.tree.leaves(gradient[part]):
            assert (np.asarray(leaf) == 0).all()
    assert float(jnp.abs(gradient["regression"]["last_bias"]).max()) > 0


def test_a_stage_of_shares_alone_computes_no_decoder(data: Path) -> None:
    settings = experiment(data, network={**NETWORK, "dropout": 0.0})
    task = task_of(settings)
    params, state = task.initial(jax.random.key(0))
    ground = load_training_ground(settings, Path()).train
    batch = {
        "images": ground.images[:2],
        "labels": ground.labels[:2],
        "share": ground.shares[:2],
        "low": np.full(2, np.nan, np.float32),
        "high": np.full(2, np.nan, np.float32),
    }
    stage = StageConfig(steps=1, free=("regression",), losses={"share": 1.0, "range": 1.0})
    alone = task.in_stage(stage).loss
    total, (_, sums) = jax.jit(alone)(params, state, batch, jax.random.key(1))
    assert set(sums) == {"share", "range"}
    assert float(total) == pytest.approx(float(sums["share"][0]) / 2)


def test_cosine_of_gradients() -> None:
    one = {"a": jnp.asarray([1.0, 0.0]), "b": jnp.asarray([2.0])}
    other = {"a": jnp.asarray([0.0, 3.0]), "b": jnp.asarray([-1.0])}
    assert float(cosine(one, one)) == pytest.approx(1)
    assert float(cosine(one, other)) == pytest.approx(-2 / np.sqrt(5 * 10))
    assert float(cosine(one, jax.tree.map(jnp.zeros_like, one))) == 0


def test_stages_are_learned_from_examples_that_say_theirs(data: Path, tmp_path: Path) -> None:
    """The encoder was never trained: what is told apart here is told by its first weights."""
    staged = dataset(tmp_path / "stages", embryos=(16, 6, 0), seed=4, stages=True)
    examples = load_dataset(staged).examples
    assert {example.stage for example in examples} == set(STAGES)
    assert len(load_dataset(staged).of("train")) == 8
    settings = experiment(data, other_stages=[str(staged)], mode="segmentation")
    model = load_fragmentation_model(train(settings, tmp_path / "run"))
    head = model.config.stages
    assert head is not None
    said = list(looked_at(model, examples))
    features = stage_features(said)
    with pytest.raises(ValueError, match="no means"):
        stage_features([said[0], dataclasses.replace(said[1], features=None)])
    learned = [i for i, e in enumerate(examples) if e.split == "train"]
    is_other = np.array([examples[i].stage != CLEAVAGE for i in learned])
    scores = head.score(features[learned])
    assert scores[is_other].mean() > scores[~is_other].mean()
    held = [i for i, e in enumerate(examples) if e.split == "validation" and e.stage == CLEAVAGE]
    assert not (head.score(features[held]) > 0).any()
    assert "by a line through the means" in model.card
    assert "nothing of oocytes" not in model.card
    without = [e for e in examples if e.split == "train"]
    with pytest.raises(InputError, match="of split 'validation'"):
        learned_stages(features[: len(without)], without)


def test_at_most_one_in_twenty_of_every_site_is_refused() -> None:
    rng = np.random.default_rng(0)
    for count, refused in ((19, 0), (20, 1), (24, 1), (44, 2), (80, 4)):
        scores = rng.normal(size=count)
        assert (scores > threshold(scores)).sum() == refused
    features = rng.normal(size=(300, 6))
    features[:40] += 2
    stages = ["zygote"] * 40 + ["cleavage"] * 260
    splits = ["train"] * 200 + ["validation"] * 100
    sites = [""] * 200 + ["A"] * 60 + ["B"] * 40
    # Pooled, B would lose more than one in twenty: its pictures lie higher.
    features[260:] += 0.5
    examples = [
        Example(
            name=f"{i}.png",
            image=Path(f"{i}.png"),
            group=str(i),
            split=split,
            mask=None,
            share=float("nan"),
            low=float("nan"),
            high=float("nan"),
            site=site,
            stage=stage,
        )
        for i, (stage, split, site) in enumerate(zip(stages, splits, sites, strict=True))
    ]
    above = learned_stages(features, examples).score(features) > 0
    assert above[260:].sum() == 2
    assert above[200:260].sum() <= 3


def test_stages_that_cannot_be_learned_are_told_before_anything_is_trained(
    data: Path, tmp_path: Path
) -> None:
    staged = dataset(tmp_path / "stages", embryos=(16, 6, 0), seed=4, stages=True)
    tables = tomllib.loads(staged.read_text())
    of_train = [e for e in tables["example"] if e.get("split", "train") == "train"]
    path = staged.parent / "train.toml"
    path.write_text(tomli_w.dumps({"example": of_train}))
    run = Run(folder=tmp_path, workdir=tmp_path / "run", name="test", say=lambda text: None)
    assert RECIPE.look is not None
    with pytest.raises(InputError, match="of split 'validation'"):
        RECIPE.look(experiment(data, other_stages=[str(path)]), run)
    film = np.zeros((4, 64, 64), np.uint8)
    tifffile.imwrite(
        staged.parent / "film.tif", film, photometric="minisblack", metadata={"axes": "TYX"}
    )
    entry = {"image": "film.tif", "stage": "oocyte"}
    path.write_text(tomli_w.dumps({"example": [*tables["example"], entry]}))
    with pytest.raises(InputError, match=r"film\.tif: holds 4 frames"):
        RECIPE.look(experiment(data, other_stages=[str(path)]), run)


def test_nothing_of_a_site_left_out_sets_what_is_refused(data: Path, tmp_path: Path) -> None:
    tables = tomllib.loads(data.read_text())
    staged = dataset(tmp_path / "stages", embryos=(16, 6, 0), seed=4, stages=True)
    paths = []
    for number, source in enumerate((data, staged)):
        examples = tomllib.loads(source.read_text())["example"]
        sited = [{**e, "site": ("A", "B")[i % 3 == 0]} for i, e in enumerate(examples)]
        paths.append(tmp_path / f"sites{number}.toml")
        table = {"root": str(source.parent), "example": sited}
        paths[-1].write_text(tomli_w.dumps(table))
    assert any(e.site == "B" for e in load_dataset(paths[0]).of("train"))
    every, without = (
        load_training_ground(
            experiment(
                paths[0],
                familiar=[str(paths[0])],
                other_stages=[str(paths[1])],
                leave_out_site=site,
            ),
            Path(),
        )
        for site in ("", "B")
    )
    assert {e.site for e in every.staged} == {"A", "B"}
    assert {e.site for e in without.staged} == {"A"}
    assert every.familiar is not None
    assert without.familiar is not None
    assert len(every.familiar) == len(tables["example"])
    assert set(without.familiar.sites) == {"A"}
    assert len(without.familiar) == sum(s == "A" for s in every.familiar.sites)


def test_a_model_trained_on_keeps_the_stages_that_are_refused(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the encoder stays, and what it looks at; else a warning says that they are lost."""
    first = train(experiment(data, mode="segmentation"), tmp_path / "first")
    loaded = load_fragmentation_model(first)
    head = StageHead(weights=(0.0,) * loaded.network.features, bias=-1.0, refused=0.05)
    config = loaded.config.model_copy(update={"stages": head})
    card = f"{loaded.card}\n## Notice\n\nThe encoder began as another.\n"
    save_fragmentation_model(tmp_path / "start", loaded.network, config, card)
    start = load_fragmentation_model(tmp_path / "start")
    settings = {"start": str(tmp_path / "start"), "mode": "segmentation"}
    frozen = experiment(data, freeze_encoder=True, start_sha256=start.hash, **settings)
    kept = load_fragmentation_model(train(frozen, tmp_path / "frozen"))
    assert kept.config.stages == head
    assert not caplog.records
    assert "by a line through the means" in kept.card
    assert "## Notice" in kept.card
    assert "nothing of oocytes" in loaded.card
    assert "## Notice" not in loaded.card
    trained = task_of(experiment(data, **settings))
    assert "other_stages" in caplog.text
    params, state = trained.initial(jax.random.key(0))
    trained.export(params, state, tmp_path / "trained", {})
    assert load_fragmentation_model(tmp_path / "trained").config.stages is None
    with pytest.raises(InputError, match="as start_sha256 says"):
        task_of(experiment(data, start_sha256="0" * 64, **settings))


def test_features_of_another_encoder_are_made_anew(data: Path, tmp_path: Path) -> None:
    ground = load_training_ground(experiment(data), Path()).train
    found = [
        cached_views(
            lambda images, factor=factor: [factor * images[:, ::8, ::8, None]],
            ground,
            np.ones(len(ground), int),
            AugmentationConfig(),
            seed=0,
            folder=tmp_path,
            weights=[jnp.asarray([factor])],
        )
        for factor in (1.0, 2.0, 1.0)
    ]
    np.testing.assert_allclose(found[1].maps[0], 2 * found[0].maps[0], rtol=1e-2)
    np.testing.assert_array_equal(found[2].maps[0], found[0].maps[0])
    assert len(list(tmp_path.glob("features_*.npz"))) == 2


def test_imagenet_weights_of_a_file_give_the_encoder_the_plain_networks_features(
    data: Path, tmp_path: Path
) -> None:
    """torchvision's ResNet-50 of made-up numbers, which sees a grey image three times.

    The plain network's features are checked against PyTorch's in tests/backbones and tests/torch.
    """
    shapes = torchvision_shapes((3, 4, 6, 3), 2, bottleneck=True)
    file = save(made_up(shapes), tmp_path / "resnet50.safetensors")
    encoder = {"kind": "resnet", "depth": 50, "width": 2}
    settings = experiment(data, network={**NETWORK, "encoder": encoder}, imagenet_weights=str(file))
    network = abstract_network(settings.network)
    params, state = task_of(settings).initial(jax.random.key(0))
    network = Functional(network).put_together(params, state, training=False)
    plain = abstract_resnet(imagenet_config(file).model_copy(update={"input_norm": False}), 3)
    load_imagenet_weights(plain, file)
    plain.eval()
    grey = numbers(3, (1, 256, 256, 1)).astype(np.float32)
    *_, c5 = nnx.jit(lambda n, x: n.maps(x))(network, jnp.asarray(grey))
    colours = np.repeat(2 * grey - 1, 3, axis=-1)
    expected = np.asarray(nnx.jit(lambda n, x: n.features(x))(plain, jnp.asarray(colours)))
    found = np.asarray(c5)[:, ::2, ::2]
    assert expected.std() > 1e-3
    # Away from the border, whose zeros the dilated stage sees from nearer by.
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-4 * expected.max())


def test_joint_training_logs_the_conflict(data: Path, tmp_path: Path) -> None:
    settings = experiment(data, mode="joint", log_conflict=True)
    train(settings, tmp_path / "joint")
    header, *rows = (tmp_path / "joint" / "training.csv").read_text().splitlines()
    values = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert -1 <= float(values["gradient_cosine"]) <= 1


def test_labels_as_two_outputs() -> None:
    truth, known = masks_of(jnp.asarray([[[0, 1, 2, UNKNOWN]]], jnp.uint8))
    np.testing.assert_array_equal(truth[0, 0], [[0, 0], [1, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(known[0, 0], [[1, 1], [1, 1], [1, 1], [0, 0]])


def test_fewer_masks_become_grades_or_nothing(data: Path) -> None:
    ranged = load_training_ground(experiment(data, keep_masks=0.34), Path()).train
    assert len(ranged) == 3
    with_mask = (ranged.labels != UNKNOWN).any(axis=(1, 2))
    assert with_mask.sum() == 1
    assert (np.isfinite(ranged.low) == ~with_mask).all()
    alone = load_training_ground(experiment(data, keep_masks=0.34, use_ranges=False), Path())
    assert len(alone.train) == 1


def test_a_stage_draws_only_what_its_losses_learn_from(data: Path) -> None:
    settings = experiment(data, keep_masks=0.34)
    task = task_of(settings)
    ground = load_training_ground(settings, Path()).train
    with_mask = set(np.flatnonzero((ground.labels != UNKNOWN).any(axis=(1, 2))).tolist())
    for losses, expected in (
        ({"segmentation": 1.0}, with_mask),
        ({"share": 1.0, "range": 1.0}, {0, 1, 2}),
    ):
        drawn = task.in_stage(StageConfig(steps=1, losses=losses)).examples(0)
        assert {int(drawn[i]["index"]) for i in range(40)} == expected


def test_few_masks_are_half_of_what_is_drawn(data: Path) -> None:
    """One picture in three has one; a stage that learns grades, too, sees it every second time."""
    task = task_of(experiment(data, keep_masks=0.34))
    losses = {"segmentation": 1.0, "share": 1.0, "range": 1.0}
    drawn = task.in_stage(StageConfig(steps=1, losses=losses)).examples(0)
    masked = [(drawn[i]["labels"] != UNKNOWN).any() for i in range(400)]
    assert 0.42 < np.mean(masked) < 0.58


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "joint", "network": {**NETWORK, "inject": "second_stage"}}, "decoupled"),
        ({"network": {**NETWORK, "regression": "off"}}, "needs a regression"),
        ({"network": {**NETWORK, "regression": "off", "inject": "joint"}}, "inject needs"),
        ({"mode": "both"}, "mode"),
    ],
)
def test_settings_that_contradict(data: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        experiment(data, **changes)


def test_checking_reads_the_pictures_and_trains_nothing(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = Run(folder=tmp_path, workdir=tmp_path / "run", name="test", say=said.append)
    settings = experiment(data)
    assert RECIPE.look is not None
    network, batch, *cost = RECIPE.look(settings, run)
    assert said == ["3 pictures to learn from: 3 masks, 0 ranges"]
    assert "resnet" in network
    assert "a batch of 2 drawn: " in batch
    assert any("FLOP" in line for line in cost)
    assert not run.workdir.exists()
    with pytest.raises(InputError, match="neck"):
        RECIPE.look(experiment(data, stages=[{"steps": 2, "free": ["neck"]}]), run)
