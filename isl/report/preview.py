"""One PNG that shows at a glance what was read and what came out."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from isl.errors import unknown
from isl.files.whole import written_whole
from isl.imaging.image import PixelSize
from isl.report.pictures import font, shortened

_BACKGROUND = (18, 18, 22)
_TITLE = (232, 232, 236)
_GAP = 10
_TITLE_HEIGHT = 26
_FONT_SIZE = 14
# Scale bars take the longest of these (micrometres) that fits a quarter of the panel.
_BAR_LENGTHS = tuple(m * 10**e for e in range(-1, 5) for m in (1, 2, 5))


class Panel(NamedTuple):
    """One picture of a preview.

    Attributes:
        title: Written above it.
        image: [Y, X] in [0, 1], or [Y, X, 3] red, green, blue in [0, 1]. NaN is shown as 0.
        colormap: "gray", "#rrggbb" (black to that color), or a name matplotlib knows; without
            meaning for red, green, blue.
    """

    title: str
    image: np.ndarray
    colormap: str = "gray"


def write_preview(
    path: Path | str,
    panels: Sequence[Panel | tuple[str, np.ndarray, str]],
    *,
    columns: int | None = None,
    panel_size: int = 512,
    pixel_size: PixelSize | None = None,
    overwrite: bool = False,
) -> None:
    """Writes panels side by side, row by row, each with its title, as an RGB PNG.

    Args:
        path: The file to write.
        panels: What to show; panels may differ in size.
        columns: Panels a row; None: up to 4.
        panel_size: Longest side of a panel in pixels: larger images are averaged down, images
            smaller than half of it enlarged by a whole factor.
        pixel_size: Micrometres a pixel of the images; draws a scale bar into the first panel.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: A colormap is unknown, the file exists, or cannot be written there.
    """
    canvas = preview(panels, columns=columns, panel_size=panel_size, pixel_size=pixel_size)
    with written_whole(path, overwrite) as temporary:
        # A third of the time of the usual level, and a twelfth larger, for images so noisy.
        canvas.save(temporary, format="PNG", compress_level=1)


def preview(
    panels: Sequence[Panel | tuple[str, np.ndarray, str]],
    *,
    columns: int | None = None,
    panel_size: int = 512,
    pixel_size: PixelSize | None = None,
) -> Image.Image:
    """What `write_preview` writes; arguments as there."""
    if not panels:
        raise ValueError("a preview needs a panel")
    shown = [Panel(*panel) for panel in panels]
    pictures = [_picture(panel, panel_size) for panel in shown]
    if pixel_size is not None:
        zoom = pictures[0].width / shown[0].image.shape[1]
        draw_scale_bar(pictures[0], pixel_size.x / zoom)
    return _arranged([p.title for p in shown], pictures, columns or min(4, len(shown)))


def _arranged(titles: Sequence[str], pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    rows = -(-len(pictures) // columns)
    canvas = Image.new(
        "RGB",
        (
            columns * (width + _GAP) + _GAP,
            rows * (height + _GAP + _TITLE_HEIGHT) + _GAP,
        ),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    letters = font(_FONT_SIZE)
    for index, (title, picture) in enumerate(zip(titles, pictures, strict=True)):
        left = _GAP + index % columns * (width + _GAP)
        top = _GAP + index // columns * (height + _GAP + _TITLE_HEIGHT)
        draw.text(
            (left, top + _TITLE_HEIGHT // 2 - 2),
            shortened(title, width, letters),
            _TITLE,
            letters,
            "lm",
        )
        canvas.paste(picture, (left, top + _TITLE_HEIGHT))
    return canvas


def _picture(panel: Panel, panel_size: int) -> Image.Image:
    image = np.asarray(panel.image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"panel '{panel.title}' is [Y, X] or [Y, X, 3], not {image.shape}")
    # Of a very large image some pixels are enough, and a copy of all might not fit into memory.
    step = max(1, max(image.shape[:2]) // (8 * panel_size))
    values = np.clip(np.nan_to_num(image[::step, ::step].astype(np.float32)), 0, 1)
    values = _resized(values, panel_size)
    levels = np.round(values * 255).astype(np.uint8)
    return Image.fromarray(levels if levels.ndim == 3 else _table(panel.colormap)[levels], "RGB")


def _resized(values: np.ndarray, panel_size: int) -> np.ndarray:
    """Averaged down to `panel_size`, or enlarged by a whole factor where it is far smaller."""
    longest = max(values.shape[:2])
    if longest > panel_size:
        size = [max(1, round(n * panel_size / longest)) for n in values.shape[1::-1]]
        channels = values[..., None] if values.ndim == 2 else values
        resized = [
            np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize(size, Image.Resampling.BOX))
            for c in np.moveaxis(channels, -1, 0)
        ]
        return resized[0] if values.ndim == 2 else np.stack(resized, axis=-1)
    factor = panel_size // longest
    return values.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else values


def _table(colormap: str) -> np.ndarray:
    """The color of each gray level: uint8 [256, 3]."""
    if colormap == "gray":
        colormap = "#ffffff"
    if colormap.startswith("#") and len(colormap) == 7:
        brightest = np.frombuffer(bytes.fromhex(colormap[1:]), np.uint8)
        return np.round(np.linspace(0, 1, 256)[:, None] * brightest).astype(np.uint8)
    import matplotlib

    if colormap not in matplotlib.colormaps:
        raise unknown("colormap", colormap, list(matplotlib.colormaps))
    return np.round(255 * matplotlib.colormaps[colormap](np.arange(256))[:, :3]).astype(np.uint8)


def draw_scale_bar(picture: Image.Image, micrometres_per_pixel: float) -> None:
    """Draws a bar of a round length, a quarter of the picture at most, into its lower right."""
    widest = picture.width / 4 * micrometres_per_pixel
    length = max((bar for bar in _BAR_LENGTHS if bar <= widest), default=None)
    if length is None:
        return
    right, bottom = picture.width - 10, picture.height - 10
    left = right - round(length / micrometres_per_pixel)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 1, bottom - 5, right + 1, bottom + 1), fill=(0, 0, 0))
    draw.rectangle((left, bottom - 4, right, bottom), fill=(255, 255, 255))
    draw.text(
        ((left + right) / 2, bottom - 8),
        f"{length:g} µm",
        fill=(255, 255, 255),
        font=font(_FONT_SIZE),
        anchor="ms",
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )
