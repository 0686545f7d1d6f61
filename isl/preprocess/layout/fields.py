"""Finds the fields of a set and their tiles, without reading a pixel."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.config import folder_named
from isl.errors import InputError
from isl.imaging.inputs.read import natural_order
from isl.preprocess.layout.config import LayoutConfig
from isl.preprocess.layout.files import FieldKey, FoundPlane, axes_for, find_planes
from isl.preprocess.layout.pattern import find_matches
from isl.preprocess.layout.tiles import (
    Grid,
    Position,
    PositionTable,
    TileKey,
    grid_of,
    nominal_positions,
    stage_position,
)

__all__ = ["Found", "LayoutConfig", "PlaneSource", "RawField", "Tile", "find_fields"]

# Distances that differ by less than this share of the smallest are taken for equal.
_EVEN = 0.01
# So many names stand in a warning before it says how many more there are.
_NAMED = 6

# Channel, height and exposure of a plane of a tile.
_Plane = tuple[str, float, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaneSource:
    """Where one plane [Y, X] lies.

    Attributes:
        file: The file.
        t: Which time point of the image in it.
        c: Which channel.
        z: Which plane.
        image: Which image of the file, as `open_images` counts them.
        axes: Of the file's dimensions, where it does not say them itself, or None.
    """

    file: Path
    t: int = 0
    c: int = 0
    z: int = 0
    image: int = 0
    axes: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One position of the camera.

    Attributes:
        name: What the files call it, e.g. "r0-c2", "7", or "tile" for the only one.
        row: Counted from the top, from 0; None where only its position is known.
        column: Counted from the left, from 0, or None.
        position: Nominal (y, x) of its first pixel, in raw pixels; the field's smallest is (0, 0).
        images: Exposures (usually one) of each channel and z index, bottom plane first.
    """

    name: str
    row: int | None
    column: int | None
    position: Position
    images: Mapping[tuple[str, int], tuple[PlaneSource, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RawField:
    """One field of view as the microscope left it.

    Attributes:
        name: Values of the parts that name it, with "-" between them.
        group: What stays on one side of train, validation and test.
        condition: What the part `condition` says, or "" where there is none.
        tiles: The tiles, from the top left; in the order of their names where rows are not known.
        size: Y, X of every tile, in raw pixels.
        dtype: That holds the pixels of every tile and channel.
        planes: Number of z planes of each channel.
        pixel_size: Micrometres, as acquired, or None.
        z_step: Micrometres between planes, or None where nothing says or they are uneven.
        warnings: What is missing, a line each.
    """

    name: str
    group: str
    tiles: tuple[Tile, ...]
    size: tuple[int, int]
    dtype: np.dtype
    planes: Mapping[str, int]
    pixel_size: float | None
    z_step: float | None
    warnings: tuple[str, ...]
    condition: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a layout finds.

    Attributes:
        fields: The fields that can be used, by name.
        failed: (name, reason) of those that cannot.
    """

    fields: tuple[RawField, ...]
    failed: tuple[tuple[str, str], ...]


def find_fields(
    config: LayoutConfig,
    folder: Path,
    *,
    pixel_size: float | None = None,
    z_step: float | None = None,
) -> Found:
    """Finds the fields of a set. Every file's headers are read once.

    Args:
        config: The layout.
        folder: What its root is relative to.
        pixel_size: Micrometres as acquired, instead of what the files say.
        z_step: Micrometres between planes, instead of what the files say.

    Raises:
        InputError: Nothing matches, two files hold the same plane, the configuration does not fit
            what is there, or no field can be used.
    """
    root = folder_named(config.root, folder, source="layout.root")
    found = find_planes(config, find_matches(root, config.patterns()))
    fields: dict[tuple[FieldKey, int], list[FoundPlane]] = {}
    for plane in found.planes:
        if plane.field not in found.broken:
            fields.setdefault((plane.field, plane.t), []).append(plane)
    _check_names([key for key, _ in fields], root)
    table = None
    if config.positions not in ("grid", "stage"):
        table = PositionTable(root / config.positions, config)
    builder = _Builder(
        config=config,
        root=root,
        grid=grid_of(config, {plane.tile for plane in found.planes}),
        tiles=frozenset(plane.tile for plane in found.planes),
        table=table,
        pixel_size=pixel_size,
        z_step=z_step,
        movies=frozenset(key for key, t in fields if t),
    )
    built: list[RawField] = []
    failed = [(_name(key, root), reason) for key, reason in found.broken.items()]
    for (key, t), planes in sorted(fields.items(), key=lambda each: _natural(each[0])):
        try:
            built.append(builder.field(key, t, planes))
        except InputError as error:
            failed.append((builder.name(key, t), str(error)))
    if not built:
        raise _nothing_left(failed, config)
    return Found(fields=_compared(built), failed=tuple(failed))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Builder:
    """What fields of one set share.

    Attributes:
        config: The layout.
        root: Its root.
        grid: Where the tiles of the set lie.
        tiles: Every tile that some field has.
        table: The CSV of positions, or None.
        pixel_size: Micrometres, instead of what files say.
        z_step: Micrometres, instead of what files say.
        movies: Fields whose time points are fields of their own.
    """

    config: LayoutConfig
    root: Path
    grid: Grid
    tiles: frozenset[TileKey]
    table: PositionTable | None
    pixel_size: float | None
    z_step: float | None
    movies: frozenset[FieldKey]

    def name(self, key: FieldKey, t: int) -> str:
        return _name(key, self.root) + (f"-t{t}" if key in self.movies else "")

    def field(self, key: FieldKey, t: int, planes: Sequence[FoundPlane]) -> RawField:
        """A field from its planes.

        Raises:
            InputError: It cannot be used.
        """
        tiles: dict[TileKey, dict[_Plane, FoundPlane]] = {}
        for plane in planes:
            tiles.setdefault(plane.tile, {})[_place_of(plane)] = plane
        warnings: list[str] = []
        expected = _expected(tiles, warnings)
        whole = _whole(tiles, expected, warnings)
        used = [found[place] for found in whole.values() for place in expected]
        size, dtype = _size_and_type(used)
        pixel_size = self._pixel_size(used, warnings)
        positions = self._positions(key, whole, size)
        missing = sorted(
            (tile.name for tile in (self.grid.places or self.tiles) if tile not in tiles),
            key=natural_order,
        )
        if missing:
            warnings.append(f"lacks {_listed('tile', missing)}")
        heights = _heights(expected)
        return RawField(
            name=self.name(key, t),
            group=self._group(key),
            condition=self._condition(key),
            tiles=tuple(self._tile(tile, whole[tile], heights, positions[tile]) for tile in whole),
            size=size,
            dtype=dtype,
            planes={channel: len(found) for channel, found in heights.items()},
            pixel_size=pixel_size,
            z_step=self._z_step(used, heights, warnings),
            warnings=tuple(warnings),
        )

    def _group(self, key: FieldKey) -> str:
        parts = self.config.field_parts()
        values = [key[parts.index(part)] for part in self.config.group_parts()]
        return "-".join(values) or _name(key, self.root)

    def _condition(self, key: FieldKey) -> str:
        parts = self.config.field_parts()
        return key[parts.index("condition")] if "condition" in parts else ""

    def _tile(
        self,
        key: TileKey,
        found: Mapping[_Plane, FoundPlane],
        heights: Mapping[str, Sequence[float]],
        position: Position,
    ) -> Tile:
        images: dict[tuple[str, int], tuple[PlaneSource, ...]] = {}
        for channel, levels in heights.items():
            for index, level in enumerate(levels):
                exposures = sorted(
                    (plane for place, plane in found.items() if place[:2] == (channel, level)),
                    key=lambda plane: _exposure_order(plane.exposure),
                )
                images[channel, index] = tuple(map(self._source, exposures))
        row, column = self.grid.places.get(key, (None, None))
        if row is None and key == TileKey() and self.tiles == {key}:
            row = column = 0
        return Tile(name=key.name, row=row, column=column, position=position, images=images)

    def _source(self, plane: FoundPlane) -> PlaneSource:
        return PlaneSource(
            file=plane.match.file,
            t=plane.t,
            c=plane.c,
            z=plane.z,
            image=plane.image,
            axes=axes_for(plane.match.file, self.config),
        )

    def _positions(
        self, field: FieldKey, tiles: Mapping[TileKey, Mapping[_Plane, FoundPlane]], size: tuple
    ) -> dict[TileKey, Position]:
        """Position of each tile, the smallest (0, 0)."""
        if set(tiles) == {TileKey()}:
            return {TileKey(): (0.0, 0.0)}
        if self.config.positions == "grid":
            nominal = nominal_positions(self.config, self.grid, size)
            places = {key: nominal[key] for key in tiles}
        else:
            places = {
                key: self._said_position(field, key, list(planes.values()))
                for key, planes in tiles.items()
            }
        top, left = (min(place[axis] for place in places.values()) for axis in range(2))
        return {key: (y - top, x - left) for key, (y, x) in places.items()}

    def _said_position(
        self, field: FieldKey, key: TileKey, planes: Sequence[FoundPlane]
    ) -> Position:
        """What the stage or the table says, in raw pixels."""
        if self.table is None:
            stage = next((p.header.stage for p in planes if p.header.stage is not None), None)
            if stage is None:
                raise InputError(
                    f"{planes[0].match.path}: does not say where the stage stood; give "
                    'layout.positions = "grid" or a CSV'
                )
            return stage_position(self.config, stage, self._pixel_edges(planes))
        place = self.table.position(field, key, [plane.match.path for plane in planes])
        if place is None:
            raise InputError(
                f"{self.table.path}: has no line for tile {key.name} ({planes[0].match.path})"
            )
        edges = self._pixel_edges(planes) if self.table.in_micrometres else (1.0, 1.0)
        return stage_position(self.config, place, edges)

    def _pixel_edges(self, planes: Sequence[FoundPlane]) -> tuple[float, float]:
        """Micrometres along y and x of a raw pixel."""
        if self.pixel_size is not None:
            return self.pixel_size, self.pixel_size
        for plane in planes:
            if plane.header.pixel_size is not None:
                return plane.header.pixel_size.y, plane.header.pixel_size.x
        raise InputError(
            f"{planes[0].match.path}: does not say how large a pixel is, which positions in "
            "micrometres need; give pixel_size"
        )

    def _pixel_size(self, planes: Sequence[FoundPlane], warnings: list[str]) -> float | None:
        if self.pixel_size is not None:
            return self.pixel_size
        sizes = [p.header.pixel_size for p in planes if p.header.pixel_size is not None]
        if not sizes:
            return None
        edges = [edge for size in sizes for edge in (size.y, size.x)]
        if max(edges) > min(edges) * (1 + _EVEN):
            warnings.append(
                f"its files have pixels of {min(edges):g} to {max(edges):g} micrometres; "
                f"{sizes[0].y:g} is taken, give pixel_size if that is wrong"
            )
        return sizes[0].y

    def _z_step(
        self,
        planes: Sequence[FoundPlane],
        heights: Mapping[str, Sequence[float]],
        warnings: list[str],
    ) -> float | None:
        """Micrometres between planes, of the channel that has most of them."""
        if self.z_step is not None:
            return self.z_step
        channel = max(heights, key=lambda name: len(heights[name]))
        levels = heights[channel]
        if len(levels) < 2:
            return None
        stack = [plane for plane in planes if plane.channel == channel]
        texts = [plane.height_text for plane in stack if plane.height_text is not None]
        if not texts:
            sizes = (plane.header.pixel_size for plane in stack)
            return next((size.z for size in sizes if size is not None and size.z), None)
        steps = [float(step) for step in np.diff(levels)]
        if max(steps) > min(steps) * (1 + _EVEN):
            warnings.append(
                f"planes of {channel} are not evenly spaced: z "
                f"{', '.join(f'{level:g}' for level in levels)}"
            )
            return None
        unit = self.config.z_unit or ("um" if any("." in text for text in texts) else "plane")
        return round((levels[-1] - levels[0]) / (len(levels) - 1), 6) if unit == "um" else None


def _name(key: FieldKey, root: Path) -> str:
    return "-".join(key) or root.name


def _natural(key: tuple[FieldKey, int]) -> tuple:
    return [natural_order(value) for value in key[0]], key[1]


def _check_names(keys: Iterable[FieldKey], root: Path) -> None:
    seen: dict[str, FieldKey] = {}
    for key in keys:
        first = seen.setdefault(_name(key, root), key)
        if first != key:
            raise InputError(
                f"layout: fields {' / '.join(first)} and {' / '.join(key)} would both be named "
                f"'{_name(key, root)}'; rename one's files"
            )


def _place_of(plane: FoundPlane) -> _Plane:
    return plane.channel, plane.height, plane.exposure


def _expected(
    tiles: Mapping[TileKey, Mapping[_Plane, FoundPlane]], warnings: list[str]
) -> list[_Plane]:
    """What every tile should have: planes that at least half of the tiles have.

    Raises:
        InputError: Files say z of a channel, and other files of it have planes of their own.
    """
    counts = Counter(place for planes in tiles.values() for place in planes)
    expected = sorted(
        (place for place, count in counts.items() if 2 * count >= len(tiles)),
        key=lambda place: (natural_order(place[0]), place[1], _exposure_order(place[2])),
    )
    for place in sorted(set(counts) - set(expected)):
        warnings.append(f"{_shown(place)} is left out: most tiles lack it")
    stated: dict[tuple[str, bool], FoundPlane] = {}
    for planes in tiles.values():
        for plane in planes.values():
            stated[plane.channel, plane.height_text is None] = plane
    for channel, silent in stated:
        if silent and (channel, False) in stated:
            raise InputError(
                f"{stated[channel, True].match.path} says no z, but "
                f"{stated[channel, False].match.path} of the same channel does; check "
                "layout.pattern"
            )
    return expected


def _whole(
    tiles: Mapping[TileKey, dict[_Plane, FoundPlane]],
    expected: Sequence[_Plane],
    warnings: list[str],
) -> dict[TileKey, dict[_Plane, FoundPlane]]:
    """The tiles that have all that is expected, in order.

    Raises:
        InputError: None has.
    """
    kept: dict[TileKey, dict[_Plane, FoundPlane]] = {}
    left_out: list[str] = []
    for key in sorted(tiles, key=_tile_order):
        lacking = [_shown(place) for place in expected if place not in tiles[key]]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            left_out.append(f"tile {key.name} is left out: it lacks {lacking[0]}{more}")
        else:
            kept[key] = tiles[key]
    if not kept:
        raise InputError(f"no tile has every plane: {left_out[0]}; check layout.pattern")
    warnings += left_out
    return kept


def _tile_order(key: TileKey) -> tuple:
    numbers = (key.row, key.column, key.number)
    return (*(-1 if each is None else each for each in numbers), natural_order(key.text or ""))


def _exposure_order(text: str) -> tuple:
    try:
        return 0, float(text), []
    except ValueError:
        return 1, 0.0, natural_order(text)


def _size_and_type(planes: Sequence[FoundPlane]) -> tuple[tuple[int, int], np.dtype]:
    """Size of all planes and the type that holds them; one channel has one type.

    Raises:
        InputError: A file differs from most.
    """
    size = _commonest(plane.size for plane in planes)
    usual = {
        channel: _commonest(p.header.dtype for p in planes if p.channel == channel)
        for channel in {plane.channel for plane in planes}
    }
    for plane in planes:
        if plane.size != size or plane.header.dtype != usual[plane.channel]:
            other = next(p for p in planes if p.size == size and p.header.dtype == usual[p.channel])
            if plane.size == size:
                same = (p for p in planes if p.channel == plane.channel)
                other = next(p for p in same if p.header.dtype == usual[plane.channel])
            raise InputError(
                f"{plane.match.path} is {_sized(plane)}, but {other.match.path} is "
                f"{_sized(other)}; tiles of a field must agree"
            )
    return size, np.result_type(*usual.values())


def _commonest(values: Iterable[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]


def _sized(plane: FoundPlane) -> str:
    return f"{plane.size[0]} x {plane.size[1]} {plane.header.dtype}"


def _heights(expected: Iterable[_Plane]) -> dict[str, list[float]]:
    """Heights of the planes of each channel, bottom first."""
    heights: dict[str, set[float]] = {}
    for channel, height, _ in expected:
        heights.setdefault(channel, set()).add(height)
    return {channel: sorted(found) for channel, found in heights.items()}


def _shown(place: _Plane) -> str:
    channel, height, exposure = place
    return f"{channel} z {height:g}{f' exposure {exposure}' if exposure else ''}"


def _listed(kind: str, names: Collection[str]) -> str:
    shown = ", ".join(itertools.islice(names, _NAMED))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{kind}{'s' if len(names) > 1 else ''} {shown}{more}"


def _compared(fields: Sequence[RawField]) -> tuple[RawField, ...]:
    """The fields, with a warning where one has other channels or depths than most."""
    channels = {channel for field in fields for channel in field.planes}
    usual = {
        channel: _commonest(field.planes.get(channel, 0) for field in fields)
        for channel in sorted(channels)
    }
    compared = []
    for field in fields:
        unlike = tuple(
            f"has {field.planes.get(channel, 0)} planes of {channel}; most fields have {count}"
            for channel, count in usual.items()
            if field.planes.get(channel, 0) != count
        )
        compared.append(dataclasses.replace(field, warnings=(*field.warnings, *unlike)))
    return tuple(compared)


def _nothing_left(failed: Sequence[tuple[str, str]], config: LayoutConfig) -> InputError:
    if not failed:
        return InputError(
            f"layout.channels: no file holds any of {', '.join(sorted(config.channels))}"
        )
    name, reason = failed[0]
    if len(failed) == 1:
        return InputError(f"field '{name}': {reason}")
    return InputError(
        f"none of the {len(failed)} fields can be used; the first, '{name}': {reason}"
    )
