"""Fields predicted window by window, to disk: the same bits as in memory, whatever the window."""

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np
import pytest
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.read import open_transmitted, read_transmitted
from isl.labeling.exact import exact_geometry
from isl.labeling.model import Model
from isl.labeling.model_config import InputContract, LabelStatistics, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field, smaller, width_of
from isl.labeling.predict import outcome, predict, predict_into
from isl.labeling.run.stored import StoredPrediction, thinned_plane, thinning
from isl.labeling.source import TransmittedField, field_of, field_of_picture, held, measure
from isl.labeling.towers import TowersConfig

LABELS = ("DAPI", "MAP2")


def random_model(architecture, **contract):
    network = build_network(architecture, planes=2, labels=LABELS, rngs=nnx.Rngs(3))
    network.eval()
    statistics = LabelStatistics(mean=0.3, standard_deviation=0.05)
    config = ModelConfig(
        name="random",
        architecture=architecture,
        labels=LABELS,
        input=InputContract(planes=2, **contract),
        label_statistics=dict.fromkeys(LABELS, statistics),
    )
    return Model(config=config, card="", directory="random", network=network)


@pytest.fixture(scope="module")
def unet():
    return random_model(UNetConfig(levels=2, width=4))


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 60_000, shape, dtype=np.uint16)


def streamed(model, field, folder, *, window=1, renormalize=False, dtype="float32", **given):
    """What is on disk when a field was predicted in windows of so many pixels, and the outcome."""
    options = check_options(model.config, renormalize=renormalize, **given)
    plan = dataclasses.replace(plan_field(model.config, field, options), window=window)
    normalization = measure(field, plan.fit.planes, options.normalize, window)
    size = field.size if plan.fit.scale else plan.tiles.output_size
    with StoredPrediction(
        folder,
        (field.shape[0], len(options.labels), *size),
        labels=options.labels,
        pixel_types=dict.fromkeys(options.statistics, dtype),
        shown=options.statistics,
        renormalize=renormalize,
    ) as stored:
        plan = predict_into(stored.write, model, field, plan, options, normalization)
        if renormalize:
            stored.renormalize(model.config.label_statistics)
        found = {}
        for name in options.statistics:
            with stored.picture([name], field) as picture:
                found[name] = np.stack(
                    [
                        [picture.read(t=t, c=c) for c in range(len(options.labels))]
                        for t in range(field.shape[0])
                    ]
                )
                assert picture.dtype == found[name].dtype == dtype
            shown = stored.shown[name]
            step = thinning(size)
            if dtype == "float32":
                np.testing.assert_array_equal(shown, found[name][0][:, ::step, ::step])
        return found, outcome(model, field, plan, options, normalization, stored.renormalization)


def assert_same(model, stack, folder, *, window=1, **given):
    whole = predict(model, stack, **given)
    found, facts = streamed(model, field_of(stack), folder, window=window, **given)
    for name, values in whole.statistics.items():
        expected = values if isinstance(stack, Movie) else values[None]
        np.testing.assert_array_equal(found[name], expected)
    for fact in dataclasses.fields(facts):
        assert getattr(facts, fact.name) == getattr(whole, fact.name), fact.name


@pytest.mark.parametrize("window", [1, 40 * 90, 10**9])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"border": "valid"},
        {"renormalize": True, "labels": ["MAP2"]},
        {"planes": [1, 1]},
        {"normalize": "off"},
    ],
    ids=str,
)
def test_windows_change_no_bit(unet, tmp_path, window, given):
    stack = ZStack(name="field", planes=pixels(2, 70, 83))
    statistics = ["median", "standard_deviation"]
    assert_same(unet, stack, tmp_path, window=window, tile=20, statistics=statistics, **given)


def test_movies_too(unet, tmp_path):
    movie = Movie(name="movie", frames=pixels(3, 2, 40, 33), interval=2.0)
    assert_same(unet, movie, tmp_path, tile=20, renormalize=True)


def test_resampled_fields_are_whole(unet, tmp_path):
    model = random_model(UNetConfig(levels=2, width=4), pixel_size=0.3)
    size = PixelSize(y=0.5, x=0.4)
    stack = ZStack(name="field", planes=pixels(2, 40, 33), pixel_size=size)
    assert_same(model, stack, tmp_path, tile=20, resample=True)


class Cells(nnx.Module):
    """With the towers' sizes; a pixel is the mean of the 16 x 16 cell it lies in, and itself."""

    def __init__(self):
        self.geometry = TowersConfig().geometry

    def embed(self, transmitted):
        rows, columns = (n // 16 for n in transmitted.shape[1:3])
        first = transmitted[:, : rows * 16, : columns * 16, :1]
        cells = first.reshape(-1, rows, 16, columns, 16, 1).mean(axis=(2, 4), keepdims=True)
        mixed = (first.reshape(cells.shape[0], rows, 16, columns, 16, 1) + cells) / 2
        margin = self.geometry.margin
        height, width = (n - 2 * margin for n in transmitted.shape[1:3])
        image = mixed.reshape(first.shape)
        return image[:, margin : margin + height, margin : margin + width]

    def exactly(self):
        network = Cells()
        network.geometry = exact_geometry(self.geometry)
        return network

    def label_logits(self, embedding, labels):
        bins = jax.numpy.arange(256).reshape((1,) * embedding.ndim + (256,)) / 255
        return jax.numpy.repeat(-90 * (bins - embedding[..., None]) ** 2, len(labels), axis=-2)


@pytest.mark.parametrize("window", [1, 290 * 400])
def test_exact_too(unet, tmp_path, window):
    config = unet.config.model_copy(update={"architecture": TowersConfig()})
    towers = dataclasses.replace(unet, config=config, network=Cells())
    stack = ZStack(name="field", planes=pixels(2, 70, 120))
    assert_same(
        towers, stack, tmp_path, window=window, tile=32, stitch="exact", statistics=["mean"]
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_stored_as_such(unet, tmp_path, dtype):
    stack = ZStack(name="field", planes=pixels(2, 33, 35))
    floats, _ = streamed(unet, field_of(stack), tmp_path, tile=20)
    integers, _ = streamed(unet, field_of(stack), tmp_path, tile=20, dtype=dtype)
    full = np.float32(np.iinfo(dtype).max)
    np.testing.assert_array_equal(integers["median"], np.rint(floats["median"] * full))


def written(path, array, **options):
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    return path


@pytest.mark.parametrize(
    "stored",
    [{"tile": (32, 48)}, {"tile": (32, 32), "compression": "zlib"}, {"rowsperstrip": 7}, {}],
)
def test_files_are_read_window_by_window(unet, tmp_path, stored):
    path = written(
        tmp_path / "field.ome.tif",
        pixels(2, 90, 75),
        metadata={"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        ome=True,
        **stored,
    )
    picture, channel = open_transmitted(path)
    read = read_transmitted(path)
    with picture:
        field = field_of_picture(picture, channel)
        assert (field.name, field.pixel_size, field.movie) == (read.name, read.pixel_size, False)
        found, _ = streamed(unet, field, tmp_path, window=60 * 60, tile=20)
        kept, _ = streamed(unet, held(field, (0, 1)), tmp_path, tile=20)
    whole = predict(unet, read, tile=20)
    np.testing.assert_array_equal(found["median"][0], whole.statistics["median"])
    np.testing.assert_array_equal(kept["median"][0], whole.statistics["median"])


def test_no_window_is_larger_than_allowed(unet, tmp_path):
    asked: list[int] = []
    stack = ZStack(name="field", planes=pixels(2, 300, 280))
    field = field_of(stack)

    def read(t, z, rows, columns):
        window = field.read(t, z, rows, columns)
        asked.append(window.size)
        return window

    options = check_options(unet.config, tile=32)
    watched = dataclasses.replace(field, read=read)
    limit = 60 * 280
    plan = dataclasses.replace(plan_field(unet.config, watched, options), window=limit)
    normalization = measure(field, (0, 1), "auto")
    predict_into(lambda *_: None, unet, watched, plan, options, normalization)
    assert max(asked) <= limit
    # Few reads: tiles of a row of tiles come from one window.
    assert len(asked) == 2 * len(plan.tiles.rows)


def test_a_file_that_breaks_off_ends_the_prediction(unet, tmp_path):
    field = field_of(ZStack(name="field", planes=pixels(2, 60, 60)))

    def read(t, z, rows, columns):
        if rows.stop > 40:
            raise InputError("field: is truncated")
        return field.read(t, z, rows, columns)

    broken = dataclasses.replace(field, read=read)
    options = check_options(unet.config, tile=20)
    plan = dataclasses.replace(plan_field(unet.config, broken, options), window=1)
    normalization = measure(field, (0, 1), "auto")
    with pytest.raises(InputError, match="truncated"):
        predict_into(lambda *_: None, unet, broken, plan, options, normalization)


def test_a_full_disk_ends_the_prediction(unet):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    field = field_of(ZStack(name="field", planes=pixels(2, 60, 60)))
    options = check_options(unet.config, tile=20)
    plan = plan_field(unet.config, field, options)
    normalization = measure(field, (0, 1), "auto")
    with pytest.raises(OSError, match="No space left"):
        predict_into(full, unet, field, plan, options, normalization)


class Cramped(Model):
    """A model on a device with room for so many pixels at a time."""

    room = 0

    def statistics(self, batch, labels, names, shares=None):
        if batch.size // batch.shape[-1] > self.room:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory, as a test")
        return super().statistics(batch, labels, names, shares)


def cramped(model, room):
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    small = Cramped(**fields)
    object.__setattr__(small, "room", room)
    return small


def test_out_of_memory_halves_the_tiles_and_says_so(unet, caplog):
    stack = ZStack(name="field", planes=pixels(2, 200, 150))
    prediction = predict(cramped(unet, 60 * 60), stack, statistics=["mean"])
    rows, columns = prediction.tile_size
    assert rows * columns <= 60 * 60
    assert "field: out of memory with tiles that read" in caplog.text
    whole = predict(unet, stack, statistics=["mean"])
    np.testing.assert_allclose(prediction.statistics["mean"], whole.statistics["mean"], atol=2e-5)


def test_only_the_smallest_tile_fails(unet):
    stack = ZStack(name="field", planes=pixels(2, 50, 50))
    with pytest.raises(InputError, match="field: does not fit into memory, even in tiles"):
        predict(cramped(unet, 10), stack)


def test_other_errors_of_the_device_stay_errors(unet):
    class Broken(Cramped):
        def statistics(self, batch, labels, names, shares=None):
            raise jax.errors.JaxRuntimeError("INTERNAL: as a test")

    broken = Broken(**{f.name: getattr(unet, f.name) for f in dataclasses.fields(unet)})
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        predict(broken, ZStack(name="field", planes=pixels(2, 20, 20)))


def huge(*, planes=2, size=(50_000, 50_000), movie=1, pixel_size=None):
    """A field that is nowhere."""

    def nothing(*_):
        raise AssertionError("is not to be read")

    return TransmittedField(
        name="huge",
        shape=(movie, planes, *size),
        dtype=np.dtype(np.uint16),
        read=nothing,
        movie=movie > 1,
        pixel_size=pixel_size,
    )


def test_a_budget_bounds_batches_windows_and_what_is_held():
    model = random_model(UNetConfig(levels=3, width=32))
    options = check_options(model.config)
    plans = {
        budget: plan_field(model.config, huge(), options, budget=budget)
        for budget in (2**27, 2**29, 2**33)
    }
    reads = [plan.batch_reads for plan in plans.values()]
    assert reads == sorted(reads)
    assert reads[0] < reads[-1]
    free = plan_field(model.config, huge(), options)
    assert plans[2**33].batch_reads == free.batch_reads
    assert free.window is None
    for budget, plan in plans.items():
        assert plan.window is not None
        assert plan.window * 2 * 4 <= budget // 4
        assert plan.batch_reads * 33 * 32 <= budget // 2
        assert not plan.hold
    small = plan_field(model.config, huge(size=(500, 500)), options, budget=2**29)
    assert small.hold


@pytest.mark.parametrize(
    "architecture", [TowersConfig(base_depth=8), UNetConfig(levels=3, width=4)]
)
@pytest.mark.parametrize("size", [(1, 1), (8, 5), (8, 17), (25, 390), (400, 1001)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_plans_width_gives_the_same_tiles_again(architecture, size, turned):
    config = ModelConfig(
        name="plan", architecture=architecture, labels=LABELS, input=InputContract(planes=2)
    )
    field = huge(size=size)
    first = check_options(config, symmetries=turned)
    plan = plan_field(config, field, first)
    tile = width_of(config, first, plan)
    again = plan_field(config, field, check_options(config, symmetries=turned, tile=tile))
    assert again.tiles.tile_size == plan.tiles.tile_size
    assert len(again.tiles) == len(plan.tiles)


def test_too_small_a_budget_is_refused():
    model = random_model(UNetConfig(levels=3, width=32))
    with pytest.raises(InputError, match=r"huge: .* GiB of memory are too few .* give more with"):
        plan_field(model.config, huge(), check_options(model.config), budget=10**6)


def test_resampling_beyond_the_budget_is_refused():
    model = random_model(UNetConfig(levels=2, width=4), pixel_size=0.5)
    field = huge(pixel_size=PixelSize(y=0.4, x=0.4))
    options = check_options(model.config, resample=True)
    with pytest.raises(InputError, match="`resample` needs the image whole"):
        plan_field(model.config, field, options, budget=2**30)
    assert plan_field(model.config, field, options).fit.scale is not None


def test_smaller_tiles_read_less_until_there_are_none():
    model = random_model(UNetConfig(levels=2, width=4))
    field, options = huge(), check_options(model.config)
    plan, reads = plan_field(model.config, field, options), []
    while plan is not None:
        reads.append(plan.batch_reads)
        plan = smaller(model.config, field, options, plan)
    assert len(reads) > 5
    assert all(2 * after <= before for before, after in itertools.pairwise(reads))


def test_a_thinned_plane_is_what_a_step_gives(monkeypatch):
    monkeypatch.setattr("isl.labeling.run.stored.THINNED", 50)
    field = field_of(ZStack(name="field", planes=pixels(2, 700, 340)))
    thin = thinned_plane(field, 1, 10, (680, 320))
    step = thinning((680, 320))
    assert step == 14
    expected = field.read(0, 1, slice(10, 690), slice(10, 330))[::step, ::step]
    np.testing.assert_array_equal(thin, expected)
