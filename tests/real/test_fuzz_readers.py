"""A hundred damaged copies of a microscope's own file: read or refused, in time and in memory."""

import importlib.util
import os
from pathlib import Path

import pytest

READERS = Path(os.environ.get("ISL_DATA", "")) / "readers"


@pytest.mark.parametrize("kind", ["czi", "imagej_tif", "lif", "nd2"])
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    fuzz_readers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz_readers)
    smallest = min((READERS / kind).iterdir(), key=lambda file: file.stat().st_size)
    found = fuzz_readers.fuzz(smallest, 100, tmp_path)
    assert set(found) <= {"read", "refused"}, found
    assert found["refused"] > 10
