"""The table of what failed while the rest was done."""

import sys
from collections.abc import Sequence

from isl.errors import as_options


def report_failures(failed: Sequence[tuple[str, object]], total: int, *, what: str) -> int:
    """Prints what failed on stderr, and returns the exit code: 0, 2 (all) or 3 (some).

    Args:
        failed: Names, each with its reason.
        total: How many there were.
        what: What they are, such as "fields".
    """
    if not failed:
        return 0
    print(f"{len(failed)} of {total} {what} failed:", file=sys.stderr)
    width = max(len(name) for name, _ in failed)
    for name, reason in failed:
        print(f"  {name:<{width}}  {as_options(reason)}", file=sys.stderr)
    return 2 if len(failed) == total else 3
