"""Damaged image files: whether each reader refuses them in one line, in time and in memory.

Every file is written anew with damage drawn from a seed (cut short, bytes changed, numbers set to
extremes, parts left out, doubled or filled with noise, digits of XML changed), opened, and its
first and last planes are read. Each must be read, or refused by InputError, within 5 seconds of a
core and in resident memory of twice the file, or of the pixels that a compressed file holds;
nothing may stay in the folder. Run it (Linux) as

    ISL_DATA=... python benchmarks/fuzz_readers.py [COUNT [KIND...]]

COUNT is the number of damaged files of each format, 2,000 by default; KIND names formats to try.
Files that isl writes beside images, and reads again, are tried as well: manifests, outlines, key
frames, weights, tables, model folders, ledgers of runs, estimates and checkpoints. What it printed,
and on which machine, stands in fuzz_readers.txt.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_movie, write_ome_tiff
from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
from isl.imaging.inputs.open_image import open_images

if TYPE_CHECKING:
    from isl_train.checkpoint import Checkpoints
    from isl_train.state import TrainState

SECONDS = 5
# Other work on the machine may keep a process from its core; beyond this it hangs.
SECONDS_OF_WAITING = 60
# What opening takes besides pixels: tables, XML, decoders.
SPARED = 32 * 2**20
LARGE = 4 * 2**20
EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class TooSlow(BaseException):
    """A file took longer than `SECONDS`; no reader may catch it."""


def written(folder: Path) -> Iterator[Path]:
    """Small files of every kind that isl writes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    size = PixelSize(y=0.3, x=0.3, z=1.0)
    planes = rng.integers(0, 60000, (3, 40, 48)).astype(np.uint16)
    write_stack(folder / "stack.tif", ZStack(name="stack", planes=planes, pixel_size=size))
    yield folder / "stack.tif"
    write_movie(
        folder / "movie.ome.tif",
        Movie(name="movie", frames=planes[:, None], pixel_size=size, interval=2.0),
    )
    yield folder / "movie.ome.tif"
    image = FluorescenceImage(name="labels", channels=planes[:2], labels=("DAPI", "NFH"))
    write_ome_tiff(folder / "labels.ome.tif", image)
    yield folder / "labels.ome.tif"
    Image.fromarray(planes[0]).save(folder / "plane.png")
    yield folder / "plane.png"
    for photo in ("photo.jpg", "photo.bmp"):
        Image.fromarray((planes[0] >> 8).astype(np.uint8)).save(folder / photo)
        yield folder / photo
    yield zarr_image(folder, image)
    yield plate(folder)
    yield from micromanager_folders(folder, planes)
    yield from written_beside(folder, planes)


def written_beside(folder: Path, planes: np.ndarray) -> Iterator[Path]:
    """What isl writes beside images, and reads again."""
    import safetensors.numpy

    from isl.fragmentation.polygons import outlines_of, write_labelme
    from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest
    from isl.model_folder import BUNDLED
    from isl.viability.films import KeyFilm, save_key_film

    field = Field(
        name="A4",
        transmitted=(folder / "stack.tif",),
        labels={"DAPI": LabelFile(file=folder / "labels.ome.tif", channel="DAPI")},
        pixel_size=0.3,
    )
    write_manifest(folder / "dataset.toml", Manifest(fields=(field,), root=str(folder)))
    yield folder / "dataset.toml"
    labels = np.zeros((40, 48), np.uint8)
    labels[5:30, 5:30], labels[10:15, 10:15] = 1, 2
    write_labelme(folder / "outlines.json", outlines_of(labels, "plane.png"))
    yield folder / "outlines.json"
    film = KeyFilm(
        name="film",
        pictures=(planes >> 8).astype(np.uint8),
        hours=np.float32([2, 50, 99]),
        indices=np.arange(3),
        why=("sharpest",) * 3,
    )
    save_key_film(folder / "film.npz", film)
    yield folder / "film.npz"
    arrays = {name: np.ones((4, 5), np.float32) for name in ("stem.kernel", "stem.bias")}
    safetensors.numpy.save_file(arrays, folder / "weights.safetensors")
    yield folder / "weights.safetensors"
    (folder / "times.csv").write_text(
        "frame,hours\n" + "".join(f"{t},{t / 2}\n" for t in range(40))
    )
    yield folder / "times.csv"
    shutil.copytree(BUNDLED / "phantom", folder / "model")
    yield folder / "model"
    yield ledger(folder / "run")
    yield estimates(folder / "estimates", planes)
    yield checkpoint(folder / "checkpoints")


def plate(folder: Path) -> Path:
    """An OME-Zarr plate of two wells, and of one that was not imaged."""
    wells = [{"path": f"A/{n}", "rowIndex": 0, "columnIndex": n - 1} for n in (1, 2, 3)]
    layout = {"rows": [{"name": "A"}], "columns": [{"name": str(n)} for n in (1, 2, 3)]}
    group = {"zarr_format": 3, "node_type": "group"}
    root = folder / "plate.ome.zarr"
    for place in ("A/1", "A/2"):
        shutil.copytree(folder / "image.ome.zarr", root / place / "0")
        well = {"ome": {"version": "0.5", "well": {"images": [{"path": "0"}]}}}
        (root / place / "zarr.json").write_text(json.dumps({**group, "attributes": well}))
    (root / "A" / "zarr.json").write_text(json.dumps(group))
    whole = {"ome": {"version": "0.5", "plate": {**layout, "wells": wells}}}
    (root / "zarr.json").write_text(json.dumps({**group, "attributes": whole}))
    return root


def micromanager_folders(folder: Path, planes: np.ndarray) -> Iterator[Path]:
    """An NDTiff data set of three planes, and the same as separate image files."""
    import tifffile

    ndtiff, files = folder / "ndtiff", folder / "Pos0"
    ndtiff.mkdir()
    files.mkdir()
    summary, notes = (
        b'{"z-step_um": 1.5, "Slices": 3}',
        b'{"PixelSizeUm": 0.3, "ElapsedTime-ms": 5}',
    )
    stored = struct.pack("<2sHI5I", b"II", 42, 0, 483729, 3, 3, 2355492, len(summary)) + summary
    index, described = b"", {"Summary": json.loads(summary)}
    for z, plane in enumerate(planes):
        axes, name, start = json.dumps({"z": z}).encode(), b"run_NDTiffStack.tif", len(stored)
        stored += plane.tobytes() + notes
        index += struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name
        index += struct.pack("<8I", start, 48, 40, 1, 0, start + plane.nbytes, len(notes), 0)
        tifffile.imwrite(files / f"img_000000000_DIC_{z:03d}.tif", plane)
        described[f"FrameKey-0-0-{z}"] = json.loads(notes)
    (ndtiff / "NDTiff.index").write_bytes(index)
    (ndtiff / "run_NDTiffStack.tif").write_bytes(stored)
    (files / "metadata.txt").write_text(json.dumps(described))
    yield ndtiff
    yield files


def ledger(folder: Path) -> Path:
    """What a run that was stopped leaves, with the record of a field that was done."""
    from isl.files.provenance import made_by
    from isl.files.run_manifest import held_folder

    folder.mkdir()
    facts = {"sha256": "1" * 64}
    record = made_by("isl predict", source=folder / "A1.tif", facts=facts, settings={"seed": 1})
    record |= {"model": {"sha256": "0" * 64}, "outputs": {"image": "A1.ome.tif"}}
    (folder / "A1.json").write_text(json.dumps(record))
    with held_folder(folder, "isl predict") as manifest:
        manifest.begin({"model": {"sha256": "0" * 64}, "settings": {"seed": 1}})
        manifest.finished("A1", facts)
    return folder


def estimates(folder: Path, planes: np.ndarray) -> Path:
    """A channel's estimates, as `isl preprocess` keeps them."""
    from isl.preprocess.correction import Estimates
    from isl.preprocess.estimate_files import save_estimates
    from isl.preprocess.stages.additive_dust import AdditiveDust

    picture = planes[0].astype(np.float32)
    dust = AdditiveDust(
        artifact=picture,
        background=picture,
        mask=picture > 9,
        sensor_offset=100.0,
        images=24,
        noise=0.5,
    )
    made = Estimates(additive_dust=dust, flat_field=picture, dust=picture, images=24, of=48)
    folder.mkdir()
    save_estimates(folder, "DIC", made, "0" * 64)
    return folder


def _state() -> TrainState:
    import jax
    import optax

    from isl_train.state import initial_state

    params = {"kernel": jax.numpy.ones((4, 5))}
    state = initial_state(params, {}, optax.adam(1.0).init(params), jax.random.key(7), average=True)
    return jax.device_put(state, jax.devices()[0])


def _checkpoints(folder: Path) -> Checkpoints:
    from isl_train.checkpoint import Checkpoints

    return Checkpoints(folder, identity="a network", optimizer="adam", selection=None)


def checkpoint(folder: Path) -> Path:
    """A training that was stopped."""
    from isl_train.checkpoint import Progress

    with _checkpoints(folder) as checkpoints:
        checkpoints.save(_state(), Progress(update=5, batches_drawn=10), value=None)
    return folder


def read_ledger(path: Path) -> None:
    """A folder that a run goes on in: its ledger, and its results."""
    from isl.files.provenance import made_from, results_in
    from isl.files.run_manifest import held_folder

    results_in(path)
    settings = {"seed": 1}
    made_from(path / "A1.json", "isl predict", model_hash="0", settings=settings, source_hash="1")
    with held_folder(path, "isl predict") as manifest:
        manifest.begun("0" * 64, settings, {})


def read_estimates(path: Path) -> None:
    """Estimates of an earlier run."""
    from isl.preprocess import estimate_files

    estimate_files.digest_of_estimates(path, "DIC")
    estimate_files.load_estimates(path, "DIC")


def read_checkpoint(path: Path) -> None:
    """A training that goes on."""
    with _checkpoints(path) as checkpoints:
        if checkpoints.updates:
            checkpoints.restore(_state())


def read_manifest(path: Path) -> None:
    """A dataset's file."""
    from isl.labeling.dataset import load_manifest

    load_manifest(path)


def read_outlines(path: Path) -> None:
    """LabelMe's JSON, as a mask of its picture."""
    from isl.fragmentation.dataset import read_mask

    read_mask(path, Path("plane.png"), (40, 48))


def read_film(path: Path) -> None:
    """Key frames."""
    from isl.viability.films import load_key_film

    load_key_film(path)


def read_arrays(path: Path) -> None:
    """Weights, whose hash nobody looks at."""
    from isl.model_folder import read_weights

    read_weights(path)


def read_times(path: Path) -> None:
    """A table of frames and hours."""
    from isl.viability.recording import Place, hours_of

    names = [f"frame {t}" for t in range(40)]
    hours_of(Place(name="e", path=path, times=path), names, None)


def read_model(path: Path) -> None:
    """A model folder: what it says of itself, and its hashes."""
    from isl.model_kinds import kind_of, load_model

    kind_of(path).describe(path)
    load_model(path)


READ_BESIDE: dict[str, Callable[[Path], None]] = {
    "dataset.toml": read_manifest,
    "outlines.json": read_outlines,
    "film.npz": read_film,
    "weights.safetensors": read_arrays,
    "times.csv": read_times,
    "model": read_model,
    "run": read_ledger,
    "estimates": read_estimates,
    "checkpoints": read_checkpoint,
}


def zarr_image(folder: Path, image: FluorescenceImage) -> Path:
    """An OME-Zarr as isl writes it."""
    from isl.imaging.formats.tiff import open_tiff
    from isl.imaging.zarr.picture import write_ome_zarr

    with open_tiff(folder / "labels.ome.tif") as picture:
        write_ome_zarr(folder / "image.ome.zarr", picture, name=image.name, annotations={})
    return folder / "image.ome.zarr"


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a file with one kind of damage or several."""
    for _ in range(int(rng.integers(1, 4))):
        if len(content) < 8:
            break
        content = DAMAGES[int(rng.integers(len(DAMAGES)))](bytearray(content), rng)
    return content


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """Mostly in the first or last bytes, where headers lie."""
    near = min(len(content), 4096)
    start = int(rng.integers(near))
    where = rng.random()
    if where < 0.5:
        return start
    return len(content) - near + start if where < 0.8 else int(rng.integers(len(content)))


def _cut(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: int(rng.integers(len(content)))])


def _changed(content: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 9))):
        content[_place(content, rng)] = int(rng.integers(256))
    return bytes(content)


def _extreme(content: bytearray, rng: np.random.Generator) -> bytes:
    place, order = _place(content, rng) & ~1, "little" if rng.random() < 0.8 else "big"
    number = int(rng.choice(EXTREMES))
    content[place : place + 4] = number.to_bytes(4, order)
    return bytes(content)


def _without(content: bytearray, rng: np.random.Generator) -> bytes:
    place = _place(content, rng)
    del content[place : place + int(rng.integers(1, 512))]
    return bytes(content)


def _doubled(content: bytearray, rng: np.random.Generator) -> bytes:
    place, length = _place(content, rng), int(rng.integers(1, 512))
    content[place:place] = content[place : place + length]
    return bytes(content)


def _noise(content: bytearray, rng: np.random.Generator) -> bytes:
    place, length = _place(content, rng), int(rng.integers(1, 256))
    content[place : place + length] = rng.bytes(min(length, len(content) - place))
    return bytes(content)


def _digits(content: bytearray, rng: np.random.Generator) -> bytes:
    digits = np.flatnonzero((np.frombuffer(bytes(content), np.uint8) - 48) < 10)
    for place in rng.choice(digits, min(digits.size, 3)) if digits.size else ():
        content[int(place)] = int(rng.integers(48, 58))
    return bytes(content)


DAMAGES: tuple[Callable[[bytearray, np.random.Generator], bytes], ...] = (
    _cut,
    _changed,
    _extreme,
    _without,
    _doubled,
    _noise,
    _digits,
)


def put_damaged(source: Path, target: Path, rng: np.random.Generator) -> int:
    """A damaged copy; returns its bytes. Of a folder one file is damaged."""
    if source.is_dir():
        shutil.copytree(source, target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        chosen = files[int(rng.integers(len(files)))]
        chosen.write_bytes(damaged(chosen.read_bytes(), rng))
        return sum(path.stat().st_size for path in files)
    content = damaged(source.read_bytes(), rng)
    target.write_bytes(content)
    return len(content)


def read(path: Path) -> int:
    """Opens every image and reads its first and last plane; returns the bytes of one plane.

    What is no image is read as isl reads it; its pixels count as none.
    """
    if path.name in READ_BESIDE:
        READ_BESIDE[path.name](path)
        return 0
    largest = 0
    for picture in open_images(path):
        with picture:
            times, channels, planes, height, width = picture.shape
            largest = max(largest, height * width * picture.dtype.itemsize)
            picture.read()
            picture.read(t=times - 1, c=channels - 1, z=planes - 1)
    return largest


def outcome(source: Path, folder: Path, rng: np.random.Generator) -> str:
    """What became of one damaged file."""
    target = folder / source.name
    size = put_damaged(source, target, rng)
    before = set(folder.rglob("*"))
    largest, before_reading = 0, _resident(anew=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_OF_WAITING)
    try:
        largest = read(target)
        found = "read"
    except InputError as error:
        found = "refused" if "\n" not in str(error) and source.stem in str(error) else f"? {error}"
    except TooSlow:
        found = f"slower than {SECONDS} s"
    except Exception as error:
        found = f"{type(error).__name__}: {str(error)[:60]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        peak = _resident() - before_reading
    if peak > 2 * max(size, largest) + SPARED:
        found += f", {peak / 2**20:.0f} MiB for {size / 2**20:.1f}"
    if set(folder.rglob("*")) - before:
        found += ", left something"
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return found


def _resident(*, anew: bool = False) -> int:
    """The most bytes that this process has had in memory, or, counted anew, those it has."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def fuzz(source: Path, count: int, folder: Path) -> Counter[str]:
    """What became of `count` damaged copies of a file."""

    def late(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    return Counter(
        outcome(source, folder, np.random.default_rng([seed, len(source.name)]))
        for seed in range(count)
    )


def main() -> None:
    """Prints one line a file: how many were read, how many refused, and whatever else happened."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    only = sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        own, folder = Path(name) / "own", Path(name) / "damaged"
        own.mkdir()
        folder.mkdir()
        given = Path(os.environ["ISL_DATA"]) / "readers"
        by_format: dict[str, list[Path]] = {}
        for path in [*written(own), *sorted(p for p in given.rglob("*") if p.is_file())]:
            kind = path.parent.name if path.is_relative_to(given) else f"isl's {path.name}"
            by_format.setdefault(kind, []).append(path)
        for kind, paths in by_format.items():
            if only and not any(word in kind for word in only):
                continue
            # Large ones tell no more, and take long to write.
            paths = [path for path in paths if path.stat().st_size < LARGE]
            for path in paths:
                started = time.process_time()
                found = fuzz(path, -(-count // len(paths)), folder)
                said = ", ".join(f"{number} {what}" for what, number in found.most_common())
                seconds = time.process_time() - started
                print(f"{kind:<24}{path.name[:28]:<30}{seconds:5.0f} s  {said}", flush=True)


if __name__ == "__main__":
    main()
