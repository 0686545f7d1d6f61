"""Compiled programs are kept between runs, where they can be."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import collections
import jax
from isl.devices import use_device
counted = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counted.update([event]))
use_device("cpu")
print(jax.jit(lambda x: x * 2 + 1)(jax.numpy.arange(3)).sum())
for event in ("cache_hits", "cache_misses"):
    print(event, counted[f"/jax/compilation_cache/{event}"])
"""


def run(cache: Path) -> list[str]:
    """What a process of its own prints whose caches are in a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    result, hits, misses = run(tmp_path)
    assert (result, hits) == ("9", "cache_hits 0")
    compiled = int(misses.split()[1])
    assert compiled > 0
    assert (tmp_path / "isl" / "jax").is_dir()
    assert run(tmp_path) == ["9", f"cache_hits {compiled}", "cache_misses 0"]


def test_where_nothing_can_be_kept_everything_is_compiled(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert run(file)[0] == "9"
