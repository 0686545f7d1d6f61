"""Sums of what the train step reports, and the watch over its loss."""

import math
from collections.abc import Callable

import jax

from isl.errors import InputError

from .task import Batch, Sums


class Diverged(InputError):
    """The loss or its gradient is no longer finite: a setting may be at fault, or an image."""


class Ledger:
    """Adds up diagnostics between two lines of the metrics file.

    Reading a loss waits for the device. So each step's numbers are read when the next step has been
    handed over already, and the device is never idle.
    """

    def __init__(self, describe: Callable[[Batch], str]) -> None:
        """Starts empty; `describe` says where a batch came from, should its loss be bad."""
        self._describe = describe
        self._pending: tuple[int, Batch, Sums] | None = None
        self._totals: dict[str, tuple[float, float]] = {}

    def add(self, update: int, batch: Batch, sums: Sums) -> None:
        """Notes what a step reported and reads what the one before did.

        Args:
            update: The update that the step belongs to.
            batch: What it saw, this process's part.
            sums: What it reported.
        """
        self.settle()
        self._pending = (update, batch, sums)

    def settle(self) -> None:
        """Reads the numbers still outstanding.

        Raises:
            Diverged: The loss or the gradient of that step is not finite.
        """
        if self._pending is None:
            return
        update, batch, sums = self._pending
        self._pending = None
        numbers: dict[str, tuple[float, float]] = {
            name: (float(total), float(count))
            for name, (total, count) in jax.device_get(sums).items()
        }
        for name in ("loss", "gradient_norm"):
            if name in numbers and not math.isfinite(numbers[name][0]):
                raise Diverged(
                    f"{name} is {numbers[name][0]} at update {update}, batch from "
                    f"{self._describe(batch)}: look at these images for broken values, or lower "
                    "optimizer.learning_rate, or set optimizer.clip_norm = 1.0; the last "
                    "checkpoint is from before it, run again to resume from there"
                )
        for name, (total, count) in numbers.items():
            total_before, count_before = self._totals.get(name, (0.0, 0.0))
            self._totals[name] = (total_before + total, count_before + count)

    def means(self) -> dict[str, float]:
        """Means since the last call, by name; NaN where nothing was counted, {} after no step."""
        self.settle()
        means = {
            name: total / count if count > 0 else float("nan")
            for name, (total, count) in self._totals.items()
        }
        self._totals = {}
        return means
