"""Runs that are killed, that a disk stops, or whose workers die: what stays, and going on."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from flax import nnx

from isl import cli
from isl.backbones.unet import UNetConfig
from isl.files.run_manifest import MANIFEST, held_folder
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network

FIELDS = "abcde"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=2, labels=("DAPI",), rngs=nnx.Rngs(0))
    config = ModelConfig(
        name="tiny", labels=("DAPI",), architecture=architecture, input=InputContract(planes=2)
    )
    save_model(folder, network, config, "# A card")
    return folder


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    for name in FIELDS:
        values = np.random.default_rng(ord(name)).integers(0, 4096, (2, 40, 52), dtype=np.uint16)
        tifffile.imwrite(
            folder / f"{name}.tif", values, photometric="minisblack", metadata={"axes": "ZYX"}
        )
    return folder


@pytest.fixture(scope="module")
def words(model, fields):
    """A call but for --out."""
    return ["predict", str(fields), "--model", str(model), "--tile", "24", "--device", "cpu"]


@pytest.fixture(scope="module")
def uninterrupted(words, tmp_path_factory):
    """Names and bytes of the images of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("uninterrupted")
    assert cli.main([*words, "--out", str(out)]) == 0
    return images(out)


def images(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name.endswith((".tif", ".png"))
    }


def done(folder):
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    return [line["done"]["field"] for line in lines if "done" in line]


def running(program, *words):
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=False,
    )


# Kills itself, as kill -9 and a power cut do, when something happens for the n-th time.
KILLED = """
import os, signal, sys
import isl.imaging.outputs.results, isl.labeling.run.one_field
from isl.cli import main
where, count, *words = sys.argv[1:]
module, name = where.rsplit(".", 1)
module = eval(module)
real, calls = getattr(module, name), []
def deadly(*given, **named):
    calls.append(given)
    if len(calls) == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
setattr(module, name, deadly)
main(words)
"""


@pytest.mark.parametrize(
    ("where", "count", "whole"),
    [
        # While the third field is written.
        ("isl.labeling.run.one_field.write_ome_tiff", 3, 2),
        # Between its image and its record getting their names: both are replaced by os.replace.
        ("isl.imaging.outputs.results.sync_folder", 5, 2),
    ],
)
def test_a_killed_run_is_gone_on_with(words, uninterrupted, tmp_path, capsys, where, count, whole):
    out = tmp_path / "out"
    killed = running(KILLED, where, str(count), *words, "--out", str(out))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert done(out) == list(FIELDS[:whole])
    assert list(out.glob(".isl-*"))
    capsys.readouterr()
    code = cli.main([*words, "--out", str(out), "--resume"])
    assert code == 0
    printed = capsys.readouterr()
    assert printed.err.count("done before") == whole
    assert len(printed.out.splitlines()) == len(FIELDS) - whole
    assert images(out) == uninterrupted
    assert not list(out.glob(".isl-*"))
    assert done(out) == list(FIELDS)


def test_tiles_are_those_that_the_run_began_with(words, uninterrupted, tmp_path):
    few = [word for word in words if word not in ("--tile", "24")]
    out = tmp_path / "out"
    assert cli.main([*few, "--out", str(out), "--tile", "24", "--memory", "0.5"]) == 0
    for path in out.glob("e.*"):
        path.unlink()
    assert cli.main([*few, "--out", str(out), "--resume"]) == 0
    assert images(out) == uninterrupted
    runs = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    memory = [line["run"]["memory"] for line in runs if "run" in line]
    assert memory == [2**29, 2**29]


def test_another_model_never_goes_on_with_a_run(words, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main([*words, "--out", str(out)]) == 0
    for path in out.glob("e.*"):
        path.unlink()
    before = images(out)
    other = tmp_path / "other"
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=2, labels=("DAPI",), rngs=nnx.Rngs(1))
    config = ModelConfig(
        name="tiny", labels=("DAPI",), architecture=architecture, input=InputContract(planes=2)
    )
    save_model(other, network, config, "# Another card")
    replaced = [str(other) if word == str(model) else word for word in words]
    capsys.readouterr()
    assert cli.main([*replaced, "--out", str(out), "--resume"]) == 2
    assert "holds results with another model, which --resume would mix" in capsys.readouterr().err
    assert images(out) == before


def test_two_runs_into_one_folder(words, tmp_path, capsys):
    with held_folder(tmp_path / "out", "isl predict"):
        assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "another isl predict is writing there; wait for it, or give another --out" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills(words, uninterrupted, tmp_path, capsys):
    out = tmp_path / "out"
    # Any file that grows beyond this fails, as on a full disk; compiled programs are there already.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        code = cli.main([*words, "--out", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    err = capsys.readouterr().err
    assert "5 of 5 fields failed:" in err
    assert err.count("cannot be written there (File too large)") == 5
    assert not out.exists()
    assert cli.main([*words, "--out", str(out), "--resume"]) == 0
    assert images(out) == uninterrupted


# Kills one of the workers as soon as a field is begun.
WORKER_KILLED = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from isl.cli import main

def kill():
    while not list(Path(sys.argv[1]).glob(".isl-*/in-use")):
        time.sleep(0.01)
    victim = min(process.pid for process in multiprocessing.active_children())
    os.kill(victim, signal.SIGKILL)
    print("killed", flush=True)

if __name__ == "__main__":
    threading.Thread(target=kill, daemon=True).start()
    sys.exit(main(sys.argv[2:]))
"""


def test_a_worker_that_dies_has_its_fields_done_again(words, uninterrupted, tmp_path):
    out = tmp_path / "out"
    program = tmp_path / "program.py"
    program.write_text(WORKER_KILLED)
    ran = subprocess.run(
        [sys.executable, str(program), str(out), *words, "--out", str(out), "--workers", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout.splitlines()
    assert printed.count("killed") == 1
    assert sorted(printed)[:-1] == [str(out / f"{name}.ome.tif") for name in FIELDS]
    # Nothing but a line for each field.
    assert [": done (" in line for line in ran.stderr.splitlines()] == [True] * len(FIELDS)
    assert images(out) == uninterrupted
    assert sorted(done(out)) == list(FIELDS)
    assert not list(out.glob(".isl-*"))


# Presses Ctrl-C, which reaches workers as well, when a field is begun.
INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from isl.cli import main

def interrupt():
    while not list(Path(sys.argv[1]).glob(".isl-*/in-use")):
        time.sleep(0.01)
    os.killpg(0, signal.SIGINT)

if __name__ == "__main__":
    # A shell's background jobs ignore SIGINT, and so are their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("workers", [None, "2"])
def test_an_interrupted_run_says_so_and_is_gone_on_with(words, uninterrupted, tmp_path, workers):
    out = tmp_path / "out"
    given = [*words, "--out", str(out), *(["--workers", workers] if workers else [])]
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED)
    ran = subprocess.run(
        [sys.executable, str(program), str(out), *given],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        start_new_session=True,
        check=False,
    )
    assert ran.returncode == cli.INTERRUPTED, ran.stderr
    said = [line for line in ran.stderr.splitlines() if line and ": done (" not in line]
    assert said == ["interrupted; the same call with --resume continues"]
    assert not list(out.glob(".*"))
    assert cli.main([*words, "--out", str(out), "--resume"]) == 0
    assert images(out) == uninterrupted


# A scheduler with a worker in this process, as one that runs elsewhere is seen by its address.
SCHEDULER = """
import os, sys
import isl.cluster as cluster
from isl.cli import main
cluster._PATIENCE = 1
out, *words = sys.argv[1:]
for address in ("tcp://127.0.0.1:9", "nonsense://x"):
    code = main([*words, "--out", out, "--scheduler", address])
    assert code == 2 and not os.path.exists(out), code
from distributed import LocalCluster
with LocalCluster(n_workers=1, processes=False, dashboard_address=None, protocol="tcp") as there:
    sys.exit(main([*words, "--out", out, "--scheduler", there.scheduler_address]))
"""


def test_a_running_scheduler_and_one_that_is_not_there(words, uninterrupted, tmp_path):
    out = tmp_path / "out"
    ran = running(SCHEDULER, str(out), *words)
    assert ran.returncode == 0, ran.stderr
    gone, wrong, *done_lines = ran.stderr.splitlines()
    assert gone.startswith("--scheduler tcp://127.0.0.1:9: no scheduler answers there (")
    assert wrong.startswith("--scheduler nonsense://x: no scheduler answers there (")
    assert [": done (" in line for line in done_lines] == [True] * len(FIELDS)
    assert images(out) == uninterrupted
