"""The planes that the files of a set hold, found by opening each file once, headers only."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.formats.table import is_stack_file
from isl.imaging.image import PixelSize
from isl.imaging.inputs.open_image import open_images
from isl.imaging.lazy import LazyPicture
from isl.preprocess.layout.config import LayoutConfig
from isl.preprocess.layout.pattern import Match
from isl.preprocess.layout.tiles import TileKey, tile_key

# Opening waits for the disk more than it computes.
_THREADS = 8

FieldKey = tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """What one image of a file says.

    Attributes:
        shape: T, C, Z, Y, X.
        dtype: Of its pixels.
        channel_names: C names, or None.
        pixel_size: Micrometres, or None.
        stage: Position of its middle (y, x), micrometres, or None.
    """

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype
    channel_names: tuple[str, ...] | None
    pixel_size: PixelSize | None
    stage: tuple[float, float] | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FoundPlane:
    """One plane of a file and what it is.

    Attributes:
        field: Values of the parts that name the field.
        tile: The tile.
        channel: Our name of it.
        height: The number z: in the name, or in the file from 0 on.
        height_text: As the name says it; None where the file has the planes.
        exposure: As the name says it; "" where it does not.
        match: The file.
        header: Of the image in it.
        image: Which image of the file.
        t: Which time point.
        c: Which channel.
        z: Which plane.
    """

    field: FieldKey
    tile: TileKey
    channel: str
    height: float
    height_text: str | None
    exposure: str
    match: Match
    header: Header
    image: int
    t: int
    c: int
    z: int

    @property
    def size(self) -> tuple[int, int]:
        """Y, X."""
        return self.header.shape[3:]

    def identity(self) -> tuple:
        """What no two planes of a set share."""
        return (self.field, self.t, self.tile, self.channel, self.height, self.exposure)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundPlanes:
    """All planes of a set.

    Attributes:
        planes: In the order of the files' names.
        broken: Fields with a file that cannot be used, and why.
    """

    planes: tuple[FoundPlane, ...]
    broken: Mapping[FieldKey, str]


def find_planes(config: LayoutConfig, matches: Sequence[Match]) -> FoundPlanes:
    """Opens each file once and says what its planes are.

    Raises:
        InputError: Two files hold the same plane, a z is no number, or `channels` names one that
            no file has.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        opened = list(
            threads.map(lambda match: _headers(match.file, axes_for(match.file, config)), matches)
        )
    planes: list[FoundPlane] = []
    broken: dict[FieldKey, str] = {}
    said: set[str] = set()
    for match, headers in zip(matches, opened, strict=True):
        field = tuple(match.parts[part] for part in config.field_parts())
        height_of(match)
        tile_key(match.parts, match.path)
        try:
            if isinstance(headers, str):
                raise InputError(headers)
            planes += list(_planes(config, match, field, headers, said))
        except InputError as error:
            said.add(match.parts.get("channel", ""))
            broken.setdefault(field, str(error))
    if not broken:
        for name in config.channels:
            if name not in said:
                raise InputError(f"layout.channels: {unknown('channel', name, said)}")
    _refuse_twins(planes)
    return FoundPlanes(planes=tuple(planes), broken=broken)


def axes_for(file: Path, config: LayoutConfig) -> str | None:
    """The axes to open a file with: only a TIFF may need them."""
    return config.axes if is_stack_file(file) else None


def height_of(match: Match) -> float | None:
    """The number z in a file's name.

    Raises:
        InputError: It is no number.
    """
    text = match.parts.get("z")
    if text is None:
        return None
    try:
        height = float(text)
    except ValueError:
        height = math.nan
    if not math.isfinite(height):
        raise InputError(f"{match.path}: z '{text}' is no number; check layout.pattern")
    return height


def _headers(file: Path, axes: str | None) -> tuple[Header, ...] | str:
    """What a file says, or what is wrong with it."""
    try:
        pictures = open_images(file, axes=axes)
    except InputError as error:
        return str(error)
    try:
        return tuple(map(_header, pictures))
    finally:
        for picture in pictures:
            picture.close()


def _header(picture: LazyPicture) -> Header:
    return Header(
        shape=picture.shape,
        dtype=picture.dtype,
        channel_names=picture.channel_names,
        pixel_size=picture.pixel_size,
        stage=picture.stage,
    )


def _planes(
    config: LayoutConfig,
    match: Match,
    field: FieldKey,
    headers: Sequence[Header],
    said: set[str],
) -> Iterator[FoundPlane]:
    """The planes of one file.

    Raises:
        InputError: It holds more than its name says.
    """
    tile = tile_key(match.parts, match.path)
    several = len(headers) > 1
    if several and config.images == "tiles" and config.placing_parts():
        raise InputError(
            f"{match.path}: holds {len(headers)} images, but its name says one tile; "
            'give layout.images = "fields", or leave the tile out of the pattern'
        )
    stated = height_of(match)
    for image, header in enumerate(headers):
        frames, channels, depth = header.shape[:3]
        if stated is not None and depth > 1:
            raise InputError(f"{match.path}: holds {depth} z planes, but its name says one z")
        if "channel" in match.parts and match.parts["channel"] is not None and channels > 1:
            raise InputError(
                f"{match.path}: holds {channels} channels, but its name says one; write * for it"
            )
        place = field
        if several and config.images == "tiles":
            tile = TileKey(number=image)
        elif several:
            place = (*field, str(image))
        for c, channel in _channels(config, match, header, said):
            for t in range(frames):
                for z in range(depth):
                    yield FoundPlane(
                        field=place,
                        tile=tile,
                        channel=channel,
                        height=float(z) if stated is None else stated,
                        height_text=match.parts.get("z"),
                        exposure=match.parts.get("exposure") or "",
                        match=match,
                        header=header,
                        image=image,
                        t=t,
                        c=c,
                        z=z,
                    )


def _channels(
    config: LayoutConfig, match: Match, header: Header, said: set[str]
) -> list[tuple[int, str]]:
    """Index and our name of each channel of an image that is wanted; notes in `said` all others."""
    in_name = match.parts.get("channel")
    count = header.shape[1]
    names = header.channel_names or tuple(f"channel_{number + 1}" for number in range(count))
    wanted: list[tuple[int, str]] = []
    for c in range(count):
        known_as = [in_name] if in_name is not None else [names[c], str(c)]
        said.update(known_as)
        ours = [config.channels[name] for name in known_as if name in config.channels]
        if ours or not config.channels:
            wanted.append((c, ours[0] if ours else known_as[0]))
    held = [name for _, name in wanted]
    for name in held:
        if held.count(name) > 1:
            raise InputError(
                f"{match.path}: {held.count(name)} of its channels are '{name}'; tell them apart "
                "by their numbers in layout.channels"
            )
    return wanted


def _refuse_twins(planes: Iterable[FoundPlane]) -> None:
    seen: dict[tuple, FoundPlane] = {}
    for plane in planes:
        first = seen.setdefault(plane.identity(), plane)
        if first is not plane:
            raise InputError(
                f"{first.match.path} and {plane.match.path} are the same plane: tile "
                f"{plane.tile.name}, channel {plane.channel}, z {plane.height:g}"
                f"{', exposure ' + plane.exposure if plane.exposure else ''}; name in "
                "layout.pattern what tells them apart, or remove one"
            )
