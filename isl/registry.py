"""What each task brings, found by entry points: its command, kind of model, training, evaluation.

A task is added by installing a package that names its parts in these groups; nothing here, and
nothing in the commands, lists tasks. isl's own tasks are found in the same way (pyproject.toml).
"""

import logging
from collections.abc import Callable
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Any

from isl.errors import unknown

logger = logging.getLogger(__name__)

COMMANDS = "isl.commands"
"""Functions with typer's annotations, by the name of the command."""
MODELS = "isl.models"
"""`isl.model_kinds.ModelKind`, by the `kind` in a model's `model.toml`."""
EXPORT = "isl.export"
"""`isl.export.program.Exporter`, by the kind of model."""
PHANTOMS = "isl.phantoms"
"""`isl.phantom.kinds.PhantomKind`, by the word after `isl phantom --kind`."""
TRAIN = "isl.train"
"""`isl_train.recipe.Recipe`, by the `task` in an experiment's file."""
EVAL = "isl.eval"
"""Functions (configuration file, overrides, output folder), by the `task` in their file."""
STUDY = "isl.study"
"""`isl_eval.study.subject.Subject`, by the `task` of the experiments whose variants it compares."""
CALIBRATE = "isl.calibrate"
"""`isl_eval.calibrate.Calibrate`, by the kind of model."""


def registered(group: str) -> dict[str, EntryPoint]:
    """What is installed in a group, by name; nothing is imported."""
    found = {entry.name: entry for entry in metadata.entry_points(group=group)}
    return dict(sorted(found.items()))


def load(group: str, name: str, *, what: str) -> Any:
    """Imports one part of a task.

    Args:
        group: One of the groups above.
        name: As its entry point is called.
        what: What the name stands for, in words, for the message.

    Raises:
        InputError: There is none of that name; says which there are.
    """
    found = registered(group)
    if name not in found:
        raise unknown(what, name, found)
    return found[name].load()


def later(name: str) -> Callable[..., Any]:
    """A function that is imported when it is first called, so that naming it costs nothing.

    Args:
        name: "package.module:function", as of an entry point.
    """

    def call(*arguments: Any, **named: Any) -> Any:
        return EntryPoint(name="", value=name, group="").load()(*arguments, **named)

    return call


def load_all(group: str) -> dict[str, Any]:
    """Imports a group, by name; a package that is broken is left out, with a warning."""
    loaded = {}
    for name, entry in registered(group).items():
        try:
            loaded[name] = entry.load()
        except (ImportError, AttributeError) as error:
            package = "a package" if entry.dist is None else entry.dist.name
            logger.warning("%s: '%s' cannot be loaded from %s (%s)", group, name, package, error)
    return loaded
