"""How far a command is, on stderr: a bar on a terminal, a line a field in a log."""

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from isl.errors import InputError


class Named(Protocol):
    """What is worked on, such as a field, an embryo or a well."""

    @property
    def name(self) -> str:
        """For the progress, and for the table of failures."""
        ...


Item = TypeVar("Item", bound=Named)


def one_by_one(
    items: Sequence[Item], work: Callable[[Item, "FieldProgress"], str]
) -> dict[str, InputError]:
    """Does the work on one item after the other, and shows how far it is.

    Args:
        items: On what.
        work: Says what became of an item, such as "done".

    Returns:
        Those that failed, by name, with the reasons.

    Raises:
        InputError: The only item failed.
    """
    failed: dict[str, InputError] = {}
    with FieldProgress(len(items)) as progress:
        for item in items:
            progress.begin(item.name)
            try:
                outcome = work(item, progress)
            except InputError as error:
                if len(items) == 1:
                    raise
                failed[item.name] = error
                outcome = "failed"
            progress.end(outcome)
    return failed


class FieldProgress:
    """Counts fields, and the tiles of each; to be used with `with`."""

    def __init__(self, fields: int) -> None:
        """For so many fields."""
        self._fields = fields
        self._done = 0
        self._started = time.monotonic()
        self._name = ""
        console = Console(stderr=True)
        self._bar: Progress | None = None
        self._bars: tuple[TaskID, TaskID] | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bars = (
                self._bar.add_task("all", total=fields, what="fields"),
                self._bar.add_task("", total=None, what="tiles"),
            )

    def __enter__(self) -> "FieldProgress":
        """Shows the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str) -> None:
        """A field is begun."""
        self._name = name
        self._started = time.monotonic()
        if self._bar is not None and self._bars is not None:
            self._bar.reset(self._bars[1], total=None, description=name)

    def tiles(self, done: int, total: int) -> None:
        """So many of the field's tiles are predicted."""
        if self._bar is not None and self._bars is not None:
            self._bar.update(self._bars[1], completed=done, total=total)
            # Fields count in parts, so that the time left is known before the first is done.
            self._bar.update(self._bars[0], completed=self._done + done / total)

    def end(self, outcome: str, name: str | None = None, seconds: float | None = None) -> None:
        """The field is done, skipped or failed.

        Args:
            outcome: Which of these.
            name: Of the field, where it is not the one that was begun last.
            seconds: What it took; None: since it was begun.
        """
        self._done += 1
        took = time.monotonic() - self._started if seconds is None else seconds
        line = f"[{self._done}/{self._fields}] {name or self._name}: {outcome} ({took:.1f} s)"
        print(line, file=sys.stderr)
        if self._bar is not None and self._bars is not None:
            self._bar.update(self._bars[0], completed=self._done)
