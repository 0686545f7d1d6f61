"""Reports: one HTML file that holds all it shows, reads well on a desk, a phone and on paper.

A report loads nothing from elsewhere: pictures are inside it, and there are no scripts. It is
written from few parts, the same for every task:

- blocks, which this package holds: `page`, `section`, `paragraph`, `notice`, `bullets`, `table`,
  `records` (a table with a row for each item), `facts`, `figure`, `beside`, `folded`, `verbatim`;
- `isl.report.words`: numbers, intervals and counts as texts;
- `isl.report.plots`: the look of plots, with matplotlib;
- `isl.report.pictures`: images and drawings as PNG, without it;
- `isl.report.preview`: panels side by side in one PNG, beside a report or without one.
"""

from isl.report.blocks import (
    NOTHING,
    Badge,
    Block,
    Cell,
    Link,
    Tone,
    beside,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    notices,
    page,
    paragraph,
    records,
    section,
    table,
    verbatim,
)

__all__ = [
    "NOTHING",
    "Badge",
    "Block",
    "Cell",
    "Link",
    "Tone",
    "beside",
    "bullets",
    "facts",
    "figure",
    "folded",
    "heading",
    "notice",
    "notices",
    "page",
    "paragraph",
    "records",
    "section",
    "table",
    "verbatim",
]
