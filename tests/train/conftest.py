"""Puts this folder's simulated data and tasks within reach of the tests and their processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def start_python() -> Callable[..., subprocess.Popen[str]]:
    """Starts `python line_run.py ARGUMENT...`, with other environment variables if given."""

    def start(
        *arguments: object, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "line_run.py"), *map(str, arguments)],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
