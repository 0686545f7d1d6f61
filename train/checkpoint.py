"""Checkpoints: the train state, how far the data was read, and what the run has found so far.

Orbax writes them beside the training, into folders that appear under their final name only when
they are complete: whatever moment a process is killed at, the last complete one can be resumed.
"""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jax
from orbax.checkpoint.experimental import v1 as orbax

from isl.errors import InputError

from .disk import writing_to
from .state import TrainState, from_plain, to_plain
from .task import Selection

_policies = orbax.training.preservation_policies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """What a run must remember beside its state.

    Attributes:
        update: Optimizer updates done.
        batches_drawn: Position of the data stream.
        best: Best value of the selection metric so far, or None.
        best_update: When that was.
        seconds: Spent on updates, over all processes that continued the run; the first update of
            each, with its compilation, and evaluations are not counted.
        judging: Spent on evaluations, likewise.
    """

    update: int = 0
    batches_drawn: int = 0
    best: float | None = None
    best_update: int | None = None
    seconds: float = 0.0
    judging: float = 0.0


class Checkpoints:
    """The checkpoints of one run: the last one, and the best where there is a selection metric."""

    def __init__(
        self,
        directory: Path,
        *,
        identity: str,
        optimizer: str,
        selection: Selection | None,
        ground: str = "",
        stage: str = "",
    ) -> None:
        """Opens or creates the folder.

        Args:
            directory: Where the checkpoints lie, one folder an update.
            identity: The network in words; checkpoints of another one are refused.
            optimizer: What shapes the optimizer's state, in words; likewise.
            selection: Which way the metrics given to `save` are better.
            ground: Hash of the data; checkpoints that learned from others are refused. "": of
                unknown ones.
            stage: The best is that of this stage of the run.
        """
        self._value = f"value {stage}".strip()
        # What it logs of damaged files is said once, by the error.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._identity = {"network": identity, "optimizer": optimizer}
        self._ground = ground
        self._directory = directory
        keep: list[Any] = [_policies.LatestN(1)]
        if selection is not None:
            worst = -math.inf if selection.higher_is_better else math.inf
            best = _policies.BestN(
                get_metric_fn=lambda metrics: metrics.get(self._value, worst),
                reverse=not selection.higher_is_better,
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            keep.append(best)
        self._checkpointer = orbax.training.Checkpointer(
            str(directory.absolute()),
            preservation_policy=cast(Any, _policies.AnyPreservationPolicy(keep)),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        """The checkpoints themselves; leaving waits for what is still being written."""
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is still being written."""
        with writing_to(self._directory):
            self._checkpointer.close()

    @property
    def updates(self) -> list[int]:
        """Updates of which there is a checkpoint."""
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def save(self, state: TrainState, progress: Progress, *, value: float | None) -> None:
        """Starts writing a checkpoint and returns before it is done.

        Args:
            state: It may be donated at once; a copy is written.
            progress: Goes beside the state.
            value: The selection metric, if it was just measured.

        Raises:
            InputError: It, or the one before it, cannot be written.
        """
        if progress.update in self.updates:
            return
        with writing_to(self._directory):
            self._checkpointer.save_async(
                progress.update,
                to_plain(state),
                force=True,
                metrics=None if value is None else {self._value: value},
                custom_metadata={
                    **self._identity,
                    "ground": self._ground,
                    "progress": dataclasses.asdict(progress),
                },
            )

    def restore(self, like: TrainState, update: int | None = None) -> tuple[TrainState, Progress]:
        """Reads a checkpoint.

        Args:
            like: A state of the same shapes, types and placement.
            update: Which one; the last one if None.

        Raises:
            InputError: The checkpoint is damaged, or of another network, optimizer or ground.
        """
        with self._damage_named(update):
            found = self._checkpointer.metadata(update)
            metadata: Any = found.custom_metadata or {}
            progress = Progress(**metadata["progress"])
            identity = {what: metadata[what] for what in self._identity}
        for what, expected in self._identity.items():
            if identity[what] != expected:
                raise InputError(
                    f"{self._directory}: holds a checkpoint of the {what} {identity[what]}, but "
                    f"the configuration says {expected} (choose another `workdir`, or restore "
                    "the configuration)"
                )
        # Earlier versions wrote none.
        learned = metadata.get("ground", "")
        if learned and self._ground and learned != self._ground:
            raise InputError(
                f"{self._directory}: holds a checkpoint that learned from other data: pixels, "
                "labels or splits have changed since (choose another `workdir`, or put the data "
                "back)"
            )
        with self._damage_named(found.step):
            plain = self._checkpointer.load(found.step, jax.tree.map(_abstract, to_plain(like)))
        return from_plain(plain), progress

    @contextlib.contextmanager
    def _damage_named(self, update: int | None) -> Iterator[None]:
        """Whatever Orbax raises at damaged files, as one line; its own kinds are not public."""
        try:
            yield
        except Exception as error:
            step = last_update(self._directory) if update is None else update
            said = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self._directory / str(step)}: the checkpoint cannot be read ({said}); remove "
                "that folder to resume from an earlier one"
            ) from error


def last_update(directory: Path) -> int:
    """The update of the last complete checkpoint in a folder; 0 where there is none."""
    names = [path.name for path in directory.glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)
