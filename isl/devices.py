"""Which device computes, chosen when a command runs and never on import."""

import logging
import os
from pathlib import Path

from isl.errors import InputError, unknown

logger = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "gpu", "tpu")


_INSTALL = {"gpu": "isl[gpu]", "tpu": "jax[tpu]"}


def cache_folder() -> Path:
    """Where isl keeps between runs what it can do without."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isl"


def use_device(name: str = "auto") -> str:
    """Makes JAX compute on a device, and keep compiled programs between runs.

    Args:
        name: "cpu", "gpu", "tpu", or "auto": a GPU or TPU where JAX sees one.

    Returns:
        What the device calls itself.

    Raises:
        InputError: The name is unknown, or there is no such device here.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    import jax

    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    keep_programs()
    if name in _INSTALL and jax.default_backend() != name:
        raise InputError(
            f"`device={name}`: JAX sees no {name.upper()} here; install {_INSTALL[name]} on a "
            "machine that has one, or give `device=cpu`"
        )
    return jax.devices()[0].device_kind


def keep_programs() -> None:
    """Keeps compiled programs between processes, unless JAX was told where, or nobody may write.

    Commands do it when they choose a device, models when they first predict.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        _keep_programs(cache_folder() / "jax")


def _keep_programs(cache: Path) -> None:
    """Keeps compiled programs in a folder, if anything can be written there."""
    import jax

    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logger.info("compiled programs are not kept: %s", error)
        return
    if not os.access(cache, os.W_OK | os.X_OK):
        logger.info("compiled programs are not kept: %s cannot be written", cache)
        return
    jax.config.update("jax_compilation_cache_dir", str(cache))
    # Small programs too: a command needs dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
