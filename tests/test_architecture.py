"""Which room may know which: data flow one way, and prediction knows nothing of training."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PYPROJECT["tool"]["setuptools"]["package-dir"]
SOURCES = sorted(path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*.py"))

# Data flow downward through these; a room imports none that stands below it.
FLOW = ("imaging", "data", "labeling", "polarity")


def module_name(path: Path) -> str:
    """The name a source file is imported by, e.g. isl_train.loop."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts[0] = next(name for name, folder in FOLDERS.items() if folder == parts[0])
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Absolute names of all that a file imports, inside functions too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offences(room: str, forbidden: list[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if within(module_name(path), room)
        for name in sorted(imports(path))
        if any(within(name, package) for package in forbidden)
    ]


def test_predicting_never_imports_training_or_judging():
    assert offences("isl", ["isl_train", "isl_eval", "train", "eval"]) == []


def test_training_never_imports_judging():
    assert offences("isl_train", ["isl_eval", "train", "eval"]) == []


@pytest.mark.parametrize("room", FLOW)
def test_data_flow_one_way(room):
    below = [f"isl.{later}" for later in FLOW[FLOW.index(room) + 1 :]]
    above_all = ["isl.cli", "isl.commands", "isl.phantom", "isl.preprocess"]
    assert offences(f"isl.{room}", below + above_all) == []


@pytest.mark.parametrize("foundation", ["isl.errors", "isl.config"])
def test_foundations_know_no_room(foundation):
    rooms = [f"isl.{path.name}" for path in (ROOT / "isl").iterdir() if path.is_dir()]
    assert offences(foundation, [*rooms, "isl.cli"]) == []


def test_every_package_is_listed():
    folders = {
        module_name(path)
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_every_source_file_lies_in_a_package():
    assert [path for path in SOURCES if not (path.parent / "__init__.py").exists()] == []


def distribution(name: str) -> str:
    """A distribution's name as it is compared: Tomli_W is tomli-w."""
    return re.sub(r"[-_.]+", "-", name).lower()


# Used where a person has it, to read checkpoints of the published code; far too large to ask for.
USED_WHERE_PRESENT = {"tensorflow"}


def test_dependencies_are_what_is_imported():
    providers = importlib.metadata.packages_distributions()
    imported = {
        distribution(provider)
        for path in SOURCES
        for name in imports(path)
        if name.partition(".")[0] not in {*FOLDERS, *sys.stdlib_module_names, *USED_WHERE_PRESENT}
        for provider in providers[name.partition(".")[0]][:1]
    }
    project = PYPROJECT["project"]
    base, extra = (
        {distribution(re.split(r"[\[<>=;]", requirement)[0]) for requirement in requirements}
        for requirements in (
            project["dependencies"],
            [
                r
                for name in ("gpu", "formats", "cluster", "compare", "search")
                for r in project["optional-dependencies"][name]
            ],
        )
    )
    assert imported - base - extra == set()
    assert base - imported == set()


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after a statement."""
    shown = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{shown}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_starting_the_command_loads_neither_jax_nor_training():
    heavy = {"jax", "jaxlib", "flax", "optax", "orbax", "grain", "scipy", "matplotlib"}
    loaded = loaded_by("import isl, isl.cli, isl.labeling.dataset")
    assert "isl" in loaded
    assert loaded & (heavy | {"isl_train", "isl_eval"}) == set()


def test_importing_every_module_changes_no_environment():
    # What other packages do when they are imported is theirs to answer for.
    others = ["flax.nnx", "optax", "orbax.checkpoint", "grain", "tensorboardX", "matplotlib"]
    names = [name for name in map(module_name, SOURCES) if not name.endswith("__main__")]
    statement = "\n".join(
        [
            "import importlib, logging, os, random",
            "import numpy, jax",
            f"for name in {others!r}: importlib.import_module(name)",
            "before = dict(os.environ), random.getstate(), logging.root.handlers[:]",
            "drawn = numpy.random.get_state()[1].tolist()",
            "strict = dict(jax.config.values)",
            f"for name in {names!r}: importlib.import_module(name)",
            "assert before == (dict(os.environ), random.getstate(), logging.root.handlers[:])",
            "assert drawn == numpy.random.get_state()[1].tolist()",
            "assert strict == dict(jax.config.values)",
        ]
    )
    assert "jax" in loaded_by(statement)
