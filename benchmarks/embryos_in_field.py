"""Whether all embryos of a field are found, and what `isl polarity` takes for a wide one.

    python benchmarks/embryos_in_field.py WORKDIR wide|touching

`wide`: a simulated field of 2,048 pixels with 24 embryos, five stacks of 13 planes (545 MB), kept
in WORKDIR: who is found and how far off, then `isl polarity --memory 2` of it, processor time and
memory. `touching`: the published mouse embryos, two and two in one field, a frame of each, their
middles less and more than a width apart; both must be found.
"""

import csv
import itertools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie, PixelSize
from isl.labeling.dataset import load_manifest
from isl.polarity.embryo import Embryo, load_embryos
from isl.polarity.embryos_in_field import DIAMETER, find_windows
from isl.polarity.presence import watch_embryo

CONFIGS = Path(__file__).parents[1] / "configs"
ISL = Path(sys.executable).with_name("isl")
FIELD = ("height=2048", "width=2048", "embryos=24", "frames=5")
# Middles apart, in widths of an embryo.
APART = (0.85, 0.95, 1.1, 1.3)
# A place is right that is no farther off, in widths.
NEAR = 0.15


def wide(workdir: Path) -> None:
    """Prints who is found, and what the whole command takes."""
    movie = workdir / "movies" / "field-000.ome.tif"
    if not movie.is_file():
        changes = [word for change in FIELD for word in ("--set", change)]
        command = [ISL, "phantom", "--kind", "embryo_fields", "--out", workdir, "--count", "1"]
        subprocess.run([*command, *changes], check=True)
    with (workdir / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([[float(row["row"]), float(row["column"])] for row in rows])
    windows = find_windows(movie)
    away = distances(truth, np.array([each.corners[0] + each.side / 2 for each in windows]))
    pixels = DIAMETER / 1.2
    right = away.min(axis=1) < NEAR * pixels
    print(
        f"{len(truth)} embryos, {len(windows)} found, {right.sum()} of them, "
        f"{(away.min(axis=0) >= NEAR * pixels).sum()} elsewhere; at most "
        f"{away.min(axis=1)[right].max():.1f} pixels off of {pixels:.0f} across",
        flush=True,
    )
    command = [ISL, "polarity", movie, "--model", "embryo-chain", "--out", workdir / "out"]
    subprocess.run([*command, "--memory", "2", "--overwrite"], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"isl polarity: {used.ru_utime + used.ru_stime:.0f} s of processor, "
        f"{used.ru_maxrss / 2**20:.2f} GiB at most (making the field counts, if it was made)"
    )


def touching() -> None:
    """Prints in how many pairs both embryos are found."""
    embryos = load_embryos(load_manifest(CONFIGS / "data" / "ai4embryo.toml"))
    seen = [cut(embryo) for embryo in embryos]
    for apart in APART:
        counts = [found_of(one, other, apart) for one, other in itertools.combinations(seen, 2)]
        print(f"{apart} widths apart: both of {sum(c == 2 for c in counts)} of {len(counts)} pairs")


def cut(embryo: Embryo) -> tuple[np.ndarray, float, np.ndarray]:
    """A frame amid the recording, its embryo's width, and its middle, in pixels."""
    frame = embryo.dic[len(embryo.dic) // 2]
    top, bottom, left, right = watch_embryo(frame[None]).box
    # The box has an eighth of room at either side.
    width = (bottom - top) / 1.24
    return frame, width, np.array([top + bottom, left + right]) / 2


def found_of(
    one: tuple[np.ndarray, float, np.ndarray],
    other: tuple[np.ndarray, float, np.ndarray],
    apart: float,
) -> int:
    """How many of two embryos in one field are found, and nobody else."""
    width = (one[1] + other[1]) / 2
    size = (round(3 * width), round(6 * width))
    places = [np.array([size[0] / 2, size[1] / 2 + side * apart * width / 2]) for side in (-1, 1)]
    y, x = np.mgrid[: size[0], : size[1]]
    # Beyond the frames it is as bright as they are.
    picture = np.full(size, 1e-3 * (one[0].mean() + other[0].mean()) / 2)
    weights = np.full(size, 1e-3)
    for (frame, _, middle), place in zip((one, other), places, strict=True):
        # Weight falls where the other embryo is nearer, so that zonae blend.
        rows = np.round(y - place[0] + middle[0]).astype(int)
        columns = np.round(x - place[1] + middle[1]).astype(int)
        inside = (rows >= 0) & (rows < frame.shape[0]) & (columns >= 0) & (columns < frame.shape[1])
        values = frame[rows.clip(0, frame.shape[0] - 1), columns.clip(0, frame.shape[1] - 1)]
        weight = inside * np.exp(
            -(((x - place[1]) ** 2 + (y - place[0]) ** 2) / (0.3 * width) ** 2)
        )
        picture += weight * values
        weights += weight
    picture = (255 * np.clip(picture / weights, 0, 1)).astype(np.uint8)
    size_of_pixel = PixelSize(y=DIAMETER / width, x=DIAMETER / width)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.ome.tif"
        frames = np.broadcast_to(picture, (2, 1, *picture.shape))
        write_movie(
            path, Movie(name="pair", frames=frames, pixel_size=size_of_pixel, interval=20.0)
        )
        windows = find_windows(path)
    middles = np.array([each.corners[0] + each.side / 2 for each in windows])
    away = distances(np.array(places), middles)
    right = (away.min(axis=1) < NEAR * width).sum()
    return int(right) if len(windows) == 2 else 0


def distances(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Between each of the one and each of the other, float [N, M]."""
    return np.hypot(*(places[:, None] - others[None]).transpose(2, 0, 1))


if __name__ == "__main__":
    if sys.argv[2] == "wide":
        wide(Path(sys.argv[1]))
    else:
        touching()
