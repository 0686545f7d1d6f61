"""Warnings, heard by whoever has to say them again."""

import contextlib
import logging
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def warnings_logged(*loggers: str) -> Iterator[list[str]]:
    """Messages that a block logs as warnings, in order; whoever else listens hears them, too.

    Args:
        loggers: Names of those that count, with all below them.
    """
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Collect(level=logging.WARNING)
    heard = [logging.getLogger(name) for name in loggers]
    for logger in heard:
        logger.addHandler(handler)
    try:
        yield found
    finally:
        for logger in heard:
            logger.removeHandler(handler)


def said_of(source: object, warnings: Iterable[str]) -> tuple[str, ...]:
    """Warnings as the record of an input has them: each once, without its own name in front.

    Args:
        source: The input, as warnings name it.
        warnings: As they were logged.
    """
    return tuple(dict.fromkeys(each.removeprefix(f"{source}: ") for each in warnings))
