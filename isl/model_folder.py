"""Model folders, whatever the model does: weights, what they are for, and a card.

`weights.safetensors` holds arrays by their path in the network, `model.toml` says what the network
is, what it expects, and the hashes of the other files; `card.md` says what it was trained on, how
well it does, and what it must not be used for. Loading one executes nothing. JAX is imported when a
network is at hand: what there is can be listed without it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import pydantic
import safetensors
import safetensors.numpy

from isl import registry
from isl.config import Config, parse, read_toml, to_toml
from isl.devices import keep_programs
from isl.errors import InputError, unknown
from isl.files.folders import emptied, folder_written_whole
from isl.files.provenance import sha256_of

if TYPE_CHECKING:
    from flax import nnx

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "model.toml"
CARD_FILE = "card.md"
BUNDLED = Path(__file__).parent / "models"


class FolderConfig(Config):
    """What every `model.toml` says.

    Attributes:
        format: Version of the folder's layout.
        kind: What the model does.
        name: The model's name.
        sha256: By file name.
    """

    format: Literal[1] = 1
    kind: str
    name: str
    sha256: Mapping[str, str] = pydantic.Field(default_factory=dict)


Folder = TypeVar("Folder", bound=FolderConfig)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel(Generic[Folder]):
    """What every model that was read from its folder has.

    Attributes:
        config: What its `model.toml` says.
        card: Its card, in Markdown.
        directory: Its folder.
    """

    config: Folder
    card: str
    directory: Path

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def hash(self) -> str:
        """sha256 of its weights."""
        return self.config.sha256[WEIGHTS_FILE]

    def predict(self, image: Any, /, **said: Any) -> Any:
        """What the command of this kind of model finds in an image that is in memory.

        Every kind takes an array of uint8, uint16 or floats, a path, or what `isl.read_transmitted`
        reads, and by name `axes` ("TYX"), `pixel_size` (micrometres) and what else its own function
        says: `isl.labeling.predict`, `isl.polarity.predict`, and so on.

        Raises:
            InputError: The image does not fit, or nothing is predicted by this kind.
        """
        kind = registry.load(registry.MODELS, self.config.kind, what="kind of model")
        keep_programs()
        if kind.predict is None:
            raise InputError(f"model '{self.name}' ({self.config.kind}) predicts nothing of itself")
        return kind.predict(self, image, **said)


# Kernels hold nearly all of a network's numbers, none of them large; biases and batch statistics
# are few and may be. All of them compute as float32.
KernelType = Literal["float32", "float16"]


def save_folder(
    directory: Path,
    network: "nnx.Module",
    config: FolderConfig,
    card: str,
    *,
    overwrite: bool = False,
    kernels: KernelType = "float32",
) -> None:
    """Writes a model folder, whole or not at all.

    Args:
        directory: The folder, which must not exist unless `overwrite`.
        network: Its weights are stored.
        config: All but `sha256`, which is filled in.
        card: Markdown.
        overwrite: Whether a model folder already there is replaced.
        kernels: What kernels are stored as; float16 halves a model's size.

    Raises:
        InputError: The folder exists or cannot be written.
    """
    if directory.exists() and not overwrite:
        raise InputError(f"{directory}: already exists; name another folder or remove it")
    with folder_written_whole(directory, replaceable=is_model_folder if overwrite else None) as new:
        fresh = emptied(new)
        weights = safetensors.numpy.save(
            {
                name: array.astype(kernels) if array.ndim > 1 else array
                for name, array in arrays_of(network).items()
            }
        )
        (fresh / WEIGHTS_FILE).write_bytes(weights)
        (fresh / CARD_FILE).write_text(card, encoding="utf-8")
        hashes = {name: sha256_of(fresh / name) for name in (WEIGHTS_FILE, CARD_FILE)}
        complete = config.model_copy(update={"sha256": hashes})
        (fresh / CONFIG_FILE).write_text(to_toml(complete), encoding="utf-8")


def is_model_folder(path: Path) -> bool:
    """Whether a folder says that it holds a model."""
    return (path / CONFIG_FILE).is_file()


def bundled_models() -> dict[str, Path]:
    """Folders of the models that come with isl, by name."""
    return folders_in(BUNDLED)


def model_or_default(name: str | Path | None, default: str, *, configuration: str) -> str | Path:
    """The model that was named, or the bundled one of a task, where it has one.

    Args:
        name: As it was given; None: it was not.
        default: The bundled model's name.
        configuration: What trains one.

    Raises:
        InputError: None was named, and none comes with isl.
    """
    if name is None and default not in bundled_models():
        raise InputError(
            f"no model '{default}' comes with isl yet: train one (isl train {configuration}) and "
            "name its folder with `model`"
        )
    return default if name is None else name


def folders_in(folder: Path) -> dict[str, Path]:
    """The model folders within a folder, by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG_FILE}"))}


def model_directory(name_or_directory: str | Path) -> Path:
    """The folder of a bundled model, or the folder itself.

    Raises:
        InputError: It is neither.
    """
    path = Path(name_or_directory)
    if is_model_folder(path):
        return path
    bundled = bundled_models()
    if str(name_or_directory) in bundled:
        return bundled[str(name_or_directory)]
    if path.is_dir():
        raise InputError(f"{path}: is not a model folder: it holds no {CONFIG_FILE}")
    if len(path.parts) > 1:
        raise InputError(
            f"{path}: there is no such folder; give a model folder, or a bundled model's name (isl "
            "models)"
        )
    raise unknown("model", str(name_or_directory), bundled)


def named_everywhere(name_or_directory: str | Path) -> str:
    """What a model can be loaded by on other machines: a bundled one's name, or a full path.

    Raises:
        InputError: There is no such model.
    """
    directory = model_directory(name_or_directory)
    bundled = {folder: name for name, folder in bundled_models().items()}
    return bundled.get(directory) or str(directory.absolute())


def check_folder(directory: Path, config: FolderConfig) -> str:
    """Compares the files of a folder with their hashes, and returns the card.

    Raises:
        InputError: A file is missing, damaged or was changed.
    """
    for name in (WEIGHTS_FILE, CARD_FILE):
        _check_hash(directory / name, config.sha256.get(name))
    return (directory / CARD_FILE).read_text(encoding="utf-8")


def fill_from(directory: Path, config: FolderConfig, network: "nnx.Module") -> str:
    """Puts a folder's weights into a network, in place, and returns the card.

    Args:
        directory: The model folder.
        config: What its `model.toml` says.
        network: Of the shapes that it says.

    Raises:
        InputError: A file is missing, damaged or was changed, or holds arrays of another network.
    """
    card = check_folder(directory, config)
    weights = directory / WEIGHTS_FILE
    fill(network, read_weights(weights), source=str(weights))
    return card


def read_folder_config(directory: Path, kind: type[Folder]) -> Folder:
    """What a model folder's `model.toml` says; no weights are read.

    Raises:
        InputError: It is missing, damaged, or of a model that does something else.
    """
    path = directory / CONFIG_FILE
    tables = read_toml(path)
    expected = kind.model_fields["kind"].default
    found = tables.get("kind", expected)
    if found != expected:
        raise InputError(
            f"{directory}: is a model of kind '{found}', not '{expected}' (isl models lists what "
            "each is for)"
        )
    return parse(tables, kind, source=str(path))


def model_kind(directory: Path) -> str:
    """What the model in a folder does; those of before kinds were told apart do labeling."""
    return str(read_toml(directory / CONFIG_FILE).get("kind", "labeling"))


def stored_shapes(directory: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's arrays, by name, from the head of its weights file."""
    path = directory / WEIGHTS_FILE
    try:
        with safetensors.safe_open(path, framework="numpy") as weights:
            return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error})") from error


def arrays_of(network: "nnx.Module") -> dict[str, np.ndarray]:
    """Weights and batch statistics by their path, such as `body/down/0/first/kernel`."""
    return {path: np.ascontiguousarray(array) for path, array in abstract_arrays(network).items()}


def abstract_arrays(network: "nnx.Module") -> dict[str, Any]:
    """`arrays_of`, for networks that may hold shapes in place of arrays."""
    from flax import nnx

    flat = nnx.to_flat_state(nnx.state(network))
    return {_path(path): variable.get_value() for path, variable in flat}


def fill(network: "nnx.Module", arrays: Mapping[str, np.ndarray], *, source: str) -> None:
    """Puts arrays into a network, in place.

    Raises:
        InputError: Arrays are missing, surplus or of another shape; the first is named.
    """
    import jax.numpy as jnp
    from flax import nnx

    wanted = {path: array.shape for path, array in abstract_arrays(network).items()}
    check_shapes(wanted, {name: array.shape for name, array in arrays.items()}, source=source)
    filled = [
        (path, variable.replace(jnp.asarray(arrays[_path(path)], jnp.float32)))
        for path, variable in nnx.to_flat_state(nnx.state(network))
    ]
    nnx.update(network, nnx.from_flat_state(filled))


def check_shapes(
    wanted: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]], *, source: str
) -> None:
    """Compares names and shapes.

    Raises:
        InputError: Names the first that is missing, surplus or misshapen.
    """
    problems = [
        (sorted(wanted.keys() - given.keys()), "is missing"),
        (sorted(given.keys() - wanted.keys()), "belongs to no part of this network"),
        (
            [
                name
                for name in wanted
                if name in given and tuple(wanted[name]) != tuple(given[name])
            ],
            "has another shape",
        ),
    ]
    for names, problem in problems:
        if not names:
            continue
        first = min(names)
        shapes = ""
        if first in wanted and first in given:
            shapes = f" ({list(given[first])}, expected {list(wanted[first])})"
        others = f", and {len(names) - 1} more" if len(names) > 1 else ""
        raise InputError(f"{source}: variable '{first}' {problem}{shapes}{others}")


def _path(path: Sequence[Any]) -> str:
    return "/".join(str(part) for part in path)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a weights file, by name."""
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error})") from error


def _check_hash(path: Path, expected: str | None) -> None:
    if not path.is_file():
        raise InputError(f"{path}: is missing from the model folder; copy the whole folder again")
    if expected is None:
        raise InputError(f"{path.parent / CONFIG_FILE}: gives no sha256 for {path.name}")
    if sha256_of(path) != expected:
        raise InputError(
            f"{path}: is damaged or was changed: its sha256 is not the one in {CONFIG_FILE}; "
            "copy the model folder again"
        )
