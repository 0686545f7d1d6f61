"""Kinds of simulated data set: what `isl phantom --kind` makes, each a registered `PhantomKind`.

A kind is added by one entry point in the group `isl.phantoms`; nothing lists kinds.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isl.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhantomKind:
    """One kind of simulated data set.

    Attributes:
        about: What there is a number of, in a few words.
        config: Its settings.
        write: (folder, count, settings, seed, validation, overwrite) to what names the data set:
            the file or folder to be printed.
        undivided: Who divides it, where none can be for validation.
    """

    about: str
    config: type[Config]
    write: Callable[[Path, int, Any, int, int, bool], Path]
    undivided: str | None = None
