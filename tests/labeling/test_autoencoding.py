"""The autoencoding heads' loss, and what it adds to familiarity."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.imaging.image import ZStack
from isl.imaging.normalize import measure_plane
from isl.labeling.autoencoding import plane_loss
from isl.labeling.familiarity import LearnedField, learn_familiarity, look_at, unfamiliarity
from isl.labeling.network import build_network
from isl.labeling.source import field_of


def network(*, planes: int = 2, autoencode: bool = True):
    """Whatever it sees, it says uniform distributions."""
    built = build_network(
        UNetConfig(levels=2, width=2),
        planes=planes,
        labels=("NUCLEI",),
        autoencode=autoencode,
        rngs=nnx.Rngs(0),
    )
    for head in built.plane_heads:
        head.linear.kernel[...] = jnp.zeros_like(head.linear.kernel[...])
    built.eval()
    return built


def test_a_network_without_such_heads_has_no_loss():
    assert plane_loss(network(autoencode=False)) is None


def test_uniform_distributions_lose_what_a_slow_sum_says():
    built = network()
    loss = plane_loss(built)
    assert loss.width == built.geometry.input_size(32)
    planes = np.random.default_rng(0).random((2, loss.width, loss.width), np.float32)
    margin = built.geometry.margin
    bins = np.round(planes[:, margin:-margin, margin:-margin] * 255)
    cumulated = np.arange(1, 257) / 256
    scores = [np.mean((cumulated - (np.arange(256) >= true)) ** 2) for true in bins.ravel()]
    assert loss(planes) == pytest.approx(np.log(np.mean(scores)), abs=1e-4)


def test_planes_are_compared_with_the_middle_of_what_was_read():
    built = network()
    for head, known in zip(built.plane_heads, (51, 204), strict=True):
        head.linear.bias[...] = jnp.zeros(256).at[known].set(30.0)
    loss = plane_loss(built)
    planes = np.random.default_rng(0).random((2, loss.width, loss.width), np.float32)
    margin = built.geometry.margin
    planes[0, margin:-margin, margin:-margin] = 0.2
    planes[1, margin:-margin, margin:-margin] = 0.8
    assert loss(planes) < np.log(1e-8)
    # One plane of the two is not what its head says, by 153 bins.
    planes[1] = 0.2
    assert loss(planes) == pytest.approx(np.log(153 / 256 / 2), abs=1e-5)


def ground(seed: int) -> np.ndarray:
    """Bright blobs, float32 [1, 256, 256] in [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=(256, 256))
    blobs = scipy.ndimage.gaussian_filter(noise, 2, mode="wrap") ** 2
    return (blobs / blobs.max()).astype(np.float32)[None]


@dataclasses.dataclass
class Brightness:
    """A stand-in that loses a place's mean, and remembers what it saw."""

    width: int = 40

    def __post_init__(self):
        self.seen: list[np.ndarray] = []

    def __call__(self, planes: np.ndarray) -> float:
        assert planes.shape[1:] == (self.width, self.width)
        self.seen.append(planes)
        return float(planes.mean())


def learned(loss):
    fields = [
        LearnedField(group="a", transmitted=ground(0), usable=np.ones((256, 256), bool)),
        LearnedField(group="b", transmitted=ground(1), usable=np.ones((256, 256), bool)),
    ]
    return learn_familiarity(fields, loss)


def test_the_loss_is_one_more_statistic():
    without, with_loss = learned(None), learned(Brightness())
    assert without.autoencoding is None
    assert with_loss.statistics == without.statistics
    mean, deviation = with_loss.autoencoding
    assert mean == pytest.approx((ground(0).mean() + ground(1).mean()) / 2, rel=0.1)
    assert 0 < deviation < 0.03
    crops = [ground(2)[:, y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128)]
    known = unfamiliarity(with_loss, crops, [mean])
    assert known.deviations["autoencoding loss"] == pytest.approx(0, abs=1e-6)
    assert not known.unlike
    strange = unfamiliarity(with_loss, crops, [mean + 1.0])
    assert strange.unlike
    # Of one place nothing averages out; 0.15 is what fields of one kind may differ by.
    expected = 1 / np.hypot(deviation, 0.15)
    assert strange.deviations["autoencoding loss"] == pytest.approx(expected, rel=1e-3)
    assert strange.reason.startswith("autoencoding loss is ")
    assert "autoencoding loss" not in unfamiliarity(without, crops, [1.0]).deviations


def test_fields_asked_in_one_place_are_asked_in_different_ones(monkeypatch):
    monkeypatch.setattr("isl.labeling.familiarity._TRAINING_LOSSES", 2)
    loss = Brightness()
    learned(loss)
    first, second = loss.seen
    assert np.array_equal(first[0], ground(0)[0, 44:84, 44:84])
    assert np.array_equal(second[0], ground(1)[0, 44:84, 108:148])


def test_a_field_is_asked_in_nine_places_within_it():
    familiarity, loss = learned(Brightness()), Brightness()
    stored = ground(3)
    records = [measure_plane(stored[0].__getitem__, (256, 256), "off", plane=0)]
    field = field_of(ZStack(name="a", planes=stored))
    look_at(familiarity, field, records, plane_loss=loss)
    assert len(loss.seen) == 4  # There are but four crops of 128 pixels.
    assert np.array_equal(loss.seen[0][0], stored[0, 44:84, 44:84])
    look_at(learned(None), field, records, plane_loss=loss)
    assert len(loss.seen) == 4
    # A network that reads more than the field is not asked.
    found = look_at(familiarity, field, records, plane_loss=Brightness(width=300))
    assert "autoencoding loss" not in found.deviations
