"""Packages that only some need: imported when they are, and named where they are missing."""

import importlib
from typing import Any

from isl.errors import InputError


def needed(module: str, *, extra: str, what: str) -> Any:
    """A module of a package that is not of the base installation.

    Args:
        module: As it is imported.
        extra: The extra of isl that brings it.
        what: What it is needed for, as the beginning of a message.

    Raises:
        InputError: It is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"{what} needs one more package ({package}): pip install 'isl[{extra}]'"
        ) from error
