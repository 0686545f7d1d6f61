"""Pages of the documentation: every command in them is one that isl has, as its options are."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

from isl import cli, registry
from isl.model_folder import bundled_models

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = DOCS / "site"
PAGES = sorted({*DOCS.glob("*.md"), *(SITE / "tutorials").glob("*.md"), ROOT / "README.md"})
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAV = (SITE / "mkdocs.yml").read_text().partition("\nnav:\n")[2]


def commands_of(text):
    """Lines that call isl, continued lines joined."""
    for language, block in BLOCK.findall(text):
        if language in ("", "console", "bash", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition("  #")[0].strip()
                if line.startswith("isl "):
                    yield line


def options_of(name):
    command = typer.main.get_command(cli._app(cli._commands(name)))
    (own,) = command.commands.values()
    return {option for parameter in own.params for option in (*parameter.opts, "--help", "-h")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_are_there_with_their_options(page):
    known = registry.registered(registry.COMMANDS)
    for line in commands_of(page.read_text(encoding="utf-8")):
        words = shlex.split(line.replace("[", " ").replace("]", " ").replace("...", ""))[1:]
        if words[0].startswith("-"):
            assert words[0] in ("--help", "--version", "--install-completion"), line
            continue
        assert words[0] in known, line
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options_of(words[0]), line


def named_in(config):
    """The texts of a configuration and of all that it names."""
    found, left = {}, [config]
    while left:
        path = left.pop()
        if path not in found and path.is_file():
            found[path] = path.read_text(encoding="utf-8")
            left += [
                path.parent / name for name in re.findall(r"[\"']([\w/]+\.toml)[\"']", found[path])
            ]
    return "".join(found.values())


# What was decided is no instruction.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "decisions"], ids=lambda page: page.stem
)
def test_a_page_says_where_data_of_the_configurations_in_its_commands_come_from(page):
    text = page.read_text(encoding="utf-8")
    known = {path.stem for path in (ROOT / "configs").glob("*.toml")}
    called = r"isl (?:train|eval|search)\s+(?:configs/)?(\w+)(?:\.toml)?"
    for name in set(re.findall(called, text)) & known:
        needs = named_in(ROOT / "configs" / f"{name}.toml")
        if "ISL_DATA" in needs:
            assert "ISL_DATA" in text, name
        if re.search(r"\"data/[\w/]+/(dataset\.toml|recordings\.csv)\"", needs):
            assert "isl phantom" in text, name


def make_module():
    spec = importlib.util.spec_from_file_location("make", SITE / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make


def test_the_navigation_has_every_page_and_no_other():
    settings = (SITE / "mkdocs.yml").read_text()
    pages = {"index.md", "guide.md", "models/mine.md"}
    nav = make_module().with_navigation(settings, pages).partition("\nnav:\n")[2]
    assert set(re.findall(r"(\S+\.md)", nav)) == pages


def test_links_lead_to_where_pages_are_on_the_site():
    linked = make_module().linked
    text = "[a](site/tutorials/plate.md) [b](measure.md#columns) [c](../configs/phantom.toml)"
    assert linked(text, DOCS) == "[a](tutorials/plate.md) [b](measure.md#columns) c"


def test_every_tutorial_and_every_bundled_model_has_its_title_on_the_site():
    for page in (SITE / "tutorials").glob("*.md"):
        assert f": tutorials/{page.name}\n" in NAV, page
    for model in bundled_models():
        assert f": models/{model}.md\n" in NAV, model


def test_a_tutorial_is_what_its_commands_print(tmp_path):
    make = make_module()
    text = "```console\n$ isl phantom --out a --set width=16 --set height=16 --set planes=1\n```\n"
    printed = make.carried_out(text + "![b](a/../a/dataset.toml)", tmp_path)
    assert "$ isl phantom" in printed
    assert make.TOOK.sub("", "f0 (0.3 s), f1 (12 s; about 2 min left), f2 (4 of 5)") == (
        "f0, f1, f2 (4 of 5)"
    )
    assert "a/dataset.toml" in printed
    asked = '```toml title="a.toml"\nx = 1\n```\n![the file](a.toml) and [a page](b.html)'
    with pytest.raises(SystemExit, match=r"b\.html: no command made it"):
        make.carried_out(asked, tmp_path)
    assert (tmp_path / "a.toml").read_text() == "x = 1\n"
    with pytest.raises(SystemExit, match="runs isl and nothing else"):
        make.carried_out("```console\n$ rm -r x\n```", tmp_path)
    with pytest.raises(SystemExit, match="exit code 2"):
        make.carried_out("```console\n$ isl phantom --kind x --out y\n```", tmp_path)


def test_extras_of_the_installation_page_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = set(re.findall(r"isl\[(\w+)\]", (DOCS / "install.md").read_text()))
    assert named
    assert named <= extras.keys()
