"""Real time-lapses: embryos are found and followed, and an event that happened is a key frame."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from isl.viability.films import FilmConfig
from isl.viability.recording import WHOLE_FRAME, Place, Recording, open_recording
from isl.viability.survey import key_film, survey

# The frame in which the zebrafish embryo died, from 0, by outcomes.csv.
WRITTEN_DOWN = 69


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("ISL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail("set ISL_DATA to the folder of real images")
    return Path(folder)


def some(recording: Recording, frames: range) -> Recording:
    """A recording of some of the frames."""
    return dataclasses.replace(
        recording,
        frame_names=tuple(recording.frame_names[t] for t in frames),
        hours=recording.hours[np.array(frames)],
        read=lambda t: recording.read(frames[t]),
    )


@pytest.mark.parametrize(("name", "frames"), [("AA83-7", 285), ("AB028-6", 291)])
def test_human_embryos_are_found_in_their_wells(data: Path, name: str, frames: int) -> None:
    """Frames in their numbers' order; one disc of an embryo's size in the well's middle."""
    place = Place(name=name, path=data / "gomez" / name, start=0.0, interval=15.0)
    recording = open_recording(place)
    numbers = [int(file.rpartition("RUN")[2].partition(".")[0]) for file in recording.frame_names]
    assert len(numbers) == frames
    assert numbers == sorted(numbers)
    every = some(recording, range(20, frames, 30))
    config = FilmConfig(window_hours=(0.0, 72.0), count=4, size=64, least_covered=0.5)
    seen = survey(every, config)
    assert np.hypot(seen.disc.y - 250, seen.disc.x - 250) < 75
    assert 150 < seen.disc.diameter < 350
    assert len(key_film(seen, config).pictures) == 4


def test_death_of_a_zebrafish_embryo_is_a_key_frame(data: Path) -> None:
    """It collapses in frames 64 to 66, as is to be seen; five frames later it is written down."""
    path = data / "embryonet" / "zebrafish_08.tif"
    whole = open_recording(Place(name="08", path=path, start=0.0, interval=6.0, embryo=WHOLE_FRAME))
    assert len(whole) == 240
    first = WRITTEN_DOWN - 20
    around = some(whole, range(first, WRITTEN_DOWN + 20))
    hours = float(around.hours[0]), float(around.hours[-1])
    config = FilmConfig(window_hours=hours, count=8, size=64, key_frames="events")
    film = key_film(survey(around, config), config)
    events = [
        first + int(i) for i, why in zip(film.indices, film.why, strict=True) if why == "event"
    ]
    assert 64 in events or 65 in events, events
