"""What a run costs, told before it starts: pixels, arithmetic, and the disk of checkpoints."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import jax
import numpy as np

from .optimizer import build_optimizer
from .task import updates_itself

if TYPE_CHECKING:
    from .experiment import ExperimentConfig
    from .state import Tree
    from .task import Batch, Task

# A gradient costs what the loss does for the weights, and once more for what lies between layers.
_WITH_GRADIENT = 3
_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def cost_of(
    task: "Task",
    experiment: "ExperimentConfig",
    params: "Tree",
    model_state: "Tree",
    freeze: Sequence[str] = (),
) -> tuple[str, ...]:
    """What a run of an experiment costs, a line each; nothing is compiled.

    Args:
        task: What is trained.
        experiment: How.
        params: Of the task, arrays or shapes.
        model_state: Likewise.
        freeze: Paths of parameters that stay as they are.
    """
    training = experiment.training
    pixels = training.steps * training.batch_size * task.pixels_per_example
    lines = [
        f"{training.steps:,} updates of {training.batch_size} x {task.pixels_per_example:,} "
        f"pixels: {_short(pixels)}pixels seen",
        _checkpoints(task, experiment, params, model_state, freeze),
    ]
    if not updates_itself(task):
        example = cast("Batch", task.examples(experiment.seed)[0])
        batch = {
            name: jax.ShapeDtypeStruct((training.batch_size, *np.shape(array)), array.dtype)
            for name, array in example.items()
        }
        key = jax.eval_shape(lambda: jax.random.key(0))
        traced = jax.make_jaxpr(task.loss)(params, model_state, batch, key)
        one = _WITH_GRADIENT * operations(traced.jaxpr)
        lines.append(
            f"arithmetic: about {_short(one)}FLOP an update, {_short(one * training.steps)}FLOP in "
            "all, evaluations not counted"
        )
    return tuple(lines)


def _checkpoints(
    task: "Task",
    experiment: "ExperimentConfig",
    params: "Tree",
    model_state: "Tree",
    freeze: Sequence[str],
) -> str:
    """The largest of any stage: parameters, their average, moments, and what networks keep."""
    optimizers = 0
    if not updates_itself(task):
        for stage in experiment.plan:
            steps = stage.last - stage.first
            optimizer = build_optimizer(
                stage.optimizer, params, steps=steps, freeze=freeze, free=stage.free
            )
            optimizers = max(optimizers, _nbytes(jax.eval_shape(optimizer.init, params)))
    copies = 2 if experiment.training.ema_decay else 1
    each = copies * _nbytes(params) + _nbytes(model_state) + optimizers
    count = 1 if task.selection is None else 2
    kept = "the last" if count == 1 else "the last and the best"
    # While one is written, the one before it is still there.
    return f"checkpoints: {_gib(each)} each, {kept} are kept: {_gib((count + 1) * each)} of disk"


def _nbytes(tree: "Tree") -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _gib(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"


def _short(number: float) -> str:
    """Three digits, a space, and the prefix of a unit: 1234567 is "1.23 M"."""
    power = 0
    while number >= 999.5 and power + 1 < len(_PREFIXES):
        number, power = number / 1000, power + 1
    return f"{number:.3g} {_PREFIXES[power]}"


def operations(program: Any) -> int:
    """Multiplications and additions of all convolutions and matrix products of a traced program.

    Loops count as often as they run; of branches the longest counts, and a loop of unknown length
    counts once.

    Args:
        program: A jaxpr.
    """
    total = 0
    for equation in program.eqns:
        name, found = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = found["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            # All of the kernel but its output features, for every number that comes out.
            features = kernel[found["dimension_numbers"].rhs_spec[0]]
            # Zeros between what goes in, as of a transposed convolution, are no work.
            outputs = math.prod(equation.outvars[0].aval.shape)
            outputs //= math.prod(found["lhs_dilation"])
            total += 2 * math.prod(kernel) // features * outputs
        elif name == "cond":
            total += max(operations(branch.jaxpr) for branch in found["branches"])
        else:
            times = found["length"] if name == "scan" else 1
            total += times * sum(operations(inner) for inner in _within(found))
    return total


def _within(parameters: dict[str, Any]) -> Iterator[Any]:
    """Programs that an equation runs; of a custom gradient the plain function alone."""
    for value in parameters.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(each, "jaxpr", each)
            if hasattr(inner, "eqns"):
                yield inner
