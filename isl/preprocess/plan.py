"""What a run would do, and all that can be wrong with it before a pixel is read."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from isl.errors import InputError, unknown
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.earlier_estimates import check_earlier_estimates
from isl.preprocess.estimates import ChannelOfSet, check_estimable, needs_estimates
from isl.preprocess.layout.fields import RawField, find_fields
from isl.preprocess.placement import check_placing, scaled_size
from isl.preprocess.plane_choice import PlaneChoice, choose_planes

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What a run would do.

    Attributes:
        fields: The fields that can be tried.
        failed: Fields that cannot, each with its reason.
        channels: Of the set, those that something has to be estimated of.
    """

    fields: tuple[RawField, ...]
    failed: tuple[tuple[str, str], ...]
    channels: tuple[ChannelOfSet, ...]

    @property
    def count(self) -> int:
        """Fields, with those that cannot be tried."""
        return len(self.fields) + len(self.failed)

    @property
    def steps(self) -> int:
        """What progress counts."""
        return len(self.channels) + len(self.fields)


def plan_run(config: PreprocessConfig, folder: Path) -> Plan:
    """Finds the tiles and checks what can be checked without reading their pixels.

    Args:
        config: What to do.
        folder: What the layout's root is relative to.

    Raises:
        InputError: Nothing is found, no field can be tried, or the set is too small.
    """
    found = find_fields(config.layout, folder, pixel_size=config.pixel_size, z_step=config.z_step)
    failed = list(found.failed)
    fields: list[RawField] = []
    usual = _usual(found.fields, config)
    for field in found.fields:
        try:
            _check(field, config)
            _check_usual(field, usual)
        except InputError as error:
            failed.append((field.name, str(error)))
        else:
            fields += [field] if config.runs("stitching") else single_tiles(field)
    if not fields:
        more = f" (and {len(failed) - 1} more like it fail)" if len(failed) > 1 else ""
        raise InputError(f"{failed[0][1]}{more}")
    channels = _channels(fields, config)
    check_earlier_estimates(config, channels)
    if config.estimates is None:
        for channel in channels:
            check_estimable(channel, config)
    return Plan(fields=tuple(fields), failed=tuple(failed), channels=channels)


def channels_of(field: RawField, config: PreprocessConfig) -> dict[str, bool]:
    """The channels of a field that are worked on, and whether each is fluorescence.

    Raises:
        InputError: The field lacks one that the configuration names.
    """
    labels = config.labels or tuple(each for each in field.planes if each != config.transmitted)
    for channel in (config.transmitted, *labels):
        if channel not in field.planes:
            raise InputError(f"field '{field.name}': {unknown('channel', channel, field.planes)}")
    return {config.transmitted: False, **dict.fromkeys(labels, True)}


def choose(field: RawField, sharpest: int, config: PreprocessConfig) -> PlaneChoice:
    """Which planes of transmitted light are kept.

    Raises:
        InputError: The field has too few.
    """
    available = field.planes[config.transmitted]
    if config.planes.count is None:
        return PlaneChoice(planes=tuple(range(available)), spacing=1, shifted=0)
    return choose_planes(
        available,
        config.planes.count,
        sharpest,
        config.planes.spacing,
        source=f"field '{field.name}'",
    )


def single_tiles(field: RawField) -> list[RawField]:
    """Where nothing is stitched, every tile is a field of its own, of the same group."""
    if len(field.tiles) == 1:
        return [field]
    return [
        dataclasses.replace(
            field,
            name=f"{field.name}-{tile.name}",
            tiles=(dataclasses.replace(tile, position=(0.0, 0.0)),),
        )
        for tile in field.tiles
    ]


def described(plan: Plan, config: PreprocessConfig) -> list[str]:
    """What a run would do, a line a field."""
    lines = []
    for field in plan.fields:
        depths = ", ".join(f"{name} {count}" for name, count in field.planes.items())
        tiles = f"{len(field.tiles)} tile{'s' if len(field.tiles) > 1 else ''}"
        size = " x ".join(map(str, field.size))
        lines.append(f"{field.name} (group {field.group}): {tiles} of {size}; planes: {depths}")
        lines += [f"  warning: {warning}" for warning in field.warnings]
    for channel in plan.channels:
        if config.estimates is not None:
            lines.append(f"estimates of {channel.name}: those of {config.estimates}")
            continue
        sample = min(config.sample.images, channel.count)
        lines.append(f"estimates of {channel.name}: from {sample} of {channel.count} images")
    return lines


def _check(field: RawField, config: PreprocessConfig) -> None:
    """What can be wrong with a field alone."""
    channels = channels_of(field, config)
    for channel, fluorescence in channels.items():
        planes = field.planes[channel]
        if fluorescence and planes > 1 and not config.runs("projection"):
            raise InputError(
                f"field '{field.name}': '{channel}' has {planes} planes, and a label is one "
                "image; add the stage projection to 'stages'"
            )
    choose(field, 0, config)
    if min(scaled_size(field, config)) < 1:
        raise InputError(
            f"field '{field.name}': tiles of {field.size[0]} x {field.size[1]} pixels cannot be "
            f"downscaled by {config.downscale}; set downscale"
        )
    if config.runs("stitching"):
        check_placing(field, config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Usual:
    """What all images that estimates are made from, or used for, have to be like.

    Attributes:
        size: Y, X of a tile.
        exposures: Of each channel.
    """

    size: tuple[int, int]
    exposures: dict[str, int]


def _usual(fields: Sequence[RawField], config: PreprocessConfig) -> _Usual | None:
    """What most fields are like; None where nothing is estimated."""
    known: dict[str, list[int]] = {}
    for field in fields:
        for channel in field.planes:
            known.setdefault(channel, []).append(_exposures(field, channel))
    labels = set(known) - {config.transmitted}
    if not any(needs_estimates(fluorescence=channel in labels, config=config) for channel in known):
        return None
    return _Usual(
        size=_commonest([field.size for field in fields]),
        exposures={channel: _commonest(found) for channel, found in known.items()},
    )


def _commonest(values: Sequence[Value]) -> Value:
    return Counter(values).most_common(1)[0][0]


def _check_usual(field: RawField, usual: _Usual | None) -> None:
    """Refuses a field that the set's flat fields and dust do not fit."""
    if usual is None:
        return
    remedy = "give it a run of its own, since flat fields and dust of the set do not fit it"
    if field.size != usual.size:
        raise InputError(
            f"field '{field.name}': has tiles of {field.size[0]} x {field.size[1]} pixels, most "
            f"fields {usual.size[0]} x {usual.size[1]}; {remedy}"
        )
    for channel in field.planes:
        exposures = _exposures(field, channel)
        if exposures != usual.exposures[channel]:
            raise InputError(
                f"field '{field.name}': has {exposures} exposures of '{channel}', most fields "
                f"{usual.exposures[channel]}; {remedy}"
            )


def _exposures(field: RawField, channel: str) -> int:
    return len(field.tiles[0].images[channel, 0])


def _channels(fields: Sequence[RawField], config: PreprocessConfig) -> tuple[ChannelOfSet, ...]:
    kinds: dict[str, bool] = {}
    for field in fields:
        kinds |= channels_of(field, config)
    return tuple(
        ChannelOfSet(
            name=name,
            fluorescence=fluorescence,
            planes=tuple(
                tuple(tile.images[name, z] for z in range(field.planes[name]))
                for field in fields
                if name in field.planes
                for tile in field.tiles
            ),
            pixel_size=config.pixel_size or fields[0].pixel_size,
        )
        for name, fluorescence in kinds.items()
        if needs_estimates(fluorescence=fluorescence, config=config)
    )
