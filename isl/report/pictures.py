"""Images and drawings as PNG files, in memory."""

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont


def png_of(
    picture: Image.Image,
    *,
    colors: int | None = None,
    method: Image.Quantize = Image.Quantize.FASTOCTREE,
) -> bytes:
    """A picture as the bytes of a PNG.

    Args:
        picture: RGB or gray.
        colors: At most so many, to save space; None: as it is.
        method: How these are chosen.
    """
    if colors is not None:
        picture = picture.quantize(colors, method=method, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def pixels(image: np.ndarray) -> bytes:
    """An image, uint8 [Y, X] or [Y, X, 3], pixel for pixel as the bytes of a PNG."""
    return png_of(Image.fromarray(np.ascontiguousarray(image)))


@functools.lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings; Pillow's own has no µ and no Greek letters."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def shortened(text: str, width: int, letters: ImageFont.FreeTypeFont) -> str:
    """The text on one line, with its end cut off where it is wider than so many pixels."""
    text = " ".join(text.split())
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
