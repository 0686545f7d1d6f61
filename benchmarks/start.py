"""What a person waits for: a list of models, one field by the command, one field from Python.

    python benchmarks/start.py [--rounds 3]

Every line is a process of its own, started when compiled programs and Python's bytecode are kept
already (a first round is not counted). Seconds of the clock, and of the processor, which depend
less on what else is at work; the best of the rounds.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from isl.imaging.formats.imagej_tiff import write_stack
from isl.phantom import PhantomConfig, make_phantom

PYTHON = """
import isl
isl.load_model("{model}").predict("{field}")
"""


def timed(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a process takes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, env=environment)
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    isl = str(Path(sys.executable).with_name("isl"))
    with tempfile.TemporaryDirectory() as folder:
        field, out = Path(folder) / "field.tif", Path(folder) / "out"
        stack, _ = make_phantom(PhantomConfig(height=512, width=512), 1)
        write_stack(field, stack)
        environment = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode"),
        }
        model = "neurons-phase"
        predict = [isl, "predict", str(field), "--out", str(out), "--model", model, "--overwrite"]
        lines = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "isl --help": [isl, "--help"],
            "isl models": [isl, "models"],
            "isl predict, 13 planes of 512 x 512": predict,
            "the same from Python": [
                sys.executable,
                "-c",
                PYTHON.format(model=model, field=field),
            ],
        }
        print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"{'':40}{'clock, s':>10}{'processor, s':>14}")
        for name, words in lines.items():
            timed(words, environment)
            found = [timed(words, environment) for _ in range(rounds)]
            clock, processor = np.array(found).min(axis=0)
            print(f"{name:40}{clock:10.2f}{processor:14.2f}")


if __name__ == "__main__":
    main()
