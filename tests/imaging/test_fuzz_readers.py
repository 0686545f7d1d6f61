"""A hundred damaged files of every kind that isl writes: read or refused, in time and in memory."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

COUNT = 100


def load_fuzz():
    """`benchmarks/fuzz_readers.py`, which does 2,000."""
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz_readers = load_fuzz()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return {path.name: path for path in fuzz_readers.written(folder)}


@pytest.mark.parametrize(
    "name",
    [
        *("stack.tif", "movie.ome.tif", "labels.ome.tif", "plane.png", "image.ome.zarr"),
        *("photo.jpg", "photo.bmp"),
        *("plate.ome.zarr", "ndtiff", "Pos0"),
        # Orbax leaves tasks behind at damaged checkpoints: tests/train/test_checkpoint.py.
        *(name for name in fuzz_readers.READ_BESIDE if name not in ("model", "checkpoints")),
    ],
)
def test_damaged_files_are_read_or_refused(own, tmp_path, name):
    # Files of a Zarr are many, and each try is as dear as several of another format.
    count = COUNT if not name.endswith(".zarr") else COUNT // 2
    found = fuzz_readers.fuzz(own[name], count, tmp_path)
    assert set(found) <= {"read", "refused"}, found
    if name == "run":
        # What a damaged ledger does not say is not done, and is done again.
        assert found["read"] > count / 2
        return
    # Numbers in a table, in notes or in a film may be others and still be numbers.
    image = name not in fuzz_readers.READ_BESIDE and name != "Pos0"
    assert found["refused"] > count / (3 if image else 10)


def test_what_is_read_of_an_undamaged_file_is_no_refusal(own):
    for name, path in own.items():
        bits = 0 if name in fuzz_readers.READ_BESIDE else 8 if name.startswith("photo") else 16
        assert fuzz_readers.read(path) == 40 * 48 * bits // 8


def test_the_fuzz_tells_a_hang_and_a_crash(own, tmp_path, monkeypatch):
    def hangs(path):
        while True:
            np.zeros(1000).sum()

    def crashes(path):
        raise KeyError("IFD")

    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.05)
    for reading, expected in ((hangs, "slower than"), (crashes, "KeyError: 'IFD'")):
        monkeypatch.setattr(fuzz_readers, "read", reading)
        (found,) = fuzz_readers.fuzz(own["stack.tif"], 1, tmp_path)
        assert found.startswith(expected)
