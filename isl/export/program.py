"""What is exported: a function of arrays whose sizes may be symbols, and what its arrays are."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from isl import registry
from isl.backbones.portable import portably
from isl.errors import InputError
from isl.model_folder import LoadedModel, model_kind
from isl.model_kinds import find_model

Size = int | str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Port:
    """An array that goes in, or comes out.

    Attributes:
        name: What it is called in the program.
        axes: One of b (batch), c (channels), k (bins), y, x for each dimension.
        shape: Sizes; a name such as "h" for one that is not fixed, of inputs only.
        channels: Names along c.
        says: One sentence on what it holds.
        stepped: Whether its numbers jump where what they follow from barely changes, as the
            likeliest of 256 intensities does.
    """

    name: str
    axes: str
    shape: tuple[Size, ...] = ()
    channels: tuple[str, ...] = ()
    says: str = ""
    stepped: bool = False


def random_trial(*shape: int) -> np.ndarray:
    """The same noise whenever it is asked for, float32 of a shape, in [0, 1]."""
    return np.random.default_rng(0).random(shape).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What is exported of one model.

    Attributes:
        model: It.
        function: From the input float32 to what comes out, by name.
        input: What goes in.
        outputs: What comes out, in order.
        smallest: Of sizes that are not fixed, y and x, pixels.
        pixel_size: Micrometres that it was trained at; None: not known.
        trial: An input [1, ...] of a size at which it can be tried.
        left_out: What the command does and this does not, a sentence each.
    """

    model: LoadedModel[Any]
    function: Callable[[jax.Array], Mapping[str, jax.Array]]
    input: Port
    outputs: tuple[Port, ...]
    smallest: int = 1
    pixel_size: float | None = None
    trial: np.ndarray
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def kind(self) -> str:
        """The model's kind."""
        return self.model.config.kind

    def call(self, given: np.ndarray) -> dict[str, np.ndarray]:
        """What JAX gives for one input, by name."""
        with portably():
            found = jax.jit(lambda x: dict(self.function(x)))(jnp.asarray(given))
        return {port.name: np.asarray(found[port.name]) for port in self.outputs}

    def abstract_input(self) -> jax.ShapeDtypeStruct:
        """The input with symbols for sizes that are not fixed."""
        words = ", ".join(map(str, self.input.shape))
        images = {
            size
            for size, axis in zip(self.input.shape, self.input.axes, strict=True)
            if axis in "yx" and isinstance(size, str)
        }
        limits = [f"{size} >= {self.smallest}" for size in sorted(images)]
        shape = jax.export.symbolic_shape(words, constraints=limits)
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def traced(self) -> Any:
        """`jax.jit(function)` traced with symbols; results are a tuple in the outputs' order."""

        def in_order(given: jax.Array) -> tuple[jax.Array, ...]:
            found = self.function(given)
            return tuple(found[port.name] for port in self.outputs)

        with portably():
            return jax.jit(in_order).trace(self.abstract_input())


Exporter = Callable[[Path, "Wanted"], Program]
"""From a model folder, and what is wanted of it; registered under the kind (`isl.export`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for; a kind refuses what it has not.

    Attributes:
        labels: Names; None: all.
        statistics: What is to come out; None: what the kind gives unless asked.
    """

    labels: tuple[str, ...] | None = None
    statistics: tuple[str, ...] | None = None

    def only_probabilities(self, kind: str) -> None:
        """Refuses labels and statistics, for a kind of model that has none.

        Raises:
            InputError: Some are asked for.
        """
        if self.labels or self.statistics:
            raise InputError(
                f"a {kind} model gives probabilities; leave `labels` and `statistics` out"
            )


def program_of(model: str | Path, wanted: Wanted | None = None) -> Program:
    """A model as it is exported.

    Raises:
        InputError: There is no such model, its kind cannot be exported, or has not what is asked.
    """
    directory = find_model(model)
    kind = model_kind(directory)
    known = registry.registered(registry.EXPORT)
    if kind not in known:
        raise InputError(
            f"{directory}: models of kind '{kind}' cannot be exported (those that can: "
            f"{', '.join(known)})"
        )
    exporter: Exporter = known[kind].load()
    return exporter(directory, wanted or Wanted())
