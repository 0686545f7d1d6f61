"""One training on several devices or processes equals the same training on one device."""

import json
import os
from pathlib import Path

import numpy as np
import portpicker
import pytest
from line_task import Line, line_experiment

from isl.errors import InputError
from isl_train.distributed import Processes, processes_from_environment
from isl_train.loop import fit

# Sums over a batch are taken in another order: rounding of float32, over 24 updates.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    workdir = tmp_path_factory.mktemp("alone")
    fit(Line(), line_experiment(), workdir)
    return _model(workdir)


def _model(workdir: Path) -> dict:
    return json.loads((workdir / "model" / "model.json").read_text(encoding="utf-8"))


def _assert_equal(model: dict, alone: dict) -> None:
    assert model["metrics"].keys() == alone["metrics"].keys()
    np.testing.assert_allclose(model["slopes"], alone["slopes"], atol=TOLERANCE)
    np.testing.assert_allclose(model["mean"], alone["mean"], atol=TOLERANCE)
    assert model["metrics"]["error"] == pytest.approx(alone["metrics"]["error"], abs=TOLERANCE)


def test_four_devices_equal_one(tmp_path: Path, start_python, alone: dict) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    process = start_python(tmp_path, environment={"XLA_FLAGS": flags})
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    _assert_equal(_model(tmp_path), alone)


def test_two_processes_equal_one(tmp_path: Path, start_python, alone: dict) -> None:
    environment = {
        "ISL_COORDINATOR": f"localhost:{portpicker.pick_unused_port()}",
        "ISL_PROCESSES": "2",
    }
    processes = [
        start_python(tmp_path, environment={**environment, "ISL_PROCESS": str(index)})
        for index in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    _assert_equal(_model(tmp_path), alone)


def test_processes_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes_from_environment() is None
    monkeypatch.setenv("ISL_COORDINATOR", "node0:1234")
    with pytest.raises(InputError, match="ISL_PROCESSES, ISL_PROCESS not set"):
        processes_from_environment()
    monkeypatch.setenv("ISL_PROCESSES", "2")
    monkeypatch.setenv("ISL_PROCESS", "2")
    with pytest.raises(InputError, match="not an index"):
        processes_from_environment()
    monkeypatch.setenv("ISL_PROCESS", "1")
    expected = Processes(coordinator="node0:1234", count=2, index=1)
    assert processes_from_environment() == expected
