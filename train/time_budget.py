"""`isl train --budget 20min`: a run that is as long as there is time for.

The whole training is first gone through with a few updates of everything that is fitted, in a
folder that goes away. That tells the pace of each part, what judging costs, and what all the rest
takes: reading, compiling, joining members. All lengths are then changed by one share, schedules
with them, and the run is an ordinary one: it is resumed with the lengths that were chosen. What
each part may take is written into its folder, so that it ends in time where the machine becomes
slower (`isl_train.haste`).
"""

import dataclasses
import datetime
import json
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isl.errors import InputError
from isl.files.whole import write_text

from .haste import Allowed, allow
from .lengths import REHEARSAL, REHEARSED, of_share

if TYPE_CHECKING:
    from .experiment import ExperimentConfig
    from .recipe import Recipe, Run

BUDGET_FILE = "budget.json"
"""What a run's folder calls the lengths that its budget paid for."""

_COUNTED = REHEARSED // 2
_MOST_JUDGING = 0.15

_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)min)?(?:([\d.]+)s)?")
_COMPILED = "/jax/core/compile/backend_compile_duration"


def seconds_in(text: str) -> float:
    """A duration such as "20min", "1h30min" or "90s", in seconds.

    Raises:
        InputError: It is none, or not above 0.
    """
    match = _DURATION.fullmatch(text.strip().replace(" ", ""))
    try:
        parts = [float(part or 0) for part in match.groups()] if match else []
    except ValueError:
        parts = []
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds > 0:
        raise InputError(f"`budget={text}`: expected a time such as 20min, 1h30min or 90s")
    return seconds


def within(
    seconds: float, recipe: "Recipe", experiment: "ExperimentConfig", run: "Run"
) -> "ExperimentConfig":
    """The experiment at the length that a budget pays for; says what to expect of it.

    What was chosen when the run began is kept in its folder, and holds when it is resumed.

    Args:
        seconds: For the whole run, with the rehearsal.
        recipe: Of the task.
        experiment: At the length of its file.
        run: Where it will go.

    Raises:
        InputError: Nothing is fitted in updates, the run was begun otherwise, or the time is not
            enough for one update.
    """
    kept = run.workdir / BUDGET_FILE
    if kept.is_file():
        chosen = json.loads(kept.read_text(encoding="utf-8"))
        if chosen["seconds"] != seconds:
            raise InputError(
                f"{run.workdir}: was begun with `budget={_words(chosen['seconds'])}`; give the "
                "same, or another folder"
            )
        return recipe.resized(
            experiment, run.folder, of_share(chosen["share"], chosen["evaluations"])
        )
    fits = recipe.fits(experiment, run)
    if not fits:
        raise InputError("`budget`: this is fitted at once, not in updates; leave it out")
    if run.workdir.is_dir() and any(run.workdir.iterdir()):
        raise InputError(
            f"{run.workdir}: is not empty, and holds no run begun with `budget`; leave it out, or "
            "name another folder"
        )
    run.say(f"measuring the pace: {REHEARSED} updates of everything ...")
    cost = _rehearsed(recipe, experiment, run, fits)
    evaluations = _evaluations(experiment, cost, seconds)
    left = seconds - cost.rehearsal - cost.fixed - evaluations * cost.judging
    share = left / cost.updates
    if share * experiment.training.steps < 1:
        least = cost.rehearsal + cost.fixed + cost.judging
        raise InputError(
            f"`budget={_words(seconds)}`: reading, compiling and judging once take "
            f"{_words(least)} by themselves; give {_words(2 * least)} or more"
        )
    resized = recipe.resized(experiment, run.folder, of_share(share, evaluations))
    run.workdir.mkdir(parents=True, exist_ok=True)
    chosen = {"seconds": seconds, "share": share, "evaluations": evaluations}
    write_text(kept, json.dumps(chosen) + "\n", overwrite=True)
    for place, part in cost.parts.items():
        planned = Allowed(updates=share * part.updates, judging=part.judging)
        allow(run.workdir / place, planned)
    run.say(_expectation(seconds, experiment, resized, cost, evaluations, share))
    return resized


@dataclasses.dataclass(frozen=True)
class Part:
    """What one of the things that are fitted costs.

    Attributes:
        count: Its updates, at the length of the file.
        updates: Seconds that they take.
        judging: Seconds of judging it once.
    """

    count: int
    updates: float
    judging: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run costs.

    Attributes:
        parts: Of everything fitted, by its folder within the run's.
        fixed: Seconds of all the rest.
        rehearsal: It took so many to find this out.
    """

    parts: Mapping[str, Part]
    fixed: float
    rehearsal: float

    @property
    def count(self) -> int:
        """Updates of all parts."""
        return sum(part.count for part in self.parts.values())

    @property
    def updates(self) -> float:
        """Seconds that the updates of all parts take."""
        return sum(part.updates for part in self.parts.values())

    @property
    def judging(self) -> float:
        """Seconds of judging every part once."""
        return sum(part.judging for part in self.parts.values())


def cost_of(
    clocks: "Mapping[str, tuple[ExperimentConfig, np.ndarray]]", *, took: float, compiling: float
) -> Cost:
    """What a run costs, from its rehearsal.

    Args:
        clocks: Of everything fitted, by its folder: the experiment at its own length, and the rows
            of clock.csv (update, seconds, judging), one after each half of each stage.
        took: Seconds of the whole rehearsal.
        compiling: Those of them that were spent on programs which are kept, so that the run itself
            does not compile them again.
    """
    parts: dict[str, Part] = {}
    done, compiled_judging = 0.0, 0.0
    for place, (experiment, clock) in clocks.items():
        done += float(clock["seconds"][-1] + clock["judging"][-1])
        lengths = [stage.last - stage.first for stage in experiment.plan]
        paces = _paces(clock, len(lengths))
        updates = sum(pace * length for pace, length in zip(paces, lengths, strict=True))
        first, last = clock["judging"][0], clock["judging"][-1] - clock["judging"][-2]
        parts[place] = Part(count=sum(lengths), updates=updates, judging=float(last))
        compiled_judging += float(first - last)
    # Judging, with what it compiled, is done already: the rest was compiled beside it.
    saved = max(0.0, compiling - max(0.0, compiled_judging))
    fixed = max(0.0, took - done - saved)
    return Cost(parts=parts, fixed=fixed, rehearsal=took)


def _rehearsed(
    recipe: "Recipe", experiment: Any, run: "Run", fits: "Mapping[str, ExperimentConfig]"
) -> Cost:
    """What a run costs, from one of a few updates in a folder that goes away."""
    began = time.monotonic()
    short = recipe.resized(experiment, run.folder, REHEARSAL)
    with (
        tempfile.TemporaryDirectory(prefix="isl-rehearsal-") as folder,
        _compiling() as compiled,
    ):
        aside = dataclasses.replace(
            run, workdir=Path(folder), say=lambda message: None, console=None
        )
        recipe.train(short, aside)
        clocks = {
            str(place.relative_to(folder)): (
                fitted,
                np.genfromtxt(place / "clock.csv", delimiter=",", names=True),
            )
            for pattern, fitted in fits.items()
            for place in (sorted(Path(folder).glob(pattern)) if pattern != "." else [Path(folder)])
        }
    compiling = sum(compiled) if _programs_are_kept() else 0.0
    return cost_of(clocks, took=time.monotonic() - began, compiling=compiling)


def _paces(clock: np.ndarray, stages: int) -> list[float]:
    """Seconds an update of every stage takes, from its second half; of all, if there are none."""
    seconds, updates = clock["seconds"], clock["update"]
    if len(clock) == 2 * stages:
        return [float(seconds[n + 1] - seconds[n]) / _COUNTED for n in range(0, len(clock), 2)]
    return [float((seconds[-1] - seconds[0]) / (updates[-1] - updates[0]))] * stages


def _programs_are_kept() -> bool:
    import jax

    return jax.config.values["jax_compilation_cache_dir"] is not None


@contextmanager
def _compiling() -> Iterator[list[float]]:
    """Collects the seconds of every compilation."""
    from jax import monitoring

    seconds: list[float] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == _COMPILED:
            seconds.append(duration_secs)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        monitoring.unregister_event_duration_listener(listen)


def _evaluations(experiment: "ExperimentConfig", cost: Cost, seconds: float) -> int:
    """As often as the file says, and no more than a small part of the time is spent on."""
    every = experiment.training.evaluate_every
    wanted = max(1, experiment.training.steps // every) if every else 1
    affordable = int(_MOST_JUDGING * seconds / cost.judging) if cost.judging else wanted
    return max(1, min(wanted, affordable))


def _expectation(
    seconds: float,
    experiment: "ExperimentConfig",
    resized: "ExperimentConfig",
    cost: Cost,
    evaluations: int,
    share: float,
) -> str:
    """What to expect, in words."""
    pace = cost.updates / cost.count
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds - cost.rehearsal)
    text = (
        f"budget {_words(seconds)}: {resized.training.steps} updates in place of "
        f"{experiment.training.steps} ({share:.0%}), {pace:.2g} s each, judged "
        f"{evaluations} times; done at about {end:%H:%M}"
    )
    if share < 0.1:
        text += "; that is a small part of what the file asks for: expect a first impression"
    return text


def _words(seconds: float) -> str:
    """A duration as it is given on the command line."""
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return "".join(f"{value}{unit}" for value, unit in parts if value)
