"""TOML files as frozen, typed values: unknown keys and wrong types are refused by name."""

import importlib.util
import json
import os
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import tomli_w

from isl.errors import InputError, unknown


class Config(pydantic.BaseModel):
    """A frozen value read from TOML; keys it does not know are an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


ConfigType = TypeVar("ConfigType", bound=Config)


def load_toml(path: Path, kind: type[ConfigType], overrides: Sequence[str] = ()) -> ConfigType:
    """Reads a TOML file into a value of type `kind`.

    Args:
        path: The TOML file.
        kind: The configuration type to build.
        overrides: `key=value` texts; `key` may be dotted (`optimizer.learning_rate=1e-4`), `value`
            is TOML, or a bare word which is then taken as text.

    Raises:
        InputError: The file is missing, is not TOML, or holds unknown keys or wrong types.
    """
    return parse(read_toml(path), kind, source=str(path), overrides=overrides)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: The file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise not_there(path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a TOML file ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from error


def configuration(path: Path) -> Path:
    """A TOML file, or, where there is none of that name, the one that comes with isl.

    Args:
        path: The file; neurons_quick, neurons_quick.toml and configs/neurons_quick.toml all name
            what comes with isl as configs/neurons_quick.toml.

    Raises:
        InputError: There is no such file, and a bare name is no configuration's.
    """
    folder = _configurations()
    if path.exists() or folder is None:
        return path
    known = {file.stem: file for file in folder.glob("*.toml")}
    name = path.name.removesuffix(".toml")
    if name in known and str(path.parent) in (".", "configs"):
        return known[name]
    if len(path.parts) == 1 and path.suffix != ".toml":
        raise unknown("configuration", name, known)
    return path


def not_there(path: Path) -> InputError:
    """A file that is missing; of data that configurations of isl name, how to come by them.

    Args:
        path: A TOML file, or a table.
    """
    missing = f"{path}: there is no such file"
    folder, place = _configurations(), Path(os.path.abspath(path)).parent
    if folder is None or folder / "data" not in place.parents:
        return InputError(missing)
    made = read_toml(folder / "data" / "simulated.toml")
    command = made.get(place.relative_to(folder / "data").as_posix())
    if command is None:
        return InputError(f"{missing}; name your own with `set=dataset=FILE`")
    here = Path(os.path.relpath(place))
    out = shlex.quote(str(place if ".." in here.parts else here))
    return InputError(
        f"{missing}; make it first: {command} `out={out}` (or make it elsewhere, and name it with "
        "`set=dataset=FILE`)"
    )


def _configurations() -> Path | None:
    """The folder of those that come with isl; None: they do not."""
    spec = importlib.util.find_spec("isl_configs")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def load_as_typed(path: Path, kind: type[ConfigType], overrides: Sequence[str] = ()) -> ConfigType:
    """`load_toml` with overrides of a command line; see `seen_from_the_shell`."""
    return load_toml(path, kind, seen_from_the_shell(overrides, kind, path.parent))


def folder_named(text: str, relative_to: Path, *, source: str) -> Path:
    """An absolute folder from a configuration's text.

    Args:
        text: A path; ${NAME} in it is an environment variable.
        relative_to: What it starts from where it is not absolute.
        source: The key and its file, for messages.

    Raises:
        InputError: A variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            some = " (isl data list: those that isl data get brings)" if name == "ISL_DATA" else ""
            raise InputError(
                f"{source} '{text}' needs the environment variable {name}, which is not set; give "
                f"it the folder that holds these files{some}"
            )
        return os.environ[name]

    expanded = re.sub(r"\$\{(\w+)\}", value, text)
    return Path(os.path.normpath((relative_to / expanded).absolute()))


def parse(
    tables: dict[str, Any],
    kind: type[ConfigType],
    *,
    source: str,
    overrides: Sequence[str] = (),
) -> ConfigType:
    """Builds a `kind` from parsed tables; `source` names them in messages."""
    for override in overrides:
        _apply_override(tables, override)
    try:
        return kind.model_validate(tables)
    except pydantic.ValidationError as error:
        raise _one_line(error, kind, source) from error


class _TaskName(Config):
    task: str


def task_name(path: Path, overrides: Sequence[str]) -> str:
    """The key `task` of a TOML file, which says how the rest of it is to be read.

    Args:
        path: The file.
        overrides: As in `load_toml`; those of other keys do not matter.

    Raises:
        InputError: The file cannot be read, or names no task.
    """
    tables = read_toml(path)
    chosen = {"task": tables["task"]} if "task" in tables else {}
    own = [override for override in overrides if override.partition("=")[0].strip() == "task"]
    return parse(chosen, _TaskName, source=str(path), overrides=own).task


def seen_from_the_shell(overrides: Sequence[str], kind: type[Config], folder: Path) -> list[str]:
    """Overrides of a command line, whose paths are relative to where it was typed.

    Those of a file are relative to its folder. A path that is found only there is left as it is,
    and so is a text that may be a name, such as a bundled model's.

    Args:
        overrides: As in `load_toml`.
        kind: The configuration they are of.
        folder: Where the configuration's file lies.
    """
    return [_seen_from_the_shell(override, kind, folder) for override in overrides]


def _seen_from_the_shell(override: str, kind: type[Config], folder: Path) -> str:
    key, separator, text = override.partition("=")
    if not separator:
        return override
    value, annotation = _value_of(text), _annotation(kind, key.strip().split("."))
    types = (annotation, *getattr(annotation, "__args__", ()))

    def place(given: Any) -> Any:
        if not isinstance(given, str) or not given or "${" in given:
            return given
        here = Path(given).absolute()
        if Path in types and (here.exists() or not (folder / given).exists()):
            return str(here)
        return str(here) if str in types and os.sep in given and here.exists() else given

    seen = [place(each) for each in value] if isinstance(value, list) else place(value)
    return override if seen == value else f"{key}={json.dumps(seen)}"


def _annotation(kind: type[Config], keys: Sequence[str]) -> Any:
    """The type of a dotted key; None where there is no such key."""
    *tables, last = keys
    kinds = [kind]
    for table in tables:
        fields = [each.model_fields[table] for each in kinds if table in each.model_fields]
        kinds = [inner for field in fields for inner in _configs_within(field.annotation)]
    holders = [each.model_fields[last] for each in kinds if last in each.model_fields]
    return holders[0].annotation if holders else None


def _apply_override(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"`set={override}`: expected key=value")
    value = _value_of(text)
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise InputError(f"`set={override}`: '{parent}' is not a table")
    tables[leaf] = value


def _value_of(text: str) -> Any:
    """What TOML reads in a text, or the text, where it is a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _one_line(error: pydantic.ValidationError, kind: type[Config], source: str) -> InputError:
    """One complaint of pydantic as one line; an unknown key also names the nearest one.

    Unknown keys go first: a key that is missing is often one that was misspelled.
    """
    complaints = error.errors()
    misspelled = [complaint for complaint in complaints if complaint["type"] == "extra_forbidden"]
    first = (misspelled or complaints)[0]
    tables, siblings = _place(kind, first["loc"])
    location = ".".join([*tables, *(str(part) for part in first["loc"][-1:])])
    if first["type"] == "extra_forbidden":
        known = [".".join([*tables, name]) for name in siblings]
        return InputError(f"{source}: {unknown('key', location, known)}")
    if first["type"] == "missing":
        return InputError(f"{source}: key '{location}' is missing")
    value = first.get("input")
    shown = f" (got {value!r})" if isinstance(value, bool | int | float | str) else ""
    message = first["msg"].removeprefix("Value error, ")
    return InputError(f"{source}: {location or 'the file'}: {message}{shown}")


def _place(kind: type[Config], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """The tables that lead to a key as a person wrote them, and the keys accepted beside it.

    Where a table may be of several kinds, pydantic's location also names the kind, as `unet` in
    `network.unet.width`; that is no table.
    """
    candidates = [kind]
    tables: list[str] = []
    for part in location[:-1]:
        holders = [config for config in candidates if part in config.model_fields]
        kinds = [config for config in candidates if part in _constants(config)]
        if isinstance(part, str) and holders:
            candidates = _configs_within(holders[0].model_fields[part].annotation)
        elif kinds:
            candidates = kinds
            continue
        tables.append(str(part))
    return tables, [name for config in candidates for name in config.model_fields]


def _constants(config: type[Config]) -> list[Any]:
    """Defaults of a configuration's keys: the one that tells its kind is among them."""
    return [field.default for field in config.model_fields.values()]


def _configs_within(annotation: Any) -> list[type[Config]]:
    """The Config types named in an annotation such as `list[Field]` or `Towers | UNet`."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [
        kind for inner in getattr(annotation, "__args__", ()) for kind in _configs_within(inner)
    ]


def to_toml(value: Config) -> str:
    """The TOML text that `parse` reads back into `value`; keys that are None are left out."""
    return tomli_w.dumps(value.model_dump(mode="json", exclude_none=True))
