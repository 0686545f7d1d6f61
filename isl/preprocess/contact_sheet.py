"""All fields at a glance: a small picture of each, and whether it is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from isl.imaging.inputs.open_image import open_images
from isl.report.pictures import font, png_of, shortened

# Distinguishable for those who do not see red and green, too.
KEPT = (47, 109, 179)
REJECTED = (217, 95, 2)
_INK = (29, 35, 43)
_SOFT = (91, 101, 112)
_GROUND = (255, 255, 255)
_EMPTY = (232, 236, 240)
_WIDTH = 1080
_COLUMNS = 6
_GAP = 12
_FRAME = 4
_NAME_SIZE, _WORDS_SIZE = 14, 12
_LINES = 54
# Rows and columns that are averaged: more would be smoother, and cost reading.
_AVERAGED = 4


class Shown(NamedTuple):
    """A field on a contact sheet.

    Attributes:
        name: Of the field.
        keep: Whether it is kept.
        thumbnail: uint8 [Y, X], or float [Y, X] in [0, 1]; None where there is none.
        words: What is said of it; of a rejected field, its first reason.
    """

    name: str
    keep: bool
    thumbnail: np.ndarray | None
    words: str


def thumbnail_of(file: Path, *, plane: int = 0, longest: int = 240) -> np.ndarray:
    """A small picture of one plane of an image file, which is never in memory as a whole.

    Args:
        file: uint8 or uint16, full scale is white.
        plane: Which.
        longest: Length of the longer side, pixels, at most.

    Returns:
        float32 [Y, X] in [0, 1].

    Raises:
        InputError: It cannot be read.
    """
    (picture,) = open_images(file)
    with picture:
        height, width = picture.shape[-2:]
        step = max(1, -(-max(height, width) // longest))
        averaged = min(step, _AVERAGED)
        rows = [
            picture.read(z=plane, rows=slice(start, start + averaged))
            for start in range(0, height - height % step or 1, step)
        ]
    full = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else 1.0
    lines = np.stack([row.mean(axis=0, dtype=np.float32) for row in rows])
    whole = width - width % step or width
    means = lines[:, :whole].reshape(len(lines), -1, min(step, whole)).mean(axis=2)
    return (means / np.float32(full)).astype(np.float32)


def contact_sheet(fields: Sequence[Shown | tuple[str, bool, np.ndarray | None, str]]) -> bytes:
    """Thumbnails row by row, each with its name; rejected ones are crossed out.

    Args:
        fields: At least one, in order. Thumbnails may differ in size.

    Returns:
        The bytes of a PNG that is 1080 pixels wide, less where there are few fields.
    """
    shown = [Shown(*field) for field in fields]
    if not shown:
        raise ValueError("a contact sheet needs a field")
    side = (_WIDTH - (_COLUMNS + 1) * _GAP) // _COLUMNS
    columns, rows = min(_COLUMNS, len(shown)), -(-len(shown) // _COLUMNS)
    sheet = Image.new(
        "RGB",
        (_GAP + columns * (side + _GAP), _GAP + rows * (side + _LINES + _GAP)),
        _GROUND,
    )
    for number, field in enumerate(shown):
        row, column = divmod(number, _COLUMNS)
        left = _GAP + column * (side + _GAP)
        top = _GAP + row * (side + _LINES + _GAP)
        _draw_field(sheet, field, left, top, side)
    # 256 colors are enough for gray and two colors, and a third as long.
    return png_of(sheet, colors=256)


def _draw_field(sheet: Image.Image, field: Shown, left: int, top: int, side: int) -> None:
    draw = ImageDraw.Draw(sheet)
    color = KEPT if field.keep else REJECTED
    box = (left, top, left + side - 1, top + side - 1)
    draw.rectangle(box, fill=_EMPTY, outline=color, width=_FRAME)
    if field.thumbnail is not None:
        picture = _fitted(field.thumbnail, side - 2 * _FRAME)
        corner = (left + (side - picture.width) // 2, top + (side - picture.height) // 2)
        sheet.paste(picture, corner)
    if not field.keep:
        # In a corner, so that what was rejected can still be seen.
        a, b = left + side - _FRAME - 30, top + _FRAME
        draw.rectangle((a, b, a + 29, b + 29), fill=REJECTED)
        for ends in ((a + 8, b + 8, a + 21, b + 21), (a + 8, b + 21, a + 21, b + 8)):
            draw.line(ends, fill=_GROUND, width=4)
    letters, small = font(_NAME_SIZE), font(_WORDS_SIZE)
    name = shortened(field.name, side, letters)
    draw.text((left, top + side + 3), name, _INK, letters)
    for index, line in enumerate(_lines(field.words, side, small, 2)):
        place = (left, top + side + 22 + 15 * index)
        draw.text(place, line, _SOFT if field.keep else REJECTED, small)


def _fitted(thumbnail: np.ndarray, side: int) -> Image.Image:
    """The thumbnail in gray, as large as fits into a square."""
    values = np.asarray(thumbnail)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a thumbnail is [Y, X], not {values.shape}")
    if values.dtype != np.uint8:
        values = np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    scale = side / max(values.shape)
    height, width = (max(1, round(length * scale)) for length in values.shape)
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return Image.fromarray(values).resize((width, height), how)


def _lines(text: str, width: int, letters: ImageFont.FreeTypeFont, most: int) -> list[str]:
    """The text in lines that are no wider than `width`; what does not fit in is cut off."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        count = len(words)
        while count > 1 and letters.getlength(" ".join(words[:count])) > width:
            count -= 1
        lines.append(" ".join(words[:count] if len(lines) < most - 1 else words))
        words = words[count:]
    return [shortened(line, width, letters) for line in lines]
