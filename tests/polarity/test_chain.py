"""From a movie of DIC stacks to the onset, by the bundled chain, on embryos that it never saw."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

from isl import cli
from isl.imaging.inputs.read import read_fluorescence
from isl.phantom import EmbryoConfig, write_embryos

MODEL = "embryo-chain"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Movies of two embryos of three frames, and their Ezrin."""
    folder = tmp_path_factory.mktemp("chain")
    config = EmbryoConfig(fewest_frames=3, most_frames=3, unfocused=0.0, dyed_nuclei=0.0)
    write_embryos(folder, 2, config, 20261129)
    return folder


@pytest.fixture(scope="module")
def results(recordings):
    """What `isl polarity` leaves of them."""
    words = ["polarity", str(recordings / "movies"), "--out", str(recordings / "out")]
    assert cli.main([*words, "--model", MODEL]) == 0
    return recordings / "out"


def test_every_stack_becomes_ezrin_with_its_distribution_and_an_onset(recordings, results):
    with (results / "onsets.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["embryo"] for row in rows] == ["embryo-000", "embryo-001"]
    for row in rows:
        assert row["verdict"] in ("onset", "censored", "cannot_tell")
        assert 0 <= int(row["onset_low"]) <= 3
        true = read_fluorescence(recordings / "ezrin" / f"{row['embryo']}.ome.tif").channels
        mean, deviation = (
            read_fluorescence(results / f"{row['embryo']}.{what}.ome.tif").channels / 65535
            for what in ("ezrin", "ezrin.standard_deviation")
        )
        assert mean.shape == deviation.shape == true.shape == (3, 1, 128, 128)
        assert 0 < deviation.mean() < 0.2
        for t in range(3):
            assert np.corrcoef(mean[t].ravel(), true[t].ravel())[0, 1] > 0.6


def test_what_is_done_is_kept_and_memory_that_is_too_little_is_named(recordings, results, capsys):
    done = {file.name: file.stat().st_mtime_ns for file in results.glob("embryo-*")}
    words = ["polarity", str(recordings / "movies"), "--model", MODEL]
    assert cli.main([*words, "--out", str(results), "--resume"]) == 0
    assert {file.name: file.stat().st_mtime_ns for file in results.glob("embryo-*")} == done
    little = recordings / "little"
    assert cli.main([*words, "--out", str(little), "--memory", "0.001"]) == 2
    assert "give more with --memory" in capsys.readouterr().err


def test_processes_that_share_the_embryos_say_the_same(recordings, results):
    words = ["polarity", str(recordings / "movies"), "--model", MODEL, "--workers", "2"]
    assert cli.main([*words, "--out", str(recordings / "shared")]) == 0
    for name in ("onsets.csv", "frames.csv", "embryo-001.ezrin.ome.tif"):
        assert (recordings / "shared" / name).read_bytes() == (results / name).read_bytes()


# A scheduler with a worker in this process, as one that runs elsewhere is seen by its address.
SCHEDULER = """
import sys
from distributed import LocalCluster
from isl.cli import main
with LocalCluster(n_workers=1, processes=False, dashboard_address=None, protocol="tcp") as there:
    sys.exit(main([*sys.argv[1:], "--scheduler", there.scheduler_address]))
"""


def test_the_workers_of_a_scheduler_say_the_same(recordings, results):
    # Paths as a person types them, which a worker elsewhere would not find.
    words = ["polarity", "movies", "--out", "scheduled", "--model", MODEL]
    ran = subprocess.run(
        [sys.executable, "-c", SCHEDULER, *words],
        capture_output=True,
        text=True,
        cwd=recordings,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = [line.partition(":")[0] for line in ran.stdout.splitlines()]
    assert sorted(said) == ["embryo-000", "embryo-001"]
    for name in ("onsets.csv", "frames.csv", "embryo-001.ezrin.ome.tif"):
        assert (recordings / "scheduled" / name).read_bytes() == (results / name).read_bytes()


def test_processes_here_and_a_scheduler_are_not_both_taken(recordings, capsys):
    words = ["polarity", str(recordings / "movies"), "--out", str(recordings / "none")]
    assert cli.main([*words, "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "give one" in capsys.readouterr().err
    assert not (recordings / "none").exists()
