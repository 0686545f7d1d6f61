"""Reports: one HTML file that holds all it shows, reads well on a desk, a phone and on paper.

A report is a list of blocks. It loads nothing from elsewhere: pictures are inside it, and there are
no scripts. Texts are plain; what they hold of HTML is shown, never obeyed.
"""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, NewType

Block = NewType("Block", str)
"""A finished piece of HTML."""

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


def page(title: str, blocks: Sequence[Block], *, footer: str = "") -> str:
    """The whole file.

    Args:
        title: Shown on top, and the browser's title.
        blocks: What stands below, in order.
        footer: What stands at the end, such as who made it and what it is not for.
    """
    body = "\n".join(blocks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
{body}
</main>
<footer>{html.escape(footer)}</footer>
</body>
</html>
"""


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


def paragraph(*parts: str | Link | Badge) -> Block:
    """A paragraph of texts, links and badges, one after the other."""
    return Block(f"<p>{''.join(map(_inline, parts))}</p>")


def notice(*parts: str | Link | Badge) -> Block:
    """A paragraph that must not be overlooked."""
    return Block(f'<p class="notice">{"".join(map(_inline, parts))}</p>')


def bullets(items: Sequence[str | Link]) -> Block:
    """A list."""
    return Block("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")


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


def beside(figures: Sequence[Block], *, columns: Literal[2, 3]) -> Block:
    """Figures side by side, as many as there is room for; on a phone one below the other.

    Args:
        figures: As `figure` makes them.
        columns: How many there are at the most in a row.
    """
    inside = "\n".join(figures)
    return Block(f'<div class="beside of{columns}">\n{inside}\n</div>')


def verbatim(text: str) -> Block:
    """A text as it is written, line by line."""
    return Block(f"<pre>{html.escape(text)}</pre>")


def folded(summary: str, blocks: Sequence[Block]) -> Block:
    """Blocks that are shown when their summary is clicked; on paper they are always shown."""
    inside = "\n".join(blocks)
    return Block(f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>")


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


_STYLE = """\
:root { color-scheme: light; --ink: #1d232b; --soft: #5b6570; --line: #d9dee4; --link: #0b5cad }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 2rem 3rem; background: #fff }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 1rem }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .6rem; padding-top: 1rem;
  border-top: 1px solid var(--line) }
h3 { font-size: 1.08rem; margin: 1.6rem 0 .4rem }
h4 { font-size: 1rem; margin: 1.2rem 0 .3rem }
p, ul, dl { max-width: 46rem; margin: .6rem 0 }
a { color: var(--link) }
.notice { padding: .6rem .9rem; background: #fff7e0; border-left: 4px solid #e0a100 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: .8rem 0; font-size: .94rem }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem;
  max-width: calc(100vw - 2rem) }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top }
th { font-weight: 600; white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums;
  padding: .35rem .9rem .35rem .6rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .94rem }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
figure { margin: 1rem 0 }
figure img { display: block; max-width: 100%; height: auto; border-radius: 4px }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; max-width: 46rem }
.beside { display: grid; column-gap: 1.2rem; align-items: start }
.beside.of2 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)) }
.beside.of3 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)) }
.beside figure { margin: .6rem 0; min-width: 0 }
.beside img { width: 100% }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .86rem; margin: .6rem 0;
  padding: .8rem 1rem; background: #f4f6f8 }
details { margin: .8rem 0 }
summary { cursor: pointer; color: var(--link) }
.badge { display: inline-block; padding: 0 .55em; border-radius: 1em; white-space: nowrap;
  background: #e8ecf0 }
.badge.good { background: #d8efdc; color: #14532d }
.badge.attention { background: #ffe3c2; color: #7a3b00 }
footer { max-width: 72rem; margin: 0 auto; padding: 1rem 2rem 2rem; color: var(--soft);
  font-size: .9rem }
@media (max-width: 46rem) {
  main, footer { padding-left: 1rem; padding-right: 1rem }
  h1 { font-size: 1.4rem }
  ul { padding-left: 1.4rem }
  table { font-size: .84rem }
  th, td { padding-right: .7rem }
  .number { padding: .35rem .7rem .35rem .2rem }
  figure.wide img { max-width: none; width: 56rem }
  dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .5rem }
}
@media print {
  html, body { font-size: 12px }
  body, main { background: none }
  main, footer { max-width: none; padding: 0 }
  h1, h2, h3, h4, caption, thead, summary { break-after: avoid }
  p:has(+ figure), p:has(+ .beside), p:has(+ .scroll) { break-after: avoid }
  figure, tr, .notice, .of3 { break-inside: avoid }
  details > *:not(summary) { display: block }
  details::details-content { content-visibility: visible; display: block }
  .scroll { overflow: visible }
}
"""
