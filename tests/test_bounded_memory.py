"""`isl predict` of an image many times its budget: the peak of resident memory, measured."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.imaging.inputs.read import read_fluorescence
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network

PLANES, SIZE = 48, 1536
MIB = 2**20
BUDGET = 128 * MIB
# Peak of resident memory of a process that runs `isl` with the words given, or only starts JAX.
PROGRAM = """
import sys
import jax
jax.numpy.zeros(3).block_until_ready()
if sys.argv[1:]:
    from isl.cli import main
    assert main(sys.argv[1:]) == 0
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) * 1024)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=PLANES, labels=("DAPI",), rngs=nnx.Rngs(0))
    contract = InputContract(planes=PLANES)
    config = ModelConfig(name="tiny", labels=("DAPI",), architecture=architecture, input=contract)
    save_model(folder, network, config, "# A card")
    return folder


def write_tiled(path, size):
    """uint16 [Z, Y, X], tile by tile."""
    rng = np.random.default_rng(0)
    tiles = [rng.integers(0, 60_000, (256, 256), dtype=np.uint16) for _ in range(7)]
    count = PLANES * (size // 256) ** 2
    tifffile.imwrite(
        path,
        (tiles[n % 7] for n in range(count)),
        shape=(PLANES, size, size),
        dtype=np.uint16,
        tile=(256, 256),
        photometric="minisblack",
        metadata={"axes": "ZYX"},
        ome=True,
    )


def peak(*words):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    return int(done.stdout.splitlines()[-1])


def test_peak_memory_is_bounded_by_the_budget_and_not_by_the_image(model, tmp_path):
    peaks = {}
    for size in (512, SIZE):
        write_tiled(tmp_path / f"{size}.ome.tif", size)
        peaks[size] = peak(
            *("predict", tmp_path / f"{size}.ome.tif", "--model", model, "--out", tmp_path / "out"),
            *("--statistics", "mean", "--memory", BUDGET / 2**30),
        )
    stored = (tmp_path / f"{SIZE}.ome.tif").stat().st_size
    assert stored > 1.5 * BUDGET
    # Above a field that is far smaller: Python, JAX and the compiled program are in both.
    assert peaks[SIZE] - peaks[512] < BUDGET
    # Above a process that only started JAX: importing and compiling take their part, once.
    allowed = BUDGET + 450 * MIB
    assert peaks[SIZE] - peak() < allowed
    # Otherwise this would show nothing: the planes as stored and as floats, which are never whole.
    assert allowed < stored + 2 * stored
    image = read_fluorescence(tmp_path / "out" / f"{SIZE}.ome.tif")
    assert image.channels.shape == (1, SIZE, SIZE)
    assert image.channels.std() > 0
