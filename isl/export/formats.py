"""A model's program written in the format that is wanted, with a page that says how to call it."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from isl.backbones.portable import portably
from isl.errors import InputError, unknown
from isl.export.onnx_graph import onnx_model
from isl.export.program import Port, Program
from isl.export.webpage import check_node_modules, write_page
from isl.files.folders import emptied, folder_written_whole
from isl.packages import needed

TOLERANCE = 1e-4
"""Largest difference between JAX and another runtime at which an export is given."""
README = "README.md"
_MARK = "Exported by isl"
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# Of an output that has steps, so large a share may lie on one, and fall to either side of it.
_MOST_ON_A_STEP = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What was exported.

    Attributes:
        folder: Where.
        difference: Largest difference between JAX and onnxruntime on the trial input; None: it was
            not compared.
    """

    folder: Path
    difference: float | None


def write_export(
    program: Program,
    folder: Path,
    form: str,
    *,
    node_modules: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Writes a folder, whole or not at all.

    Args:
        program: What is exported.
        folder: Must not exist, unless it holds an export and `overwrite`.
        form: One of `FORMS`.
        node_modules: Where onnxruntime-web and utif2 are, for "web".
        overwrite: Whether an earlier export there is replaced.

    Raises:
        InputError: The folder exists or cannot be written, a package is missing, the model cannot
            be exported in this format, or another runtime gives something else.
    """
    if form not in FORMS:
        raise unknown("format", form, FORMS)
    if form == "web":
        node_modules = check_node_modules(program, node_modules)
    with folder_written_whole(folder, replaceable=_is_export if overwrite else None) as new:
        fresh = emptied(new)
        difference = FORMS[form](program, fresh, node_modules)
        (fresh / README).write_text(_readme(program, form, difference), encoding="utf-8")
    return Written(folder=folder, difference=difference)


def compared(program: Program, model: bytes) -> float:
    """The largest difference between JAX and onnxruntime on the trial input.

    Returns:
        Of all numbers but those of outputs with steps that fall to another side of one.

    Raises:
        InputError: onnxruntime is missing, or a difference is above `TOLERANCE`; of outputs with
            steps, more than one in a thousand.
    """
    runtime = needed("onnxruntime", extra="export", what="checking an export to ONNX")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {program.input.name: program.trial})
    expected = program.call(program.trial)
    largest = 0.0
    for port, other in zip(program.outputs, found, strict=True):
        ours = expected[port.name]
        apart = np.abs(np.nan_to_num(other) - np.nan_to_num(ours)) + 1.0 * (
            np.isnan(other) != np.isnan(ours)
        )
        beyond = apart > TOLERANCE
        most = _MOST_ON_A_STEP if port.stepped else 0.0
        if other.shape != ours.shape or beyond.mean() > most:
            raise InputError(
                f"model '{program.name}': '{port.name}' differs between JAX and onnxruntime by up "
                f"to {apart.max():.2g}, so it is not exported"
            )
        largest = max(largest, float(apart[~beyond].max(initial=0.0)))
    return largest


def _is_export(folder: Path) -> bool:
    try:
        return _MARK in (folder / README).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _write_onnx(program: Program, folder: Path, node_modules: Path | None) -> float:
    model = onnx_model(program).SerializeToString()
    difference = compared(program, model)
    (folder / f"{program.name}.onnx").write_bytes(model)
    return difference


def _write_stablehlo(program: Program, folder: Path, node_modules: Path | None) -> None:
    needed("flatbuffers", extra="export", what="an export to StableHLO")

    def by_name(given: jax.Array) -> dict[str, jax.Array]:
        with portably():
            return dict(program.function(given))

    exported = jax.export.export(jax.jit(by_name), platforms=_PLATFORMS)(program.abstract_input())
    (folder / f"{program.name}.stablehlo").write_bytes(exported.serialize())


def _write_web(program: Program, folder: Path, node_modules: Path | None) -> float:
    assert node_modules is not None
    model = onnx_model(program).SerializeToString()
    difference = compared(program, model)
    write_page(program, model, folder, node_modules)
    return difference


def _write_bioimageio(program: Program, folder: Path, node_modules: Path | None) -> float:
    needed("bioimageio.core", extra="export", what="a package for bioimage.io")
    spec = needed("bioimageio.spec", extra="export", what="a package for bioimage.io")
    v0_5: Any = needed("bioimageio.spec.model.v0_5", extra="export", what="a bioimage.io package")
    model = onnx_model(program).SerializeToString()
    difference = compared(program, model)
    expected = program.call(program.trial)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "weights.onnx").write_bytes(model)
        (place / README).write_text(_readme(program, "bioimageio", difference), encoding="utf-8")
        np.save(place / "input.npy", program.trial)
        for port in program.outputs:
            np.save(place / f"{port.name}.npy", expected[port.name])

        def file(name: str) -> Any:
            return v0_5.FileDescr(source=place / name)

        described = v0_5.ModelDescr(
            name=program.name,
            description=f"isl model '{program.name}' ({program.kind}): {program.input.says}"[:1024],
            authors=[v0_5.Author(name="the isl authors")],
            documentation=file(README),
            license="Apache-2.0",
            tags=["label-free", "transmitted-light", program.kind],
            inputs=[
                v0_5.InputTensorDescr(
                    id=program.input.name,
                    description=program.input.says[:128],
                    axes=[_input_axis(v0_5, program, place) for place in range(4)],
                    test_tensor=file("input.npy"),
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id=port.name,
                    description=port.says[:128],
                    axes=_output_axes(v0_5, program, port, expected[port.name].shape),
                    test_tensor=file(f"{port.name}.npy"),
                )
                for port in program.outputs
            ],
            weights=v0_5.WeightsDescr(
                onnx=v0_5.OnnxWeightsDescr(source=place / "weights.onnx", opset_version=18)
            ),
        )
        spec.save_bioimageio_package(
            described, output_path=folder / f"{program.name}.bioimageio.zip"
        )
    return difference


def _identifiers(names: Sequence[str]) -> list[str]:
    return ["".join(c if c.isalnum() else "_" for c in name) for name in names]


def _input_axis(v0_5: Any, program: Program, place: int) -> Any:
    axis, size = program.input.axes[place], program.input.shape[place]
    if axis == "b":
        return v0_5.BatchAxis()
    if axis == "c":
        return v0_5.ChannelAxis(channel_names=_identifiers(program.input.channels))
    scale = {} if program.pixel_size is None else {
        "scale": program.pixel_size, "unit": "micrometer"
    }  # fmt: skip
    if isinstance(size, str):
        size = v0_5.ParameterizedSize(min=program.smallest, step=1)
    return v0_5.SpaceInputAxis(id=axis, size=size, **scale)


def _output_axes(v0_5: Any, program: Program, port: Port, shape: Sequence[int]) -> list[Any]:
    axes = []
    for axis, size in zip(port.axes, shape, strict=True):
        if axis == "b":
            axes.append(v0_5.BatchAxis())
        elif axis == "c":
            axes.append(v0_5.ChannelAxis(channel_names=_identifiers(port.channels)))
        elif axis == "k":
            axes.append(v0_5.IndexOutputAxis(size=size))
        else:
            given = program.input.shape[program.input.axes.index(axis)]
            scale = {} if program.pixel_size is None else {
                "scale": program.pixel_size, "unit": "micrometer"
            }  # fmt: skip
            if isinstance(given, str):
                size = v0_5.SizeReference(tensor_id=program.input.name, axis_id=axis)
            axes.append(v0_5.SpaceOutputAxis(id=axis, size=size, **scale))
    return axes


FORMS: dict[str, Callable[[Program, Path, Path | None], float | None]] = {
    "onnx": _write_onnx,
    "stablehlo": _write_stablehlo,
    "bioimageio": _write_bioimageio,
    "web": _write_web,
}
"""By the word after --to."""

_AXES = {"b": "batch", "c": "channel", "k": "intensity", "y": "y", "x": "x"}


def _readme(program: Program, form: str, difference: float | None) -> str:
    name, given = program.name, program.input
    shape = ", ".join(
        f"{_AXES[axis]} {'any' if isinstance(size, str) else size}"
        for axis, size in zip(given.axes, given.shape, strict=True)
    )
    smallest = ""
    if isinstance(given.shape[-1], str):
        smallest = f" Images are at least {program.smallest} pixels high and wide."
    outputs = "\n".join(
        f"- `{port.name}`: float32 [{', '.join(_AXES[axis] for axis in port.axes)}], {port.says}; "
        f"channels: {', '.join(port.channels)}"
        for port in program.outputs
    )
    left_out = "\n".join(f"- {line}" for line in program.left_out)
    checked = (
        "Not compared with another runtime."
        if difference is None
        else f"JAX and onnxruntime differ by at most {difference:.1g} on a trial input."
    )
    if difference is not None and (stepped := [p.name for p in program.outputs if p.stepped]):
        checked += f" In {', '.join(stepped)}, one number in a thousand may differ by a step."
    return f"""# {name}

{_MARK} from the {program.kind} model '{name}' as {form}.

## In

`{given.name}`: float32 [{shape}], {given.says}. Integers are divided by their type's
largest number first.{smallest}

## Out

{outputs}

## How to use it

{_HOW[form].format(name=name, given=given.name)}

## What it does not do

{left_out}

{checked}

---

{program.model.card}"""


_HOW = {
    "onnx": """```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("{name}.onnx")
results = session.run(None, {{"{given}": image.astype(numpy.float32)}})
```""",
    "stablehlo": """```python
import jax.export
program = jax.export.deserialize(open("{name}.stablehlo", "rb").read())
results = program.call(image)
```""",
    "bioimageio": """```
bioimageio test {name}.bioimageio.zip
```""",
    "web": "Open `index.html` in a browser and drop images on it. Nothing leaves the computer.",
}
