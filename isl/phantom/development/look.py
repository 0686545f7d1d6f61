"""How an embryo looks at an hour: zona, cells, fragments, morula and cavity, drawn in the plane.

Not optics: soft discs with rims, and grain that only cytoplasm has. It is fast (about a
millisecond a frame) and shows what development is told by, and it looks like an embryo from afar.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from isl.phantom.development.biology import Development

# In radii of the zona's inside.
_ZONA = 1.16
_THIN_ZONA = 1.07
_EXPANSION = 0.18
_SPOTS = 40
_GRAIN = 192


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What an embryo looks like, whatever happens to it.

    Attributes:
        radius: Of the zona's inside, as a share of the picture's width.
        angle: In which direction the first cleavage goes, radians.
        turn: By how much it turns, radians an hour.
        places: float [16, 2], where cells of the 16-cell stage lie, in radii.
        spots: float [40, 3], where fragments lie (y, x), and how large they are, in radii.
        cavity: In which direction the cavity lies, radians.
        grain: float32 [192, 192], cytoplasm, mean 0 and deviation 1.
        wander: Share of the picture by which the embryo moves about.
    """

    radius: float
    angle: float
    turn: float
    places: np.ndarray
    spots: np.ndarray
    cavity: float
    grain: np.ndarray
    wander: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clinic:
    """How a clinic's incubator takes pictures.

    Attributes:
        brightness: Of an empty place, 0 to 1.
        contrast: Of everything against it.
        blur: Standard deviation of the optics' spread, as a share of the picture's width.
        defocus: How much more a frame may be blurred, from time to time.
        noise: Standard deviation, of full scale 1.
        unevenness: By how much light differs from side to side.
    """

    brightness: float = 0.55
    contrast: float = 1.0
    blur: float = 0.006
    defocus: float = 0.012
    noise: float = 0.02
    unevenness: float = 0.05


CLINICS = {
    "first": Clinic(),
    "second": Clinic(
        brightness=0.42, contrast=0.7, blur=0.011, defocus=0.02, noise=0.035, unevenness=0.12
    ),
}
"""Two clinics, by name; the second has a poorer microscope."""


def draw_look(rng: np.random.Generator) -> Look:
    """An embryo's look."""
    grain = ndimage.gaussian_filter(rng.standard_normal((_GRAIN, _GRAIN)), 1.2, mode="wrap")
    distance = np.sqrt(rng.uniform(0.0, 0.75, _SPOTS))
    bearing = rng.uniform(-np.pi, np.pi, _SPOTS)
    sizes = rng.uniform(0.08, 0.16, _SPOTS)
    spots = np.stack([distance * np.sin(bearing), distance * np.cos(bearing), sizes], axis=1)
    return Look(
        radius=float(rng.uniform(0.27, 0.31)),
        angle=float(rng.uniform(-np.pi, np.pi)),
        turn=float(rng.normal(0, 0.01)),
        places=_scattered(rng),
        spots=spots,
        cavity=float(rng.uniform(-np.pi, np.pi)),
        grain=(grain / grain.std()).astype(np.float32),
        wander=float(rng.uniform(0.0, 0.03)),
    )


def draw_frame(development: Development, look: Look, hour: float, size: int) -> np.ndarray:
    """An embryo in its well at an hour, without the camera.

    Args:
        development: What happens.
        look: What the embryo looks like.
        hour: After insemination.
        size: Rows and columns.

    Returns:
        float32 [Y, X], brightness against an empty place, which is 0.
    """
    cavity = development.cavity_at(hour)
    radius = look.radius * size * (1 + _EXPANSION * cavity)
    y, x = _plane(look, hour, size, radius)
    distance = np.hypot(y, x)
    soft = 1.6 / radius
    light = _well(look, size)
    zona = _ZONA + (_THIN_ZONA - _ZONA) * cavity
    light += 0.10 * _ring(distance, (1 + zona) / 2, (zona - 1) / 1.5)
    light -= 0.22 * (_ring(distance, zona, soft) + 0.6 * _ring(distance, 1.0, soft))
    compacted = development.compacted_at(hour)
    inside = np.zeros_like(light)
    rims = np.zeros_like(light)
    if compacted < 1:
        for cy, cx, own in _cells(development.cells_at(hour), look):
            away = np.hypot(y - cy, x - cx)
            np.maximum(inside, _disc(away, own, soft), out=inside)
            np.maximum(rims, _ring(away, own, soft), out=rims)
        inside *= 1 - compacted
        rims *= 1 - compacted
    if compacted:
        outline = 0.86 + 0.14 * cavity + 0.02 * np.cos(7 * np.arctan2(y, x) + look.angle)
        np.maximum(inside, compacted * _disc(distance, outline, soft), out=inside)
        np.maximum(rims, compacted * _ring(distance, outline, soft), out=rims)
    if cavity:
        inside, rims = _with_cavity(inside, rims, (y, x), look, cavity, soft)
    light += inside * (-0.06 + 0.09 * _grain(look, y, x)) - 0.3 * rims
    return light + _fragments(development.fragments_at(hour), look, (y, x), soft)


def photograph(
    light: np.ndarray, clinic: Clinic, defocus: float, rng: np.random.Generator
) -> np.ndarray:
    """What a clinic's camera makes of it.

    Args:
        light: float32 [Y, X] as `draw_frame` gives it.
        clinic: Whose camera.
        defocus: 0 (in focus) to 1 (as bad as it gets there).
        rng: Source of noise.

    Returns:
        uint8 [Y, X].
    """
    size = light.shape[-1]
    spread = np.hypot(clinic.blur, clinic.defocus * defocus) * size
    seen = ndimage.gaussian_filter(light, spread, mode="nearest")
    ramp = np.linspace(-1, 1, size, dtype=np.float32)[None, :]
    lit = (clinic.brightness + clinic.contrast * seen) * (1 + clinic.unevenness * ramp)
    noisy = lit + clinic.noise * rng.standard_normal(lit.shape, dtype=np.float32)
    return np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)


def middle_of(look: Look, hour: float, size: int) -> tuple[float, float]:
    """Where the embryo's middle is, in pixels (y, x)."""
    by = look.wander * size
    phase = hour / 40 + look.angle
    return size / 2 - 0.5 + by * np.sin(phase), size / 2 - 0.5 + by * np.cos(1.3 * phase)


def _plane(look: Look, hour: float, size: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of pixels against the embryo's middle, in its radii, turned as it is."""
    middle = middle_of(look, hour, size)
    y, x = (np.arange(size, dtype=np.float32) - m for m in middle)
    angle = look.angle + look.turn * hour
    cosine, sine = np.float32(np.cos(angle) / radius), np.float32(np.sin(angle) / radius)
    turned_y = cosine * y[:, None] - sine * x[None, :]
    turned_x = sine * y[:, None] + cosine * x[None, :]
    return turned_y, turned_x


def _well(look: Look, size: int) -> np.ndarray:
    """The wall of the well, which stands still."""
    place = (np.arange(size, dtype=np.float32) - (size / 2 - 0.5)) / (0.47 * size)
    away = np.hypot(place[:, None], place[None, :])
    return -0.2 * _disc(-away, -1.0, 0.02) - 0.15 * _ring(away, 1.0, 0.02)


def _disc(distance: np.ndarray, radius: float | np.ndarray, soft: float) -> np.ndarray:
    """1 within a radius, 0 beyond."""
    return np.clip(0.5 + (radius - distance) / (2 * soft), 0, 1).astype(np.float32)


def _ring(distance: np.ndarray, radius: float | np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(((distance - radius) / width) ** 2)).astype(np.float32)


def _cells(count: int, look: Look) -> list[tuple[float, float, float]]:
    """Middle (y, x) and radius of every cell, in radii of the zona's inside."""
    if count == 1:
        return [(0.0, 0.0, 0.88)]
    own = 0.86 * count ** (-0.4)
    if count == 16:
        return [(float(y), float(x), own) for y, x in look.places]
    around = count if count < 6 else count - 1
    reach = 0.86 - own
    cells = [
        (
            reach * float(np.sin(2 * np.pi * i / around)),
            reach * float(np.cos(2 * np.pi * i / around)),
            own,
        )
        for i in range(around)
    ]
    return cells if around == count else [*cells, (0.0, 0.0, own)]


def _scattered(rng: np.random.Generator) -> np.ndarray:
    """16 places within a disc, evenly but not in order; [16, 2]."""
    index = np.arange(16)
    distance = 0.6 * np.sqrt((index + 0.5) / 16)
    bearing = index * np.pi * (3 - np.sqrt(5))
    places = np.stack([distance * np.sin(bearing), distance * np.cos(bearing)], axis=1)
    return places + rng.normal(0, 0.03, places.shape)


def _with_cavity(
    inside: np.ndarray,
    rims: np.ndarray,
    plane: tuple[np.ndarray, np.ndarray],
    look: Look,
    cavity: float,
    soft: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Cytoplasm makes room for a cavity at one side, which has a rim of its own."""
    y, x = plane
    radius = 0.2 + 0.56 * cavity
    off = 0.9 - radius
    away = np.hypot(y - off * np.sin(look.cavity), x - off * np.cos(look.cavity))
    hollow = _disc(away, radius, soft) * min(1.0, 4 * cavity)
    return inside * (1 - hollow), np.maximum(rims * (1 - hollow), 0.6 * _ring(away, radius, soft))


def _grain(look: Look, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Grain at each place; it turns with the embryo."""
    scale = _GRAIN / 5
    rows = (np.rint(y * scale).astype(np.int32) + _GRAIN // 2) % _GRAIN
    columns = (np.rint(x * scale).astype(np.int32) + _GRAIN // 2) % _GRAIN
    return look.grain[rows, columns]


def _fragments(
    share: float, look: Look, plane: tuple[np.ndarray, np.ndarray], soft: float
) -> np.ndarray:
    """Fragments that together fill a share of the zona; the last one is drawn in part."""
    y, x = plane
    light = np.zeros_like(y)
    left = share
    for cy, cx, own in look.spots:
        if left <= 0:
            break
        part = min(1.0, left / own**2)
        left -= own**2
        radius = own * np.sqrt(part)
        away = np.hypot(y - cy, x - cx)
        light += 0.25 * _disc(away, radius, soft) - 0.3 * _ring(away, radius, soft)
    return light
