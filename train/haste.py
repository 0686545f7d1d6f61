"""Runs that end in time where updates take longer than was planned: some are left out.

The schedule goes by the number of an update. Where time gets short, numbers are passed over,
evenly, so that the learning rate goes down to its end, stages keep their shares, and what is judged
last is a network at the end of a shorter schedule, not one that was broken off in the middle.
"""

import json
import math
from pathlib import Path

from isl.files.whole import write_text

ALLOWED_FILE = "allowed.json"
"""What a run's folder calls the seconds that its updates and evaluations may take."""


def allow(workdir: Path, seconds: float) -> None:
    """Writes down how long a run's updates and evaluations may take."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_text(workdir / ALLOWED_FILE, json.dumps({"seconds": seconds}) + "\n", overwrite=True)


def allowed(workdir: Path) -> float | None:
    """The seconds that were written down; None: as long as it takes."""
    path = workdir / ALLOWED_FILE
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else None


class Haste:
    """Which update comes next."""

    def __init__(self, allowed: float | None, steps: int) -> None:
        """Plans a run.

        Args:
            allowed: Seconds for all updates and evaluations; None: as long as it takes.
            steps: The number of the last update.
        """
        self._allowed = allowed
        self._steps = steps
        self._carried = 0.0
        self._from: tuple[int, float] | None = None

    def stride(self, update: int, made: int, spent: float) -> int:
        """By how much the number of the next update is larger; 1 where there is time for all.

        Args:
            update: The number of the last update.
            made: Updates that were made.
            spent: Seconds spent on updates and evaluations, by this process and those before it.
        """
        if self._allowed is None:
            return 1
        if self._from is None:
            self._from = made, spent
        left = self._allowed - spent
        if left <= 0:
            return self._steps
        if made < self._from[0] + 2:
            return 1
        # The first update of a process is not timed.
        pace = (spent - self._from[1]) / (made - self._from[0] - 1)
        wanted = (self._steps - update) * pace / left
        if wanted <= 1:
            self._carried = 0.0
            return 1
        self._carried, whole = math.modf(self._carried + wanted)
        return int(whole)
