"""Several processes, one training: each draws its part of every batch."""

import os

from isl.config import Config
from isl.errors import InputError


class Processes(Config):
    """How the processes of one training find each other.

    Attributes:
        coordinator: `host:port` of the first process.
        count: How many processes there are.
        index: Which one this is, from 0.
    """

    coordinator: str
    count: int
    index: int


def processes_from_environment() -> Processes | None:
    """What ISL_COORDINATOR, ISL_PROCESSES and ISL_PROCESS say; None if they are not set.

    Raises:
        InputError: Some but not all are set, or they are not numbers.
    """
    names = ("ISL_COORDINATOR", "ISL_PROCESSES", "ISL_PROCESS")
    values = [os.environ.get(name) for name in names]
    if not any(values):
        return None
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise InputError(
            f"environment: {', '.join(missing)} not set; {', '.join(names)} go together"
        )
    coordinator, count, index = (str(value) for value in values)
    if not count.isdigit() or not index.isdigit() or int(index) >= int(count):
        raise InputError(
            f"environment: ISL_PROCESS={index} of ISL_PROCESSES={count} is not an index from 0 to "
            "the number of processes minus 1"
        )
    return Processes(coordinator=coordinator, count=int(count), index=int(index))


def join(processes: Processes) -> None:
    """Joins the other processes; must come before JAX is used for anything else.

    On CPUs the processes exchange through gloo, on GPUs through what JAX chooses.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=processes.coordinator,
        num_processes=processes.count,
        process_id=processes.index,
    )
