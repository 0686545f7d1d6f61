"""Kinds of model: what loads a model folder and says what is in it, whatever the model does.

A kind is the word in a folder's `model.toml`; its package registers a `ModelKind` under it.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isl import registry
from isl.model_folder import bundled_models, folders_in, model_directory, model_kind

if TYPE_CHECKING:
    from isl.imaging.inputs.stated import Stated

Facts = list[tuple[str, str]]
"""Names and values, to be printed one below the other."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelKind:
    """One kind of model.

    Listing models imports every kind: what needs JAX is named by `isl.registry.later`.

    Attributes:
        load: Reads a model folder, or a bundled model by name.
        summary: One line on a folder: what the model says, from what.
        describe: Facts from a folder; no weights are read.
        predict: (model, array or what was read, and what is said of it by name) to what the kind's
            command finds; None: its models have a method of their own, or do nothing of the sort.
        fits: Whether the image at a path, with what was said of it, fits the model in a folder, in
            one line; None: that is not for this kind to say.
        bundled: A folder of model folders that come with the kind's package; None: those of isl.
    """

    load: Callable[[str | Path], Any]
    summary: Callable[[Path], str]
    describe: Callable[[Path], Facts]
    predict: Callable[..., Any] | None = None
    fits: "Callable[[Path, Path, Stated], str] | None" = None
    bundled: Path | None = None


def kind_of(directory: Path) -> ModelKind:
    """The kind of the model in a folder.

    Raises:
        InputError: No installed package knows it.
    """
    return registry.load(
        registry.MODELS, model_kind(directory), what=f"kind of model in {directory}:"
    )


def installed_models() -> dict[str, Path]:
    """Folders of the models that came with isl and with other packages' kinds, by name."""
    found = bundled_models()
    for kind in registry.load_all(registry.MODELS).values():
        if kind.bundled is not None:
            found |= folders_in(kind.bundled)
    return dict(sorted(found.items()))


def find_model(name_or_directory: str | Path) -> Path:
    """The folder of an installed model, or the folder itself.

    Raises:
        InputError: It is neither.
    """
    installed = installed_models()
    return installed.get(str(name_or_directory)) or model_directory(name_or_directory)


def load_model(name_or_directory: str | Path) -> Any:
    """Loads a model of whatever kind; what comes back is of the kind's own class.

    Args:
        name_or_directory: A bundled model's name (`isl models`), or a model folder.

    Raises:
        InputError: There is no such model, it is damaged, or its kind is not known.
    """
    directory = find_model(name_or_directory)
    return kind_of(directory).load(directory)
