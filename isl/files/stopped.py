"""What stops one field and would stop every other one too, such as a full disk."""

import contextlib
import errno
from collections.abc import Iterator

from isl.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What NumPy says, without a number, of a file that took only a part of an array.
_CUT = "requested and"


class StoppedError(InputError):
    """Nothing more can be done now; running again continues where this run stopped."""


@contextlib.contextmanager
def stopped_by_full_disk() -> Iterator[None]:
    """Within it, an InputError that a full disk is the cause of becomes a StoppedError.

    The cause does not come along from one process to another, so each has to look for itself.
    """
    try:
        yield
    except StoppedError:
        raise
    except InputError as error:
        if _is_full(error):
            raise StoppedError(f"{error}; make room and run again to continue") from error
        raise


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and (
            error.errno in _FULL or (error.errno is None and _CUT in str(error))
        ):
            return True
        error = error.__cause__
    return False
