"""What a disk refuses in the middle of a run, as one line that says how to go on."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from isl.errors import InputError

# TensorStore, which writes arrays for Orbax, raises ValueError with the system's number in it.
_NUMBER = re.compile(r"os_error_code='(\d+)'")


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Names the folder that something of a run is written to.

    Raises:
        InputError: It cannot be written (full, read-only, ...).
    """
    try:
        yield
    except OSError as error:
        raise _refusal(folder, error.strerror or str(error)) from error
    except ValueError as error:
        number = _NUMBER.search(str(error))
        if number is None:
            raise
        raise _refusal(folder, os.strerror(int(number[1]))) from error


def _refusal(folder: Path, reason: str) -> InputError:
    return InputError(
        f"{folder}: the run cannot be written there ({reason}); make room, and run again to resume "
        "from the last checkpoint"
    )
