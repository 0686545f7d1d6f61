"""The embryo found and followed, key frames cut out and kept."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from simulated_development import FILM, embryo_frames, film, recording

from isl.errors import InputError
from isl.phantom.development.look import draw_look, middle_of
from isl.viability.films import FilmConfig, load_key_film, network_input, save_key_film
from isl.viability.finding import Disc, cut_out, find_embryos, follow, one_embryo
from isl.viability.key_frames import METHODS, Frames, Method, choose_key_frames
from isl.viability.measures import change, is_usable, measure_sharpness
from isl.viability.recording import WHOLE_FRAME, Recording
from isl.viability.survey import key_film, survey

HOURS = np.linspace(2, 119, 16)


def test_embryo_is_found_in_its_middle() -> None:
    rng_seed = 3
    frames = embryo_frames(HOURS, seed=rng_seed)
    (disc,) = find_embryos(frames[::2])
    assert disc.y == pytest.approx(31.5, abs=4)
    assert disc.x == pytest.approx(31.5, abs=4)
    # The cytoplasm is 0.88 of the zona's inside, which is 0.27 to 0.31 of the picture.
    assert 0.7 * 0.54 * 64 < disc.diameter < 1.25 * 0.62 * 64


def test_middle_wanders_within_bounds() -> None:
    look = draw_look(np.random.default_rng(0))
    places = np.array([middle_of(look, hour, 64) for hour in HOURS])
    assert np.abs(places - 31.5).max() <= look.wander * 64 + 1e-9


def test_a_shining_wall_in_the_dark_is_no_embryo() -> None:
    """As a lamp shows it that lights the well alone; the embryo lies near the wall."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    away = np.hypot(y - 100, x - 100)
    frame = np.where(away < 85, 90.0, 3.0) + 130 * np.exp(-np.square((away - 83) / 5))
    grains = [ndimage.gaussian_filter(rng.normal(size=frame.shape), 1) for _ in range(2)]
    frame += np.where(np.hypot(y - 100, x - 122) < 45, 20 * grains[0], 0)
    (found,) = find_embryos(np.clip(frame * (1 + 0.04 * grains[1]), 0, 255)[None])
    assert np.hypot(found.y - 100, found.x - 122) < 10
    assert found.diameter == pytest.approx(90, rel=0.15)


def test_an_embryo_that_fills_the_picture_is_not_looked_for() -> None:
    frames = embryo_frames(HOURS)
    made = recording(frames, HOURS)
    place = dataclasses.replace(made.place, embryo=WHOLE_FRAME)
    seen = survey(dataclasses.replace(made, place=place), FILM)
    size = FILM.size
    shrunk = Image.fromarray(frames[3]).resize((size, size), Image.Resampling.BOX)
    np.testing.assert_allclose(seen.cut_outs[3], np.asarray(shrunk), atol=1)


def test_empty_well() -> None:
    rng = np.random.default_rng(0)
    empty = 128 + rng.normal(0, 4, (4, 64, 64))
    with pytest.raises(InputError, match="no embryo found"):
        one_embryo(find_embryos(empty), source="a.mp4")


def test_two_embryos_are_asked_about() -> None:
    one, other = (embryo_frames(HOURS[::4], seed=seed) for seed in (0, 1))
    both = find_embryos(np.concatenate([one, other], axis=2))
    with pytest.raises(InputError, match=r"2 embryos found \(1: row .* `embryo`"):
        one_embryo(both)
    places = sorted(one_embryo(both, which=which).x for which in (1, 2))
    assert places == pytest.approx([31.5, 95.5], abs=5)
    with pytest.raises(InputError, match="there is no embryo 3"):
        one_embryo(both, which=3)


def test_cut_out_beyond_the_border_repeats_it() -> None:
    frame = np.tile(np.arange(32, dtype=np.uint8), (32, 1))
    made = cut_out(frame, Disc(y=16, x=0, diameter=20), 31)
    assert made.shape == (31, 31)
    assert np.all(made[:, :15] <= 1)
    # Half of 1.32 diameters beyond the middle.
    assert made[0, -1] == pytest.approx(12.5, abs=1)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (np.zeros((32, 32), np.uint8), False),
        (np.full((32, 32), 255, np.uint8), False),
        (np.full((32, 32), 128, np.uint8), False),
        (embryo_frames(HOURS[:1])[0], True),
    ],
)
def test_blank_and_badly_exposed_frames(frame: np.ndarray, expected: bool) -> None:
    assert is_usable(frame) == expected


def test_change_does_not_see_a_step_aside_or_light() -> None:
    picture = embryo_frames(HOURS[8:9], size=96)[0]
    moved = np.roll(picture, 4, axis=1)
    assert change(picture, picture) == pytest.approx(0, abs=1e-5)
    assert change(picture, moved) < 0.02
    assert change(picture, (picture // 2 + 40).astype(np.uint8)) < 0.02
    assert change(picture, embryo_frames(HOURS[8:9], seed=5, size=96)[0]) > 0.1


def test_survey_finds_blanks_and_key_frames_leave_them() -> None:
    frames = embryo_frames(HOURS)
    frames[[0, 5]] = 0
    surveyed = survey(recording(frames, HOURS), FILM)
    assert surveyed.blank == (0, 5)
    made = key_film(surveyed, FILM, source="abc")
    assert made.pictures.shape == (8, 24, 24)
    assert not {0, 5} & set(made.indices.tolist())
    kept = surveyed.cut_outs[np.searchsorted(surveyed.indices, made.indices)]
    np.testing.assert_array_equal(made.pictures, kept)


def read_through(seen: Recording, config: FilmConfig, method: Method) -> tuple[list[int], list]:
    """Key frames and their pictures, as whoever follows and measures every frame has them."""
    frames = [seen.read(t) for t in range(len(seen))]
    usable = np.array([is_usable(frame) for frame in frames])
    looks = np.unique(np.linspace(0, len(frames) - 1, 9).round().astype(int))
    disc = one_embryo(find_embryos(np.stack([frames[t] for t in looks if usable[t]])))
    pictures, sharp, changes = [], [], []
    before, steps = None, np.diff(seen.hours).mean() / 2.5
    for t, frame in enumerate(frames):
        if usable[t]:
            found = follow(frame, disc)
            disc = Disc(
                y=found.y + 0.5**steps * (disc.y - found.y),
                x=found.x + 0.5**steps * (disc.x - found.x),
                diameter=found.diameter + 0.9**steps * (disc.diameter - found.diameter),
            )
        pictures.append(cut_out(frame, disc, config.size))
        sharp.append(measure_sharpness(pictures[-1]))
        was = None if before is None else cut_out(before, disc, config.size)
        changes.append(0.0 if was is None or not usable[t] else change(was, pictures[-1]))
        before = frame if usable[t] else before
    known = Frames(
        hours=seen.hours, sharpness=np.array(sharp), usable=usable, change=np.array(changes)
    )
    chosen = choose_key_frames(method, known, config.window_hours, config.count)
    return [each.index for each in chosen], [pictures[each.index] for each in chosen]


@pytest.mark.parametrize("method", METHODS)
def test_where_every_frame_is_looked_at_all_is_as_if_read_through(method: Method) -> None:
    frames = embryo_frames(HOURS, seed=2)
    frames[[3, 8]] = 255
    config = FILM.model_copy(update={"key_frames": method, "count": 12})
    made = key_film(survey(recording(frames, HOURS), config), config)
    indices, pictures = read_through(recording(frames, HOURS), config, method)
    assert made.indices.tolist() == indices
    if method != "uniform":
        np.testing.assert_array_equal(made.pictures, pictures)


@pytest.mark.parametrize(("method", "most"), [("uniform", 8), ("sharpest", 16), ("events", 16)])
def test_of_a_long_recording_few_frames_are_read(method: Method, most: int) -> None:
    """Those that key frames come from, the ends, and some to find the embryo in."""
    hours = np.linspace(0, 120, 400)
    frames = np.repeat(embryo_frames(np.linspace(2, 119, 40)), 10, axis=0)
    asked: list[int] = []

    def read(t: int) -> np.ndarray:
        asked.append(t)
        return frames[t]

    config = FILM.model_copy(update={"key_frames": method})
    seen = dataclasses.replace(recording(frames, hours), read=read)
    made = key_film(survey(seen, config), config)
    assert len(asked) <= most + 2 + 9
    if method == "uniform":
        every = [int(np.argmin(np.abs(hours - 15 * (n + 0.5)))) for n in range(8)]
        assert made.indices.tolist() == every


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_asking_anew_where_the_embryo_is_is_no_event(seed: int) -> None:
    """It is followed in every second frame that is looked at, which changes as much as others."""
    hours = np.linspace(0.5, 119.5, 240)
    config = FILM.model_copy(update={"key_frames": "events", "count": 16})
    seen = survey(recording(embryo_frames(hours, seed=seed), hours), config)
    assert len(seen.indices) == 32
    assert seen.frames.change is not None
    assert np.median(seen.frames.change[2::2]) < 2 * np.median(seen.frames.change[1::2])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_size_follows_by_hours_and_not_by_looks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blastocyst is cut out as large, however many of a recording's frames are looked at."""
    asked: list[Disc] = []

    def noted(frame: np.ndarray, disc: Disc, size: int) -> np.ndarray:
        asked.append(disc)
        return cut_out(frame, disc, size)

    monkeypatch.setattr("isl.viability.survey.cut_out", noted)
    hours = 2 + np.arange(192) * 0.625
    frames = embryo_frames(hours, seed=seed)
    config = FILM.model_copy(update={"count": 48})
    last = []
    for every in (4, 1):
        survey(recording(frames[::every], hours[::every]), config)
        last.append(asked[-1].diameter)
    assert len(asked) == 48 + 95
    assert last[1] == pytest.approx(last[0], rel=0.03)


def test_few_key_frames_find_the_embryo_by_as_many_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def noted(frames: np.ndarray) -> tuple[Disc, ...]:
        looked.append(len(frames))
        return find_embryos(frames)

    monkeypatch.setattr("isl.viability.survey.find_embryos", noted)
    config = FILM.model_copy(update={"key_frames": "uniform", "count": 2})
    assert len(survey(recording(embryo_frames(HOURS), HOURS), config).indices) == 2
    assert looked == [9]


def test_until_an_hour_nothing_later_is_seen() -> None:
    surveyed = survey(recording(embryo_frames(HOURS), HOURS), FILM)
    made = key_film(surveyed, FILM, until=60.0)
    assert len(made.pictures) == 4
    assert made.hours.max() <= 60


def test_short_recordings_are_refused_with_their_hours() -> None:
    short = recording(embryo_frames(HOURS)[:10], HOURS[:10])
    with pytest.raises(InputError, match=r"has 2 to 72\.2 h, which is 59% .* 80% are needed"):
        survey(short, FILM)
    assert survey(short, FILM.model_copy(update={"least_covered": 0.5})).covered < 0.6


def test_all_frames_blank() -> None:
    with pytest.raises(InputError, match="has no usable frame"):
        survey(recording(np.zeros((4, 32, 32), np.uint8), HOURS[:4]), FILM)


def test_kept_key_frames_come_back(tmp_path: Path) -> None:
    made = dataclasses.replace(film(), source="abc", why=("event", *["sharpest"] * 7))
    save_key_film(tmp_path / "a.npz", made)
    again = load_key_film(tmp_path / "a.npz")
    for name in ("pictures", "hours", "indices"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert (again.name, again.why, again.source) == (made.name, made.why, made.source)
    (tmp_path / "b.npz").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be read as key frames"):
        load_key_film(tmp_path / "b.npz")


def test_network_input_is_standardized_and_says_what_is_not_seen() -> None:
    short = dataclasses.replace(film(), pictures=film().pictures[:5], hours=film().hours[:5])
    made = network_input(short, FILM)
    assert made.shape == (8, 24, 24, 2)
    assert made[:5, ..., 0].mean() == pytest.approx(0, abs=1e-4)
    assert made[:5, ..., 0].std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(made[5:, ..., 0], 0)
    np.testing.assert_array_equal(made[5:, ..., 1], -1)
    np.testing.assert_allclose(made[:5, 3, 3, 1], short.hours / 120)


def test_window_is_one() -> None:
    with pytest.raises(ValueError, match="give a first and a later hour"):
        FilmConfig(window_hours=(5.0, 5.0))
