"""A page that predicts in the browser: a folder that opens with a double click.

Browsers let a page that was opened from a disk read no file beside it but scripts. So the model and
the runtime's WebAssembly are scripts, too: text that decodes to their bytes. What is not ours comes
from npm when the page is written; none of it is kept here.
"""

import base64
import dataclasses
import json
from importlib import resources
from pathlib import Path

from isl.errors import InputError
from isl.export.program import Program

PACKAGES = {"onnxruntime-web": "1.30.0", "utif2": "4.1.0"}
"""What the page needs, in the versions that it was tried with."""
_INSTALL = "npm install " + " ".join(f"{name}@{version}" for name, version in PACKAGES.items())
SCRIPTS = {
    "onnxruntime-web/dist/ort.wasm.min.js": "ort.js",
    "pako/dist/pako_inflate.min.js": "pako.js",
    "utif2/UTIF.js": "utif.js",
}
_LICENSES = ("onnxruntime-web", "pako", "utif2")
WASM = "onnxruntime-web/dist/ort-wasm-simd-threaded"


def check_node_modules(program: Program, node_modules: Path | None) -> Path:
    """Where npm's packages are, all of them.

    Raises:
        InputError: One is missing, or the model gives no pictures.
    """
    given = program.input
    if "y" not in program.outputs[0].axes or any(port.axes == "bckyx" for port in program.outputs):
        raise InputError(
            f"model '{program.name}': a page shows pictures, one a channel, which it does not give "
            "(take `to=onnx`)"
        )
    if not isinstance(given.shape[-1], str):
        raise InputError(
            f"model '{program.name}': takes images of {given.shape[-1]} pixels only, which a page "
            "would have to make first (take `to=onnx`)"
        )
    folder = Path("node_modules") if node_modules is None else node_modules
    for name in (*SCRIPTS, f"{WASM}.wasm", f"{WASM}.mjs"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder / name}: is missing; run `{_INSTALL}` and give its folder with "
                "`node_modules=DIR`"
            )
    return folder


def write_page(program: Program, model: bytes, folder: Path, node_modules: Path) -> None:
    """Writes index.html and what it needs.

    Args:
        program: What the page shows.
        model: As ONNX.
        folder: Where.
        node_modules: See `check_node_modules`.
    """
    for source, name in SCRIPTS.items():
        (folder / name).write_bytes((node_modules / source).read_bytes())
    _embedded(folder / "runtime.js", "runtime", (node_modules / f"{WASM}.wasm").read_bytes())
    _embedded(folder / "glue.js", "glue", (node_modules / f"{WASM}.mjs").read_bytes())
    _embedded(folder / "model.js", "model", model)
    facts = {
        "name": program.name,
        "input": dataclasses.asdict(program.input),
        "outputs": [dataclasses.asdict(port) for port in program.outputs],
        "smallest": program.smallest,
        "leftOut": program.left_out,
    }
    # Nothing in it may end the script that it stands in.
    text = json.dumps(facts).replace("<", "\\u003c")
    page = resources.files("isl.export").joinpath("page.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(page.replace("__FACTS__", text), encoding="utf-8")
    for package in _LICENSES:
        for license_file in sorted((node_modules / package).glob("LICENSE*")):
            (folder / f"LICENSE.{package}.txt").write_bytes(license_file.read_bytes())


def _embedded(path: Path, name: str, content: bytes) -> None:
    text = base64.b64encode(content).decode("ascii")
    path.write_text(f'(self.embedded ??= {{}}).{name} = "{text}";\n', encoding="ascii")
