"""Labels of low counts stretched over the bins, and brought back."""

import dataclasses
import functools

import numpy as np
import pytest
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.image import ZStack
from isl.labeling.dataset import load_manifest
from isl.labeling.label_scale import LabelScale, fit_label_scales, percentiles_of, stretch
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig, joined
from isl.labeling.network import build_network
from isl_train.labeling.ground import load_ground

COUNTS = LabelScale(low=100 / 65535, high=300 / 65535)


def test_percentiles_of_all_training_pixels_become_0_and_1():
    stored = np.arange(101, dtype=np.uint16)[None, :, None]
    where = np.ones(stored.shape, bool)
    hidden = ("b", stored + 60_000, ~where)
    (scale,) = fit_label_scales([("a", stored, where), hidden], ["DAPI"], (10, 90), "d").values()
    assert (scale.low, scale.high) == pytest.approx((10 / 65535, 90 / 65535))
    (target,) = stretch(stored / np.float32(65535), ["DAPI"], {"DAPI": scale})
    np.testing.assert_allclose(target[[0, 10, 50, 90, 100], 0], [0, 0, 0.5, 1, 1], atol=1e-6)
    both = [("a", stored, where), ("b", stored + 101, where)]
    (wide,) = fit_label_scales(both, ["DAPI"], (0, 100), "d").values()
    assert wide.high == pytest.approx(201 / 65535)


def test_a_label_of_one_value_has_no_scale():
    flat = np.full((1, 4, 4), 7, np.uint16)
    with pytest.raises(InputError, match="at both percentiles of label_scale"):
        fit_label_scales([("a", flat, flat > 0)], ["DAPI"], (1, 99), "set.toml")


def test_intensities_and_spreads_go_back_and_what_has_no_unit_stays():
    values = np.array([0, 0.5, 1], np.float32)
    np.testing.assert_allclose(COUNTS.original(values, "mean") * 65535, [100, 200, 300], rtol=1e-5)
    spread = COUNTS.original(values, "standard_deviation") * 65535
    np.testing.assert_allclose(spread, [0, 100, 200], rtol=1e-5)
    np.testing.assert_array_equal(COUNTS.original(values, "entropy"), values)


def low_counts(folder):
    """A dataset of two fields whose label counts to 5 of 65535."""
    rng = np.random.default_rng(0)
    for name in "ab":
        planes = rng.integers(0, 60_000, (3, 64, 64)).astype(np.uint16)
        write = functools.partial(tifffile.imwrite, photometric="minisblack")
        write(folder / f"{name}.tif", planes, metadata={"axes": "ZYX"})
        write(folder / f"{name}-l.tif", rng.integers(0, 6, (64, 64)).astype(np.uint16))
    fields = [
        f'[[field]]\nname = "{name}"\nsplit = "{split}"\ntransmitted = "{name}.tif"\n'
        f'axes = "ZYX"\n[field.labels]\nDAPI = "{name}-l.tif"\n'
        for name, split in (("a", "train"), ("b", "validation"))
    ]
    (folder / "dataset.toml").write_text("\n".join(fields))
    return load_manifest(folder / "dataset.toml")


def test_low_counts_are_warned_of_and_stretched(tmp_path, caplog):
    manifest = low_counts(tmp_path)
    plain = load_ground(manifest)
    assert plain.training[0].targets.max() < 1e-4
    assert "fills 1 of 256 bins" in caplog.text
    assert "set label_scale, such as [0.1, 99.9]" in caplog.text
    stretched = load_ground(manifest, label_scale=(0, 100))
    assert stretched.label_scale["DAPI"].high == pytest.approx(5 / 65535)
    for field in (*stretched.training, *stretched.validation):
        np.testing.assert_allclose(np.unique(field.targets), np.arange(6) / 5, atol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled") / "scaled"
    architecture = UNetConfig(levels=2, width=2)
    network = build_network(
        architecture, planes=3, labels=("DAPI",), autoencode=False, rngs=nnx.Rngs(0)
    )
    config = ModelConfig(
        name="scaled",
        labels=("DAPI",),
        architecture=architecture,
        input=InputContract(planes=3),
        label_scale={"DAPI": COUNTS},
    )
    save_model(folder, network, config, "# scaled\n")
    return load_model(folder)


STACK = ZStack(name="s", planes=np.random.default_rng(1).random((3, 40, 40), np.float32))


def test_predictions_are_given_in_the_unit_asked_for(model):
    names = ("mean", "standard_deviation", "entropy")
    own = model.predict(STACK, statistics=names).statistics
    back = model.predict(STACK, statistics=names, original_unit=True).statistics
    for name in names:
        np.testing.assert_allclose(back[name], COUNTS.original(own[name], name), rtol=1e-6)
    assert model.config.label_scale == {"DAPI": COUNTS}


def test_files_hold_the_original_unit(model, tmp_path):
    from isl.cli import main

    planes = (STACK.planes * 60_000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    words = ["predict", tmp_path / "s.tif", "--model", model.directory, "--statistics", "mean"]
    words += ["--dtype", "float32", "--device", "cpu"]
    for out, further in (("own", []), ("original", ["--original-unit"])):
        assert main([str(word) for word in [*words, "--out", tmp_path / out, *further]]) == 0
    own, original = (tifffile.imread(tmp_path / out / "s.ome.tif") for out in ("own", "original"))
    np.testing.assert_allclose(original, COUNTS.original(own, "mean"), rtol=1e-5)


def test_models_of_other_units_are_not_averaged_or_asked_back(model):
    plain = model.config.model_copy(update={"label_scale": {}, "name": "plain"})
    with pytest.raises(InputError, match="cannot be averaged: their labels have another unit"):
        joined([model.config, plain])
    with pytest.raises(InputError, match="did not stretch its labels"):
        dataclasses.replace(model, config=plain).predict(STACK, original_unit=True)


def write_experiment(folder, seed, level):
    """A field whose label has a mean and deviation of its own."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    light = rng.integers(0, 60_000, (3, 32, 32), dtype=np.uint16)
    tifffile.imwrite(folder / "light.tif", light, photometric="minisblack")
    label = rng.normal(level, level / 10, (32, 32)).round().astype(np.uint16)
    tifffile.imwrite(folder / "dapi.tif", label, photometric="minisblack")
    (folder / "dataset.toml").write_text(
        '[[field]]\nname = "A1"\ntransmitted = "light.tif"\nlabels = { DAPI = "dapi.tif" }\n'
    )


def test_every_experiment_is_brought_to_the_same_mean_and_deviation(tmp_path):
    for number, (name, level) in enumerate((("dim", 400), ("bright", 9000))):
        write_experiment(tmp_path / name, number, level)
    both = tmp_path / "both.toml"
    both.write_text('include = ["dim/dataset.toml", "bright/dataset.toml"]\n')
    moments = (0.25, 0.125)
    ground = load_ground(load_manifest(both), label_moments=moments)
    for field in ground.training:
        assert field.targets.mean() == pytest.approx(0.25, abs=0.005)
        assert field.targets.std() == pytest.approx(0.125, abs=0.01)
    assert ground.label_scale == {}
    assert set(ground.label_scales) == {"dim", "bright"}
    scale = ground.label_scales["bright"]["DAPI"]
    # A tenth of the level is the deviation: the mean lies two deviations of the unit above 0.
    assert scale.low * 65535 == pytest.approx(9000 - 2 * 900, rel=0.05)
    assert [line.split(":")[0] for line in ground.experiments] == ["dim", "bright"]
    assert "DAPI 0.006 +- 0.001" in ground.experiments[0]
    assert "DAPI 0.138 +- 0.014" in ground.experiments[1]
    stretched = load_ground(load_manifest(both), label_scale=(1, 99))
    for field in stretched.training:
        assert np.mean(field.targets == 1) == pytest.approx(0.01, abs=0.004)


def test_a_label_that_an_experiment_only_judges_is_brought_to_its_unit_too(tmp_path):
    for number, (name, level) in enumerate((("dim", 400), ("bright", 9000), ("more", 5000))):
        write_experiment(tmp_path / name, number, level)
    stated = tmp_path / "bright" / "dataset.toml"
    judged = '[[field]]\nname = "B1"\nsplit = "validation"\ntransmitted = "../more/light.tif"\n'
    stated.write_text(
        stated.read_text().replace("DAPI", "NFH")
        + f'{judged}labels = {{ DAPI = "../more/dapi.tif", NFH = "../dim/dapi.tif" }}\n'
    )
    both = tmp_path / "both.toml"
    both.write_text('include = ["dim/dataset.toml", "bright/dataset.toml"]\n')
    ground = load_ground(load_manifest(both), label_moments=(0.25, 0.125))
    (held,) = ground.validation
    dapi = held.targets[ground.labels.index("DAPI")]
    assert (dapi.mean(), dapi.std()) == pytest.approx((0.25, 0.125), abs=0.01)
    # What it learns is brought there by what is learned from alone.
    assert ground.label_scales["bright"]["NFH"].low * 65535 == pytest.approx(7200, rel=0.05)


def test_moments_of_one_set_are_the_models_unit(tmp_path):
    write_experiment(tmp_path / "one", 0, 400)
    manifest = load_manifest(tmp_path / "one" / "dataset.toml")
    ground = load_ground(manifest, label_moments=(0.25, 0.125))
    scale = ground.label_scale["DAPI"]
    stored = tifffile.imread(tmp_path / "one" / "dapi.tif") / np.float32(65535)
    inside = (ground.training[0].targets[..., 0] > 0) & (ground.training[0].targets[..., 0] < 1)
    back = scale.original(ground.training[0].targets[..., 0], "mean")
    np.testing.assert_allclose(back[inside], stored[inside], rtol=1e-4)
    assert (ground.label_scales, ground.experiments) == ({}, ())


def test_a_label_of_one_value_has_no_moments():
    flat = np.full((1, 4, 4), 7, np.uint16)
    with pytest.raises(InputError, match="everywhere, so nothing brings it to a deviation"):
        fit_label_scales([("a", flat, flat > 0)], ["DAPI"], None, "s", moments=(0.25, 0.125))


@pytest.mark.parametrize("levels", [1, 3, 255, 65535, None])
@pytest.mark.parametrize("percentiles", [(0, 100), (0.1, 99.9), (10, 50), (33.3, 34)])
def test_percentiles_of_parts_are_those_of_all_together(levels, percentiles):
    rng = np.random.default_rng(0)
    for sizes in ([1], [2], [7, 1, 30], [5000, 0, 3001]):
        parts = [rng.random(size, np.float32) ** 3 for size in sizes]
        if levels is not None:
            parts = [np.round(part * levels).astype(np.float32) / levels for part in parts]
        expected = np.percentile(np.concatenate(parts), percentiles)
        assert percentiles_of(parts, percentiles) == tuple(expected.tolist())
