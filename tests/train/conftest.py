"""Puts this folder's simulated data and tasks within reach of the tests and their processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Simulated embryos lie with the tests of what they are.
sys.path[:0] = [str(HERE), str(HERE.parent / "polarity")]


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `python line_run.py ARGUMENT...`, with other environment variables if given."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: object, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "line_run.py"), *map(str, arguments)],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
