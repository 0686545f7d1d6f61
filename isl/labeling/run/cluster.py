"""Fields predicted by several processes: here, or by a Dask scheduler's workers elsewhere."""

import dataclasses
import functools
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from isl.cluster import done_there, with_warnings
from isl.devices import use_device
from isl.errors import InputError
from isl.labeling.mixture import AnyModel
from isl.labeling.model import load_models
from isl.labeling.run.one_field import Field, predict_one
from isl.labeling.run.provenance import Call
from isl.workers import Workers, stop_if_unwanted

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

Outcomes = Iterator[tuple[Field, dict[str, Any] | InputError]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PredictedElsewhere:
    """What every process must know to predict fields.

    Attributes:
        model: A bundled model's name, or a folder that all can read.
        call: How.
        device: One of `isl.devices.DEVICES`.
        budget: Bytes that each process may take.
    """

    model: str
    call: Call
    device: str
    budget: int

    def __call__(self, field: Field) -> dict[str, Any]:
        """Predicts one, in such a process.

        Raises:
            InputError: Why it failed.
        """
        model, device = _loaded(self.model, self.device)
        if model.hash != self.call.model_hash:
            raise InputError(
                f"{self.model}: the worker has another model under this name; give `model` a "
                "folder that all machines share"
            )
        return predict_one(field, model, self.call, device, self.budget, stop_if_unwanted)


def predict_in_processes(
    workers: Workers, fields: Sequence[Field], predicted: PredictedElsewhere
) -> Outcomes:
    """Has fields predicted by processes here; each with its record, or why it failed, as done."""
    work = functools.partial(with_warnings, predicted)
    for field, answer in workers.as_done(work, fields):
        made, warnings = (answer, ()) if isinstance(answer, InputError) else answer
        for warning in warnings:
            logger.warning("%s", warning)
        yield field, _named(field, made)


def predict_there(
    client: "Client", fields: Sequence[Field], predicted: PredictedElsewhere
) -> Outcomes:
    """As `predict_in_processes`, by a scheduler's workers."""
    by_name = {field.name: field for field in fields}
    for field, made in done_there(client, predicted, [field.everywhere() for field in fields]):
        yield by_name[field.name], _named(field, made)


def _named(field: Field, made: dict[str, Any] | InputError) -> dict[str, Any] | InputError:
    return InputError(f"{field.path}: {made}") if isinstance(made, InputError) else made


@functools.lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> tuple[AnyModel, str]:
    name = use_device(device)
    return load_models(model), name
