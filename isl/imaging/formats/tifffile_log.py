"""What tifffile says of a file it reads, collected instead of logged."""

import contextlib
import logging
import threading
from collections.abc import Iterator


class _Listener:
    """Hears what tifffile logs, each thread what its own files cause.

    One filter serves all threads and stays: logging walks its list of filters without a lock, so it
    must not change while any of them listens.
    """

    def __init__(self) -> None:
        self._heard = threading.local()

    def __call__(self, record: logging.LogRecord) -> bool:
        messages: list[str] | None = getattr(self._heard, "messages", None)
        if messages is None:
            return True
        messages.append(record.getMessage())
        return False

    @contextlib.contextmanager
    def into(self, messages: list[str]) -> Iterator[None]:
        logging.getLogger("tifffile").addFilter(self)
        before = getattr(self._heard, "messages", None)
        self._heard.messages = messages
        try:
            yield
        finally:
            self._heard.messages = before


_LISTENER = _Listener()


def messages_of_tifffile(messages: list[str]) -> contextlib.AbstractContextManager[None]:
    """Collects what tifffile would log to stderr while the block runs, in this thread."""
    return _LISTENER.into(messages)
