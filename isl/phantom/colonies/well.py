"""Simulated wells and time-lapses of colonies: pictures, label images, and what each colony is."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pydantic
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter

from isl.config import Config
from isl.phantom.camera import store
from isl.phantom.colonies.textures import CLASSES, TEXTURES, halo

MIXED = "mixed"
"""What a colony of several classes is called; the paper's "multi-label" images."""
# The paper's table 1, and the two kinds of its multi-label images.
_COUNTS = {"debris": 3587, "dense": 3934, "differentiated": 656, "spread": 10506}
_BACKGROUND = 0.45
# Pixels of the texture that are drawn beyond a colony's outline, for its seam.
_MARGIN = 10
_TRIES = 60


class ColonyWellConfig(Config):
    """What is simulated; the defaults are the paper's wells.

    Attributes:
        size: Width and height of the well's picture, in pixels.
        pixel_size: Micrometres.
        colonies: How many there are at the most; fewer where there is no more room.
        counts: How often each class occurs, as the paper counted.
        partly_differentiated: How often colonies of several classes, differentiated among them,
            occur, on the same scale.
        partly_spread: How often colonies of several classes, spread among them, occur.
        diameter: Median diameter of a colony, in pixels.
        diameter_spread: Standard deviation of the diameter's logarithm.
        smallest: Sides of the smallest box of a colony, in pixels.
        largest: Sides of the largest.
        zoom: Size of cells, as a share of the usual.
        variety: Standard deviation of the logarithm of a colony's contrast, and twice that of its
            cells' size.
        overlap: A colony of one class looks like another one by up to this share.
        gap: Pixels between colonies that do not touch; 0: none is kept.
        touching: Share of the colonies that are laid against another one.
        light: Relative deviation of the light over the well.
        noise: Standard deviation of the camera's noise, as a share of full scale.
        specks: Loose bright specks outside of colonies, for each million pixels.
    """

    size: int = pydantic.Field(default=2908, ge=64)
    pixel_size: float = pydantic.Field(default=0.8, gt=0)
    colonies: int = pydantic.Field(default=45, ge=0)
    counts: Mapping[str, float] = _COUNTS
    partly_differentiated: float = pydantic.Field(default=1436, ge=0)
    partly_spread: float = pydantic.Field(default=1223, ge=0)
    diameter: float = pydantic.Field(default=210, gt=8)
    diameter_spread: float = pydantic.Field(default=0.45, ge=0)
    smallest: tuple[int, int] = (55, 85)
    largest: tuple[int, int] = (771, 1298)
    zoom: float = pydantic.Field(default=1.0, gt=0)
    variety: float = pydantic.Field(default=0.2, ge=0)
    overlap: float = pydantic.Field(default=0.3, ge=0, lt=0.5)
    gap: int = pydantic.Field(default=16, ge=0)
    touching: float = pydantic.Field(default=0.0, ge=0, le=1)
    light: float = pydantic.Field(default=0.0, ge=0)
    noise: float = pydantic.Field(default=0.003, ge=0)
    specks: float = pydantic.Field(default=0.0, ge=0)

    @pydantic.model_validator(mode="after")
    def _classes_are_known(self) -> "ColonyWellConfig":
        for kind in self.counts:
            if kind not in CLASSES:
                raise ValueError(f"counts: unknown class '{kind}' (known: {', '.join(CLASSES)})")
        if not sum(self.counts.values()) + self.partly_differentiated + self.partly_spread:
            raise ValueError("counts: at least one class must occur")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrueColony:
    """One colony as it was simulated.

    Attributes:
        number: Its number in the label image, the same in every frame.
        kind: Its class, or "mixed".
        shares: Share of its area by class.
        box: First row, first column, and those after the last.
    """

    number: int
    kind: str
    shares: Mapping[str, float]
    box: tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrueWell:
    """A simulated well, or one frame of its time-lapse.

    Attributes:
        image: uint16 [Y, X].
        labels: int32 [Y, X]; 0 is background, everything else a colony's number.
        colonies: In order of their numbers.
        pixel_size: Micrometres.
    """

    image: np.ndarray
    labels: np.ndarray
    colonies: tuple[TrueColony, ...]
    pixel_size: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plan:
    """A colony before it is drawn: where it lies, its outline, and what it is made of.

    Attributes:
        number: Its number.
        center: Row and column.
        radii: Half axes in pixels.
        angle: Direction of the first half axis.
        harmonics: Amplitude and phase of the outline's waves of order 2, 3, ...
        shares: Share by class.
        seed: Of its texture.
    """

    number: int
    center: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    harmonics: tuple[tuple[float, float], ...]
    shares: Mapping[str, float]
    seed: int


def make_well(config: ColonyWellConfig, rng: np.random.Generator) -> TrueWell:
    """Simulates one picture of a well."""
    return _draw(config, _planned(config, rng), rng, _light(config, rng))


def make_film(
    config: ColonyWellConfig, frames: int, rng: np.random.Generator, *, growth: float = 0.35
) -> list[TrueWell]:
    """Simulates a time-lapse in which colonies grow and their composition drifts.

    A colony passes from dense by way of spread to differentiated, and some decay into debris; a
    class turns into the next over a few frames, during which the colony is mixed.

    Args:
        config: The last frame's sizes, and the first frame's classes.
        frames: How many.
        rng: Source of everything random.
        growth: By how much a colony's diameter grows over the film, as a share of the last.
    """
    plans = _planned(config, rng)
    light = _light(config, rng)
    order = {"dense": "spread", "spread": "differentiated"}
    turns = {}
    for plan in plans:
        first = max(plan.shares, key=lambda kind: plan.shares[kind])
        then = "debris" if rng.random() < 0.15 else order.get(first, first)
        turns[plan.number] = (first, then, float(rng.uniform(0.05, 1.2)))
    films = []
    for frame in range(frames):
        now = frame / max(frames - 1, 1)
        moved = []
        for plan in plans:
            first, then, when = turns[plan.number]
            part = float(np.clip((now - when) / 0.1 + 0.5, 0, 1))
            shares = plan.shares
            if then != first and part > 0:
                shares = {first: 1 - part, then: part} if part < 1 else {then: 1.0}
            size = 1 - growth * (1 - now)
            radii = (plan.radii[0] * size, plan.radii[1] * size)
            moved.append(dataclasses.replace(plan, radii=radii, shares=shares))
        films.append(_draw(config, moved, rng, light))
    return films


def _planned(config: ColonyWellConfig, rng: np.random.Generator) -> list[_Plan]:
    """Colonies laid out so that they do not overlap, the large ones first."""
    sizes = [_radii(config, rng) for _ in range(config.colonies)]
    taken = np.zeros((config.size, config.size), bool)
    plans: list[_Plan] = []
    for radii in sorted(sizes, reverse=True):
        angle, harmonics = rng.uniform(0, np.pi), _harmonics(rng)
        shares = _composition(config, rng)
        for _ in range(_TRIES):
            touches = bool(plans) and rng.random() < config.touching
            center = _beside(plans, radii, rng) if touches else _anywhere(config, radii, rng)
            plan = _Plan(
                number=len(plans) + 1,
                center=center,
                radii=radii,
                angle=angle,
                harmonics=harmonics,
                shares=shares,
                seed=int(rng.integers(2**32)),
            )
            window, outward = _outline(plan, config.size)
            near = outward <= (0.5 if touches else config.gap)
            if not near.any():
                continue
            overlap = taken[window][near].mean()
            if overlap > (0.08 if touches else 0.0):
                continue
            taken[window] |= outward <= 0
            plans.append(plan)
            break
    return plans


def _radii(config: ColonyWellConfig, rng: np.random.Generator) -> tuple[float, float]:
    diameter = config.diameter * np.exp(rng.normal(0, config.diameter_spread))
    stretch = np.exp(rng.uniform(0, 0.25))
    limits = zip(config.smallest, config.largest, strict=True)
    short, long = (
        float(np.clip(side, *limit)) / 2
        for side, limit in zip((diameter / stretch, diameter * stretch), limits, strict=True)
    )
    most = 0.45 * config.size
    return min(long, most), min(short, most)


def _harmonics(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    return tuple(
        (float(rng.normal(0, 0.09 / order)), float(rng.uniform(0, 2 * np.pi)))
        for order in range(2, 7)
    )


def _composition(config: ColonyWellConfig, rng: np.random.Generator) -> dict[str, float]:
    """Shares by class of one colony, drawn as often as the configuration says."""
    names = list(config.counts)
    weights = [*config.counts.values(), config.partly_differentiated, config.partly_spread]
    drawn = int(rng.choice(len(weights), p=np.array(weights) / np.sum(weights)))
    if drawn < len(names):
        return {names[drawn]: 1.0}
    main = ("differentiated", "spread")[drawn - len(names)]
    beside = [kind for kind in ("spread", "dense", "debris") if kind != main]
    part = float(rng.uniform(0.3, 0.7))
    return {main: part, str(rng.choice(beside)): 1 - part}


def _anywhere(
    config: ColonyWellConfig, radii: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float]:
    """Some place, at which a colony may reach a little beyond the border."""
    edge = min(0.8 * max(radii), config.size / 2 - 1)
    row, column = rng.uniform(edge, config.size - edge, 2)
    return float(row), float(column)


def _beside(
    plans: Sequence[_Plan], radii: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float]:
    other = plans[int(rng.integers(len(plans)))]
    bearing = rng.uniform(0, 2 * np.pi)
    apart = 0.97 * (np.mean(other.radii) + np.mean(radii))
    return (
        float(other.center[0] + apart * np.sin(bearing)),
        float(other.center[1] + apart * np.cos(bearing)),
    )


def _outline(plan: _Plan, size: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """The window of a well that holds a colony, and each pixel's distance outward from its edge.

    Distances are negative inside, and rough far from the edge.
    """
    bulge = 1 + sum(abs(amplitude) for amplitude, _ in plan.harmonics)
    reach = max(plan.radii) * bulge + _MARGIN
    rows, columns = (
        slice(max(0, int(middle - reach)), min(size, int(middle + reach) + 2))
        for middle in plan.center
    )
    y = np.arange(rows.start, rows.stop)[:, None] - plan.center[0]
    x = np.arange(columns.start, columns.stop)[None, :] - plan.center[1]
    along = np.cos(plan.angle) * x + np.sin(plan.angle) * y
    across = np.cos(plan.angle) * y - np.sin(plan.angle) * x
    long, short = plan.radii
    lateral = np.hypot(along / long, across / short)
    bearing = np.arctan2(across / short, along / long)
    wave = np.ones_like(lateral)
    for order, (amplitude, phase) in enumerate(plan.harmonics, start=2):
        wave += amplitude * np.cos(order * bearing + phase)
    return (rows, columns), (lateral / wave - 1) * np.sqrt(long * short)


def _light(config: ColonyWellConfig, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, float64 [Y, X], 1 in the mean."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, config.size)] * 2, indexing="ij")
    terms = np.stack([y, x, y * x, 1.5 * y**2 - 0.5, 1.5 * x**2 - 0.5])
    field = np.tensordot(rng.standard_normal(len(terms)), terms, axes=1)
    field = (field - field.mean()) / max(field.std(), 1e-9)
    return 1 + config.light * field


def _draw(
    config: ColonyWellConfig, plans: Sequence[_Plan], rng: np.random.Generator, light: np.ndarray
) -> TrueWell:
    shape = (config.size, config.size)
    light = light.copy()
    relative = np.zeros(shape)
    labels = np.zeros(shape, np.int32)
    for plan in plans:
        window, outward = _outline(plan, config.size)
        fresh = np.random.default_rng(plan.seed)
        relative_window = relative[window]
        inside = (outward <= 0) & (labels[window] == 0)
        if not inside.any():
            continue
        parts = _parts(plan.shares, inside, fresh)
        for index, kind in enumerate(plan.shares):
            own = parts == index
            relative_window[own] = _texture(kind, inside.shape, config, fresh)[own]
        main = max(plan.shares, key=lambda kind: plan.shares[kind])
        away = np.asarray(distance_transform_edt(~inside))
        seam = (away > 0) & (away <= _MARGIN) & (labels[window] == 0)
        relative_window[seam] += halo(away, main, config.zoom)[seam]
        labels[window][inside] = plan.number
    relative += _specks(config, labels, rng)
    image = light * (_BACKGROUND + relative) + config.noise * rng.standard_normal(shape)
    return TrueWell(
        image=store(image),
        labels=labels,
        colonies=tuple(_described(plans, labels)),
        pixel_size=config.pixel_size,
    )


def _texture(
    kind: str, shape: tuple[int, int], config: ColonyWellConfig, rng: np.random.Generator
) -> np.ndarray:
    """A colony's texture, somewhat like that of another class, float64 [Y, X]."""
    zoom = config.zoom * float(np.exp(rng.normal(0, config.variety / 2)))
    contrast = float(np.exp(rng.normal(0, config.variety)))
    other = str(rng.choice([each for each in CLASSES if each != kind]))
    part = rng.uniform(0, config.overlap)
    texture = TEXTURES[kind](shape, zoom, rng)
    if part > 0:
        texture = (1 - part) * texture + part * TEXTURES[other](shape, zoom, rng)
    return contrast * texture


def _parts(shares: Mapping[str, float], inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of a colony's classes each pixel inside belongs to: -1 outside, [Y, X]."""
    parts = np.where(inside, 0, -1)
    if len(shares) > 1:
        field = gaussian_filter(rng.standard_normal(inside.shape), 0.2 * max(inside.shape))
        first = next(iter(shares.values()))
        parts[inside & (field > np.quantile(field[inside], first))] = 1
    return parts


def _specks(config: ColonyWellConfig, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loose bright specks that are no colony, float64 [Y, X]."""
    points = np.zeros(labels.shape)
    count = rng.poisson(config.specks * labels.size / 1e6)
    rows, columns = rng.integers(0, config.size, (2, count))
    points[rows, columns] = (labels[rows, columns] == 0) * rng.uniform(0.3, 1, count)
    width = 2.0 * config.zoom
    return 0.35 * gaussian_filter(points, width) * (2 * np.pi * width**2)


def _described(plans: Sequence[_Plan], labels: np.ndarray) -> list[TrueColony]:
    boxes = find_objects(labels)
    colonies = []
    for plan in plans:
        box = boxes[plan.number - 1] if plan.number <= len(boxes) else None
        if box is None:
            continue
        kind = next(iter(plan.shares)) if len(plan.shares) == 1 else MIXED
        colonies.append(
            TrueColony(
                number=plan.number,
                kind=kind,
                shares=dict(plan.shares),
                box=(box[0].start, box[1].start, box[0].stop, box[1].stop),
            )
        )
    return colonies
