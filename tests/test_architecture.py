"""Which room may know which, read off the imports: downward only, in no circle, task by task."""

import ast
import functools
import graphlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PYPROJECT["tool"]["setuptools"]["package-dir"]
SOURCES = sorted(path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*.py"))

# A task is what can be trained by its name; it has a room of this name in isl, train and eval.
TASKS = tuple(PYPROJECT["project"]["entry-points"]["isl.train"])
# The one task that stands on another one: polarity looks at predicted EZRIN.
STANDS_ON = {"polarity": "labeling"}
# The rooms of isl from the ground up: each may know those on lower floors, and its own floor as
# long as no circle comes of it. Tasks stand above the shared rooms; what is on no floor is on the
# top one, with the commands.
FLOORS = (
    ("errors",),
    ("calibration", "config", "packages", "registry", "progress", "summed", "warned"),
    ("cluster", "files", "tiling", "devices", "workers"),
    ("imaging", "model_folder"),
    ("backbones", "data", "export", "model_kinds", "report"),
    TASKS,
)
SHARED = frozenset(room for floor in FLOORS[:-1] for room in floor)


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


@functools.cache
def graph() -> dict[str, frozenset[str]]:
    """Every module, and the modules that it imports; a package only where it is meant itself."""
    modules = {module_name(path): path for path in SOURCES}
    packages = {name for name, path in modules.items() if path.name == "__init__.py"}
    found = {}
    for name, path in modules.items():
        meant = imports(path) & (modules.keys() - {name})
        beside = {p for p in meant & packages if any(o.startswith(f"{p}.") for o in meant)}
        found[name] = frozenset(meant - beside)
    return found


def room_of(module: str) -> str:
    """The room that a module is in: isl.imaging of isl.imaging.zarr.reader."""
    return ".".join(module.split(".")[:2])


def arrows() -> list[tuple[str, str]]:
    """Every import of one of our modules by another."""
    return [(module, known) for module, others in graph().items() for known in sorted(others)]


def room_graph() -> dict[str, set[str]]:
    return between(arrows(), room_of)


def inner_room_graph() -> dict[str, set[str]]:
    """As `room_graph`, with rooms within rooms, such as isl.imaging.zarr, apart from their room.

    What an __init__ offers of the rooms within is no arrow of the room around them.
    """
    doors = {module_name(path) for path in SOURCES if path.name == "__init__.py"}
    return between(
        [arrow for arrow in arrows() if arrow[0] not in doors],
        lambda module: module.rpartition(".")[0] if module.count(".") > 1 else module,
    )


def between(arrows: Iterable[tuple[str, str]], room: Callable[[str], str]) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {room(module): set() for module in graph()}
    for module, known in arrows:
        if room(known) != room(module):
            rooms[room(module)].add(room(known))
    return rooms


def task_of(module: str) -> str | None:
    """The task whose room a module is in, be it in isl, train or eval."""
    return next((part for part in module.split(".")[1:2] if part in TASKS), None)


def floor_of(module: str) -> int:
    room = module.split(".")[1] if "." in module else ""
    return next((level for level, floor in enumerate(FLOORS) if room in floor), len(FLOORS))


@pytest.mark.parametrize("of", [graph, room_graph, inner_room_graph])
def test_nothing_goes_in_a_circle(of):
    try:
        graphlib.TopologicalSorter(of()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_predicting_never_imports_training_or_judging_nor_training_judging():
    order = ["isl", "isl_train", "isl_eval"]
    upward = [
        (module, known)
        for module, known in arrows()
        if order.index(known.split(".")[0]) > order.index(module.split(".")[0])
    ]
    assert upward == []
    foreign = {name for path in SOURCES for name in imports(path) if name in ("train", "eval")}
    assert foreign == set()


def test_every_arrow_within_isl_points_downward():
    upward = [
        (module, known)
        for module, known in arrows()
        if module.startswith("isl.") and floor_of(known) > floor_of(module)
    ]
    assert upward == []


def test_every_room_of_the_ground_floors_exists():
    rooms = {module.split(".")[1] for module in graph() if module.startswith("isl.")}
    assert {room for floor in FLOORS for room in floor} - rooms == set()


def test_shared_rooms_know_no_task():
    def shared(module: str) -> bool:
        package, _, rest = module.partition(".")
        if package == "isl":
            return rest.split(".")[0] in SHARED
        return task_of(module) is None

    assert [arrow for arrow in arrows() if shared(arrow[0]) and task_of(arrow[1])] == []


def test_tasks_do_not_know_each_other():
    strange = [
        (module, known)
        for module, known in arrows()
        if task_of(module)
        and task_of(known) not in (None, task_of(module), STANDS_ON.get(task_of(module) or ""))
    ]
    assert strange == []


def test_every_task_has_its_rooms_and_its_parts():
    groups = PYPROJECT["project"]["entry-points"]
    for task in TASKS:
        assert task in groups["isl.models"]
        assert task in groups["isl.eval"]
        for folder in ("isl", "train", "eval"):
            assert (ROOT / folder / task / "__init__.py").is_file(), (folder, task)


def test_every_package_is_listed():
    folders = {
        module_name(path)
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_every_file_that_is_no_module_is_in_the_wheel():
    listed = PYPROJECT["tool"]["setuptools"]["package-data"]
    packed = set()
    for package, patterns in listed.items():
        name, *rest = package.split(".")
        folder = (ROOT / FOLDERS[name]).joinpath(*rest)
        packed |= {path for pattern in patterns for path in folder.glob(pattern)}
    # Where configurations say that data is to be made.
    made = tuple((ROOT / "configs" / "data").glob("*/"))
    files = {
        path
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
        if not any(folder in path.parents for folder in made)
    }
    assert files - packed == set()


def test_every_source_file_lies_in_a_package():
    assert [path for path in SOURCES if not (path.parent / "__init__.py").exists()] == []


def test_what_tests_share_has_a_name_of_its_own():
    """All their folders are on one path, so that of two files of one name only one is found."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    shared = [path.name for path in files if not path.name.startswith("test_")]
    assert [name for name, count in Counter(shared).items() if count > 1] == []
    assert [
        (path.name, name)
        for path in files
        for name in re.findall(r"^(?:from|import) (\w+)", path.read_text("utf-8"), re.MULTILINE)
        if name.startswith("test_") and name != path.stem
    ] == []


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
                requirement
                for name, requirements in project["optional-dependencies"].items()
                if name not in ("dev", "torch")
                for requirement in requirements
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
    loaded = loaded_by("import isl, isl.cli, isl.data.manifest")
    assert "isl" in loaded
    assert loaded & (heavy | {"isl_train", "isl_eval"}) == set()


def test_messages_of_the_core_name_arguments_and_no_options() -> None:
    """`isl.errors.as_options` spells them for the command line; who calls from Python has none."""
    edge = {"commands", "cli.py", "demo.py"}
    wrong = []
    for path in (ROOT / "isl").rglob("*.py"):
        if path.relative_to(ROOT / "isl").parts[0] in edge or path.name == "__main__.py":
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = (
                call.func.attr
                if isinstance(call.func, ast.Attribute)
                else call.func.id
                if isinstance(call.func, ast.Name)
                else ""
            )
            if name not in ("InputError", "warning"):
                continue
            texts = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant)]
            wrong += [
                f"{path}:{call.lineno}: {text}"
                for text in texts
                if isinstance(text, str) and re.search(r"(?<![\w-])--[a-z]", text)
            ]
    assert not wrong, "\n".join(wrong)


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
