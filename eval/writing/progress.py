"""How far an evaluation is, a line for every part, with the time that is left."""

import time
from collections.abc import Callable, Mapping


class PartsProgress:
    """Counts parts of several kinds, each with its own pace."""

    def __init__(self, amounts: Mapping[str, float], say: Callable[[str], None]) -> None:
        """For so much work of every kind.

        Args:
            amounts: How much there is of each kind, in units that take equally long.
            say: Called with a line for every part.
        """
        self._left = dict(amounts)
        self._spent: dict[str, tuple[float, float]] = {}
        self._say = say
        self._since = time.monotonic()

    def begin(self) -> None:
        """A part is begun."""
        self._since = time.monotonic()

    def end(self, kind: str, amount: float, text: str) -> None:
        """A part is done: so much of a kind."""
        took = time.monotonic() - self._since
        seconds, done = self._spent.get(kind, (0.0, 0.0))
        self._spent[kind] = (seconds + took, done + amount)
        self._left[kind] -= amount
        self._say(f"{text} ({_duration(took)}{self._time_left()})")

    def skip(self, kind: str, amount: float, text: str) -> None:
        """A part was done in an earlier run."""
        self._left[kind] -= amount
        self._say(f"{text} (done before)")

    @property
    def seconds_left(self) -> float:
        """What is left at the pace so far; kinds that were not met yet go at the slowest one."""
        paces = {kind: seconds / done for kind, (seconds, done) in self._spent.items() if done}
        slowest = max(paces.values(), default=0.0)
        return sum(left * paces.get(kind, slowest) for kind, left in self._left.items())

    def _time_left(self) -> str:
        if all(left <= 0 for left in self._left.values()):
            return ""
        return f"; about {_duration(self.seconds_left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
