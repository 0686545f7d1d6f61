"""What a person sees during a run: loss, pixels a second, time left."""

import datetime
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressDisplay:
    """A moving bar on a terminal, a plain line now and then elsewhere."""

    def __init__(
        self, *, start: int, steps: int, pixels_per_update: int, console: Console | None
    ) -> None:
        """Prepares a display.

        Args:
            start: Updates already done.
            steps: Updates in total.
            pixels_per_update: Input pixels an update sees.
            console: Where to; None: nowhere.
        """
        self._console = console
        self._steps = steps
        self._pixels = pixels_per_update
        self._done = start
        self._timed_from: tuple[int, float] | None = None
        self._paused_at = 0.0
        self._bar: Progress | None = None
        if console is not None and console.is_terminal:
            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console)
            self._row = self._bar.add_task("compiling", total=steps, completed=start)

    def __enter__(self) -> "ProgressDisplay":
        """Starts the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the bar."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return self._console is not None

    def say(self, message: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._console is not None:
            self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def advance(self, done: int) -> None:
        """Counts updates that were finished; the first one, with its compilation, is not timed."""
        self._done = done
        if self._timed_from is None:
            self._timed_from = (done, time.monotonic())
        if self._bar is not None:
            self._bar.update(self._row, completed=done)

    def pause(self) -> None:
        """Stops the clock, for an evaluation."""
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Starts the clock again."""
        if self._timed_from is not None:
            done, since = self._timed_from
            self._timed_from = (done, since + time.monotonic() - self._paused_at)

    @property
    def pixels_per_second(self) -> float:
        """Mean throughput since the first update of this process; NaN before the second."""
        if self._timed_from is None or self._done <= self._timed_from[0]:
            return float("nan")
        done, since = self._timed_from
        return (self._done - done) * self._pixels / max(time.monotonic() - since, 1e-9)

    def report(self, loss: float) -> None:
        """Shows the loss, the throughput and the time left."""
        rate = self.pixels_per_second
        text = f"update {self._done}/{self._steps}  loss {loss:.4f}"
        if rate == rate:
            seconds = (self._steps - self._done) * self._pixels / rate
            left = datetime.timedelta(seconds=round(seconds))
            text += f"  {rate / 1e6:.3g} Mpixel/s  {left} left"
        if self._bar is not None:
            self._bar.update(self._row, description=text)
        else:
            self.say(text)
