"""Weights under the names of the published code, as a model folder (specification, section 5).

The names fix the network: which heads there are, how many input features, and the depth of every
module. Nothing is guessed; a variable that is missing, surplus or of another shape is refused by
its name.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.files.whole import written_whole
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig, network_of
from isl.labeling.towers import SCALES, TowersConfig, module_depths, plan_final_tower, plan_tower
from isl.model_folder import abstract_arrays, arrays_of, check_shapes, fill

_PREFIX = "var/"
_HEAD = re.compile(r"head/(?P<z>[^/]+)/(?P<channel>[^/]+)/residual_v2_conv/")
_LABELS_Z = "MAXPROJECT"
_AUTOENCODING_CHANNEL = "TRANSMISSION"
_IGNORED = re.compile(r"(^|/)(global_step|beta[12]_power)$|/(Adam(_1)?|Momentum|RMSProp(_1)?)$")
_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
_CONV_BIASED = {"kernel": "weights", "bias": "biases"}
_SMALLEST_BASE_DEPTH, _LARGEST_BASE_DEPTH = 5, 2048


def import_weights(file: Path, planes: int, out: Path) -> Path:
    """Turns published variables into a model folder.

    Args:
        file: An .npz of arrays under their published names, with or without the prefix `var/`, or
            the prefix of a TensorFlow checkpoint (which needs tensorflow installed).
        planes: Number of input planes. With N planes the variables take N features, or 2 N: signal
            and mask in turn, where masks then see 1.
        out: The model folder to write.

    Returns:
        `out`.

    Raises:
        InputError: The file cannot be read, or its variables are not those of such a network.
    """
    if planes < 1:
        raise InputError(f"`planes={planes}`: a z-stack has at least 1 plane")
    if out.exists():
        raise InputError(f"{out}: already exists; name another folder or remove it")
    variables = _read(file)
    source = str(file)
    labels, plane_keys = _heads(variables, source)
    variables = _fold_masks(variables, planes, source)
    shapes = {name: array.shape for name, array in variables.items()}
    config = ModelConfig(
        name=out.name,
        labels=labels,
        autoencode=bool(plane_keys),
        architecture=TowersConfig(
            base_depth=_base_depth(shapes), projection=shapes["Conv/weights"][-1]
        ),
        input=InputContract(planes=planes),
        # As the published code trained and predicted.
        stitch="exact",
    )
    if plane_keys and len(plane_keys) != planes:
        raise InputError(
            f"{source}: holds {len(plane_keys)} {_AUTOENCODING_CHANNEL} heads, one a plane, but "
            f"`planes` is {planes}"
        )
    names = published_names(config, plane_keys)
    network = network_of(config)
    own = {path: array.shape for path, array in abstract_arrays(network).items()}
    wanted = {theirs: _published_shape(ours, own[ours]) for ours, theirs in names.items()}
    check_shapes(wanted, shapes, source=source)
    arrays = {ours: variables[theirs].reshape(own[ours]) for ours, theirs in names.items()}
    fill(network, arrays, source=source)
    save_model(out, network, config, _card(config, file))
    return out


def export_weights(model: str | Path, out: Path, *, overwrite: bool = False) -> Path:
    """Writes the weights of towers as an .npz of arrays under their published names.

    `import_weights` reads it, and so does the published code, which builds the same network from
    the model's base depth.

    Args:
        model: A model folder, or the name of a bundled model.
        out: Folder for the file.
        overwrite: Whether a file of that name is replaced.

    Returns:
        The file.

    Raises:
        InputError: The published code has no such network, or it is deeper than what
            `import_weights` looks for.
    """
    loaded = load_model(model)
    config, architecture = loaded.config, loaded.config.architecture
    published = TowersConfig().model_dump(exclude={"base_depth", "projection"})
    own = architecture.model_dump(include=set(published))
    if architecture.kind != "towers" or own != published or not architecture.projection:
        raise InputError(
            f"model '{config.name}': the published code has towers alone, with a projection, "
            "expansion 211 / 39 and the activations relu and tanh (take another format)"
        )
    if architecture.base_depth > _LARGEST_BASE_DEPTH:
        raise InputError(
            f"model '{config.name}': base depth {architecture.base_depth:,} is more than the "
            f"{_LARGEST_BASE_DEPTH:,} that `isl import-weights` looks for (take another format)"
        )
    planes = tuple(str(plane) for plane in range(config.input.planes if config.autoencode else 0))
    arrays = arrays_of(loaded.network)
    variables = {
        theirs: arrays[ours].reshape(_published_shape(ours, arrays[ours].shape))
        for ours, theirs in published_names(config, planes).items()
    }
    file = out / f"{config.name}.npz"
    with written_whole(file, overwrite) as part:
        with part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **variables)
    return file


def published_names(config: ModelConfig, plane_keys: tuple[str, ...] = ()) -> dict[str, str]:
    """The published name of every array of a network of towers, by its path in the network.

    Args:
        config: Describes the network.
        plane_keys: The published code's names of the planes, where it has autoencoding heads.
    """
    names = {f"body/projection/{ours}": f"Conv/{theirs}" for ours, theirs in _CONV_BIASED.items()}
    towers = [(f"body/towers/{scale}", plan_tower(scale)) for scale in range(SCALES)]
    for path, plans in [*towers, ("body/final", plan_final_tower())]:
        for i, plan in enumerate(plans):
            expand = "Conv2d_transpose" if plan.scaling == "up" else "Conv"
            for part, convolution in (("expand", expand), ("reduce", "Conv")):
                ours, theirs = f"{path}/modules/{i}/{part}", f"{plan.name}/{part}_rv2"
                names[f"{ours}/kernel"] = f"{theirs}/{convolution}/weights"
                names |= _norm_names(f"{ours}_norm", theirs)
    heads = {f"label_heads/{label}": f"head/{_LABELS_Z}/{label}" for label in config.labels}
    for i, key in enumerate(plane_keys):
        heads[f"plane_heads/{i}"] = f"head/{key}/{_AUTOENCODING_CHANNEL}"
    for ours, theirs in heads.items():
        for variable, published in _CONV_BIASED.items():
            names[f"{ours}/linear/{variable}"] = f"{theirs}/residual_v2_conv/Conv/{published}"
        names |= _norm_names(f"{ours}/norm", f"{theirs}/residual_v2_conv")
    return names


def _norm_names(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}/{mine}": f"{theirs}/BatchNorm/{name}" for name, mine in _NORM.items()}


def _published_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Heads are 1 x 1 convolutions there, and matrices here."""
    return (1, 1, *shape) if path.endswith("linear/kernel") else shape


def _read(file: Path) -> dict[str, np.ndarray]:
    """Variables by their published names, without prefix, optimizer slots and step counters."""
    if file.suffix == ".npz":
        arrays = _read_npz(file)
    elif Path(f"{file}.index").is_file():
        arrays = _read_checkpoint(file)
    elif not file.exists():
        raise InputError(f"{file}: there is no such file, nor a TensorFlow checkpoint {file}.index")
    else:
        raise InputError(f"{file}: is neither an .npz file nor a TensorFlow checkpoint's prefix")
    prefixed = {name: array for name, array in arrays.items() if name.startswith(_PREFIX)}
    chosen = {name.removeprefix(_PREFIX): array for name, array in (prefixed or arrays).items()}
    return {name: array for name, array in chosen.items() if not _IGNORED.search(name)}


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such file") from error
    except Exception as error:
        # A damaged archive raises whatever its damaged bytes lead zipfile, zlib and NumPy to.
        raise InputError(f"{file}: cannot be read as .npz ({error})") from error


def _read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    try:
        # Not a dependency: only who reads its checkpoints needs it.
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]
    except ImportError as error:
        raise InputError(
            f"{prefix}: reading a TensorFlow checkpoint needs tensorflow; install it, or convert "
            "the variables to .npz where it is installed"
        ) from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except Exception as error:
        # TensorFlow has error types of its own, which cannot be named where it is not installed.
        raise InputError(
            f"{prefix}: cannot be read as a TensorFlow checkpoint ({error})"
        ) from error


def _heads(
    variables: Mapping[str, np.ndarray], source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels, and the published code's names of the planes that have autoencoding heads."""
    found = {match.group("z", "channel") for name in variables if (match := _HEAD.match(name))}
    labels = sorted(channel for _, channel in found if channel != _AUTOENCODING_CHANNEL)
    planes = [z for z, channel in found if channel == _AUTOENCODING_CHANNEL]
    if not labels:
        raise InputError(f"{source}: holds no variables head/{_LABELS_Z}/LABEL/...; no label heads")
    return tuple(labels), tuple(sorted(planes, key=_numerically))


def _numerically(text: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", text)
    return (int(digits) if digits else -1, text)


def _fold_masks(
    variables: Mapping[str, np.ndarray], planes: int, source: str
) -> dict[str, np.ndarray]:
    """Turns a projection of signal and mask features into one of signals alone.

    Features are ordered plane by plane, signal before mask. Masks are 1 everywhere, so that their
    weights add up to a constant, which belongs into the bias.
    """
    for name in ("Conv/weights", "Conv/biases"):
        if name not in variables:
            raise InputError(f"{source}: variable '{name}' is missing (the projection of planes)")
    weights = variables["Conv/weights"]
    if weights.ndim != 4 or weights.shape[:2] != (1, 1):
        raise InputError(
            f"{source}: variable 'Conv/weights' has shape {list(weights.shape)}, expected "
            f"[1, 1, {planes} or {2 * planes}, features]"
        )
    features = weights.shape[2]
    if features == planes:
        return dict(variables)
    if features != 2 * planes:
        raise InputError(
            f"{source}: variable 'Conv/weights' takes {features} input features; `planes={planes}` "
            f"fits {planes} or {2 * planes} (try `planes={features}` or {features // 2})"
        )
    biases = variables["Conv/biases"] + weights[0, 0, 1::2].sum(axis=0)
    return {**variables, "Conv/weights": weights[:, :, 0::2], "Conv/biases": biases}


def _base_depth(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The base depth that gives most modules the depths they have; of several, the largest.

    Depths are rounded up, so that several base depths give the same network. That all shapes agree
    is checked afterwards, so that a variable which does not can be named.
    """

    def agreeing(base_depth: int) -> int:
        depths = module_depths(TowersConfig(base_depth=base_depth), shapes["Conv/weights"][-1])
        return sum(
            shapes.get(f"{name}/reduce_rv2/Conv/weights", ())[-1:] == (reduce,)
            and _expand_depth(name, shapes) == expand
            for name, (expand, reduce) in depths.items()
        )

    return max(
        range(_SMALLEST_BASE_DEPTH, _LARGEST_BASE_DEPTH + 1),
        key=lambda depth: (agreeing(depth), depth),
    )


def _expand_depth(name: str, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Depth of a module's expand convolution, which up-scale modules store [k, k, out, in]."""
    transposed = shapes.get(f"{name}/expand_rv2/Conv2d_transpose/weights")
    if transposed is not None:
        return transposed[-2] if len(transposed) > 1 else None
    return shapes.get(f"{name}/expand_rv2/Conv/weights", (None,))[-1]


def _card(config: ModelConfig, file: Path) -> str:
    architecture = config.architecture.model_dump()
    return f"""# {config.name}

Weights imported from `{file.name}`, under the names of the published in silico labeling code.

- Labels: {", ".join(config.labels)}
- Input: {config.input.planes} planes
- Network: {", ".join(f"{key} {value}" for key, value in architecture.items())}

What these weights were trained on, and how well they do, is known to whoever made the file; it is
not known here. Do not use their predictions as measurements without checking them against stained
cells of your own.
"""
