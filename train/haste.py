"""Runs that end in time where updates take longer than was planned: some are left out.

The schedule goes by the number of an update. Where time gets short, numbers are passed over,
evenly, so that the learning rate goes down to its end, stages keep their shares, and what is judged
last is a network at the end of a shorter schedule, not one that was broken off in the middle.
"""

import dataclasses
import json
import math
from pathlib import Path

from isl.files.whole import write_text

ALLOWED_FILE = "allowed.json"
"""What a run's folder calls what its updates and evaluations may take."""
# Before so many, the pace is as planned: the first ones wait for batches, too.
_FEW = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Allowed:
    """What a run may take, as it was planned.

    Attributes:
        updates: Seconds for all of its updates.
        judging: Seconds for each of its evaluations.
    """

    updates: float
    judging: float


def allow(workdir: Path, allowed: Allowed) -> None:
    """Writes down what a run may take."""
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(allowed)) + "\n"
    write_text(workdir / ALLOWED_FILE, text, overwrite=True)


def allowed_in(workdir: Path) -> Allowed | None:
    """What was written down; None: as much as it takes."""
    path = workdir / ALLOWED_FILE
    return Allowed(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


class Haste:
    """Which update comes next."""

    def __init__(self, allowed: Allowed | None, *, steps: int, evaluate_every: int) -> None:
        """Plans a run.

        Args:
            allowed: What it may take; None: as much as it takes.
            steps: The number of the last update.
            evaluate_every: As in the configuration.
        """
        self._allowed = allowed
        self._steps = steps
        self._every = evaluate_every or steps
        self._carried = 0.0
        self._from: tuple[int, float] | None = None

    def stride(self, update: int, *, made: int, seconds: float, judging: float) -> int:
        """By how much the number of the next update is larger; 1 where there is time for all.

        Args:
            update: The number of the last update.
            made: Updates that were made, by this process and those before it.
            seconds: Spent on them.
            judging: Seconds spent on evaluations.
        """
        if self._allowed is None:
            return 1
        if self._from is None:
            self._from = made, seconds
        planned = self._allowed.updates / self._steps
        # The first update of a process is not timed.
        timed = made - self._from[0] - 1
        pace = (seconds - self._from[1]) / timed if timed >= _FEW else planned
        # What slows updates down slows judging down, too.
        slower = max(1.0, pace / planned)
        evaluations = math.ceil(self._steps / self._every)
        to_come = math.ceil((self._steps - update) / self._every)
        left = self._allowed.updates + evaluations * self._allowed.judging - seconds - judging
        left -= to_come * self._allowed.judging * slower
        if left <= 0:
            return self._steps
        wanted = (self._steps - update) * pace / left
        if wanted <= 1:
            self._carried = 0.0
            return 1
        self._carried, whole = math.modf(self._carried + wanted)
        return int(whole)
