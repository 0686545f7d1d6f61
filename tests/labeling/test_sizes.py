"""One pixel, one plane, one frame, sides below the receptive field, odd sides, 2^31 pixels."""

import numpy as np
import pytest
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.open_image import open_images
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field
from isl.labeling.source import field_of_picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of one plane; it looks further around than the smallest images reach."""
    folder = tmp_path_factory.mktemp("sizes") / "small"
    architecture = UNetConfig(levels=2, width=2)
    network = build_network(
        architecture, planes=1, labels=("A",), autoencode=False, rngs=nnx.Rngs(0)
    )
    contract = InputContract(planes=1, pixel_size=0.3)
    config = ModelConfig(name="small", labels=("A",), architecture=architecture, input=contract)
    save_model(folder, network, config, "# small\n")
    return load_model(folder)


def stack(*size):
    planes = np.random.default_rng(0).random((1, *size), np.float32)
    return ZStack(name="s", planes=planes, pixel_size=PixelSize(y=0.3, x=0.3))


@pytest.mark.parametrize("size", [(1, 33), (2, 2), (3, 5), (37, 41)])
def test_every_size_is_predicted_pixel_by_pixel(model, size):
    found = model.predict(stack(*size))
    assert found.statistics["median"].shape == (1, *size)
    assert np.isfinite(found.statistics["median"]).all()
    reflected = [warning for warning in found.warnings if "image reflected" in warning]
    assert bool(reflected) == (min(size) <= model.geometry.margin)


def test_one_pixel_shows_nothing(model):
    with pytest.raises(InputError, match=r"plane 0 is constant .* nothing to see"):
        model.predict(stack(1, 1))


def test_a_valid_border_that_leaves_nothing_is_refused(model):
    with pytest.raises(InputError, match="valid"):
        model.predict(stack(5, 7), border="valid")


def test_odd_tiles_of_an_odd_image_are_those_of_the_whole(model):
    image = stack(61, 47)
    whole = model.predict(image, statistics=("mean",)).statistics["mean"]
    tiled = model.predict(image, statistics=("mean",), tile=32).statistics["mean"]
    np.testing.assert_allclose(tiled, whole, atol=2e-6)


def test_a_movie_of_one_frame_is_a_movie(model):
    frames = stack(20, 21).planes[None]
    found = model.predict(Movie(name="m", frames=frames), pixel_size=0.3).statistics["median"]
    assert found.shape == (1, 1, 20, 21)
    np.testing.assert_array_equal(found[0], model.predict(stack(20, 21)).statistics["median"])


def test_another_pixel_size_of_an_odd_image_comes_back_in_its_own(model):
    found = model.predict(stack(33, 27), pixel_size=0.5, resample=True)
    assert found.statistics["median"].shape == (1, 33, 27)


def test_more_than_2_31_pixels_are_opened_planned_and_read_by_windows(model, tmp_path):
    """A sparse file of 50,000 x 50,000 pixels of which few are written."""
    path, side = tmp_path / "large.tif", 50_000
    stored = tifffile.memmap(
        path, shape=(side, side), dtype=np.uint8, photometric="minisblack", metadata=None
    )
    stored[-3:, -4:] = np.arange(12).reshape(3, 4)
    stored.flush()
    del stored
    assert path.stat().st_blocks * 512 < 2**24, "the disk holds no sparse files"
    (opened,) = open_images(path)
    with opened as picture:
        assert picture.shape == (1, 1, 1, side, side)
        corner = picture.read(rows=slice(side - 3, side), columns=slice(side - 4, side))
        np.testing.assert_array_equal(corner, np.arange(12).reshape(3, 4))
        options = check_options(model.config)
        plan = plan_field(model.config, field_of_picture(picture, 0), options, budget=2**31)
        width = plan.tiles.tile_size[0] - 2 * model.geometry.margin
        assert plan.total * width**2 >= side**2
        assert plan.window < side**2
        # Held whole it would not fit.
        assert not plan.hold
