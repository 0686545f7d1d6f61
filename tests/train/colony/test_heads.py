"""Heads behind a frozen backbone, trained many at a time, against the trainer that writes runs."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from stripes import experiment, run_in, write_stripes

from isl.colony.model import load_colony_model
from isl.errors import InputError
from isl_train.colony.config import ColonyExperiment
from isl_train.colony.ground import Ground
from isl_train.colony.heads import Heads
from isl_train.colony.images import Images, load_images
from isl_train.colony.recipe import train_colony
from isl_train.colony.split import split
from isl_train.colony.task import SupervisedTask

# As long as an encoder's vectors that end at stride 2.
DEPTH, VIEWS = 16, 2
NETWORK = {
    "scales": 1,
    "backbone": {"kind": "efficientnet-lite0", "strides": [2], "size": 16, "turns": 1},
}


def frozen(path: Path, **settings) -> ColonyExperiment:
    return experiment(
        path,
        **{
            "network": NETWORK,
            "frozen": {"views": VIEWS, "places": 2},
            "split": {"labelled": 0.5, "validation": 0.3},
            "training": {"steps": 60, "evaluate_every": 20, "log_every": 15},
            "pretraining": {"steps": 30},
            **settings,
        },
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> tuple[Path, Images]:
    """Images whose vectors are made up: two clouds that overlap a little."""
    folder = tmp_path_factory.mktemp("heads")
    path = write_stripes(folder / "stripes.npz", (120, 60))
    loaded = load_images(frozen(path), folder)
    rng = np.random.default_rng(1)
    middles = 1.2 * loaded.labels[:, None, None, None] * (np.arange(DEPTH) < 3)
    vectors = middles + rng.normal(size=(len(loaded.names), 2, 1 + VIEWS, DEPTH))
    return path, dataclasses.replace(loaded, vectors=vectors.astype(np.float32))


@pytest.mark.parametrize("method", ["supervised", "ceiling", "fixmatch", "simclr", "meta"])
def test_every_method_learns_and_says_how(images, method: str) -> None:
    path, known = images
    plan = frozen(
        path,
        method=method,
        network={**NETWORK, "hidden": 32 if method == "simclr" else 0},
        pretraining={"steps": 30, "head": "linear" if method == "simclr" else "finetuned"},
    )
    parts = split(known, plan.split, plan.split_seed)
    head = Heads(known).trained(plan, parts)
    every = np.arange(len(known.names))
    called = head.logits(every, 1).argmax(axis=1)
    right = (called == known.labels)[np.setdiff1d(every, parts.labelled)]
    assert right.mean() > 0.75
    assert [row["update"] for row in head.rows] == [15, 30, 45, 60]
    assert all(np.isfinite(row["loss"]) for row in head.rows)
    assert bool(head.before) == (method in ("simclr", "meta"))
    if method == "meta":
        shares = [head.rows[0][f"share_{k}"] for k in range(2)]
        assert sum(shares) == pytest.approx(1)


def test_the_update_kept_is_the_best_on_validation(images, monkeypatch) -> None:
    path, known = images
    # So high a rate that validation goes up and down.
    optimizer = {"kind": "sgd", "learning_rate": 3.0, "b1": 0.0}
    training = {"steps": 60, "evaluate_every": 5, "log_every": 5}
    plan = frozen(path, method="supervised", optimizer=optimizer, training=training)
    parts = split(known, plan.split, plan.split_seed)
    judged = []
    evaluate = SupervisedTask.evaluate

    def noted(self, params, state, *, pictures):
        found = evaluate(self, params, state, pictures=pictures)
        judged.append(found.metrics["balanced_accuracy"])
        return found

    monkeypatch.setattr(SupervisedTask, "evaluate", noted)
    head = Heads(known).trained(plan, parts)
    assert len(judged) == 12
    assert min(judged) < max(judged)
    kept = head.task.evaluate(head.params, head.model_state, pictures=False)
    assert kept.metrics["balanced_accuracy"] == max(judged[:12])


def test_arms_that_begin_alike_share_a_teacher(images) -> None:
    path, known = images
    heads = Heads(known)
    plans = [
        frozen(path, method="meta", balance={"balance": balance}) for balance in ("inverse", "none")
    ]
    parts = split(known, plans[0].split, plans[0].split_seed)
    first, second = (heads.trained(plan, parts) for plan in plans)
    assert first.before is second.before
    training = {"steps": 30, "evaluate_every": 20, "log_every": 15}
    labelled = frozen(path, method="supervised", training=training)
    assert heads.trained(labelled, parts).rows == first.before
    # Another seed is another teacher.
    other = plans[0].model_copy(update={"seed": 5})
    assert heads.trained(other, parts).before != first.before
    # The same again is the same, bit for bit.
    again = Heads(known).trained(plans[0], parts)
    same = jax.tree.map(np.array_equal, again.params, first.params)
    assert all(jax.tree.leaves(same))


def test_pictures_labels_and_split_are_what_a_run_knows_its_data_by(images) -> None:
    path, known = images
    plan = frozen(path)
    parts = split(known, plan.split, plan.split_seed)

    def hash_of(known, parts) -> str:
        ground = Ground(images=known, split=parts, patch=plan.patch)
        return SupervisedTask(plan, ground).ground_hash()

    first = known.images[0]
    brighter = dataclasses.replace(first, pixels=first.pixels ^ 1)
    hashes = [
        hash_of(known, parts),
        hash_of(dataclasses.replace(known, images=(brighter, *known.images[1:])), parts),
        hash_of(dataclasses.replace(known, labels=known.labels[::-1]), parts),
        hash_of(known, dataclasses.replace(parts, validation=parts.validation[1:])),
    ]
    assert len(set(hashes)) == 4
    assert hash_of(known, parts) == hashes[0]


def test_balanced_draws_are_even_by_class(images) -> None:
    path, known = images
    plan = frozen(path)
    parts = split(known, plan.split, plan.split_seed)
    ground = Ground(images=known, split=parts, patch=plan.patch)
    which = parts.labelled
    drawn = ground.many_labelled(np.random.default_rng(0), which, (50, 80))
    assert set(drawn.ravel()) == set(which)
    share = known.labels[drawn].mean()
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(drawn.size)
    as_they_are = dataclasses.replace(ground, balance=False)
    drawn = as_they_are.many_labelled(np.random.default_rng(0), which, (50, 80))
    true = known.labels[which].mean()
    assert abs(known.labels[drawn].mean() - true) < 4 * 0.5 / np.sqrt(drawn.size)


def test_methods_without_unlabelled_images_are_refused(tmp_path, images) -> None:
    path, known = images
    whole = {"labelled": 1.0, "validation": 0.2}
    for method in ("meta", "fixmatch"):
        plan = frozen(path, method=method, split=whole)
        with pytest.raises(InputError, match="learns from images without a label"):
            Heads(known).trained(plan, split(known, plan.split, plan.split_seed))
        with pytest.raises(InputError, match="learns from images without a label"):
            train_colony(plan, run_in(tmp_path), images=known)
    contrast = frozen(path, method="simclr", network={**NETWORK, "hidden": 8}, split=whole)
    head = Heads(known).trained(contrast, split(known, contrast.split, contrast.split_seed))
    assert head.before


def test_a_linear_head_behind_a_frozen_contrast_is_trained(tmp_path, images) -> None:
    """The run's own backbone is not among what is trained, so it cannot be frozen by name."""
    path, _ = images
    plan = frozen(
        path,
        method="simclr",
        network={**NETWORK, "hidden": 4},
        frozen={"views": 1},
        pretraining={"steps": 2, "head": "linear"},
        training={"steps": 2, "evaluate_every": 2},
    )
    folder = train_colony(plan, run_in(tmp_path))
    trained = load_colony_model(folder).network
    before = load_colony_model(run_in(tmp_path).workdir / "before" / "model").network
    assert trained.hidden is not None
    assert before.hidden is not None
    np.testing.assert_array_equal(trained.hidden.kernel[...], before.hidden.kernel[...])
    assert (np.asarray(trained.dense.kernel[...]) != np.asarray(before.dense.kernel[...])).any()
