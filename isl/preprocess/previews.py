"""A field's two pictures: before and after, and how its tiles lie."""

from pathlib import Path

import numpy as np

from isl.files.whole import written_whole
from isl.imaging.colors import label_color
from isl.imaging.display import (
    BRIGHTEST,
    DARKEST,
    LIGHT_BRIGHTEST,
    LIGHT_DARKEST,
    shown_range,
    stretched,
)
from isl.imaging.image import FluorescenceImage, ZStack
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import read_exposure
from isl.preprocess.layout.fields import RawField
from isl.preprocess.record import FieldRecord
from isl.report.preview import Panel, write_preview

_PANEL = 360


def write_previews(
    preview: Path,
    offsets: Path,
    field: RawField,
    record: FieldRecord,
    stack: ZStack,
    labels: FluorescenceImage,
    config: PreprocessConfig,
) -> None:
    """Writes both pictures; a field of one tile has no offsets.

    Raises:
        InputError: They cannot be written, or a tile can no longer be read.
    """
    kept = min(range(len(record.planes)), key=lambda n: abs(record.planes[n] - record.sharpest))
    full = np.float32(np.iinfo(np.uint16).max)
    panels = [
        Panel(f"{config.transmitted}, as acquired", _as_acquired(field, record, config)),
        Panel(f"{config.transmitted}, plane {record.planes[kept]}", stack.planes[kept] / full),
        *(
            Panel(
                f"{label}, {DARKEST:g} to {BRIGHTEST:g} % of pixels",
                stretched(image, shown_range(image)),
                _color(label),
            )
            for label, image in zip(labels.labels, labels.channels, strict=True)
        ),
    ]
    write_preview(preview, panels, panel_size=_PANEL, pixel_size=stack.pixel_size, overwrite=True)
    if len(field.tiles) > 1:
        # matplotlib, which workers and a dry run do without.
        from isl.preprocess.drawings import draw_offsets

        with written_whole(offsets, overwrite=True) as unfinished:
            unfinished.write_bytes(draw_offsets(record))
    else:
        offsets.unlink(missing_ok=True)


def _color(label: str) -> str:
    red, green, blue = label_color(label)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _as_acquired(field: RawField, record: FieldRecord, config: PreprocessConfig) -> np.ndarray:
    """One plane of all tiles where they should lie, side by side, nothing corrected: [Y, X]."""
    origins = np.array([tile.position for tile in field.tiles])
    extent = origins.max(axis=0) + field.size
    step = max(1, int(max(extent)) // (2 * _PANEL))
    canvas = np.zeros([int(n) // step + 1 for n in extent], np.float32)
    for tile, (top, left) in zip(field.tiles, origins // step, strict=True):
        source = tile.images[config.transmitted, record.sharpest][0]
        small = read_exposure(source)[::step, ::step].astype(np.float32)
        y, x = int(top), int(left)
        small = small[: canvas.shape[0] - y, : canvas.shape[1] - x]
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    lit = canvas[canvas > 0]
    low, high = np.percentile(lit if lit.size else canvas, (LIGHT_DARKEST, LIGHT_BRIGHTEST))
    return (canvas - low) / max(float(high - low), 1e-6)
