"""Outcomes from tables, patients on one side, films changed in training."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from simulated_development import FILM, NETWORK, embryo_frames, film

from isl.calibration import fit_temperature
from isl.config import parse
from isl.data.splits import Split
from isl.errors import InputError
from isl.viability import key_frames
from isl.viability.films import network_input
from isl_train.recipe import Run
from isl_train.viability.augment import (
    augmented,
    cut_short,
    jittered,
    oriented,
    turned,
    with_frames_dropped,
)
from isl_train.viability.config import AugmentConfig, ViabilityExperiment
from isl_train.viability.ensemble import with_temperature
from isl_train.viability.ground import (
    Case,
    check_learnable,
    check_twins,
    load_cases,
    read_outcomes,
)
from isl_train.viability.recipe import RECIPE

HEADER = "recording,file,patient,split,heartbeat,euploid\n"
NOTHING = AugmentConfig(rotation=0, contrast=0, brightness=0, hours=0, dropped=0, cut=0)


def table(folder: Path, rows: str) -> Path:
    path = folder / "recordings.csv"
    path.write_text(HEADER + rows)
    return path


def test_outcomes_are_0_1_or_not_known(tmp_path: Path) -> None:
    rows = "a,a.mp4,p1,train,1,\nb,b.mp4,p2,test,0,1\n"
    dataset = read_outcomes(table(tmp_path, rows), ("heartbeat", "euploid"))
    known = [each.targets for each in dataset.examples]
    assert known == [{"heartbeat": 1}, {"heartbeat": 0, "euploid": 1}]
    assert [each.split for each in dataset.examples] == ["train", "test"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,a.mp4,p1,train,2,\n", "recording 'a' has '2' for 'heartbeat'; give 0, 1"),
        ("a,a.mp4,p1,train,yes,\n", "has 'yes' for 'heartbeat'"),
        (
            "a,a.mp4,p1,train,1,\nb,b.mp4,p1,test,0,\n",
            r"patient 'p1' stands on two sides of the splits \(a: train, b: test\)",
        ),
        ("a,a.mp4,p1,practice,1,\n", "is of split 'practice'"),
        ("a,a.mp4,,train,1,\n", "has no 'patient'"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_outcomes(table(tmp_path, rows), ("heartbeat", "euploid"))


def test_columns_that_are_missing(tmp_path: Path) -> None:
    path = table(tmp_path, "a,a.mp4,p1,train,1,\n")
    with pytest.raises(InputError, match="has no column 'blastocyst'"):
        read_outcomes(path, ("blastocyst",))
    with pytest.raises(InputError, match="has no column 'woman'"):
        read_outcomes(path, ("heartbeat",), patient="woman")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,a.mp4,p1,train,1,\nb,b.mp4,p2,train,1,\nc,c.mp4,p3,test,0,\n", "all outcomes 1"),
        ("a,a.mp4,p1,train,,1\n", "has no outcome for training"),
    ],
)
def test_nothing_to_tell_apart(tmp_path: Path, rows: str, message: str) -> None:
    path = table(tmp_path, rows)
    with pytest.raises(InputError, match=message):
        check_learnable(read_outcomes(path, ("heartbeat",)))


def test_key_frames_chosen_otherwise_are_made_anew(tmp_path: Path, monkeypatch) -> None:
    path = table(tmp_path, "a,a.mp4,p1,train,1,\nb,b.mp4,p2,test,0,\n")
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"1234")
    opened: list[str] = []

    def made(place, config):
        opened.append(place.name)
        return dataclasses.replace(film(ord(place.name)), name=place.name)

    monkeypatch.setattr("isl_train.viability.ground.open_recording", lambda place: place)
    monkeypatch.setattr("isl_train.viability.ground.make_key_film", made)

    def load(config):
        lines: list[str] = []
        cases = load_cases(path, ("heartbeat",), config, tmp_path / "kept", say=lines.append)
        assert [case.film.name for case in cases] == ["a", "b"]
        return lines

    assert len(load(FILM)) == 1
    load(FILM)
    assert opened == ["a", "b"]
    lines = load(FILM.model_copy(update={"key_frames": "uniform"}))
    assert opened == ["a", "b"] * 2
    assert "2 recordings' key frames" in lines[0]
    assert "made anew" in lines[0]
    (tmp_path / "a.mp4").write_bytes(b"another recording")
    load(FILM.model_copy(update={"key_frames": "uniform"}))
    assert opened == ["a", "b"] * 2 + ["a"]
    # Other pixels in as many bytes.
    (tmp_path / "b.mp4").write_bytes(b"4321")
    os.utime(tmp_path / "b.mp4", ns=(0, 0))
    opened.clear()
    lines = load(FILM.model_copy(update={"key_frames": "uniform"}))
    assert opened == ["b"]
    assert "1 recordings' key frames" in lines[0]
    opened.clear()
    monkeypatch.setattr("isl.viability.key_frames.WAY", key_frames.WAY + 1)
    lines = load(FILM.model_copy(update={"key_frames": "uniform"}))
    assert opened == ["a", "b"]
    assert "made anew" in lines[0]


def test_without_changes_a_film_is_what_the_network_takes() -> None:
    """But for its orientation: one of eight."""
    found = augmented(film(), FILM, NOTHING, np.random.default_rng(0))
    plain = network_input(film(), FILM)
    ways = [np.ascontiguousarray(oriented(plain[..., 0], n)) for n in range(8)]
    assert sum(np.allclose(found[..., 0], way, atol=1e-5) for way in ways) == 1
    np.testing.assert_array_equal(found[..., 1], plain[..., 1])


def test_eight_orientations_are_all_different() -> None:
    pictures = film().pictures
    seen = {oriented(pictures, number).tobytes() for number in range(8)}
    assert len(seen) == 8


def test_turned_by_a_quarter_is_rot90() -> None:
    pictures = film().pictures.astype(np.float32)
    np.testing.assert_allclose(turned(pictures, 0), pictures, atol=1e-3)
    quarter = turned(pictures, 90)
    ways = [np.rot90(pictures, turns, (1, 2)) for turns in (1, 3)]
    assert any(np.allclose(quarter, way, atol=0.1) for way in ways)


def test_hours_keep_their_order() -> None:
    hours = film().hours
    found = jittered(hours, 3.0, np.random.default_rng(0))
    assert np.all(np.diff(found) >= 0)
    assert np.any(found != hours)
    np.testing.assert_array_equal(jittered(hours, 0.0, np.random.default_rng(0)), hours)


def test_dropped_frames_are_the_one_before() -> None:
    pictures = film(count=8).pictures
    found = with_frames_dropped(pictures, 0.5, np.random.default_rng(1))
    changed = [t for t in range(8) if np.any(found[t] != pictures[t])]
    assert changed
    assert all(np.array_equal(found[t], found[t - 1]) for t in changed)


def test_films_cut_short_say_so() -> None:
    short = cut_short(film(), 60.0)
    assert short.hours.max() <= 60
    assert len(short.pictures) == len(short.hours) == len(short.why) < 8
    assert len(cut_short(film(), 0.0).pictures) == 1
    always = NOTHING.model_copy(update={"cut": 1.0})
    made = [augmented(film(), FILM, always, np.random.default_rng(seed)) for seed in range(20)]
    seen = [int((each[:, 0, 0, 1] >= 0).sum()) for each in made]
    assert min(seen) >= 2
    assert len(set(seen)) > 3


def test_temperature_is_that_of_least_cross_entropy() -> None:
    from isl.viability.model import TargetConfig

    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, 4000)
    truth = (rng.random(4000) < 1 / (1 + np.exp(-scores))).astype(int)
    # Three times too sure, and of some nobody knows the outcome.
    truth[::10] = -1
    patients = np.arange(4000) // 200
    found = with_temperature(TargetConfig(name="a"), 3 * scores, truth, patients)
    assert found.temperature == pytest.approx(3, rel=0.1)
    alike = with_temperature(TargetConfig(name="a"), scores, np.ones(4000, int), patients)
    assert alike.temperature == 1
    one = with_temperature(TargetConfig(name="a"), 3 * scores, truth, np.zeros(4000))
    assert one.temperature == 1


def test_temperature_of_a_few_is_refused_where_it_does_not_carry_over() -> None:
    """All of one patient are called rightly, all of the other wrongly: each misleads the other."""
    from isl.viability.model import TargetConfig

    scores = np.array([1.0, -1, 1, -1, 1, -1, 1])
    truth = np.array([1, 0, 1, 0, 0, 1, 0])
    patients = np.array(["a"] * 4 + ["b"] * 3)
    pairs = np.stack([np.zeros(7), scores], axis=1)
    assert fit_temperature(pairs, truth) > 1.2
    assert with_temperature(TargetConfig(name="a"), scores, truth, patients).temperature == 1


def test_one_film_under_two_names_is_found_by_its_content(tmp_path: Path) -> None:
    def case(name: str, split: Split, seed: int) -> Case:
        rng = np.random.default_rng(seed)
        own = dataclasses.replace(
            film(), name=name, pictures=rng.integers(0, 255, film().pictures.shape, np.uint8)
        )
        return Case(film=own, patient=name, split=split, outcomes=np.zeros(1), row={})

    said: list[str] = []
    path = tmp_path / "recordings.csv"
    check_twins([case("a", "train", 0), case("b", "validation", 1)], path, said.append)
    assert not said
    check_twins([case("a", "train", 0), case("b", "train", 0)], path, said.append)
    assert said == [f"{path}: 'a' and 'b' are the same film under two names"]
    with pytest.raises(InputError, match="'a' and 'b' are the same film, in train and test"):
        check_twins([case("a", "train", 0), case("b", "test", 0)], path, said.append)


def test_checking_reads_the_recordings_and_keeps_nothing(tmp_path: Path) -> None:
    rows = ""
    for number in range(4):
        folder = tmp_path / f"e{number}"
        folder.mkdir()
        for index, frame in enumerate(embryo_frames(np.arange(0, 120, 10.0), seed=number)):
            Image.fromarray(frame).save(folder / f"{index:03d}.png")
        side = "train" if number < 3 else "validation"
        rows += f"e{number},e{number},p{number},{side},{number % 2},0,600\n"
    header = "recording,file,patient,split,heartbeat,start_hours,interval_minutes\n"
    (tmp_path / "recordings.csv").write_text(header + rows)
    tables = {
        "task": "viability",
        "dataset": "recordings.csv",
        "targets": ["heartbeat"],
        "film": FILM.model_dump(),
        "network": NETWORK.model_dump(),
        "training": {"steps": 2, "batch_size": 2},
    }
    settings = parse(tables, ViabilityExperiment, source="test")
    said: list[str] = []
    run = Run(folder=tmp_path, workdir=tmp_path / "run", name="test", say=said.append)
    assert RECIPE.look is not None
    network, batch, *cost = RECIPE.look(settings, run)
    assert "train: 3 embryos of 3 patients (1/0/unknown: heartbeat 1/2/0)" in said[-1]
    assert "video_swin" in network
    assert "a batch of 2 drawn: " in batch
    assert any("FLOP" in line for line in cost)
    assert not run.workdir.exists()
    settings = settings.model_copy(update={"targets": ("absent",)})
    with pytest.raises(InputError, match="has no column 'absent'"):
        RECIPE.look(settings, run)
