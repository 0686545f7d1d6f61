"""CPU seconds of choosing key frames against those of reading the recording, and what is chosen.

    python benchmarks/viability_key_frames.py ISL_DATA

Recordings of 500 frames: a human embryo's (gomez, JPEG files of 500 x 500), there and back until
there are as many; the same in one MP4; a zebrafish embryo's (embryonet, one TIFF of 160 x 160),
likewise. All are to be read from the disk again in every run. Beside it how sharp key frames are
that are chosen among two frames of each bin, relative to the sharpest of all, and how
many frames away the two lie. The least of five runs counts.

At last, of six simulated embryos of 480 frames: how many events (cleavages, compaction, cavity)
have a key frame within two hours after them; how many key frames of kind "event" lie so.
"""

import argparse
import dataclasses
import functools
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import tifffile

from isl.phantom.development.biology import draw_development, draw_patient
from isl.phantom.development.look import CLINICS, draw_frame, draw_look, photograph
from isl.viability.films import FilmConfig
from isl.viability.finding import cut_out
from isl.viability.key_frames import METHODS
from isl.viability.measures import measure_sharpness
from isl.viability.recording import WHOLE_FRAME, Place, Recording, open_recording
from isl.viability.survey import key_film, make_key_film, survey

FRAMES, MINUTES = 500, 14.4
SIZES = (48, 224)
_RUNS = 5
_EMBRYOS = 6


def main() -> None:
    """Prints a line for each recording, size and way to choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    settings = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        for place in recordings(settings.data, Path(folder)):
            read = least(functools.partial(read_through, place))
            print(f"{place.path.name}: {FRAMES} frames, reading {read:.3f} s")
            for size in SIZES:
                for method in METHODS:
                    config = FilmConfig(size=size, key_frames=method)
                    seconds = least(functools.partial(choose, place, config))
                    print(
                        f"  {method:8s} {size:3d} pixels: {seconds:.3f} s ({seconds / read:.2f} x)"
                    )
                print(f"  {chosen(place, FilmConfig(size=size))}", flush=True)
    for method in METHODS:
        print(
            f"simulated, {method}: {recalled(FilmConfig(size=48, key_frames=method))}", flush=True
        )


def recordings(data: Path, folder: Path) -> list[Place]:
    """The three recordings; files are written into a folder."""
    source = data / "gomez" / "AA83-7"
    files = sorted(source.iterdir(), key=lambda file: int(file.stem.rpartition("RUN")[2]))
    (folder / "pictures").mkdir()
    for number, t in enumerate(there_and_back(len(files))):
        shutil.copy(files[t], folder / "pictures" / f"frame_{number:03d}.jpeg")
    pictures = open_recording(Place(name="a", path=folder / "pictures", start=0, interval=MINUTES))
    with av.open(str(folder / "movie.mp4"), "w") as movie:
        stream = movie.add_stream("mpeg4", rate=25)
        stream.height, stream.width = pictures.read(0).shape
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for t in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(pictures.read(t), format="gray")
            movie.mux(stream.encode(frame.reformat(format="yuv420p")))
        movie.mux(stream.encode())
    fish = tifffile.imread(data / "embryonet" / "zebrafish_01.tif")
    tifffile.imwrite(
        folder / "zebrafish.tif",
        fish[there_and_back(len(fish))],
        imagej=True,
        metadata={"axes": "TYX"},
    )
    place = Place(name="a", path=folder, start=0.0, interval=MINUTES)
    return [
        dataclasses.replace(place, path=folder / "pictures"),
        dataclasses.replace(place, path=folder / "movie.mp4"),
        dataclasses.replace(place, path=folder / "zebrafish.tif", embryo=WHOLE_FRAME),
    ]


def there_and_back(count: int) -> list[int]:
    """Indices of `FRAMES` frames out of fewer, none far from the one before."""
    round_trip = [*range(count), *range(count - 2, 0, -1)]
    return [round_trip[t % len(round_trip)] for t in range(FRAMES)]


def read_through(place: Place) -> None:
    """Reads every frame once."""
    recording = open_recording(place)
    for t in range(len(recording)):
        recording.read(t)


def choose(place: Place, config: FilmConfig) -> None:
    """Chooses key frames as whoever has just been given a recording."""
    make_key_film(open_recording(place), config)


def chosen(place: Place, config: FilmConfig) -> str:
    """How sharp key frames are against the sharpest frames of their bins, in words."""
    recording = open_recording(place)
    seen = survey(recording, config)
    pictures = [cut_out(recording.read(t), seen.disc, config.size) for t in range(FRAMES)]
    sharp = np.array([measure_sharpness(picture) for picture in pictures])
    bins = (recording.hours / 120 * config.count).astype(int)
    looked = np.isin(np.arange(FRAMES), seen.indices)
    ratios, away = [], []
    for own in range(config.count):
        members = np.flatnonzero(bins == own)
        best = members[np.argmax(sharp[members])]
        mine = members[np.argmax(np.where(looked[members], sharp[members], -1))]
        ratios.append(sharp[mine] / sharp[best])
        away.append(abs(mine - best))
    usual = np.median([np.median(sharp[bins == n]) / sharp[bins == n].max() for n in set(bins)])
    return (
        f"{looked.sum()} frames looked at; the sharpest of them {np.mean(ratios):.3f} as sharp as "
        f"the sharpest of all (worst bin {min(ratios):.3f}; a bin's usual frame {usual:.3f}), "
        f"{np.mean(away):.1f} frames away"
    )


def recalled(config: FilmConfig) -> str:
    """Events of simulated embryos against their key frames, in words."""
    seen, events, right, found = 0, 0, 0, 0
    for seed in range(_EMBRYOS):
        rng = np.random.default_rng(seed)
        development, look = draw_development(draw_patient(rng), rng), draw_look(rng)
        hours = np.arange(480) / 4
        frames = [
            photograph(draw_frame(development, look, float(hour), 64), CLINICS["first"], 0.0, rng)
            for hour in hours
        ]
        recording = Recording(
            place=Place(name="a", path=Path("a")),
            frame_names=tuple(map(str, range(len(hours)))),
            hours=hours,
            read=frames.__getitem__,
        )
        film = key_film(survey(recording, config), config)
        true = np.array([hour for hour in development.events if hour < 118])
        after = film.hours[:, None] - true
        near = (after >= 0) & (after <= 2)
        of_kind = np.array([why == "event" for why in film.why])
        seen, events = seen + int(near.any(axis=0).sum()), events + len(true)
        right, found = right + int(near[of_kind].any(axis=1).sum()), found + int(of_kind.sum())
    return (
        f"{seen} of {events} events have a key frame within 2 h; of {found} key frames of kind "
        f"event {right} lie so"
    )


def least(call: Callable[[], object]) -> float:
    """The least CPU seconds of a call."""
    seconds = []
    for _ in range(_RUNS):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
