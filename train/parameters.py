"""A flax.nnx network as the trainer sees it: nested dicts of arrays, with names as keys."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import jax
from flax import nnx

from .optimizer import EVERYTHING, any_matches
from .state import Tree

Network = TypeVar("Network", bound=nnx.Module)


class Functional(Generic[Network]):
    """Takes a network apart into parameters and batch statistics, and puts it together again."""

    def __init__(self, network: Network) -> None:
        """Keeps the structure of `network`, in training and in evaluation mode, and no arrays."""
        network.eval()
        self._evaluating = nnx.graphdef(network)
        network.train()
        self._training, params, rest = nnx.split(network, nnx.Param, ...)
        self._params = jax.eval_shape(lambda: params)
        self._rest = jax.eval_shape(lambda: rest)

    @staticmethod
    def take_apart(network: nnx.Module) -> tuple[Tree, Tree]:
        """Parameters, and what else the network holds, as nested dicts."""
        _, params, rest = nnx.split(network, nnx.Param, ...)
        return _to_tree(params), _to_tree(rest)

    def put_together(self, params: Tree, model_state: Tree, *, training: bool) -> Network:
        """The network with these arrays, in training mode (batch statistics are taken) or not."""
        graph = self._training if training else self._evaluating
        states = _from_tree(self._params, params), _from_tree(self._rest, model_state)
        return nnx.merge(graph, *states, copy=True)


def held(network: Network, free: Sequence[str]) -> Network:
    """A network in training mode whose parts that are not free are in evaluation mode.

    Batch norm then uses the statistics that it holds, and takes none. Changed in place.
    """
    if tuple(free) == EVERYTHING:
        return network
    for path, module in nnx.iter_modules(network):
        normalizes_or_drops = hasattr(module, "use_running_average") or isinstance(
            module, nnx.Dropout
        )
        if normalizes_or_drops and not any_matches("/".join(map(str, path)), free):
            module.eval()
    return network


def _to_tree(state: nnx.State) -> Tree:
    tree: dict[str, Any] = {}
    for path, variable in nnx.to_flat_state(state):
        *parents, leaf = (str(part) for part in path)
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = variable[...]
    return tree


def _from_tree(template: nnx.State, tree: Tree) -> nnx.State:
    def array_at(path: tuple[Any, ...]) -> jax.Array:
        branch = tree
        for part in path:
            branch = branch[str(part)]
        return branch

    flat = [
        (path, variable.replace(array_at(path))) for path, variable in nnx.to_flat_state(template)
    ]
    return nnx.from_flat_state(flat)
