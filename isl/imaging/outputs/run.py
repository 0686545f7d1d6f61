"""A run over many inputs, each of which becomes files of its own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from isl.files.failures import report_failures
from isl.files.locks import alone_in
from isl.imaging.outputs.results import Input
from isl.workers import side_by_side

AnyInput = TypeVar("AnyInput", bound=Input)


class Shared(Protocol):
    """What was asked for, where processes share the inputs."""

    @property
    def out(self) -> Path:
        """Folder for the results."""
        ...

    @property
    def workers(self) -> int:
        """How many processes."""
        ...


def run_side_by_side(
    inputs: Sequence[AnyInput],
    asked: Shared,
    command: str,
    work: Callable[[AnyInput], str],
    conclude: Callable[[Sequence[AnyInput], Mapping[str, str]], None],
    *,
    what: str,
) -> int:
    """Does the work on every input, alone in the folder, then what follows from all of them.

    Args:
        inputs: On what.
        asked: Where results go, and in how many processes.
        command: Such as "isl colony".
        work: As of `isl.workers.side_by_side`.
        conclude: Writes tables of those that are done, if any; given them, and what was wrong with
            the others, by name.
        what: What inputs are called, such as "wells".

    Returns:
        The exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The only input failed; nothing was written.
    """
    with alone_in(asked.out, command):
        failed = side_by_side(inputs, work, workers=asked.workers)
        done = [each for each in inputs if each.name not in failed]
        if done:
            conclude(done, failed)
    return report_failures(list(failed.items()), len(inputs), what=what)
