"""Gathers the pages of the site: from docs/, from --help, from docstrings, cards and tutorials.

A tutorial is a page whose ```console blocks are run, each line that begins with $, in a folder of
its own; a block with a title, such as ```toml title="plate.toml", is a file there. What commands
print is put below them, and pictures and reports that they made are copied beside the page.
So no command stands on the site that was not run, and no output that was not printed.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SITE = Path(__file__).parent
DOCS = SITE.parent
ROOT = DOCS.parent
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#]+)(#[^)]*)?\)")
TOOK = re.compile(r" \(\d+(\.\d)? (s|min)(; about \d+ (s|min) left)?\)")
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
FILE = re.compile(r'```\w+ title="([^"/]+)"\n(.*?)```', re.DOTALL)
REPORT = re.compile(r"(?<!!)\[([^\]]+)\]\(((?!\w+:)[^)#]+\.html)\)")


def main(argv: list[str] | None = None) -> int:
    """Writes all pages into a folder, and the navigation into the site's configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-tutorials", action="store_true", help="do not run anything")
    given = parser.parse_args(argv)
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    (given.folder / "index.md").write_text(linked((ROOT / "README.md").read_text(), ROOT))
    for path in (*DOCS.glob("*.md"), *DOCS.glob("*.png")):
        copied = given.folder / path.name
        if path.suffix == ".md":
            copied.write_text(linked(path.read_text(), DOCS))
        else:
            shutil.copy(path, copied)
    (given.folder / "docs").mkdir()
    for picture in DOCS.glob("*.png"):
        shutil.copy(picture, given.folder / "docs" / picture.name)
    write_reference(given.folder / "reference")
    write_cards(given.folder / "models")
    for tutorial in sorted((SITE / "tutorials").glob("*.md")):
        text = tutorial.read_text()
        folder = given.folder / "tutorials"
        folder.mkdir(exist_ok=True)
        page = text if given.without_tutorials else carried_out(text, folder)
        (folder / tutorial.name).write_text(page)
    pages = {str(path.relative_to(given.folder)) for path in given.folder.rglob("*.md")}
    settings = (SITE / "mkdocs.yml").read_text()
    (given.folder.parent / "mkdocs.yml").write_text(with_navigation(settings, pages))
    return 0


def with_navigation(settings: str, pages: set[str]) -> str:
    """The site's settings whose navigation has all pages and no other.

    Pages that it does not name stand at its end; a person may have more models than we have.
    """
    kept, named = [], set()
    for line in settings.splitlines():
        found = re.fullmatch(r"\s+- (?:.+: )?(\S+\.md)", line)
        if found is None or found[1] in pages:
            kept.append(line)
            named |= {found[1]} if found else set()
    further = sorted(pages - named)
    if further:
        kept.append("  - Further pages:")
        kept += [f"      - {page}" for page in further]
    return "\n".join(kept) + "\n"


def linked(text: str, origin: Path) -> str:
    """Links to files that are no pages, as the files' names: the site does not hold the source."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        path = (origin / target).resolve()
        if path.suffix == ".md" and path.parent == DOCS:
            return f"[{words}]({path.name}{anchor})"
        if path.suffix == ".md" and path.parent == SITE / "tutorials":
            return f"[{words}](tutorials/{path.name}{anchor})"
        card = re.fullmatch(r"isl/models/([^/]+)(/card\.md)?", str(path.relative_to(ROOT)))
        return f"[{words}](models/{card[1]}.md)" if card else words

    return LINK.sub(link, text)


def write_reference(folder: Path) -> None:
    """A page for the command line and one for Python."""
    from importlib.metadata import entry_points

    folder.mkdir()
    commands = sorted(entry.name for entry in entry_points(group="isl.commands"))
    commands = [name for name in commands if name != "toy"]
    parts = ["# Commands\n"]
    for name in commands:
        parts.append(
            f"## isl {name}\n\n```text\n{said([sys.executable, '-c', ISL, name, '--help'])}```\n"
        )
    (folder / "commands.md").write_text("\n".join(parts))
    import isl

    parts = ["# Python\n", "`import isl` gives these names, each loaded when it is first used.\n"]
    for name in sorted(isl.__all__):
        module = isl._ORIGIN[name]
        parts.append(f"::: {module}.{name}\n")
    (folder / "python.md").write_text("\n".join(parts))


def write_cards(folder: Path) -> None:
    """The cards of the bundled models."""
    folder.mkdir()
    for card in sorted((ROOT / "isl" / "models").glob("*/card.md")):
        (folder / f"{card.parent.name}.md").write_text(linked(card.read_text(), card.parent))


ISL = "import sys; from isl.cli import main; sys.exit(main())"


def said(words: list[str], folder: Path | None = None) -> str:
    """What a command prints.

    Raises:
        SystemExit: It fails.
    """
    done = subprocess.run(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stdout}")
    printed = TOOK.sub("", done.stdout)
    return printed if folder is None else printed.replace(f"{folder}/", "")


def carried_out(text: str, folder: Path) -> str:
    """A tutorial with what its commands print, and the pictures and reports that they make."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, content in FILE.findall(text):
            (place / name).write_text(content)

        def run(block: re.Match[str]) -> str:
            lines = []
            for line in block[1].splitlines():
                lines.append(line)
                if line.startswith("$ isl "):
                    words = [sys.executable, "-c", ISL, *shlex.split(line)[2:]]
                    lines.append(said(words, place).rstrip())
                elif line.startswith("$ "):
                    raise SystemExit(f"a tutorial runs isl and nothing else: {line}")
            return "```console\n" + "\n".join(filter(None, lines)) + "\n```"

        text = CONSOLE.sub(run, text)

        def copied(found: re.Match[str]) -> str:
            made = place / found[2]
            if not made.is_file():
                beside = made.parent.glob(f"*{made.suffix}")
                made_ones = ", ".join(sorted(path.name for path in beside))
                raise SystemExit(f"{found[2]}: no command made it (there are {made_ones})")
            name = found[2].replace("/", "-")
            shutil.copy(made, folder / name)
            return f"{found[0].partition('](')[0]}]({name})"

        return REPORT.sub(copied, PICTURE.sub(copied, text))


if __name__ == "__main__":
    sys.exit(main())
