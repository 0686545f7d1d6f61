"""Distributions averaged over models and turned images: the mean itself, symmetric, seamless."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.image import Movie, ZStack
from isl.imaging.normalize import normalize
from isl.labeling import bins
from isl.labeling.memory import bytes_per_pixel
from isl.labeling.mixture import Mixture
from isl.labeling.model import Model, ensemble, load_models, model_names, save_model
from isl.labeling.model_config import InputContract, LabelStatistics, ModelConfig, joined
from isl.labeling.network import build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field
from isl.labeling.predict import predict
from isl.labeling.source import field_of
from isl.labeling.towers import TowersConfig
from isl.tiling.geometry import Geometry, joint_geometry
from isl.tiling.symmetries import SYMMETRIES

LABELS = ("DAPI", "MAP2")
SMOOTH = ("mean", "entropy", "standard_deviation")
# Other tile sizes sum float32 convolutions in another order.
ROUNDING = {"atol": 1e-5, "rtol": 0}


class CoarseGrid(nnx.Module):
    """A pixel sees itself and the mean of its cell, on a grid that begins where the patch does.

    Cells have the step's width, and a weight of their own for every pixel in them: nothing is
    symmetric. Cheap, where compiling a real network takes seconds.
    """

    def __init__(self, geometry, seed):
        self.geometry = geometry
        self.seed = seed

    def embed(self, transmitted):
        margin, step = self.geometry.margin, self.geometry.step
        weights = np.random.default_rng(self.seed).random((1, 1, step, 1, step, 1), np.float32)
        first = transmitted[..., :1]
        size = [n // step for n in first.shape[1:3]]
        cells = first[:, : size[0] * step, : size[1] * step]
        cells = cells.reshape(-1, size[0], step, size[1], step, 1)
        coarse = (cells * weights).mean(axis=(2, 4)).repeat(step, axis=1).repeat(step, axis=2)
        height, width = (n - 2 * margin for n in first.shape[1:3])
        inside = (slice(None), slice(margin, margin + height), slice(margin, margin + width))
        return jnp.concatenate([first[inside], 5 * coarse[inside]], axis=-1)

    def label_logits(self, embedding, labels):
        intensities = jnp.linspace(0, 4, 256).reshape((1,) * (embedding.ndim - 1) + (256,))
        heads = {
            label: -20 * jnp.square(intensities - (1 + place) * embedding.sum(-1, keepdims=True))
            for place, label in enumerate(LABELS)
        }
        return jnp.stack([heads[label] for label in labels], axis=-2)


def coarse_model(architecture=None, seed=3, planes=2, labels=LABELS, **facts):
    architecture = architecture or UNetConfig(levels=3)
    config = ModelConfig(
        name=f"coarse{seed}",
        architecture=architecture,
        labels=labels,
        input=InputContract(planes=planes),
        **facts,
    )
    network = CoarseGrid(architecture.geometry, seed)
    return Model(config=config, card="", directory=Path("coarse"), network=network)


@pytest.fixture(scope="module")
def model():
    return coarse_model()


@pytest.fixture(scope="module")
def other():
    """Sees less, on a finer grid, and has a temperature."""
    return coarse_model(UNetConfig(levels=2), seed=5, temperature={"MAP2": 3.0})


def stack_of(size, planes=2, seed=0):
    values = np.random.default_rng(seed).integers(0, 60_000, (planes, *size), dtype=np.uint16)
    return ZStack(name="field", planes=values)


def whole_distribution(model, planes, *, valid=False):
    """Probabilities [Y, X, L, 256] of one pass over the reflected planes [Z, Y, X]; no tiles."""
    margin, size = (
        model.geometry.margin,
        [n - 2 * valid * model.geometry.margin for n in planes.shape[1:]],
    )
    before = 0 if valid else margin
    wide = [
        model.geometry.input_size(n) - before - m
        for n, m in zip(size, planes.shape[1:], strict=True)
    ]
    padded = np.pad(planes, ((0, 0), (before, wide[0]), (before, wide[1])), mode="reflect")
    logits = model.logits(np.moveaxis(padded, 0, -1)[None], model.labels)
    return np.asarray(jax.nn.softmax(logits))[0, : size[0], : size[1]]


def mean_of_turned(models, stack, *, symmetries=True, valid=False):
    """The slow and obvious way: predict each turned image whole, turn it back, average."""
    planes, _ = normalize(stack.planes)
    found = [
        symmetry.undo(whole_distribution(model, symmetry.apply(planes), valid=valid), (0, 1))
        for model in models
        for symmetry in (SYMMETRIES.values() if symmetries else (SYMMETRIES["identity"],))
    ]
    mean = np.mean(found, axis=0, dtype=np.float64).astype(np.float32)
    given = bins.statistics_of(jnp.asarray(mean), SMOOTH)
    return {name: np.moveaxis(np.asarray(values), -1, 0) for name, values in given.items()}


def check_equal(prediction, expected):
    for name, values in expected.items():
        assert prediction.statistics[name].shape == values.shape
        np.testing.assert_allclose(prediction.statistics[name], values, **ROUNDING)


@pytest.mark.parametrize(("size", "tile"), [((21, 34), 8), ((21, 34), 16)])
def test_symmetric_is_the_mean_of_the_turned_images_distributions(model, size, tile):
    stack = stack_of(size)
    prediction = predict(model, stack, statistics=SMOOTH, symmetries=True, tile=tile)
    check_equal(prediction, mean_of_turned([model], stack))
    # Otherwise this would show nothing.
    plain = predict(model, stack, statistics=SMOOTH, tile=tile)
    assert np.abs(plain.statistics["entropy"] - prediction.statistics["entropy"]).max() > 1e-3


@pytest.mark.parametrize("tile", [16, 40])
def test_the_towers_grid_begins_anew_in_every_turned_image(tile):
    towers = coarse_model(TowersConfig())
    stack = stack_of((37, 50))
    prediction = predict(towers, stack, statistics=SMOOTH, symmetries=True, tile=tile)
    check_equal(prediction, mean_of_turned([towers], stack))


def test_a_real_network_on_an_odd_image():
    architecture = UNetConfig(levels=2, width=8)
    network = build_network(architecture, planes=2, labels=LABELS, rngs=nnx.Rngs(3))
    network.eval()
    real = dataclasses.replace(coarse_model(architecture), network=network)
    stack = stack_of((11, 11))
    prediction = predict(real, stack, statistics=SMOOTH, symmetries=True)
    expected = mean_of_turned([real], stack)
    assert np.ptp(expected["mean"]) > 1e-3
    check_equal(prediction, expected)


def test_the_valid_area_is_no_smaller_for_being_turned(model):
    stack = stack_of((2 * model.geometry.margin + 9, 2 * model.geometry.margin + 14))
    given = {"statistics": SMOOTH, "border": "valid"}
    prediction = predict(model, stack, symmetries=True, tile=8, **given)
    assert prediction.statistics["mean"].shape == (2, 9, 14)
    assert prediction.offset == predict(model, stack, **given).offset == model.geometry.margin
    check_equal(prediction, mean_of_turned([model], stack, valid=True))


@pytest.mark.parametrize("size", [(21, 34), (16, 16)])
def test_the_prediction_of_a_turned_image_is_the_turned_prediction(model, size):
    stack = stack_of(size)
    given = {
        "statistics": (*SMOOTH, "median"), "symmetries": True, "tile": 16, "median": "published"
    }  # fmt: skip
    expected = predict(model, stack, **given).statistics
    for name, symmetry in SYMMETRIES.items():
        turned = dataclasses.replace(stack, planes=symmetry.apply(stack.planes))
        found = predict(model, turned, **given).statistics
        for statistic in SMOOTH:
            back = symmetry.undo(found[statistic])
            np.testing.assert_allclose(back, expected[statistic], err_msg=name, **ROUNDING)
        medians = np.abs(symmetry.undo(found["median"]) - expected["median"])
        assert medians.max() <= 1.01 / 255
        assert np.mean(medians > 0) < 0.01


def test_symmetries_of_a_movie_and_a_resampled_image(model):
    frames = np.stack([stack_of((12, 17), seed=seed).planes for seed in range(2)])
    movie = Movie(name="movie", frames=frames)
    given = {"statistics": SMOOTH, "symmetries": True}
    found = predict(model, movie, **given).statistics
    for t in range(2):
        alone = predict(model, stack_of((12, 17), seed=t), **given).statistics
        for name in SMOOTH:
            np.testing.assert_allclose(found[name][t], alone[name], **ROUNDING)


def test_exact_is_what_was_published_and_turns_nothing():
    with pytest.raises(InputError, match=r"'exact'.*cannot be combined with symmetries"):
        predict(coarse_model(TowersConfig()), stack_of((20, 20)), stitch="exact", symmetries=True)


class Certain(nnx.Module):
    """Sure of one intensity everywhere."""

    def __init__(self, intensity):
        self.intensity = intensity
        self.geometry = Geometry(margin=0, step=1, smallest=1)

    def embed(self, transmitted):
        return transmitted

    def label_logits(self, embedding, labels):
        one = 1e3 * jax.nn.one_hot(round(255 * self.intensity), 256)
        return jnp.broadcast_to(one, (*embedding.shape[:-1], len(labels), 256))


def test_statistics_are_those_of_the_mixture_not_means_of_statistics(model):
    dark, bright, brighter = (
        dataclasses.replace(model, network=Certain(k / 255)) for k in (51, 153, 204)
    )
    batch = np.zeros((1, 2, 3, 2), np.float32)
    geometry = Geometry(margin=0, step=1, smallest=1)
    names = ("median", "mean", "standard_deviation", "entropy")
    of = {
        "two": Mixture(members=(dark, brighter), geometry=geometry),
        "three": Mixture(members=(dark, bright, brighter), geometry=geometry),
    }
    found = {k: v.statistics(batch, ("MAP2",), names) for k, v in of.items()}
    expected = {
        "two": (0.2, 0.5, 0.3, np.log(2) / np.log(256)),
        "three": (0.6, 1.6 / 3, np.std([0.2, 0.6, 0.8]), np.log(3) / np.log(256)),
    }
    for which, values in expected.items():
        for name, value in zip(names, values, strict=True):
            assert found[which][name].shape == (1, 2, 3, 1)
            np.testing.assert_allclose(found[which][name], value, atol=1e-6, err_msg=name)
    logits = of["two"].logits(batch, ("MAP2",))
    np.testing.assert_allclose(jnp.exp(logits[0, 0, 0, 0, [51, 204]]), 0.5, atol=1e-6)


@pytest.mark.parametrize(("symmetries", "tile"), [(False, 8), (False, "auto"), (True, 16)])
def test_an_ensemble_is_the_mean_of_its_members_whatever_their_grids(
    model, other, symmetries, tile
):
    both = ensemble([model, other])
    assert (both.name, both.labels) == ("coarse3,coarse5", LABELS)
    stack = stack_of((13, 22))
    prediction = both.predict(stack, statistics=SMOOTH, symmetries=symmetries, tile=tile)
    check_equal(prediction, mean_of_turned([model, other], stack, symmetries=symmetries))


def test_an_ensemble_gives_labels_in_the_order_asked_for(model, other):
    swapped = dataclasses.replace(
        other, config=other.config.model_copy(update={"labels": LABELS[::-1]})
    )
    stack = stack_of((8, 8))
    expected = ensemble([model, other]).predict(stack, statistics=["mean"]).statistics["mean"]
    found = ensemble([model, swapped]).predict(stack, statistics=["mean"], labels=["MAP2"])
    np.testing.assert_allclose(found.statistics["mean"][0], expected[1], **ROUNDING)


def test_networks_of_one_grid_need_no_wider_tiles(model):
    geometry = model.geometry
    assert joint_geometry([geometry, geometry]) == geometry
    towers = TowersConfig().geometry
    both = joint_geometry([geometry, towers])
    assert (both.margin - both.overhang, both.step) == (towers.margin, towers.step)
    assert both.output_size(both.smallest) == towers.step


def test_members_must_predict_the_same_from_the_same(model):
    nuclei = coarse_model(seed=8, labels=("DAPI", "NFH"))
    with pytest.raises(InputError, match=r"'coarse3' and 'coarse8' .*DAPI, MAP2 and DAPI, NFH$"):
        ensemble([model, nuclei])
    deeper = coarse_model(seed=9, planes=3)
    with pytest.raises(InputError, match=r"cannot be averaged.*another planes, 2 and 3$"):
        ensemble([model, deeper])


def test_what_members_know_of_training_is_joined():
    known = LabelStatistics(mean=0.2, standard_deviation=0.1)
    unlike = LabelStatistics(mean=0.3, standard_deviation=0.1)
    one, two, silent = (
        coarse_model(seed=seed, label_statistics=statistics, trained_on=groups).config
        for seed, statistics, groups in (
            (1, {"DAPI": known, "MAP2": known}, ("B", "A")),
            (2, {"DAPI": known, "MAP2": unlike}, ("C",)),
            (3, {}, None),
        )
    )
    assert joined([one, two]).label_statistics == {"DAPI": known}
    assert joined([one, two]).trained_on == ("A", "B", "C")
    assert joined([one, silent]).trained_on is None


def test_hashes_differ_with_any_member_and_models_load_by_name(tmp_path):
    architecture = UNetConfig(levels=1, width=1)
    for name, seed in (("a", 1), ("b", 2), ("c,d", 3)):
        network = build_network(architecture, planes=2, labels=LABELS, rngs=nnx.Rngs(seed))
        config = ModelConfig(
            name=f"random{seed}",
            architecture=architecture,
            labels=LABELS,
            input=InputContract(planes=2),
        )
        save_model(tmp_path / name, network, config, "# A card")
    a, b = tmp_path / "a", tmp_path / "b"
    both = load_models(f"{a}, {b}")
    assert [member.name for member in both.members] == ["random1", "random2"]
    assert load_models([a, b]).hash == both.hash
    assert len({both.hash, load_models(a).hash, load_models([b, a]).hash}) == 3
    # A folder's own comma is no list.
    assert load_models(str(tmp_path / "c,d")).name == "random3"
    with pytest.raises(InputError, match="twice"):
        model_names(f"{a},{tmp_path}/b/../a")
    with pytest.raises(InputError, match="names no model"):
        model_names(" , ")
    with pytest.raises(InputError, match="nowhere"):
        load_models(f"{a},nowhere")


def test_symmetries_are_planned_with_the_memory_they_need(model):
    config, field = model.config, field_of(stack_of((500, 500)))
    memory = {
        n: bytes_per_pixel(config, statistics=1, labels=2, on_cpu=True, symmetries=n)
        for n in (1, 8)
    }
    # Eight embeddings of 32 features each.
    assert memory[8] - memory[1] == 8 * 32 * 4
    plans = {
        turned: plan_field(config, field, check_options(config, symmetries=turned), budget=2**28)
        for turned in (False, True)
    }
    assert plans[True].batch_reads < plans[False].batch_reads
