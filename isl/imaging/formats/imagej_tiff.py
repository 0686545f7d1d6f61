"""Transmitted z-stacks as ImageJ's TIFF: what Fiji opens as a stack with its pixel size."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from isl.files.whole import written_whole
from isl.imaging.image import ZStack


def write_stack(path: Path | str, stack: ZStack, *, overwrite: bool = False) -> None:
    """Writes a z-stack uncompressed, its modality as the channel's name.

    Args:
        path: The file to write.
        stack: uint8, uint16 or float32 [Z, Y, X].
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists, or cannot be written there.
        ValueError: The planes have another type or shape.
    """
    planes = stack.planes
    if planes.dtype not in (np.uint8, np.uint16, np.float32) or planes.ndim != 3:
        raise ValueError(
            f"planes are uint8, uint16 or float32 [Z, Y, X], not {planes.dtype} {planes.shape}"
        )
    metadata: dict[str, Any] = {"axes": "ZYX"}
    resolution = None
    if stack.modality is not None:
        metadata["Info"] = f"Channel name #1 = {stack.modality}\n"
    if stack.pixel_size is not None:
        metadata["unit"] = "um"
        resolution = (1 / stack.pixel_size.x, 1 / stack.pixel_size.y)
        if stack.pixel_size.z is not None:
            metadata["spacing"] = stack.pixel_size.z
    with written_whole(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            planes,
            imagej=True,
            photometric="minisblack",
            resolution=resolution,
            metadata=metadata,
        )
