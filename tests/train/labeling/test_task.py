import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from scipy import ndimage
from simulated_fields import write_dataset

from isl.backbones.efficientnet_weights import load_encoder
from isl.config import parse
from isl.errors import InputError
from isl.labeling.bins import BINS
from isl.labeling.dataset import Manifest, load_manifest, write_manifest
from isl.labeling.model import load_model
from isl.labeling.model_config import read_model_config
from isl_train.labeling.config import LabelingConfig, outward
from isl_train.labeling.initial import log_histogram
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit
from isl_train.optimizer import frozen_mask

TINY = {"kind": "unet", "levels": 2, "width": 4}
TINY_MARGIN = 8


def _config(**tables) -> LabelingConfig:
    training = {
        "steps": 3,
        "batch_size": 2,
        "crop": 32,
        "batch_norm_decay": 0.9,
        **tables.pop("training", {}),
    }
    given = {
        "task": "labeling",
        "dataset": "manifest.toml",
        "network": TINY,
        "training": training,
        **tables,
    }
    return parse(given, LabelingConfig, source="test")


def _batch(task: LabelingTask, fields: list[int]) -> dict[str, np.ndarray]:
    """A batch of one crop of each of these fields."""
    examples = task.examples(0)
    found = []
    for index in fields:
        position = next(i for i in range(1000) if int(examples[i]["field"]) == index)
        found.append(examples[position])
    return {name: np.stack([example[name] for example in found]) for name in found[0]}


@pytest.fixture
def disjoint(tmp_path: Path) -> Path:
    """Two fields that share no label."""
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["MAP2"]})
    return tmp_path


def test_a_stopped_run_refuses_pixels_labels_and_splits_that_changed(tmp_path: Path) -> None:
    config = _config(loss={"autoencoding": 0.0})
    fields = {"a": ["DAPI"], "b": ["DAPI"]}
    write_dataset(tmp_path, fields)
    begun = config.model_copy(
        update={"training": config.training.model_copy(update={"steps": 1, "evaluate_every": 0})}
    )
    fit(LabelingTask(begun, tmp_path), begun, tmp_path / "run")
    for name in ("b.tif", "b-DAPI.tif"):
        whole = (tmp_path / name).read_bytes()
        other = tifffile.imread(tmp_path / name)
        other[..., 5, 5] ^= 1
        tifffile.imwrite(tmp_path / name, other, photometric="minisblack")
        with pytest.raises(InputError, match="learned from other data"):
            fit(LabelingTask(config, tmp_path), config, tmp_path / "run")
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "split").mkdir()
    write_dataset(tmp_path / "split", fields, splits={"b": "validation"})
    with pytest.raises(InputError, match="learned from other data"):
        fit(LabelingTask(config, tmp_path / "split"), config, tmp_path / "run")
    # Written anew and elsewhere, the same data are the same.
    (tmp_path / "moved").mkdir()
    write_dataset(tmp_path / "moved", fields)
    assert fit(LabelingTask(config, tmp_path / "moved"), config, tmp_path / "run").update == 3


@pytest.mark.parametrize("training", [{"crop": 40}, {"crop": 24, "padded": True}])
def test_two_simulated_fields_are_overfitted(tmp_path: Path, training: dict) -> None:
    """Valid crops of 40 pixels, and padded ones that are as wide as their outputs."""
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]}, validation_region=(0, 20, 0, 20))
    config = _config(
        network={**TINY, "width": 8},
        training={"steps": 80, "batch_size": 4, "evaluate_every": 0, **training},
        optimizer={"learning_rate": 0.01},
        loss={"autoencoding": 0.0, "softening": 2.0, "squared_error": 10.0},
    )
    task = LabelingTask(config, tmp_path)
    progress = fit(task, config, tmp_path / "run")
    assert progress.best is not None
    assert progress.best > 0.95
    model = load_model(tmp_path / "run" / "model")
    assert model.labels == ("DAPI",)
    assert "pearson_median/DAPI" in model.card


def test_a_label_measured_nowhere_in_a_batch_gets_no_gradient(disjoint: Path) -> None:
    config = _config(
        loss={
            "autoencoding": 0.0,
            "ranked_probability_score": 0.5,
            "squared_error": 0.5,
            "softening": 1.0,
        }
    )
    task = LabelingTask(config, disjoint)
    params, model_state = task.initial(jax.random.key(0))
    gradient_of = jax.jit(jax.value_and_grad(task.loss, has_aux=True))
    batch = _batch(task, [0, 0])
    (loss, (_, sums)), gradients = gradient_of(params, model_state, batch, jax.random.key(1))
    assert jnp.isfinite(loss)
    assert sums["cross_entropy/MAP2"] == (0, 0)
    assert sums["cross_entropy/DAPI"][1] == batch["measured"].sum()
    for gradient in jax.tree.leaves(gradients["label_heads"]["MAP2"]):
        assert not jnp.any(gradient)
    for gradient in jax.tree.leaves(gradients["label_heads"]["DAPI"]["linear"]):
        assert jnp.any(gradient)

    unmeasured = {**batch, "measured": np.zeros_like(batch["measured"])}
    (loss, _), gradients = gradient_of(params, model_state, unmeasured, jax.random.key(1))
    assert loss == 0
    assert all(not jnp.any(gradient) for gradient in jax.tree.leaves(gradients))


def test_absent_labels_do_not_dilute_the_loss(disjoint: Path) -> None:
    both = LabelingTask(_config(loss={"autoencoding": 0.0, "labels": 1.0}), disjoint)
    params, model_state = both.initial(jax.random.key(0))
    loss, (_, sums) = jax.jit(both.loss)(
        params, model_state, _batch(both, [0, 0]), jax.random.key(1)
    )
    total, count = sums["cross_entropy/DAPI"]
    assert float(loss) == pytest.approx(float(total / count), rel=1e-6)


def test_weights_of_labels_and_terms(disjoint: Path) -> None:
    weights = {"autoencoding": 0.0, "labels": 2.0, "label_weights": {"MAP2": 3.0}}
    task = LabelingTask(_config(loss={**weights, "cross_entropy": 0.5}), disjoint)
    params, model_state = task.initial(jax.random.key(0))
    batch = _batch(task, [0, 1])
    assert task.describe(batch) == "fields a, b"
    loss, (_, sums) = jax.jit(task.loss)(params, model_state, batch, jax.random.key(1))
    dapi, map2 = (float(np.divide(*sums[f"cross_entropy/{label}"])) for label in ("DAPI", "MAP2"))
    assert float(loss) == pytest.approx(2.0 * 0.5 * (dapi + 3 * map2) / 4, rel=1e-5)


def test_heads_start_at_the_histogram(disjoint: Path) -> None:
    task = LabelingTask(_config(), disjoint)
    params, _ = task.initial(jax.random.key(0))
    values = task.ground.training[0].targets[..., 0]
    bias = np.asarray(params["label_heads"]["DAPI"]["linear"]["bias"])
    np.testing.assert_allclose(bias, log_histogram([values.ravel()]))
    kernel = np.asarray(params["label_heads"]["DAPI"]["linear"]["kernel"])
    he_normal = np.sqrt(2 / kernel.shape[0])
    assert kernel.std() == pytest.approx(0.3 * he_normal, rel=0.1)
    counts = np.bincount(np.round(values.ravel() * 255).astype(int), minlength=BINS)
    np.testing.assert_allclose(np.exp(bias), (counts + 0.1) / (counts + 0.1).sum(), rtol=1e-5)


def test_subsets_of_pixels_and_low_precision_give_nearly_the_same(disjoint: Path) -> None:
    losses, pixels = [], []
    for tables in (
        {},
        {"loss": {"pixels_per_crop": 100}},
        {"training": {"precision": "bfloat16"}},
    ):
        task = LabelingTask(_config(**tables), disjoint)
        params, model_state = task.initial(jax.random.key(0))
        loss, (new_state, sums) = jax.jit(task.loss)(
            params, model_state, _batch(task, [0, 1]), jax.random.key(1)
        )
        assert {array.dtype for array in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        assert {array.dtype for array in jax.tree.leaves(new_state)} == {jnp.dtype("float32")}
        losses.append(float(loss))
        pixels.append(int(sums["autoencoding"][1]))
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[2] == pytest.approx(losses[0], rel=0.02)
    output = 32 - 2 * TINY_MARGIN
    assert pixels == [2 * 3 * count for count in (output**2, 100, output**2)]


def test_labels_may_lie_beside_the_light(disjoint: Path) -> None:
    """Moved to where they fit best, labels are nearer to what is predicted."""
    squares = {"cross_entropy": 0.0, "squared_error": 1.0, "autoencoding": 0.0}
    beside, as_they_lie = (
        LabelingTask(_config(loss=squares | {"misregistration": most}), disjoint) for most in (2, 0)
    )
    state = beside.initial(jax.random.key(0))
    batch = _batch(beside, [0, 1])
    smaller, plain = (
        float(jax.jit(task.loss)(*state, batch, jax.random.key(1))[0])
        for task in (beside, as_they_lie)
    )
    assert 0 < smaller < plain


def test_batch_statistics_are_taken_anew(disjoint: Path) -> None:
    config = _config(validation={"reestimate_batches": 3})
    task = LabelingTask(config, disjoint)
    params, model_state = task.initial(jax.random.key(0))
    settled = task.settled(params, model_state)
    batches = task.examples(config.seed).batch(config.training.batch_size)
    kernel = params["body"]["down"]["0"]["first"]["kernel"]
    means = []
    for index in range(3):
        first = jax.lax.conv_general_dilated(
            batches[index]["transmitted"],
            kernel,
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        means.append(first.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(
        settled["body"]["down"]["0"]["first_norm"]["mean"], np.mean(means, axis=0), atol=1e-5
    )


def test_transfer_keeps_what_fits_and_says_what_does_not(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]})
    task = LabelingTask(_config(), tmp_path)
    task.export(*task.initial(jax.random.key(1)), tmp_path / "model", {"updates": 0})
    donor = load_model(tmp_path / "model")
    for folder, fields, planes in (
        ("labels", {"b": ["DAPI", "MAP2"]}, 3),
        ("planes", {"b": ["DAPI"]}, 2),
    ):
        (tmp_path / folder).mkdir()
        write_dataset(tmp_path / folder, fields, planes=planes)
    said: list[str] = []
    start = {"model": "../model", "freeze": ["body"]}
    config = _config(start=start, loss={"initial_bias": "zero"})
    params, _ = LabelingTask(config, tmp_path / "labels", say=said.append).initial(
        jax.random.key(5)
    )
    body = params["body"]["down"]["0"]["first"]["kernel"]
    np.testing.assert_array_equal(body, donor.network.body.down[0].first.kernel[...])
    head = params["label_heads"]["DAPI"]["linear"]["kernel"]
    np.testing.assert_array_equal(head, donor.network.label_heads["DAPI"].linear.kernel[...])
    assert said[-1].endswith("fresh: label_heads/MAP2/linear, label_heads/MAP2/norm")

    params, _ = LabelingTask(config, tmp_path / "planes", say=said.append).initial(
        jax.random.key(5)
    )
    assert said[-1].endswith("fresh: body/down/0/first")
    second = params["body"]["down"]["0"]["second"]["kernel"]
    np.testing.assert_array_equal(second, donor.network.body.down[0].second.kernel[...])

    other = _config(start=start, network={**TINY, "width": 6})
    with pytest.raises(InputError, match="nothing of its body fits"):
        LabelingTask(other, tmp_path / "labels").initial(jax.random.key(0))


def test_a_body_is_frozen_by_its_name(disjoint: Path) -> None:
    params, _ = LabelingTask(_config(), disjoint).initial(jax.random.key(0))
    mask = frozen_mask(params, ["body"])
    assert all(jax.tree.leaves(mask["body"]))
    assert not any(jax.tree.leaves({**mask, "body": {}}))


def test_the_model_says_what_it_was_trained_on(disjoint: Path) -> None:
    task = LabelingTask(_config(labels=["MAP2"], name="tiny"), disjoint)
    task.export(*task.initial(jax.random.key(0)), disjoint / "model", {"updates": 0})
    model = read_model_config(disjoint / "model")
    assert (model.name, model.labels, model.input.planes) == ("tiny", ("MAP2",), 3)
    values = task.ground.training[1].targets
    statistics = model.label_statistics["MAP2"]
    assert statistics.mean == pytest.approx(values.mean(), rel=1e-5)
    assert statistics.standard_deviation == pytest.approx(values.std(), rel=1e-5)
    assert (model.trained_on, model.chosen_on) == (("a", "b"), ())


def test_what_the_model_before_was_trained_on_is_known_of_the_next(tmp_path: Path) -> None:
    for folder, fields in (("before", {"a": ["DAPI"], "b": ["DAPI"]}), ("next", {"c": ["DAPI"]})):
        (tmp_path / folder).mkdir()
        write_dataset(tmp_path / folder, fields, splits={"b": "validation"})
    task = LabelingTask(_config(), tmp_path / "before")
    task.export(*task.initial(jax.random.key(0)), tmp_path / "model", {"updates": 0})
    before = read_model_config(tmp_path / "model")
    assert (before.trained_on, before.chosen_on) == (("a",), ("b",))
    task = LabelingTask(_config(start={"model": "../model"}), tmp_path / "next")
    task.export(*task.initial(jax.random.key(0)), tmp_path / "second", {"updates": 0})
    second = read_model_config(tmp_path / "second")
    assert (second.trained_on, second.chosen_on) == (("a", "c"), ("b",))
    told = tmp_path / "model" / "model.toml"
    told.write_text(re.sub(r"trained_on = \[.*?\]\n", "", told.read_text(), flags=re.DOTALL))
    assert read_model_config(tmp_path / "model").trained_on is None
    task.export(*task.initial(jax.random.key(0)), tmp_path / "third", {"updates": 0})
    assert read_model_config(tmp_path / "third").trained_on is None


def test_a_start_that_knows_what_it_is_judged_by_is_told(tmp_path: Path) -> None:
    for folder, splits in (("before", {}), ("next", {"a": "validation"})):
        (tmp_path / folder).mkdir()
        write_dataset(tmp_path / folder, {"a": ["DAPI"], "b": ["DAPI"]}, splits=splits)
    task = LabelingTask(_config(), tmp_path / "before")
    task.export(*task.initial(jax.random.key(0)), tmp_path / "model", {"updates": 0})
    said: list[str] = []
    task = LabelingTask(_config(start={"model": "../model"}), tmp_path / "next", say=said.append)
    task.initial(jax.random.key(0))
    assert said[-1].startswith("../model learned from a, by which this run is judged")


def test_a_card_holds_no_figure_that_was_not_measured(disjoint: Path) -> None:
    task = LabelingTask(_config(), disjoint)
    metrics = {"updates": 0, "pearson_mean": 0.5, "cross_entropy": float("nan")}
    task.export(*task.initial(jax.random.key(0)), disjoint / "model", metrics)
    card = (disjoint / "model" / "card.md").read_text()
    assert "pearson_mean: 0.5" in card
    assert "cross_entropy" not in card.split("Held-out ground")[1]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"training": {"crop": 33}}, r"crop 33 does not fit .* 18 \+ m \* 2; the nearest are 32"),
        ({"training": {"crop": 4}}, "nearest are 18 and 18"),
        ({"training": {"crop": 33, "padded": True}}, r"2 \+ m \* 2; the nearest are 32 and 34"),
        ({"labels": ["DAPY"]}, "unknown label 'DAPY'; did you mean 'DAPI'"),
        ({"loss": {"label_weights": {"X": 1}}}, "loss.label_weights"),
    ],
)
def test_what_does_not_fit_is_refused(disjoint: Path, tables: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelingTask(_config(**tables), disjoint)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"training": {"crops": 32}}, "unknown key 'training.crops'; did you mean 'training.crop'"),
        ({"loss": {"cross_entropy": 0}}, "every term has weight 0"),
        ({"loss": {"labels": 0, "autoencoding": 0}}, "both 0"),
        ({"network": {"kind": "vnet"}}, "network"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(tables: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _config(**tables)


def test_planes_are_taken_from_the_centre_outward() -> None:
    """Specification, section 7: 3 of 13 are planes 4, 6 and 8."""
    assert [outward(n, 13) for n in (1, 3, 5, 7)] == [
        (6,),
        (4, 6, 8),
        (2, 4, 6, 8, 10),
        (0, 2, 4, 6, 8, 10, 12),
    ]
    for count in (1, 6, 13):
        for wanted in range(1, count + 1):
            planes = outward(wanted, count)
            assert len(set(planes)) == wanted
            assert set(outward(wanted - 1, count)) < set(planes)
    assert _config(planes="3 of 13").planes == (4, 6, 8)
    for words in ("0 of 13", "14 of 13", "some"):
        with pytest.raises(InputError, match="planes"):
            _config(planes=words)


def test_planes_of_a_stack_of_another_depth_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]})
    assert LabelingTask(_config(planes="2 of 3"), tmp_path).ground.planes == 2
    with pytest.raises(InputError, match="field 'a' has 3 planes; it must have 2"):
        LabelingTask(_config(planes="2 of 2"), tmp_path)
    with pytest.raises(InputError, match="field 'a' has 3 planes; it must have 2"):
        LabelingTask(_config(planes_of=2), tmp_path)
    kept = parse(_config(planes="2 of 3").model_dump(mode="json"), LabelingConfig, source="kept")
    assert (kept.planes, kept.planes_of) == ((0, 1), 3)


def test_planes_that_cannot_fit_all_fields_are_refused(tmp_path: Path) -> None:
    """Field b's planes 1 and 2 are field a's 0 and 1; planes 0 and 1 of both would not be alike."""
    written = write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]})
    manifest = load_manifest(written)
    fields = tuple(
        field.model_copy(update={"planes": planes})
        for field, planes in zip(manifest.fields, [(0, 1), (1, 2)], strict=True)
    )
    written.unlink()
    write_manifest(written, Manifest(fields=fields))
    assert LabelingTask(_config(), tmp_path).ground.planes == 2
    with pytest.raises(InputError, match="fields name planes of their own, a others than b"):
        LabelingTask(_config(planes=(0, 1)), tmp_path)


@pytest.mark.parametrize(
    ("planes", "chance", "takes_any"), [(3, 0.5, True), (3, 0.0, False), (1, 0.5, False)]
)
def test_a_model_takes_any_planes_where_it_learned_from_fewer(
    tmp_path: Path, planes: int, chance: float, takes_any: bool
) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]}, planes=planes)
    task = LabelingTask(_config(augment={"fewer_planes": chance}), tmp_path)
    task.export(*task.initial(jax.random.key(0)), tmp_path / "model", {"updates": 0})
    assert read_model_config(tmp_path / "model").input.any_planes == takes_any


@pytest.mark.parametrize(
    ("given", "turned", "said"),
    [
        ({"flip": "auto", "rotate": "auto"}, False, "crops are not turned"),
        ({"flip": False, "rotate": False}, False, None),
        ({}, True, "augment.rotate = false"),
    ],
)
def test_where_light_comes_from_one_side_crops_are_not_turned(
    tmp_path: Path, given: dict, turned: bool, said: str | None
) -> None:
    rng = np.random.default_rng(0)
    cells = ndimage.gaussian_filter((rng.random((256, 256)) < 0.003).astype(float), 4)
    light = -np.gradient(cells, axis=0)
    planes = 30_000 + 4_000 * light / light.std() + rng.normal(0, 200, (2, *light.shape))
    tifffile.imwrite(tmp_path / "a.tif", planes.astype(np.uint16), metadata={"axes": "ZYX"})
    label = (60_000 * cells / cells.max()).astype(np.uint16)
    tifffile.imwrite(tmp_path / "dapi.tif", label, metadata={"axes": "YX"})
    field = '[[field]]\nname = "a"\ntransmitted = "a.tif"\nlabels = { DAPI = "dapi.tif" }\n'
    (tmp_path / "manifest.toml").write_text(field)
    heard: list[str] = []
    task = LabelingTask(_config(augment=given), tmp_path, say=heard.append)
    known = [line for text in heard for line in text.splitlines() if "from one side" in line]
    assert [said in line for line in known] == ([] if said is None else [True])
    network = task.predicting(*task.initial(jax.random.key(0)))
    task.save(network, tmp_path / "model", {"updates": 0.0})
    assert read_model_config(tmp_path / "model").input.turned is turned


def test_fields_of_different_depth_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]}, planes={"b": 2})
    with pytest.raises(InputError, match="field 'b' has 2 planes, field 'a' has 3"):
        LabelingTask(_config(), tmp_path)


def test_a_window_is_cut_alike_from_all_and_detail_is_learned_in_it(disjoint: Path) -> None:
    """The local error adds to the loss where a label was measured, and needs a wide window."""
    window = {"autoencoding": 0.0, "labels": 1.0, "window": 20, "window_stride": 2}
    detail = {"local_error": 5.0, "correlation": 1.0, "local_width": 5}
    plain = LabelingTask(_config(training={"crop": 40}, loss=window), disjoint)
    local = LabelingTask(
        _config(
            training={"crop": 40},
            loss={**window, **detail},
        ),
        disjoint,
    )
    params, model_state = plain.initial(jax.random.key(0))
    batch = _batch(plain, [0, 0])
    key = jax.random.key(2)
    (one, (_, sums)), (other, _) = (
        jax.jit(task.loss)(params, model_state, batch, key) for task in (plain, local)
    )
    assert sums["cross_entropy/DAPI"][1] <= 2 * 10**2
    assert other > one
    with pytest.raises(InputError, match="local_error needs a window of at least 34"):
        _config(loss={"window": 32, "window_stride": 2, "local_error": 1.0})
    with pytest.raises(InputError, match="correlation needs an odd local_width, not 6"):
        _config(loss={"window": 32, "correlation": 1.0, "local_width": 6})
    with pytest.raises(InputError, match="leave one out"):
        _config(loss={"window": 32, "pixels_per_crop": 16})


def test_an_encoder_unet_starts_from_the_pretrained_encoder(disjoint: Path) -> None:
    network = {"kind": "encoder_unet", "decoder": [4, 4, 4, 4], "margin": 1}
    config = _config(
        network=network,
        training={"crop": 32, "padded": True},
        optimizer={"rates": {"body/encoder": 0.25}},
    )
    built = LabelingTask(config, disjoint).build(jax.random.key(0))
    given = load_encoder()
    np.testing.assert_array_equal(
        built.body.encoder.blocks[3].project.kernel[...], given.blocks[3].project.kernel[...]
    )
