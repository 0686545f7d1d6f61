"""Training on fields in memory and on fields in files: peak memory, and updates a second.

Simulated fields of 13 planes, 1024 pixels wide, are written to a temporary folder, which is removed
afterwards; beyond the first few, fields are read from the same images again. Every line of the
table is a process of its own that reads them, draws crops, and trains a small network. "Not cached"
is drawn from files that the system was told to forget. More fields than this machine's memory holds
are measured in files alone.

    python benchmarks/train_from_disk.py [FIELDS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

PLANES, SIZE, DRAWS, STEPS = 13, 1024, 100, 30
DIFFERENT = 36
# GiB that fields may take: all are in memory, or all in files.
WAYS = {
    "memory": 1000.0,
    "files, made anew": 0.1,
    "files of the run before": 0.1,
}


def write_fields(folder: Path, count: int) -> None:
    """Blurred noise, each field another until there are many."""
    lines = []
    for number in range(min(count, DIFFERENT)):
        rng = np.random.default_rng(number)
        small = rng.integers(10_000, 50_000, (PLANES + 1, SIZE // 4, SIZE // 4))
        large = small.repeat(4, axis=1).repeat(4, axis=2)
        stack = (large + rng.integers(0, 5000, large.shape)).astype(np.uint16)
        tifffile.imwrite(folder / f"{number}.tif", stack[1:], metadata={"axes": "ZYX"})
        tifffile.imwrite(folder / f"{number}-label.tif", stack[0])
    for number in range(count):
        images = number % DIFFERENT
        lines.append(
            f'[[field]]\nname = "{number}"\ntransmitted = "{images}.tif"\naxes = "ZYX"\n'
            f'labels.DAPI = "{images}-label.tif"\n'
        )
    (folder / "manifest.toml").write_text("\n".join(lines))


def forget(folder: Path) -> None:
    """Asks the system to let go of what it holds of files."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(folder: Path, memory: float, workdir: Path) -> dict[str, float]:
    """Reads, draws and trains in this process."""
    from isl.config import parse
    from isl_train.labeling.config import LabelingConfig
    from isl_train.labeling.task import LabelingTask
    from isl_train.loop import fit

    training = {"steps": STEPS, "batch_size": 8, "crop": 128, "padded": True, "memory": memory}
    given = {
        "task": "labeling",
        "dataset": "manifest.toml",
        "network": {"kind": "unet", "levels": 2, "width": 8},
        "training": training | {"evaluate_every": 0},
        "loss": {"autoencoding": 0.0, "pixels_per_crop": 256},
    }
    config = parse(given, LabelingConfig, source="benchmark")
    begun = time.monotonic()
    task = LabelingTask(config, folder)
    found = {"read": time.monotonic() - begun, "fields": task.ground.nbytes / 2**30}
    if task.ground.kept_in is not None:
        forget(task.ground.kept_in)
        found["not cached"] = draws_a_second(task)
    found["crops"] = draws_a_second(task)
    progress = fit(task, config, workdir)
    found["updates"] = (progress.update - 1) / progress.seconds
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return found | {"peak": int(status["VmHWM"].split()[0]) / 2**20}


def draws_a_second(task) -> float:
    """Crops, one after the other."""
    rng = np.random.default_rng(0)
    begun = time.monotonic()
    for _ in range(DRAWS):
        task.fields.draw(rng)
    return DRAWS / (time.monotonic() - begun)


def ways(count: int) -> dict[str, float]:
    """Those that fit: in memory, fields take as much again while they are read."""
    needed = 2 * count * PLANES * SIZE**2 * 4
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {way: memory for way, memory in WAYS.items() if way != "memory" or needed < held}


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 36
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_fields(folder, count)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        found = {}
        for number, (way, memory) in enumerate(ways(count).items()):
            words = (__file__, "measure", str(folder), str(memory), str(folder / f"run{number}"))
            done = subprocess.run(
                [sys.executable, *words], env=environment, stdout=subprocess.PIPE, check=True
            )
            found[way] = json.loads(done.stdout.splitlines()[-1])
    first = next(iter(found.values()))
    print(f"{count} fields of {PLANES} x {SIZE} x {SIZE}, {first['fields']:.2f} GiB as floats")
    print(f"{'':24}  peak GiB  read s  crops/s  to first  updates/s  to first  crops/s not cached")
    for way, each in found.items():
        cold = f"{each['not cached']:.0f}" if "not cached" in each else ""
        print(
            f"{way:24}  {each['peak']:8.2f}  {each['read']:6.1f}  {each['crops']:7.0f}  "
            f"{each['crops'] / first['crops']:8.2f}  {each['updates']:9.2f}  "
            f"{each['updates'] / first['updates']:8.2f}  {cold:>18}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main()
