"""Stopping between two updates when the person or the cluster asks for it."""

import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Remembers SIGINT and SIGTERM, so that the loop can save first; a second one acts at once.

    Attributes:
        requested: Whether one of them came.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        """Listens to nothing yet.

        Args:
            enabled: False where stopping at different updates would leave others waiting.
        """
        self.requested = False
        self._enabled = enabled
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        """Starts to listen, which Python lets only the main thread do."""
        if self._enabled and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
            for number in _SIGNALS:
                signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
