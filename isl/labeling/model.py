"""A model: one folder that holds all that predicting needs.

`weights.safetensors` (arrays by their path in the network), `model.toml` (what the network is, its
labels and its input contract, and the hashes of the other files) and `card.md` (what it was trained
on, how well it does, and what it must not be used for). Loading one executes nothing.
"""

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import safetensors
import safetensors.numpy
from flax import nnx

from isl.config import Config, load_toml, to_toml
from isl.errors import InputError, unknown
from isl.imaging.image import Movie, ZStack
from isl.labeling import bins
from isl.labeling.geometry import Geometry
from isl.labeling.layers import Compute
from isl.labeling.network import ArchitectureConfig, LabelingNetwork, abstract_network

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "model.toml"
CARD_FILE = "card.md"
BUNDLED = Path(__file__).parent.parent / "models"


class InputContract(Config):
    """What the network was trained on, and so expects; None where it is not known.

    Attributes:
        planes: Z, the number of planes.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        pixel_size: Micrometres.
        z_step: Micrometres between planes.
        normalization: "auto" or "off", see `isl.imaging.normalize`.
    """

    planes: int = pydantic.Field(ge=1)
    modality: str | None = None
    pixel_size: float | None = pydantic.Field(default=None, gt=0)
    z_step: float | None = pydantic.Field(default=None, gt=0)
    normalization: Literal["auto", "off"] = "auto"


class LabelStatistics(Config):
    """Mean and deviation of a label's training intensities, in [0, 1], where it was measured."""

    mean: float
    standard_deviation: float


class ModelConfig(Config):
    """What `model.toml` says.

    Attributes:
        format: Version of the folder's layout.
        name: The model's name.
        labels: What it predicts.
        autoencode: Whether it holds heads for the input planes as well.
        architecture: What its body is.
        input: What it expects.
        label_statistics: By label, for re-normalization; may be empty.
        sha256: By file name.
    """

    format: Literal[1] = 1
    name: str
    labels: tuple[str, ...]
    autoencode: bool = False
    architecture: ArchitectureConfig
    input: InputContract
    label_statistics: Mapping[str, LabelStatistics] = pydantic.Field(default_factory=dict)
    sha256: Mapping[str, str] = pydantic.Field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A loaded model.

    Attributes:
        config: What its `model.toml` says.
        card: Its card, in Markdown.
        directory: Its folder.
        network: The network in evaluation mode.
    """

    config: ModelConfig
    card: str
    directory: Path
    network: LabelingNetwork

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What it predicts."""
        return self.config.labels

    @property
    def geometry(self) -> Geometry:
        """Sizes of its network."""
        return self.network.geometry

    @property
    def hash(self) -> str:
        """sha256 of its weights."""
        return self.config.sha256[WEIGHTS_FILE]

    def statistics(
        self, batch: jax.Array | np.ndarray, labels: tuple[str, ...], names: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        """Statistics of every pixel's distributions.

        Args:
            batch: float32 [B, Y, X, Z] in [0, 1]; Y and X fit the geometry.
            labels: Which labels, in which order.
            names: Which of `isl.labeling.bins.STATISTICS`.

        Returns:
            For every name float32 [B, y, x, L].
        """
        graph, state = self._parts
        return _statistics(graph, state, jnp.asarray(batch), labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """The distributions themselves: float32 [B, Y, X, Z] to logits [B, y, x, L, 256]."""
        graph, state = self._parts
        return _logits(graph, state, jnp.asarray(batch), labels)

    def predict(self, stack: ZStack | Movie, **options: Any) -> Any:
        """See `isl.labeling.predict.predict`, which takes the same options."""
        from isl.labeling.predict import predict

        return predict(self, stack, **options)

    @functools.cached_property
    def _parts(self) -> tuple[nnx.GraphDef[LabelingNetwork], nnx.State]:
        graph, state = nnx.split(self.network)
        return graph, state


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _statistics(
    graph: nnx.GraphDef[LabelingNetwork],
    state: nnx.State,
    batch: jax.Array,
    labels: tuple[str, ...],
    names: tuple[str, ...],
) -> dict[str, jax.Array]:
    network = nnx.merge(graph, state)
    embedding = network.embed(batch)

    def of_row(row: jax.Array) -> dict[str, jax.Array]:
        return bins.statistics(network.label_logits(row, labels), names)

    # Logits are 256 numbers a pixel and label: a few rows at a time, they never leave the cache.
    rows = embedding.reshape(-1, *embedding.shape[2:])
    numbers = rows.shape[1] * len(labels) * bins.BINS
    at_once = max(1, _logits_at_once() // numbers)
    stacked = jax.lax.map(of_row, rows, batch_size=min(at_once, rows.shape[0]))
    return {
        name: values.reshape(*embedding.shape[:3], len(labels)) for name, values in stacked.items()
    }


def _logits_at_once() -> int:
    """How many logits to hold at a time: a processor's cache, or a share of a GPU's memory."""
    return 2**20 if jax.default_backend() == "cpu" else 2**27


@functools.partial(jax.jit, static_argnums=(0, 3))
def _logits(
    graph: nnx.GraphDef[LabelingNetwork],
    state: nnx.State,
    batch: jax.Array,
    labels: tuple[str, ...],
) -> jax.Array:
    network = nnx.merge(graph, state)
    return network.label_logits(network.embed(batch), labels)


def save_model(
    directory: Path,
    network: LabelingNetwork,
    config: ModelConfig,
    card: str,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a model folder, whole or not at all.

    Args:
        directory: The folder, which must not exist unless `overwrite`.
        network: Its weights are stored.
        config: All but `sha256`, which is filled in.
        card: Markdown.
        overwrite: Whether an existing model folder is replaced.

    Raises:
        InputError: The folder exists or cannot be written.
    """
    if directory.exists() and not overwrite:
        raise InputError(f"{directory}: already exists; name another folder or remove it")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".model-") as temporary:
            fresh = Path(temporary) / "model"
            fresh.mkdir()
            weights = safetensors.numpy.save(arrays_of(network))
            (fresh / WEIGHTS_FILE).write_bytes(weights)
            (fresh / CARD_FILE).write_text(card, encoding="utf-8")
            hashes = {name: _sha256(fresh / name) for name in (WEIGHTS_FILE, CARD_FILE)}
            complete = config.model_copy(update={"sha256": hashes})
            (fresh / CONFIG_FILE).write_text(to_toml(complete), encoding="utf-8")
            if directory.exists():
                directory.rename(Path(temporary) / "replaced")
            fresh.rename(directory)
    except OSError as error:
        raise InputError(f"{directory}: the model cannot be written ({error.strerror})") from error


def load_model(name_or_directory: str | Path) -> Model:
    """Loads a bundled model by its name, or a model folder.

    Raises:
        InputError: There is none, or one of its files is missing, damaged or of another network.
    """
    directory = model_directory(name_or_directory)
    config = read_model_config(directory)
    for name in (WEIGHTS_FILE, CARD_FILE):
        _check_hash(directory / name, config.sha256.get(name))
    network = network_of(config)
    fill(network, _read_weights(directory / WEIGHTS_FILE), source=str(directory / WEIGHTS_FILE))
    network.eval()
    card = (directory / CARD_FILE).read_text(encoding="utf-8")
    return Model(config=config, card=card, directory=directory, network=network)


def bundled_models() -> dict[str, Path]:
    """Folders of the models that come with isl, by name."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob(f"*/{CONFIG_FILE}"))}


def model_directory(name_or_directory: str | Path) -> Path:
    """The folder of a bundled model, or the folder itself.

    Raises:
        InputError: It is neither.
    """
    path = Path(name_or_directory)
    if (path / CONFIG_FILE).is_file():
        return path
    bundled = bundled_models()
    if str(name_or_directory) in bundled:
        return bundled[str(name_or_directory)]
    if path.is_dir():
        raise InputError(f"{path}: is not a model folder: it holds no {CONFIG_FILE}")
    raise unknown("model", str(name_or_directory), bundled)


def read_model_config(directory: Path) -> ModelConfig:
    """What a model folder's `model.toml` says; no weights are read."""
    return load_toml(directory / CONFIG_FILE, ModelConfig)


def stored_shapes(directory: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's arrays, by name, from the head of its weights file."""
    path = directory / WEIGHTS_FILE
    try:
        with safetensors.safe_open(path, framework="numpy") as weights:
            return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error})") from error


def network_of(config: ModelConfig, compute: Compute | None = None) -> LabelingNetwork:
    """The network that a configuration describes, with shapes in place of arrays."""
    return abstract_network(
        config.architecture,
        planes=config.input.planes,
        labels=config.labels,
        autoencode=config.autoencode,
        compute=compute,
    )


def arrays_of(network: LabelingNetwork) -> dict[str, np.ndarray]:
    """Weights and batch statistics by their path, such as `body/down/0/first/kernel`."""
    return {path: np.ascontiguousarray(array) for path, array in abstract_arrays(network).items()}


def abstract_arrays(network: LabelingNetwork) -> dict[str, Any]:
    """`arrays_of`, for networks that may hold shapes in place of arrays."""
    flat = nnx.to_flat_state(nnx.state(network))
    return {_path(path): variable.get_value() for path, variable in flat}


def fill(network: LabelingNetwork, arrays: Mapping[str, np.ndarray], *, source: str) -> None:
    """Puts arrays into a network, in place.

    Raises:
        InputError: Arrays are missing, surplus or of another shape; the first is named.
    """
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


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error})") from error


def _check_hash(path: Path, expected: str | None) -> None:
    if not path.is_file():
        raise InputError(f"{path}: is missing from the model folder; copy the whole folder again")
    if expected is None:
        raise InputError(f"{path.parent / CONFIG_FILE}: gives no sha256 for {path.name}")
    if _sha256(path) != expected:
        raise InputError(
            f"{path}: is damaged or was changed: its sha256 is not the one in {CONFIG_FILE}; "
            "copy the model folder again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
