"""Many z-stacks to all-in-focus images: what can be checked first, then field by field."""

import dataclasses
import importlib.metadata
import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isl.devices import use_device
from isl.errors import InputError, as_options
from isl.files.failures import report_failures
from isl.files.locks import alone_in
from isl.files.provenance import made_by
from isl.files.records import as_json
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, Movie, ZStack
from isl.imaging.inputs.read import find_inputs, read_transmitted
from isl.imaging.inputs.steady import content_hash
from isl.imaging.outputs.result_checks import check_files
from isl.imaging.outputs.results import Input, ResultFiles, written_together
from isl.polarity.focus import fuse_movie
from isl.polarity.wavelet import LEVELS
from isl.progress import FieldProgress, one_by_one
from isl.report.preview import Panel, write_preview
from isl.warned import said_of, warnings_logged

IMAGE, DEPTH = "all_in_focus", "depth"
# The images' channels; where the input says its modality, that is the name instead of the first.
TRANSMITTED, DEPTH_CHANNEL = "TRANSMITTED", "depth_plane"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `isl focus` was asked for, as typed; see its help."""

    inputs: tuple[Path, ...]
    out: Path
    axes: str | None = None
    channel: str | None = None
    device: str = "auto"
    overwrite: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fused:
    """One input, all in focus.

    Attributes:
        movie: What was fused; a z-stack is a movie of one frame.
        image: The input's pixel type, [T, Y, X].
        depth: uint16 [T, Y, X], plane indices.
    """

    movie: Movie
    image: np.ndarray
    depth: np.ndarray


def fuse_stacks(request: Request) -> int:
    """Does what was asked, and returns the exit code: 0, 2 (every field failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only field failed; nothing was written.
    """
    fields = [
        Input(name=name, path=path, files=files_of(request.out, name))
        for name, path in find_inputs(request.inputs, axes=request.axes)
    ]
    check_files(
        request.out,
        [(field.path, field.files) for field in fields],
        overwrite=request.overwrite,
    )
    device = use_device(request.device)

    def fuse_one(field: Input, progress: FieldProgress) -> str:
        del progress
        _fuse_field(field, request, device)
        print(field.files.images[IMAGE], flush=True)
        return "done"

    with alone_in(request.out, "isl focus"):
        failures = one_by_one(fields, fuse_one)
    return report_failures(list(failures.items()), len(fields), what="fields")


def files_of(folder: Path, name: str) -> ResultFiles:
    """The files of the field `name`."""
    return ResultFiles(
        images={IMAGE: folder / f"{name}.ome.tif", DEPTH: folder / f"{name}.{DEPTH}.ome.tif"},
        preview=folder / f"{name}.preview.png",
        record=folder / f"{name}.json",
    )


def _fuse_field(field: Input, request: Request, device: str) -> None:
    started = time.monotonic()
    with warnings_logged("isl") as warnings:
        stack = read_transmitted(field.path, axes=request.axes, channel=request.channel)
        source_hash = content_hash(field.path)
        fused = _fuse(stack, field)
    with written_together(field.files) as staged:
        write_ome_tiff(
            staged.images[IMAGE],
            _image(fused, stack),
            annotations={"method": "all in focus, by dual-tree complex wavelets"},
        )
        write_ome_tiff(
            staged.images[DEPTH],
            _depth_image(fused, stack),
            annotations={"unit": "index of the plane, counted from 0"},
        )
        write_preview(staged.preview, preview_panels(fused), columns=3, pixel_size=stack.pixel_size)
        made = _record(field, fused, request, source_hash)
        made |= {
            "warnings": [as_options(each) for each in said_of(field.path, warnings)],
            "device": device,
            "seconds": round(time.monotonic() - started, 3),
        }
        staged.record.write_text(as_json(made, indent=2), encoding="utf-8")


def _fuse(stack: ZStack | Movie, field: Input) -> Fused:
    if isinstance(stack, ZStack):
        movie = Movie(name=stack.name, frames=stack.planes[None], pixel_size=stack.pixel_size)
    else:
        movie = stack
    if movie.frames.shape[1] == 1:
        logger.warning("%s: has one plane, which is taken as it is", field.path)
    try:
        images, depths = fuse_movie(movie.frames, source=field.path)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise InputError(
                f"{field.path}: does not fit into memory; crop it, or save fewer planes"
            ) from error
        raise
    # Every value is one of the stack's own, so nothing is rounded.
    return Fused(
        movie=movie, image=images.astype(movie.frames.dtype), depth=depths.astype(np.uint16)
    )


def _image(fused: Fused, stack: ZStack | Movie) -> FluorescenceImage:
    """The all-in-focus image as it is stored; one plane has no distance to the next."""
    size = stack.pixel_size
    return FluorescenceImage(
        name=stack.name,
        channels=_as_channel(fused.image, stack),
        labels=(stack.modality or TRANSMITTED,),
        pixel_size=None if size is None else dataclasses.replace(size, z=None),
        interval=fused.movie.interval,
    )


def _depth_image(fused: Fused, stack: ZStack | Movie) -> FluorescenceImage:
    """The depth as it is stored; times the distance between planes, where known, it is in um."""
    return FluorescenceImage(
        name=f"{stack.name} depth",
        channels=_as_channel(fused.depth, stack),
        labels=(DEPTH_CHANNEL,),
        pixel_size=stack.pixel_size,
        interval=fused.movie.interval,
    )


def _as_channel(frames: np.ndarray, stack: ZStack | Movie) -> np.ndarray:
    """[T, Y, X] to [T, 1, Y, X], or to [1, Y, X] where the input was a z-stack."""
    return frames[:, None] if isinstance(stack, Movie) else frames


def preview_panels(fused: Fused) -> list[Panel]:
    """The first frame: its middle plane and its all-in-focus image, of one brightness; its depth.

    Args:
        fused: What came of an input.
    """
    planes = fused.movie.frames[0]
    last = len(planes) - 1
    middle, image = planes[len(planes) // 2], fused.image[0]
    low, high = np.percentile(image, (0.5, 99.5))
    middle, image = (
        np.clip((shown.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
        for shown in (middle, image)
    )
    return [
        Panel(f"plane {len(planes) // 2} of 0 to {last}", middle),
        Panel("all in focus", image),
        Panel(f"depth: planes 0 to {last}", fused.depth[0] / max(last, 1), "viridis"),
    ]


def _record(field: Input, fused: Fused, request: Request, source_hash: str) -> dict[str, Any]:
    """Everything needed to know how the images were made, and to make them again."""
    movie = fused.movie
    size = movie.pixel_size
    facts = {
        "sha256": source_hash,
        "axes": "TZYX",
        "shape": list(movie.frames.shape),
        "dtype": str(movie.frames.dtype),
        "pixel_size": None if size is None else dataclasses.asdict(size),
        "interval_minutes": movie.interval,
    }
    settings = {"levels": LEVELS, "axes": request.axes, "channel": request.channel}
    made = made_by("isl focus", source=field.path, facts=facts, settings=settings)
    made["versions"]["dtcwt"] = importlib.metadata.version("dtcwt")
    return made | {
        "outputs": {
            "images": {name: path.name for name, path in field.files.images.items()},
            "preview": field.files.preview.name,
        },
    }
