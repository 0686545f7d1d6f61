"""One well: its colonies found or given, followed over time, and classified."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from isl.colony.detection import DetectionConfig, Plane, as_bytes, detect, full_scale
from isl.colony.following import Follower
from isl.colony.masks import GivenMask
from isl.colony.model import ColonyModel
from isl.colony.patches import cut_out, patches_of
from isl.errors import InputError
from isl.imaging.lazy import LazyPicture
from isl.imaging.sharpness import index_of_sharpest, sharpness
from isl.imaging.times import minutes_at, stated_interval

logger = logging.getLogger(__name__)

CANNOT_TELL = "cannot tell"
MOST_NUMBERS = 2**16 - 1
# Pixels may be this much larger or smaller than those a model knows; beyond, a size is wrong.
_SCALES = (0.25, 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How wells are assessed.

    Attributes:
        detection: How colonies are found.
        patches: Patches a colony; None: as the model says.
        gap: Frames for which a colony may be missing and still be the same.
        pixel_size: Micrometres, whatever files say; None: what they say.
        interval: Minutes between frames, whatever files say.
    """

    detection: DetectionConfig = dataclasses.field(default_factory=DetectionConfig)
    patches: int | None = None
    gap: int = 2
    pixel_size: float | None = None
    interval: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Colony:
    """One colony in one frame.

    Attributes:
        time: The frame, from 0.
        number: The same in every frame.
        box: First row, first column, and those after the last, in pixels.
        area: In pixels.
        border: Whether it touches the border of the picture, so that part of it may be missing.
        kind: Its class, or "cannot tell".
        probabilities: Of every class, calibrated.
        patches: How many were looked at.
    """

    time: int
    number: int
    box: tuple[int, int, int, int]
    area: int
    border: bool
    kind: str
    probabilities: tuple[float, ...]
    patches: int

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return max(self.probabilities)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """What was found in one well.

    Attributes:
        name: The well's.
        source: Its file.
        labels: uint16 [T, Y, X]; numbers are those of the colonies.
        colonies: In order of time and number.
        depth: Planes of every frame.
        planes: Which of them was looked at, from 0: T times one for each of the model's channels.
        pixel_size: Micrometres, or None where nobody says.
        interval: Minutes between frames, or None.
        minutes: T minutes since the first frame, None for those that nobody knows.
        warnings: What a person should know.
    """

    name: str
    source: Path
    labels: np.ndarray
    colonies: tuple[Colony, ...]
    depth: int
    planes: tuple[tuple[int, ...], ...]
    pixel_size: float | None
    interval: float | None
    minutes: tuple[float | None, ...]
    warnings: tuple[str, ...]


def assess(
    picture: LazyPicture,
    channels: Sequence[int],
    model: ColonyModel,
    settings: Settings,
    *,
    mask: GivenMask | None = None,
    steps: Sequence[float] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Assessment:
    """Assesses a well; its pixels are read tile by tile, and warnings are logged.

    Args:
        picture: The well, opened.
        channels: Which of its channels the model's are, in the model's order; colonies are found
            in the first.
        model: Says what a colony is.
        settings: How.
        mask: In place of detection.
        steps: When each frame was taken, in intervals since the first; None: one after the other.
        progress: Told frames done, and how many there are.

    Raises:
        InputError: Pixels cannot be read or are not as expected, or their size is wrong for the
            model.
    """
    frames, _, depth, height, width = picture.shape
    if min(height, width) < model.config.patch // 8:
        raise InputError(
            f"{picture.source}: the picture is {width} x {height} pixels, far less than the "
            f"{model.config.patch} of a patch; give whole wells, or `cells` where each picture is "
            "one cell"
        )
    pixel_size, scale, warnings = sizes(picture, model, settings)
    detection = settings.detection.at(pixel_size)
    follower = Follower(gap=settings.gap)
    # A film of a whole well has half a billion pixels: two bytes each, and no second copy.
    labels = np.zeros((frames, height, width), np.uint16) if mask is None else mask.labels
    colonies: list[Colony] = []
    looked_at: list[tuple[int, ...]] = []
    of_one_ground: dict[str, list[int]] = {}
    for t in range(frames):
        looked_at.append(tuple(_sharpest(picture, t, channel) for channel in channels))
        planes = [_plane(picture, t, *at) for at in zip(channels, looked_at[t], strict=True)]
        if mask is None:
            found = detect(planes[0], (height, width), detection)
            if found.ground != "both":
                of_one_ground.setdefault(found.ground, []).append(t)
            numbered = follower.follow(found.labels)
            check_numbers(int(numbered.max(initial=0)), picture.source)
            labels[t] = numbered
        colonies += _classified(labels[t], planes, t, model, settings, scale)
        progress(t + 1, frames)
    if depth > 1:
        warnings.append(_of_planes(depth, looked_at))
    warnings += [_one_ground(ground, ts, frames) for ground, ts in of_one_ground.items()]
    if mask is not None:
        warnings += mask.remarks
    for warning in warnings:
        logger.warning("%s: %s", picture.source, warning)
    interval, times = stated_interval(
        settings.interval, picture.interval, picture.times, picture.source
    )
    return Assessment(
        name=picture.name,
        source=picture.source,
        labels=labels,
        colonies=tuple(colonies),
        depth=depth,
        planes=tuple(looked_at),
        pixel_size=pixel_size,
        interval=interval,
        minutes=tuple(
            minutes_at(t if steps is None else steps[t], interval) if times is None else times[t]
            for t in range(frames)
        ),
        warnings=tuple(warnings),
    )


def check_numbers(highest: int, source: object) -> None:
    """Refuses numbers that a label image of 16 bits cannot hold.

    Raises:
        InputError: There are such.
    """
    if highest > MOST_NUMBERS:
        raise InputError(
            f"{source}: has colonies numbered up to {highest}, and a label image holds numbers up "
            f"to {MOST_NUMBERS}; take fewer frames, or a larger `least_area`"
        )


def sizes(
    picture: LazyPicture, model: ColonyModel, settings: Settings
) -> tuple[float | None, float, list[str]]:
    """A picture's pixel size, by how much it is enlarged for the model, and warnings.

    Raises:
        InputError: The size is wrong for the model.
    """
    own = settings.pixel_size
    if own is None and picture.pixel_size is not None:
        own = (picture.pixel_size.y * picture.pixel_size.x) ** 0.5
    known = model.config.pixel_size
    if own is None:
        at = "" if known is None else f"; pixels are taken for {known:g} um"
        return None, 1.0, [f"the file does not say how large a pixel is{at} (`pixel_size`)"]
    if known is None:
        return own, 1.0, []
    scale = own / known
    if not _SCALES[0] <= scale <= _SCALES[1]:
        raise InputError(
            f"{picture.source}: a pixel is {own:g} um and model '{model.name}' was trained at "
            f"{known:g} um; give the right size with `pixel_size`, or another model"
        )
    return own, scale, []


def probabilities_of(
    patches: np.ndarray, counts: Sequence[int], model: ColonyModel
) -> list[np.ndarray]:
    """Mean probabilities over the patches of each colony, given how many each has."""
    said = model.probabilities(patches)
    ends = np.cumsum(counts)
    return [part.mean(axis=0) for part in np.split(said, ends[:-1])] if len(counts) else []


def named(probabilities: np.ndarray, model: ColonyModel) -> str:
    """The likeliest class, or "cannot tell" where even that is not likely."""
    best = int(np.argmax(probabilities))
    likely = probabilities[best] >= model.config.undecided
    return model.config.classes[best] if likely else CANNOT_TELL


def _classified(
    labels: np.ndarray,
    planes: Sequence[Plane],
    t: int,
    model: ColonyModel,
    settings: Settings,
    scale: float,
) -> list[Colony]:
    boxes = {
        number: box
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
        if box is not None
    }
    if not boxes:
        return []
    patch, count = model.config.patch, settings.patches or model.config.patches
    tops = [full_scale(plane, labels.shape) for plane in planes]
    patches = []
    for number, box in boxes.items():
        pixels = [as_bytes(plane(*box), top) for plane, top in zip(planes, tops, strict=True)]
        colony = cut_out(np.stack(pixels, -1), labels[box] == number, patch, scale=scale)
        # The same colony of the same frame is always seen through the same patches.
        rng = np.random.default_rng([number, t])
        patches.append(patches_of(colony, patch, count, rng))
    said = probabilities_of(np.concatenate(patches), [count] * len(boxes), model)
    height, width = labels.shape
    return [
        Colony(
            time=t,
            number=number,
            box=(box[0].start, box[1].start, box[0].stop, box[1].stop),
            area=int((labels[box] == number).sum()),
            border=min(box[0].start, box[1].start) == 0
            or box[0].stop == height
            or box[1].stop == width,
            kind=named(probabilities, model),
            probabilities=tuple(float(p) for p in probabilities),
            patches=count,
        )
        for (number, box), probabilities in zip(boxes.items(), said, strict=True)
    ]


def _sharpest(picture: LazyPicture, t: int, channel: int) -> int:
    """A frame's only plane, or its sharpest, from 0."""
    depth = picture.shape[2]
    if depth == 1:
        return 0
    return index_of_sharpest(
        [sharpness(picture.read(t=t, c=channel, z=plane)) for plane in range(depth)]
    )


def _plane(picture: LazyPicture, t: int, channel: int, z: int) -> Plane:
    """What reads parts of a frame's plane."""

    def read(rows: slice, columns: slice) -> np.ndarray:
        pixels = picture.read(t=t, c=channel, z=z, rows=rows, columns=columns)
        if pixels.dtype.kind == "f" and not (
            np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1
        ):
            raise InputError(
                f"{picture.source}: pixels are floats that are not all within 0 and 1; save the "
                "picture as integers, or divide it by its full scale"
            )
        return pixels

    return read


def _of_planes(depth: int, looked_at: Sequence[tuple[int, ...]]) -> str:
    planes = sorted({z for frame in looked_at for z in frame})
    if len(planes) == 1:
        return f"has {depth} planes; the sharpest, plane {planes[0]} (from 0), is looked at"
    return (
        f"has {depth} planes; the sharpest is looked at in every frame and channel, between plane "
        f"{planes[0]} and plane {planes[-1]} (from 0)"
    )


def _one_ground(ground: str, times: Sequence[int], frames: int) -> str:
    """What is said of pictures without two kinds of ground: of all frames alike in one line."""
    if frames == 1:
        where = "the picture"
    elif len(times) == 1:
        where = f"frame {times[0]}"
    else:
        where = f"each of {len(times)} frames, the first of them frame {times[0]},"
    if ground == "empty":
        return f"{where} holds no colony"
    return f"{where} shows one kind of ground only; it was taken for one colony that fills it"
