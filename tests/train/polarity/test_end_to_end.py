"""The onset's loss reaches the network of EZRIN, and nothing is done twice."""

import csv
import shutil
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from simulated_embryos import write_embryos

from isl.config import load_toml
from isl.errors import InputError
from isl.labeling.model import load_model
from isl.model_folder import WEIGHTS_FILE
from isl.polarity.model import load_polarity_model, seen_by
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.end_to_end import OnsetFrames, viewed
from isl_train.polarity.ensemble import train_polarity

POLARITY = """
task = "polarity"
dataset = "manifest.toml"
arm = "ezrin"
symmetries = false
[ezrin]
experiment = "ezrin.toml"
share = 0.3
[backbone]
kind = "pretrained"
looks = [{ stride = 8, pool = "mean" }]
[sight]
size = 32
window = 1.0
centred = false
[end_to_end]
weight = 20.0
length = 15.0
rate = 10.0
batch_size = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Embryos whose DIC shows after the onset what Ezrin does."""
    folder = tmp_path_factory.mktemp("chain")
    write_embryos(folder, {name: (0, 0, 1, 1) for name in "ABCD"})
    for name in "ABCD":
        for t in (7, 8):
            shutil.copy(folder / "ezrin" / name / f"t{t}.png", folder / "dic" / name / f"t{t}.png")
    (folder / "polarity.toml").write_text(POLARITY, encoding="utf-8")
    return folder


def settings(folder, *changes):
    return load_toml(folder / "polarity.toml", PolarityExperiment, changes)


@pytest.fixture(scope="module")
def trained(folder):
    """The folder of a run."""
    run = folder / "run"
    train_polarity(settings(folder), folder, run, name="whole", say=lambda line: None)
    return run


def test_the_network_of_ezrin_learns_what_tells_the_onset(trained):
    """The members stay as they were fitted, so that it is the network that learns."""
    with (trained / "end_to_end" / "training.csv").open(newline="") as file:
        onset = [float(row["onset"]) for row in csv.DictReader(file)]
    assert len(onset) == 30
    assert np.mean(onset[-5:]) < np.mean(onset[:5]) - 0.02


def test_the_finished_model_predicts_with_that_network_and_whom_it_learned_from(trained):
    model = load_polarity_model(trained / "model")
    assert model.ezrin_model().hash == load_model(trained / "end_to_end" / "model").hash
    assert model.ezrin_model().config.trained_on == ("A",)
    assert model.config.embryos == ("B", "C", "D")


def test_what_is_done_is_kept(folder, trained):
    weights = trained / "end_to_end" / "model" / WEIGHTS_FILE
    before = weights.stat().st_mtime_ns
    train_polarity(settings(folder), folder, trained, name="whole", say=lambda line: None)
    assert weights.stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["end_to_end.weight=1.0", "end_to_end.rate=1.0", "penalty=1.0"])
def test_a_network_of_other_settings_is_not_taken_for_this_one(folder, trained, change):
    with pytest.raises(InputError, match="end_to_end: "):
        train_polarity(
            settings(folder, change), folder, trained, name="whole", say=lambda line: None
        )


def test_frames_that_are_not_square_are_refused(folder):
    frames = np.zeros((2, 8, 12), np.float32)
    embryo = SimpleNamespace(dic=frames, pixel_size=None)
    with pytest.raises(InputError, match="8 x 12 pixels"):
        OnsetFrames(settings(folder), [embryo], {}, None)


@pytest.mark.parametrize("size", [(48, 48), (64, 64)])
def test_members_see_within_a_program_what_they_see_of_arrays(folder, size):
    ezrin = np.random.default_rng(0).random((2, *size)).astype(np.float32)
    look = settings(folder, "sight.size=56").look_at([])
    expected = seen_by(look, ezrin, ezrin, ezrin)[..., 0]
    found = np.asarray(viewed(jnp.asarray(ezrin), 56))
    # Made smaller, pixels at the border mix with what is mirrored beyond it, or do not.
    inside = slice(2, -2)
    np.testing.assert_allclose(found[:, inside, inside], expected[:, inside, inside], atol=2e-3)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        (("arm=dic",), "an arm with predicted EZRIN"),
        (("sight.window=0.5",), r"sight.window = 1.0"),
    ],
)
def test_what_it_cannot_do_is_refused(folder, changes, needed):
    with pytest.raises(InputError, match=f"end_to_end needs {needed}"):
        settings(folder, *changes)
