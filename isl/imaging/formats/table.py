"""The table of image formats: whoever adds one adds a line here, and nothing anywhere else."""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isl.errors import InputError

# Ends the name of OME-XML that describes the TIFFs beside it.
COMPANION = ".companion.ome"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of image file, and what opens it.

    Attributes:
        endings: Of its files' names, in lower case; of several that fit, the longest counts.
        opener: "module:function", imported when a file of it is opened, for some need packages that
            not everyone has. Of a container (path) to images, else (path, axes, colors) to one.
        container: Whether a file may hold several images, so that a path may lead into it.
        stack: Whether an image may have several planes or time points.
        photo: Whether programs write it beside images, too; see `isl.imaging.inputs.folder`.
        folder: "module:function" that says whether a folder is one; None where it is a file.
        last_resort: Whether it is opened by bioio, with a plugin that the person chooses.
    """

    endings: tuple[str, ...]
    opener: str
    container: bool = True
    stack: bool = True
    photo: bool = False
    folder: str | None = None
    last_resort: bool = False

    def load(self) -> Callable[..., Any]:
        """The function that opens its files."""
        return _function(self.opener)

    def is_folder(self, path: Path) -> bool:
        """Whether a folder is one of this format."""
        return self.folder is not None and _function(self.folder)(path)


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


FORMATS = (
    Format(
        endings=(".tif", ".tiff", ".ome.tif", ".ome.tiff"),
        opener="isl.imaging.formats.tiff:open_tiff",
        container=False,
    ),
    Format(
        endings=(".png",),
        opener="isl.imaging.formats.png:open_png",
        container=False,
        stack=False,
    ),
    Format(
        endings=(".jpg", ".jpeg", ".bmp"),
        opener="isl.imaging.formats.photo:open_photo",
        container=False,
        stack=False,
        photo=True,
    ),
    Format(endings=(".nd2",), opener="isl.imaging.formats.nikon:open_nd2"),
    Format(endings=(".czi",), opener="isl.imaging.formats.zeiss:open_czi"),
    Format(endings=(".lif",), opener="isl.imaging.formats.leica:open_lif"),
    Format(
        endings=(".ome.zarr", ".zarr"),
        opener="isl.imaging.zarr.reader:open_ome_zarr",
        folder="isl.imaging.formats.table:is_zarr",
    ),
    Format(
        endings=(),
        opener="isl.imaging.formats.micromanager:open_ndtiff",
        folder="isl.imaging.formats.micromanager:is_ndtiff",
    ),
    Format(
        endings=(),
        opener="isl.imaging.formats.micromanager:open_image_files",
        folder="isl.imaging.formats.micromanager:is_image_files",
    ),
    Format(
        endings=(".dv", ".ims", ".lsm", ".oib", ".oif", ".oir", ".r3d", ".sldy", ".stk", ".vsi"),
        opener="isl.imaging.formats.last_resort:open_with_bioio",
        last_resort=True,
    ),
)
*_FIRST, _LAST = [
    ending for each in FORMATS if not (each.folder or each.last_resort) for ending in each.endings
]
ACCEPTED = (
    f"a {', '.join(_FIRST)} or {_LAST} file, an OME-Zarr, a folder of Micro-Manager, or a folder "
    "of published PNGs"
)


def format_of(path: Path) -> Format | None:
    """The format of a file or folder by its name, or what a folder holds; None if it has none.

    What only bioio opens counts where bioio is installed.
    """
    found = format_named(path)
    if found is not None:
        usable = not found.last_resort or importlib.util.find_spec("bioio") is not None
        return found if usable else None
    return folder_format(path) if path.is_dir() else None


def format_named(path: Path) -> Format | None:
    """The format of a file or folder by its name alone, though nothing installed may open it."""
    name = path.name.lower()
    return next((each for each in FORMATS if name.endswith(each.endings)), None)


def folder_format(path: Path) -> Format | None:
    """The format that a folder is by what it holds, whatever its name; None if it is of none."""
    return next((each for each in FORMATS if each.is_folder(path)), None)


def ending_of(path: Path) -> str | None:
    """The ending by which a file or folder is opened, in lower case; None where there is none."""
    found = format_of(path)
    fitting = [e for e in found.endings if path.name.lower().endswith(e)] if found else []
    return max(fitting, key=len, default=None)


def image_ending(path: Path) -> str | None:
    """The ending of a file that is one image; None for containers, photographs and other files."""
    found = format_of(path)
    return None if found is None or found.container or found.photo else ending_of(path)


def is_photo(path: Path) -> bool:
    """Whether a file is a JPEG or BMP by its name."""
    found = format_named(path)
    return found is not None and found.photo


def is_stack_file(path: Path) -> bool:
    """Whether a file is one image that may have several planes or time points: a TIFF.

    Such a file may not say what its dimensions are.
    """
    found = format_of(path)
    return found is not None and not found.container and found.stack


def field_name(path: Path) -> str:
    """The file's name without its ending (.ome.tif, .png, .jpg, in any case), or the folder's."""
    found = None if path.is_dir() else format_of(path)
    ending = None if found is None or found.container else ending_of(path)
    name = path.name or path.resolve().name
    return name[: -len(ending)] if ending else name


def not_an_image(path: Path) -> InputError:
    """The refusal of what no reader opens."""
    if not path.exists():
        return InputError(f"{path}: there is no such file or folder")
    if path.name.lower().endswith(COMPANION):
        return InputError(
            f"{path}: holds no image but describes TIFFs; name a TIFF beside it, or their folder"
        )
    if format_named(path) is not None:
        return InputError(
            f"{path}: is in a format that only bioio opens: pip install isl[bioio] and bioio's "
            "plugin for it, or save it as OME-TIFF"
        )
    return InputError(f"{path}: is not {ACCEPTED}")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / file).is_file() for file in ("zarr.json", ".zgroup", ".zarray"))
