"""Predictions: the same whatever the tiles, on the right pixels, and honest about their input."""

import dataclasses
import itertools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.normalize import PlaneNormalization, normalize
from isl.labeling.bins import STATISTICS
from isl.labeling.contract import compare_intensity
from isl.labeling.exact import exact_geometry
from isl.labeling.model import Model, ensemble, load_model
from isl.labeling.model_config import InputContract, LabelStatistics, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.predict import predict
from isl.labeling.towers import TowersConfig

SMOOTH = ("mean", "entropy")


def random_model(architecture, planes):
    """A model with random weights that knows the training statistics of one label."""
    labels = ("DAPI", "MAP2")
    network = build_network(architecture, planes=planes, labels=labels, rngs=nnx.Rngs(3))
    network.eval()
    config = ModelConfig(
        name="random",
        architecture=architecture,
        labels=labels,
        input=InputContract(planes=planes),
        label_statistics={"DAPI": LabelStatistics(mean=0.3, standard_deviation=0.05)},
    )
    return Model(config=config, card="", directory=Path("random"), network=network)


@pytest.fixture(scope="module")
def model():
    return random_model(UNetConfig(levels=2, width=4), planes=3)


def expecting(model, **contract):
    """The model with another input contract."""
    changed = model.config.input.model_copy(update=contract)
    config = model.config.model_copy(update={"input": changed})
    return dataclasses.replace(model, config=config)


def stack_of(size=(40, 52), planes=3, seed=0, **facts):
    values = np.random.default_rng(seed).integers(0, 60_000, (planes, *size), dtype=np.uint16)
    return ZStack(name="field", planes=values, **facts)


def whole_pass(model, stack, names):
    """One pass over the reflected image, with no tiling code: name -> [L, Y, X]."""
    planes, _ = normalize(stack.planes)
    margin, (rows, columns) = model.geometry.margin, planes.shape[1:]
    wide = [model.geometry.input_size(n) - margin - n for n in (rows, columns)]
    padding = ((0, 0), (margin, wide[0]), (margin, wide[1]))
    padded = np.pad(planes, padding, mode="reflect")
    result = model.statistics(np.moveaxis(padded, 0, -1)[None], model.labels, names)
    return {k: np.moveaxis(np.asarray(v[0, :rows, :columns]), -1, 0) for k, v in result.items()}


@pytest.mark.parametrize(
    ("size", "tile"), [((40, 52), 12), ((41, 53), 20), ((7, 90), 31), ((33, 33), 33)]
)
def test_tiled_is_one_pass_over_the_reflected_image(model, size, tile):
    stack = stack_of(size)
    prediction = predict(model, stack, statistics=SMOOTH, tile=tile)
    expected = whole_pass(model, stack, SMOOTH)
    for name in SMOOTH:
        assert prediction.statistics[name].shape == (2, *size)
        # float32 convolutions are summed in another order for another tile size.
        np.testing.assert_allclose(prediction.statistics[name], expected[name], atol=2e-5)


class CoarseGrid(nnx.Module):
    """Cheap, with the towers' sizes and their dependence on where a patch begins.

    A pixel sees itself and the mean of the 16 x 16 cell it lies in, on a grid that begins where
    the patch does; so, as with the towers, equal values repeat with every 16 pixels only.
    """

    def __init__(self):
        self.geometry = TowersConfig().geometry

    def embed(self, transmitted):
        margin, step = self.geometry.margin, self.geometry.step
        first = transmitted[..., :1]
        size = [n // step for n in first.shape[1:3]]
        cells = first[:, : size[0] * step, : size[1] * step]
        cells = cells.reshape(-1, size[0], step, size[1], step, 1).mean(axis=(2, 4))
        coarse = cells.repeat(step, axis=1).repeat(step, axis=2)
        height, width = (n - 2 * margin for n in first.shape[1:3])
        inside = (slice(None), slice(margin, margin + height), slice(margin, margin + width))
        return first[inside] + 5 * coarse[inside]

    def exactly(self):
        return EachPatch()

    def label_logits(self, embedding, labels):
        intensities = jnp.linspace(0, 6, 256).reshape((1,) * embedding.ndim + (256,))
        logits = -20 * jnp.square(intensities - embedding[..., None])
        return jnp.repeat(logits, len(labels), axis=-2)


class EachPatch(CoarseGrid):
    """Its exact twin: every patch of 250 pixels by itself, with stride 8."""

    def __init__(self):
        self.geometry = exact_geometry(TowersConfig().geometry)

    def embed(self, transmitted):
        rows, columns = (range(0, n - 242, 8) for n in transmitted.shape[1:3])
        patches = [[transmitted[:, y : y + 250, x : x + 250] for x in columns] for y in rows]
        blocks = [[CoarseGrid.embed(self, patch) for patch in row] for row in patches]
        joined = [jnp.concatenate(row, axis=2) for row in blocks]
        return jnp.concatenate(joined, axis=1)


@pytest.fixture(scope="module")
def coarse_model(model):
    config = model.config.model_copy(update={"architecture": TowersConfig()})
    return dataclasses.replace(model, config=config, network=CoarseGrid())


@pytest.mark.parametrize(("size", "tile"), [((22, 41), 24), ((70, 8), "auto"), ((9, 33), 16)])
def test_exact_is_the_published_patches_one_by_one(coarse_model, size, tile):
    stack = stack_of(size)
    options = {"labels": ["MAP2"], "statistics": ["mean"]}
    exact = predict(coarse_model, stack, stitch="exact", tile=tile, **options)
    planes, _ = normalize(stack.planes)
    padded = np.pad(planes, ((0, 0), (121, 140), (121, 140)), mode="reflect")
    corners = [(y, x) for y in range(0, size[0], 8) for x in range(0, size[1], 8)]
    patches = [np.moveaxis(padded[:, y : y + 250, x : x + 250], 0, -1) for y, x in corners]
    blocks = coarse_model.statistics(np.stack(patches), ("MAP2",), ("mean",))["mean"]
    expected = np.zeros((size[0] + 8, size[1] + 8), np.float32)
    for (y, x), block in zip(corners, np.asarray(blocks)[..., 0], strict=True):
        expected[y : y + 8, x : x + 8] = block
    expected = expected[: size[0], : size[1]]
    np.testing.assert_allclose(exact.statistics["mean"][0], expected, atol=2e-5)
    # Otherwise this would show nothing: at phase 8 a dense pass is not the patches.
    dense = predict(coarse_model, stack, **options)
    assert np.abs(dense.statistics["mean"][0] - expected).max() > 1e-3


def test_what_learned_single_patches_is_predicted_by_them_unless_one_says_otherwise(
    coarse_model, caplog
):
    stack = stack_of((22, 41))
    config = coarse_model.config.model_copy(update={"stitch": "exact"})
    learned = dataclasses.replace(coarse_model, config=config)
    options = {"labels": ["MAP2"], "statistics": ["mean"]}
    for asked, same in ((None, "exact"), ("exact", "exact"), ("dense", "dense")):
        found = predict(learned, stack, stitch=asked, **options)
        expected = predict(coarse_model, stack, stitch=same, **options)
        np.testing.assert_array_equal(found.statistics["mean"], expected.statistics["mean"])
    (said,) = [r.getMessage() for r in caplog.records if "single patches" in r.getMessage()]
    assert "with `stitch=dense` it stands at the others too, which never learned" in said


def test_models_that_learned_in_different_ways_need_a_word(coarse_model):
    config = coarse_model.config.model_copy(update={"stitch": "exact"})
    both = ensemble([coarse_model, dataclasses.replace(coarse_model, config=config)])
    with pytest.raises(
        InputError, match="from crops and from single patches; choose `stitch=dense`"
    ):
        predict(both, stack_of((20, 20)))
    assert predict(both, stack_of((20, 20)), stitch="dense").statistics["median"].shape[-1] == 20


def test_exact_is_refused_without_towers(model):
    with pytest.raises(InputError, match=r"'exact' is defined for towers only.*unet"):
        predict(model, stack_of(), stitch="exact")


def test_valid_is_the_inside_of_a_larger_image(model):
    margin = model.geometry.margin
    large = stack_of((60, 64))
    prediction = predict(model, large, border="valid", statistics=SMOOTH, tile=16)
    assert prediction.offset == margin
    reflected = predict(model, large, statistics=SMOOTH, tile=60)
    # Both grids start at an offset that is a multiple of the step, or pooling would differ.
    assert margin % model.geometry.step == 0
    np.testing.assert_allclose(
        prediction.statistics["mean"],
        reflected.statistics["mean"][:, margin:-margin, margin:-margin],
        atol=2e-5,
    )


def test_movies_are_their_frames(model):
    frames = np.stack([stack_of(seed=seed).planes for seed in range(3)])
    size = PixelSize(y=0.5, x=0.5)
    movie = Movie(name="movie", frames=frames, interval=7.0, pixel_size=size)
    prediction = predict(model, movie, statistics=SMOOTH, tile=24)
    assert len(prediction.normalization) == 3
    for t in range(3):
        alone = predict(model, movie.stack(t), statistics=SMOOTH, tile=24)
        np.testing.assert_allclose(
            prediction.statistics["mean"][t], alone.statistics["mean"], atol=2e-5
        )
    image = prediction.image("entropy")
    assert image.channels.shape == (3, 2, 40, 52)
    assert (image.interval, image.pixel_size, image.labels) == (7.0, size, ("DAPI", "MAP2"))


def test_labels_and_statistics_come_in_the_order_asked_for(model):
    stack = stack_of((16, 16))
    all_of_it = predict(model, stack, statistics=STATISTICS)
    assert tuple(all_of_it.statistics) == STATISTICS
    swapped = predict(model, stack, labels=["MAP2", "DAPI"], statistics=["mode", "mean"])
    assert swapped.labels == ("MAP2", "DAPI")
    assert tuple(swapped.statistics) == ("mode", "mean")
    np.testing.assert_allclose(
        swapped.statistics["mean"][::-1], all_of_it.statistics["mean"], atol=1e-6
    )
    np.testing.assert_array_equal(swapped.image().channels, swapped.statistics["mode"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"labels": ["DAPY"]}, r"unknown label 'DAPY'; did you mean 'DAPI'\?"),
        ({"statistics": ["medain"]}, r"unknown statistic 'medain'; did you mean 'median'\?"),
        ({"statistics": []}, "at least one"),
        ({"stitch": "dens"}, r"unknown stitch 'dens'; did you mean 'dense'\?"),
        ({"border": "mirror"}, "unknown border 'mirror'"),
        ({"normalize": "on"}, "unknown normalization 'on'"),
        ({"tile": "big"}, "tile 'big': expected 'auto' or a number"),
        ({"tile": 1}, "tiles are at least"),
        ({"border": "valid", "resample": True}, "cannot be combined"),
        ({"abstain": 0}, "`abstain=0`: expected the widest 90 % interval that is accepted"),
        ({"abstain": 1.01}, "`abstain=1.01`: expected .* above 0 and at most 1"),
        ({"abstain": float("nan")}, "`abstain=nan`: expected"),
        ({"statistics": ["abstained"]}, r"'abstained' needs .* \(give `abstain=WIDTH`\)"),
        ({"renormalize": True}, "does not know the mean and deviation of .* MAP2"),
    ],
)
def test_options_that_make_no_sense_are_refused(model, option, message):
    with pytest.raises(InputError, match=message):
        predict(model, stack_of(), **option)


def test_planes_are_chosen_and_must_be_as_many_as_the_model_expects(model):
    stack = stack_of((12, 12), planes=9)
    with pytest.raises(
        InputError,
        match=r"field: z-stack has 9 planes; model 'random' expects 3 \(give `planes` to choose\)",
    ):
        predict(model, stack)
    with pytest.raises(InputError, match="names 2 planes; model 'random' expects 3"):
        predict(model, stack, planes=[0, 1])
    with pytest.raises(InputError, match="no plane 9: its 9 planes are 0 to 8"):
        predict(model, stack, planes=[0, 1, 9])
    chosen = predict(model, stack, planes=[6, 0, 0], statistics=["mean"])
    same = dataclasses.replace(stack, planes=stack.planes[[6, 0, 0]])
    expected = predict(model, same, statistics=["mean"])
    np.testing.assert_array_equal(chosen.statistics["mean"], expected.statistics["mean"])
    assert [record.plane for record in chosen.normalization[0]] == [6, 0, 0]


def test_what_the_image_does_not_say_is_warned_about(model, caplog):
    wary = expecting(model, modality="DIC", pixel_size=0.65, z_step=2.0)
    prediction = predict(wary, stack_of((12, 12)))
    assert len(prediction.warnings) == 3
    assert "pixel size" in prediction.warnings[0]
    assert "z step" in prediction.warnings[1]
    assert "modality" in prediction.warnings[2]
    assert len(caplog.records) == 3


def test_a_field_that_the_model_learned_from_is_told(model, caplog):
    stack = stack_of((12, 12))
    knows = dataclasses.replace(
        model, config=model.config.model_copy(update={"trained_on": ("other", stack.name)})
    )
    assert any("learned from" in line for line in predict(knows, stack).warnings)
    assert not any("learned from" in line for line in predict(model, stack).warnings)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"modality": "DIC"}, "modality is BRIGHTFIELD; model 'random' expects DIC"),
        (
            {"pixel_size": 1.3},
            r"pixel size is 0.5 um; model 'random' expects 1.3 um \(.*`resample`",
        ),
        ({"z_step": 9.0}, r"planes are 4 um apart, and model 'random' expects 9 um.*`planes="),
    ],
)
def test_what_differs_is_refused_or_warned_about_when_allowed(model, contract, message):
    size = PixelSize(y=0.5, x=0.5, z=4.0)
    stack = stack_of((12, 12), pixel_size=size, modality="BRIGHTFIELD")
    wary = expecting(model, **contract)
    with pytest.raises(InputError, match=message):
        predict(wary, stack)
    allowed = predict(wary, stack, allow_mismatch=True)
    assert len(allowed.warnings) == 1
    assert predict(expecting(model, modality="BRIGHTFIELD", pixel_size=0.5), stack).warnings == ()


def test_small_differences_of_scale_are_warned_about(model):
    stack = stack_of((12, 12), pixel_size=PixelSize(y=0.5, x=0.5, z=2.0))
    assert len(predict(expecting(model, pixel_size=0.6), stack).warnings) == 1
    assert predict(expecting(model, pixel_size=0.53), stack).warnings == ()
    # Every second plane is 4 micrometres from the next.
    spaced = dataclasses.replace(stack, planes=stack_of((12, 12), planes=5).planes)
    wary = expecting(model, z_step=4.0)
    assert predict(wary, spaced, planes=[0, 2, 4]).warnings == ()
    assert len(predict(expecting(model, z_step=3.0), spaced, planes=[0, 2, 4]).warnings) == 1


def test_resampling_predicts_at_the_models_pixel_size(model):
    yy, xx = np.mgrid[0:40, 0:48]
    smooth = (0.5 + 0.2 * np.sin(yy / 6) * np.cos(xx / 7))[None] * np.array([1, 0.8, 0.6])[
        :, None, None
    ]
    stack = ZStack(
        name="field", planes=smooth.astype(np.float32), pixel_size=PixelSize(y=0.5, x=0.5)
    )
    wary = expecting(model, pixel_size=0.25)
    prediction = predict(wary, stack, statistics=["mean"], resample=True)
    assert prediction.statistics["mean"].shape == (2, 40, 48)
    assert prediction.pixel_size == stack.pixel_size
    assert prediction.tile_size == tuple(model.geometry.input_size(n) for n in (80, 96))
    with pytest.raises(InputError, match="does not say its pixel size; `resample` needs"):
        predict(wary, dataclasses.replace(stack, pixel_size=None), resample=True)
    with pytest.raises(InputError, match="model 'random' does not say its pixel size"):
        predict(model, stack, resample=True)


def test_renormalizing_gives_the_training_mean_and_deviation(model):
    stack = stack_of((30, 30))
    names = ("mean", "entropy")
    plain = predict(model, stack, labels=["DAPI"], statistics=names)
    prediction = predict(model, stack, labels=["DAPI"], statistics=names, renormalize=True)
    image = prediction.statistics["mean"]
    assert image.mean() == pytest.approx(0.3, abs=0.002)
    assert image.std() == pytest.approx(0.05, abs=0.002)
    (record,) = prediction.renormalization
    assert (record.label, record.statistic) == ("DAPI", "mean")
    expected = np.clip(plain.statistics["mean"] * record.scale + record.offset, 0, 1)
    np.testing.assert_allclose(image, expected, atol=1e-6)
    np.testing.assert_array_equal(prediction.statistics["entropy"], plain.statistics["entropy"])


def widths_of(model, stack, **given):
    return predict(model, stack, statistics=["interval_90"], **given).statistics["interval_90"]


def test_what_is_too_wide_is_abstained_from(model):
    stack = stack_of((31, 30))
    widths = widths_of(model, stack)
    limit = float(np.median(widths))
    given = {"statistics": ["mean"], "labels": ["DAPI"], "renormalize": True}
    prediction = predict(model, stack, abstain=limit, **given)
    assert list(prediction.statistics) == ["mean", "abstained"]
    mask = prediction.statistics["abstained"]
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, widths[:1] > np.float32(limit))
    assert 0 < mask.mean() < 1
    plain = predict(model, stack, **given)
    np.testing.assert_array_equal(prediction.statistics["mean"], plain.statistics["mean"])
    # It stands where it is named, beside the width that it is taken from.
    both = predict(model, stack, statistics=["abstained", "interval_90"], abstain=limit)
    assert list(both.statistics) == ["abstained", "interval_90"]
    np.testing.assert_array_equal(both.statistics["interval_90"], widths)
    np.testing.assert_array_equal(both.image().channels, widths > np.float32(limit))


def test_nothing_is_abstained_from_twice(model):
    """A wider limit never abstains from more."""
    stack = stack_of((20, 22))
    limits = np.quantile(widths_of(model, stack), [0.2, 0.5, 0.9])
    masks = [predict(model, stack, abstain=float(n)).statistics["abstained"] for n in limits]
    assert masks[0].mean() > masks[1].mean() > masks[2].mean()
    for narrow, wide in itertools.pairwise(masks):
        assert np.all(wide <= narrow)
    assert not predict(model, stack, abstain=1).statistics["abstained"].any()


def test_turned_images_and_movies_are_abstained_from_as_their_own_widths_say(model):
    frames = np.stack([stack_of((18, 20), seed=seed).planes for seed in range(2)])
    movie = Movie(name="movie", frames=frames)
    widths = widths_of(model, movie, symmetries=True)
    limit = float(np.median(widths))
    mask = predict(model, movie, symmetries=True, abstain=limit).statistics["abstained"]
    np.testing.assert_array_equal(mask, widths > np.float32(limit))


def test_a_resampled_mask_is_that_of_the_resampled_width(model):
    wary = expecting(model, pixel_size=0.4)
    stack = stack_of((30, 35), pixel_size=PixelSize(y=0.5, x=0.5))
    widths = widths_of(wary, stack, resample=True)
    limit = float(np.median(widths))
    mask = predict(wary, stack, resample=True, abstain=limit).statistics["abstained"]
    assert mask.shape == (2, 30, 35)
    np.testing.assert_array_equal(mask, widths > np.float32(limit))


def test_progress_counts_every_tile(model):
    seen = []
    predict(model, stack_of((64, 64)), tile=16, progress=lambda *counts: seen.append(counts))
    done, total = seen[-1]
    assert done == total == 16
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_an_image_too_small_for_its_valid_area_is_refused(model):
    with pytest.raises(InputError, match="field: an image of 4 x 60 pixels has no valid area"):
        predict(model, stack_of((4, 60)), border="valid")


def test_tiny_images_are_reflected_again_and_again(model):
    stack = stack_of((2, 3))
    prediction = predict(model, stack, statistics=SMOOTH)
    expected = whole_pass(model, stack, SMOOTH)
    np.testing.assert_allclose(prediction.statistics["mean"], expected["mean"], atol=2e-5)


def test_every_statistic_lies_between_0_and_1(model):
    prediction = predict(model, stack_of((20, 20)), statistics=STATISTICS)
    for values in prediction.statistics.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


def test_planes_that_are_not_normalized_are_warned_about_where_normalization_is_off() -> None:
    dark = PlaneNormalization(plane=2, mean=0.1, standard_deviation=0.02)
    fine = PlaneNormalization(plane=3, mean=0.5, standard_deviation=0.12)
    expected = InputContract(planes=2)
    (warning,) = compare_intensity([dark, fine], expected, normalize="off")
    assert "plane 2: mean 0.100" in warning
    assert compare_intensity([fine], expected, normalize="off") == ()
    assert compare_intensity([dark], expected, normalize="auto") == ()


def test_an_array_is_predicted_as_the_stack_it_is(model):
    planes = np.random.default_rng(0).integers(0, 60000, (3, 24, 28)).astype(np.uint16)
    expected = model.predict(ZStack(name="a", planes=planes))
    for array, axes in ((planes, None), (planes.transpose(1, 2, 0), "YXZ")):
        made = model.predict(array, axes=axes, pixel_size=0.65)
        np.testing.assert_array_equal(made.image().channels, expected.image().channels)
        assert made.pixel_size == PixelSize(y=0.65, x=0.65)
    with pytest.raises(InputError, match="pixels of type int32"):
        model.predict(planes.astype(np.int32))


@pytest.mark.parametrize(("count", "places"), [(1, (0,) * 6), (2, (0, 0, 0, 1, 1, 1))])
def test_fewer_planes_are_predicted_as_if_they_stood_in_all_places(count, places):
    any_of_6 = expecting(random_model(UNetConfig(levels=2, width=4), planes=6), any_planes=True)
    fewer = stack_of(planes=count)
    whole = dataclasses.replace(fewer, planes=fewer.planes[list(places)])
    found, expected = (predict(any_of_6, stack) for stack in (fewer, whole))
    assert found.planes == places
    for name, values in expected.statistics.items():
        np.testing.assert_array_equal(found.statistics[name], values)


def test_how_familiar_is_not_said_of_planes_that_stand_for_several():
    bundled = load_model("nuclei-brightfield")
    stack = stack_of((128, 128), planes=6, modality="BRIGHTFIELD")
    whole = predict(bundled, stack)
    assert whole.familiarity is not None
    fewer = predict(bundled, dataclasses.replace(stack, planes=stack.planes[:2]))
    assert fewer.familiarity is None
    assert any("how familiar the image is cannot be told" in each for each in fewer.warnings)
