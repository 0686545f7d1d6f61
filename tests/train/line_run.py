"""Fits the line in a process of its own: `python line_run.py WORKDIR [key=value]...`."""

import sys
import time
from pathlib import Path
from typing import Any

from line_task import Line, line_experiment

from isl_train.distributed import join, processes_from_environment
from isl_train.loop import fit


class SlowLine(Line):
    """Takes its time to judge, so that it can be killed meanwhile."""

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return super().evaluate(*arguments, **options)


def main() -> None:
    processes = processes_from_environment()
    if processes is not None:
        join(processes)
    overrides = sys.argv[2:]
    progress = fit(SlowLine(), line_experiment(*overrides), Path(sys.argv[1]))
    print("done", progress)


if __name__ == "__main__":
    main()
