"""`check` finds what is wrong with tiles, and says nothing is where nothing is."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from isl.backbones.unet import UNetConfig
from isl.labeling import plan as planning
from isl.labeling.check import PART, check, part_to_check, seam_score
from isl.labeling.model import Model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.options import check_options

ARCHITECTURE = UNetConfig(levels=3)
STEP = ARCHITECTURE.geometry.step
LABELS = ("DAPI", "MAP2")


class Local(nnx.Module):
    """Gives a pixel's own intensity, plus `grid` times its place in a cell of the grid."""

    def __init__(self, grid=0.0):
        self.geometry = ARCHITECTURE.geometry
        self.grid = grid

    def embed(self, transmitted):
        margin, step = self.geometry.margin, self.geometry.step
        inside = transmitted[:, margin:-margin, margin:-margin, :1]
        rows = np.arange(inside.shape[1], dtype=np.float32) % step / step
        return inside * (1 - self.grid) + self.grid * rows.reshape(1, -1, 1, 1)

    def label_logits(self, embedding, labels):
        sharp = -1e5 * jnp.square(
            embedding - jnp.linspace(0, 1, 256).reshape(*(1,) * (embedding.ndim - 1), -1)
        )
        return jnp.stack([jax.nn.log_softmax(sharp)] * len(labels), axis=-2)


def model_of(network):
    config = ModelConfig(
        name="local",
        architecture=ARCHITECTURE,
        labels=LABELS,
        input=InputContract(planes=2, normalization="off"),
    )
    return Model(config=config, card="", directory=Path("local"), network=network)


def checked(network, size=(53, 70), **options):
    model = model_of(network)
    planes = np.random.default_rng(0).integers(0, 256, (2, *size)).astype(np.float32) / 255
    return check(model, planes, check_options(model.config, **options), budget=2**30)


@pytest.fixture
def narrow(monkeypatch):
    """Tiles as wide as the image's first tile would be in a large image."""
    monkeypatch.setitem(planning.AUTO_TILE, "cpu", 36)
    monkeypatch.setattr(planning, "_MARGINS", 1)


def test_a_network_that_sees_one_pixel_differs_nowhere():
    found = checked(Local(), size=(53, 70))
    assert (found.size, found.step) == ((53, 70), STEP)
    assert found.passed
    assert found.largest == 0
    assert [tiling.tiles for tiling in found.tilings] == [(1, 1), (2, 2), (3, 3)]
    assert found.tilings[0].seams is None
    for tiling in found.tilings[1:]:
        assert tiling.medians == 0
        assert tiling.seams == tiling.seams_without == pytest.approx(1, abs=0.3)
    assert list(found.shifts) == [1, 2, 3]
    assert len(found.turns) == 7
    for agreements in (*found.shifts.values(), *found.turns.values()):
        assert [one.label for one in agreements] == list(LABELS)
        for one in agreements:
            assert (one.mean, one.largest) == (0, 0)
            assert one.pearson == pytest.approx(1)


def test_a_grid_in_the_image_is_told_from_seams():
    found = checked(Local(grid=0.5))
    assert found.passed
    assert found.largest == 0
    for tiling in found.tilings[1:]:
        assert tiling.seams == tiling.seams_without == pytest.approx(1, abs=0.3)
    # Rows of a cell have 0, 1/8, 2/8, 3/8 more: moved by one, three differ by 1/8, one by 3/8.
    assert found.shifts[1][0].mean == pytest.approx((3 / 8 + 3 * 1 / 8) / 4, abs=0.01)
    assert found.shifts[2][0].mean == pytest.approx(2 / 8, abs=0.01)
    assert found.turns["left to right"][0].mean == 0
    # Of 53 rows, turned upside down, pixel y has the place of 52 - y, and 52 is a multiple of 4.
    places = np.arange(53)
    expected = np.abs(places % 4 - (52 - places) % 4).mean() / 8
    assert found.turns["upside down"][0].mean == pytest.approx(expected, abs=0.01)
    # Averaged over the symmetries, nothing of that is left.
    symmetric = checked(Local(grid=0.5), symmetries=True)
    assert symmetric.passed
    for agreements in symmetric.turns.values():
        assert max(one.mean for one in agreements) < 1e-6


def test_tiles_that_begin_ever_later_are_found(monkeypatch):
    plan_tiles = planning.plan_tiles

    def late(*given, **options):
        tiles = plan_tiles(*given, **options)
        columns = tuple(
            dataclasses.replace(strip, read=strip.read + place)
            for place, strip in enumerate(tiles.columns)
        )
        return dataclasses.replace(tiles, columns=columns)

    monkeypatch.setattr(planning, "plan_tiles", late)
    ramp = np.broadcast_to(np.arange(70, dtype=np.float32) / 255, (2, 53, 70)).copy()
    model = model_of(Local())
    found = check(model, ramp, check_options(model.config), budget=2**30)
    assert not found.passed
    # The third tile begins two pixels late.
    assert found.largest == pytest.approx(2 / 255, rel=1e-3)
    for tiling in found.tilings[1:]:
        assert tiling.seams == pytest.approx(2, rel=1e-3)
        assert tiling.seams_without == pytest.approx(1, rel=1e-3)
        assert tiling.medians > 0.3


def test_a_margin_that_is_wrong_for_every_tile_shows_when_the_image_is_turned(monkeypatch):
    plan_tiles = planning.plan_tiles

    def wrong(*given, **options):
        tiles = plan_tiles(*given, **options)
        rows = tuple(dataclasses.replace(strip, read=strip.read + 1) for strip in tiles.rows)
        return dataclasses.replace(tiles, rows=rows)

    monkeypatch.setattr(planning, "plan_tiles", wrong)
    found = checked(Local())
    assert found.largest == 0
    assert found.turns["upside down"][0].mean > 0.1
    assert abs(found.turns["upside down"][0].pearson) < 0.1
    assert found.turns["left to right"][0].mean == 0


def test_a_border_that_is_not_seen_is_found(narrow, monkeypatch):
    class Blurred(Local):
        """Sees as far as its margin says."""

        def embed(self, transmitted):
            width = 2 * self.geometry.margin + 1
            window = (1, width, width, 1)
            total = jax.lax.reduce_window(
                transmitted[..., :1], 0.0, jax.lax.add, window, (1, 1, 1, 1), "VALID"
            )
            return total / width**2

    assert checked(Blurred()).largest < 1e-4
    read = planning.TilePlan.read

    def short_sighted(tiles, *given):
        seen = read(tiles, *given).copy()
        seen[:4], seen[-4:] = 0, 0
        return seen

    monkeypatch.setattr(planning.TilePlan, "read", short_sighted)
    found = checked(Blurred())
    assert not found.passed
    assert found.largest > 0.01


def test_constant_predictions_have_no_correlation():
    class Constant(Local):
        def embed(self, transmitted):
            return 0 * super().embed(transmitted)

    found = checked(Constant(), size=(21, 30))
    assert found.passed
    assert {one.pearson for one in found.turns["diagonal"]} == {None}
    assert [tiling.seams for tiling in found.tilings[1:]] == [None] * (len(found.tilings) - 1)


def test_images_smaller_than_a_tile_have_one_tiling():
    found = checked(Local(), size=(4, 3))
    assert [tiling.tiles for tiling in found.tilings] == [(1, 1)]
    assert found.passed


def test_seams_are_gradients_relative_to_others_on_the_grid():
    ramp = np.tile(np.arange(41, dtype=np.float32), (3, 41, 1))
    ramp += 7 * (np.arange(41) % 4 == 3)
    ramp[..., 20:] += 5
    # Across multiples of 4 the gradient is 1 - 7, and across column 20 it is 1 - 7 + 5.
    assert seam_score(ramp, (set(), {20}), 4) == pytest.approx(1 / 6)
    assert seam_score(ramp, (set(), {24}), 4) == pytest.approx(6 / ((6 * 8 + 1) / 9))
    # Rows all are alike, so a border between them adds nothing to either.
    assert seam_score(ramp, ({8}, {20}), 4) == pytest.approx(1 / 6)
    assert seam_score(ramp, (set(), set()), 4) is None
    assert seam_score(np.zeros((1, 9, 9), np.float32), ({4}, {4}), 2) is None


@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    step=st.sampled_from([1, 4, 16, 32]),
)
def test_the_part_is_the_middle_and_fits_the_grid(size, step):
    parts = part_to_check(size, step)
    if size[0] * size[1] <= PART:
        assert parts == (slice(0, size[0]), slice(0, size[1]))
        return
    widths = [part.stop - part.start for part in parts]
    assert widths[0] * widths[1] <= PART
    # Less than a step is lost of each width, which of a narrow image is much of it.
    assert (widths[0] + step - 1) * (widths[1] + step - 1) >= 0.7 * PART
    for part, width, n in zip(parts, widths, size, strict=True):
        assert abs(part.start - (n - part.stop)) <= 1
        assert part.start >= 0
        assert width % step == 1 % step or width == n < step
