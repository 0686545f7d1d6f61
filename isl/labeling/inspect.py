"""What a model expects, or what an image holds, as facts to print."""

from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.containers import is_container
from isl.imaging.image import (
    Movie,
    Picture,
    PixelSize,
    ZStack,
)
from isl.imaging.normalize import normalize
from isl.imaging.read import (
    find_inputs,
    read_picture,
    read_transmitted,
)
from isl.labeling.model import read_model_config
from isl.model_folder import (
    model_directory,
    stored_shapes,
)

Facts = list[tuple[str, str]]
_UNKNOWN = "not known"


def describe(thing: str, *, axes: str | None = None, channel: str | None = None) -> Facts:
    """Facts about a model (a bundled name, or a folder) or an image (a file or published folder).

    Args:
        thing: What is meant.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where there are several.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    path = Path(thing)
    if (path / "model.toml").is_file() or not (path.exists() or is_container(path)):
        if path.suffix:
            raise InputError(f"{thing}: there is no such file")
        return describe_model(model_directory(thing))
    fields = find_inputs([path])
    if len(fields) > 1:
        raise InputError(f"{thing}: holds {len(fields)} images; name one, such as {fields[0][1]}")
    return describe_image(fields[0][1], axes=axes, channel=channel)


def describe_model(directory: Path) -> Facts:
    """What a model predicts and expects, from its folder; no weights are read."""
    config = read_model_config(directory)
    geometry = config.architecture.geometry
    architecture = config.architecture.model_dump()
    kind = architecture.pop("kind")
    settings = ", ".join(f"{key} {value}" for key, value in architecture.items())
    parameters = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    expected = config.input
    return [
        ("model", config.name),
        ("summary", summary(directory)),
        ("labels", ", ".join(config.labels)),
        ("planes", str(expected.planes)),
        ("modality", expected.modality or _UNKNOWN),
        ("pixel size", _um(expected.pixel_size)),
        ("z step", _um(expected.z_step)),
        ("normalization", expected.normalization),
        ("architecture", f"{kind} ({settings})"),
        ("stored values", f"{parameters:,}"),
        (
            "geometry",
            f"margin {geometry.margin}, step {geometry.step}, smallest input {geometry.smallest}",
        ),
        ("stitch", "dense, exact" if kind == "towers" else "dense"),
        ("card", str(directory / "card.md")),
    ]


def describe_image(path: Path, *, axes: str | None = None, channel: str | None = None) -> Facts:
    """What a file or a published folder holds, plane by plane."""
    facts: Facts = [("image", str(path))]
    if not path.is_dir() or is_container(path):
        facts += _describe_picture(read_picture(path, axes=axes))
    try:
        stack = read_transmitted(path, axes=axes, channel=channel)
    except InputError as error:
        return [*facts, ("transmitted", str(error))]
    return facts + _describe_stack(stack)


def summary(directory: Path) -> str:
    """One line: what a model predicts, from what."""
    config = read_model_config(directory)
    modality = (config.input.modality or "transmitted light").lower().replace("_", " ")
    return (
        f"{', '.join(config.labels)} from {config.input.planes} planes of {modality} "
        f"({config.architecture.kind})"
    )


def _describe_picture(picture: Picture) -> Facts:
    times, channels, planes, rows, columns = picture.array.shape
    names = picture.channel_names or tuple(f"unnamed {n}" for n in range(1, channels + 1))
    return [
        ("stored", f"{times} T x {channels} C x {planes} Z x {rows} Y x {columns} X"),
        ("pixels", str(picture.array.dtype)),
        ("channels", ", ".join(names)),
    ]


def _describe_stack(stack: ZStack | Movie) -> Facts:
    movie = isinstance(stack, Movie)
    pixels = stack.frames if movie else stack.planes
    shape = " x ".join(map(str, pixels.shape))
    facts = [
        ("transmitted", f"{'TZYX' if movie else 'ZYX'} {shape} {pixels.dtype}"),
        ("modality", stack.modality or _UNKNOWN),
        ("pixel size", _size(stack.pixel_size)),
        ("z step", _um(stack.pixel_size.z if stack.pixel_size else None)),
    ]
    if isinstance(stack, Movie):
        facts.append(("interval", f"{stack.interval:g} min" if stack.interval else _UNKNOWN))
    first = stack.stack(0) if isinstance(stack, Movie) else stack
    for index, plane in enumerate(first.planes):
        facts.append((f"plane {index}", _describe_plane(plane)))
    return facts


def _describe_plane(plane: np.ndarray) -> str:
    text = f"{plane.min():g} to {plane.max():g}"
    try:
        record = normalize(plane[None])[1][0]
    except InputError:
        return f"{text}, constant or not finite: nothing to predict from"
    unchanged = record.scale == 1.0 and record.offset == 0.0
    return (
        f"{text}, mean {record.mean:.4f} and deviation {record.standard_deviation:.4f} of full "
        f"scale, {'kept as it is' if unchanged else 'to be normalized'}"
    )


def _size(size: PixelSize | None) -> str:
    if size is None:
        return _UNKNOWN
    return _um(size.y) if size.y == size.x else f"{size.y:g} x {size.x:g} um (Y x X)"


def _um(length: float | None) -> str:
    return _UNKNOWN if length is None else f"{length:g} um"
