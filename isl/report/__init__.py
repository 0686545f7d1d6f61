"""Reports: one HTML file that holds all it shows, reads well on a desk, a phone and on paper.

A report loads nothing from elsewhere: pictures are inside it, and the only script is the one that
magnifies pictures (`zoomable`), where there are such. It is put together by `page` from blocks, the
same for every task. Texts are plain: HTML in them is shown, never obeyed. A block without content
(no items, no figures, no blocks within) is NOTHING, and a page leaves it out; callers need no
special case.

Beside the blocks: `words`, numbers, intervals and counts as texts; `plots`, the look of plots, with
matplotlib; `pictures`, images and drawings as PNG, without it; `preview`, panels side by side.
"""

import base64
import html
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NewType, TypeVar

from isl.report.style import STYLE
from isl.report.zoom import SCRIPT

Item = TypeVar("Item")

Block = NewType("Block", str)
"""A finished piece of HTML."""

NOTHING = Block("")
"""What is left out of a page."""

_ZOOM = '<div class="zoom">'

Tone = Literal["plain", "good", "attention"]


class Link(NamedTuple):
    """A text that leads to the heading with an anchor.

    Attributes:
        text: What is read.
        anchor: As given to `heading`.
    """

    text: str
    anchor: str


class Badge(NamedTuple):
    """A word on a colored ground.

    Attributes:
        text: The word.
        tone: Its color.
    """

    text: str
    tone: Tone = "plain"


Cell = str | int | float | Link | Badge | None


def page(title: str, blocks: Iterable[Block], *, footer: str = "") -> str:
    """The whole file.

    Args:
        title: Shown on top, and the browser's title.
        blocks: What stands below, in order.
        footer: What stands at the end, such as who made it and what it is not for.
    """
    body = _joined(blocks)
    script = f"<script>\n{SCRIPT}</script>\n" if _ZOOM in body else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
{body}
</main>
<footer>{html.escape(footer)}</footer>
{script}</body>
</html>
"""


def results_page(
    title: str,
    summary: Iterable[Block],
    details: Iterable[Block],
    *,
    command: str,
    purpose: str,
    failed: Mapping[str, str],
    card: str,
) -> str:
    """The report of a command on all its inputs: what it is for, what came out, the model's card.

    Args:
        title: As in `page`.
        summary: What came out of all of them, and how to read it.
        details: What came out of each.
        command: What made it, such as "isl polarity".
        purpose: What it is for and not for; stands on top and at the end.
        failed: What was wrong with inputs that nothing came out of, by name.
        card: What the model says of itself.
    """
    return page(
        title,
        [
            notice(purpose),
            records(failed.items(), {"Failed": lambda each: each[0], "Why": lambda each: each[1]}),
            *summary,
            folded(
                "What the model was made from, and how well it does",
                [verbatim(card)] if card else [],
            ),
            *details,
        ],
        footer=f"Made by {command} (isl {importlib.metadata.version('isl')}). {purpose}",
    )


def heading(text: str, *, level: int = 2, anchor: str | None = None) -> Block:
    """A heading.

    Args:
        text: What it says.
        level: 2 to 4; 1 is the report's title.
        anchor: A name by which a `Link` leads here.
    """
    if not 2 <= level <= 4:
        raise ValueError(f"headings have level 2 to 4, not {level}")
    mark = "" if anchor is None else f' id="{_identifier(anchor)}"'
    return Block(f"<h{level}{mark}>{html.escape(text)}</h{level}>")


def section(
    title: str,
    blocks: Iterable[Block],
    *,
    level: int = 2,
    anchor: str | None = None,
    about: str = "",
) -> Block:
    """A heading with the blocks below it; NOTHING where none of them has content.

    Args:
        title: The heading.
        blocks: What stands below, in order.
        level: As in `heading`.
        anchor: As in `heading`.
        about: A paragraph of explanation right below the heading; it does not count as content.
    """
    if not (inside := _joined(blocks)):
        return NOTHING
    return _joined([heading(title, level=level, anchor=anchor), paragraph(about), inside])


def paragraph(*parts: str | Link | Badge) -> Block:
    """A paragraph of texts, links and badges, one after the other."""
    inside = "".join(map(_inline, parts))
    return Block(f"<p>{inside}</p>") if inside else NOTHING


def notice(*parts: str | Link | Badge) -> Block:
    """A paragraph that must not be overlooked."""
    inside = "".join(map(_inline, parts))
    return Block(f'<p class="notice">{inside}</p>') if inside else NOTHING


def notices(texts: Iterable[str]) -> Block:
    """A notice for each text."""
    return _joined([notice(text) for text in texts])


def bullets(items: Iterable[str | Link]) -> Block:
    """A list."""
    inside = "".join(f"<li>{_inline(item)}</li>" for item in items)
    return Block(f"<ul>{inside}</ul>") if inside else NOTHING


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, caption: str = "") -> Block:
    """A table; columns of numbers are aligned to the right.

    Args:
        columns: Their names.
        rows: Cells; None is empty.
        caption: What it shows.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row}")
    kinds = [
        ' class="number"' if rows and all(_is_number(row[i]) for row in rows) else ""
        for i in range(len(columns))
    ]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(name)}</th>'
        for name, kind in zip(columns, kinds, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{_inline(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return Block(
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def records(
    items: Iterable[Item],
    columns: Mapping[str, Callable[[Item], Cell]] | Sequence[tuple[str, Callable[[Item], Cell]]],
    *,
    caption: str = "",
) -> Block:
    """A table with a row for each item; NOTHING where there are none.

    Args:
        items: What the rows are made of.
        columns: Each name with what gives its cell: `{"Label": lambda each: each.label, ...}`;
            pairs, where two columns have the same name.
        caption: What it shows.
    """
    pairs = list(columns.items() if isinstance(columns, Mapping) else columns)
    rows = [[cell(item) for _, cell in pairs] for item in items]
    return table([name for name, _ in pairs], rows, caption=caption) if rows else NOTHING


def facts(values: Mapping[str, Cell]) -> Block:
    """Names with what they stand for, one a line."""
    lines = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{_inline(value)}</dd>" for name, value in values.items()
    )
    return Block(f"<dl>{lines}</dl>")


def figure(png: bytes, *, alt: str, caption: str = "", wide: bool = False) -> Block:
    """A picture.

    Args:
        png: The bytes of a PNG file.
        alt: What it shows, for those who cannot see it.
        caption: Shown below.
        wide: Whether it would be too small to read on a phone; it is scrolled there.
    """
    if not png.startswith(b"\x89PNG\r\n"):
        raise ValueError("a figure is a PNG")
    data = base64.b64encode(png).decode("ascii")
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    kind = ' class="wide"' if wide else ""
    return Block(
        f'<figure{kind}><div class="scroll" tabindex="0"><img alt="{html.escape(alt)}" '
        f'src="data:image/png;base64,{data}"></div>{text}</figure>'
    )


def beside(figures: Iterable[Block], *, columns: Literal[2, 3, 4]) -> Block:
    """Figures side by side, as many as there is room for; on a phone one below the other.

    Args:
        figures: As `figure` makes them.
        columns: How many there are at the most in a row.
    """
    inside = _joined(figures)
    return Block(f'<div class="beside of{columns}">\n{inside}\n</div>') if inside else NOTHING


def zoomable(figures: Iterable[Block], *, columns: Literal[2, 3, 4]) -> Block:
    """Figures of one place side by side, of one size, that a reader magnifies together.

    Args:
        figures: As `figure` makes them.
        columns: How many there are at the most in a row.
    """
    inside = beside(figures, columns=columns)
    return Block(f"{_ZOOM}\n{inside}\n</div>") if inside else NOTHING


def verbatim(text: str) -> Block:
    """A text as it is written, line by line."""
    return Block(f"<pre>{html.escape(text)}</pre>")


def folded(summary: str, blocks: Iterable[Block]) -> Block:
    """Blocks that are shown when their summary is clicked; on paper they are always shown."""
    if not (inside := _joined(blocks)):
        return NOTHING
    return Block(f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>")


def _joined(blocks: Iterable[Block]) -> Block:
    return Block("\n".join(block for block in blocks if block))


def _inline(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, Link):
        return f'<a href="#{_identifier(value.anchor)}">{html.escape(value.text)}</a>'
    if isinstance(value, Badge):
        return f'<span class="badge {value.tone}">{html.escape(value.text)}</span>'
    return html.escape(str(value))


def _is_number(value: Cell) -> bool:
    if value is None or isinstance(value, int | float):
        return True
    return isinstance(value, str) and bool(re.fullmatch(r"\s*|[-+]?[\d.,]+\s*%?", value))


def _identifier(anchor: str) -> str:
    """A name that a browser accepts: letters, digits and the code of everything else."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in anchor)
