"""What surrounds a simulated embryo, and how the microscope shows it all.

Modelled by eye on frames of time-lapse incubators (Hoffman modulation contrast): a round well with
a bright wall on one side and ripples beyond, relief from one side, granular cytoplasm, outlines
that show through each other, a grainy zona, clumps of cumulus cells, text in the corners.
"""

import dataclasses
import io

import numpy as np
from PIL import Image
from scipy import ndimage

from isl.phantom.cleavage.anatomy import Body, Embryo

BACKGROUND, EMBRYO, FRAGMENT = 0, 1, 2
# Notches between cells that light fills are about so wide, um.
_NOTCH = 9.0
# Gaps between fragments of one cluster that a person does not outline, um.
_BRIDGED = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything of a recording that stays from frame to frame.

    Attributes:
        size: Width and height of the frame, pixels.
        pixel_size: Micrometres.
        center: (y, x) of the embryo, pixels.
        light: Direction that the relief is lit from, radians.
        relief: Strength of the relief.
        outline: Strength of the dark line around every body.
        crescent: Strength of the broad bright and dark sides of cells.
        crescent_width: Of these sides, um.
        glint: Strength of the bright or dark notches where cells touch.
        patchy: Strength of the coarse granules in places of cells.
        refractile: Share of the fragments that are bright or dark blobs more than outlined bodies.
        rough: Strength of coarse granules within fragments.
        ground: Brightness of the empty well, [0, 1].
        cytoplasm: Brightness of cells relative to the ground.
        grain: Strength of the granules in cells.
        grain_size: Of the granules, um.
        shell: Strength of the zona's granules, relative to those of cells.
        contrast: Of all that is in the well.
        well: (y, x, radius) of the well, um from the frame's centre; radius 0: the frame lies
            within the well.
        wall: Brightness of the well's wall.
        debris: Clumps outside the zona.
        bubbles: Round bright things anywhere.
        shadows: Round things far out of focus.
        specks: Granules between cells and zona, too small to be outlined.
        blur: Standard deviation of the defocus, um.
        noise: Standard deviation of the camera's noise.
        quality: Of the JPEG compression, 1 to 100; 100: none.
        text: Whether white boxes with text are in the corners.
        seed: Of textures that do not change from frame to frame.
    """

    size: int
    pixel_size: float
    center: tuple[float, float]
    light: float
    relief: float
    outline: float
    crescent: float
    crescent_width: float
    glint: float
    patchy: float
    refractile: float
    rough: float
    ground: float
    cytoplasm: float
    grain: float
    grain_size: float
    shell: float
    contrast: float
    well: tuple[float, float, float]
    wall: float
    debris: tuple[Body, ...]
    bubbles: tuple[Body, ...]
    shadows: tuple[Body, ...]
    specks: tuple[Body, ...]
    blur: float
    noise: float
    quality: int
    text: bool
    seed: int


def make_scene(size: int, embryo: Embryo, rng: np.random.Generator) -> Scene:
    """A scene around an embryo, of a size in pixels."""
    outer = embryo.zona + embryo.thickness
    # Half as close as an embryo is looked at when it was found, half as incubators show it.
    close = rng.random() < 0.5
    width = 2 * outer * (rng.uniform(0.9, 1.25) if close else rng.uniform(1.25, 2.5))
    pixel_size = width / size
    room = max(0.06 * width, width / 2 - outer * 0.95)
    x, y = rng.uniform(-room, room, 2) * 0.8
    radius = rng.uniform(0.78, 1.0) * max(width / 2, outer * 1.1)
    towards = rng.uniform(0, 1) * max(0.0, radius - outer * 0.92)
    angle = rng.uniform(0, 2 * np.pi)
    well = (y + towards * np.sin(angle), x + towards * np.cos(angle), radius)
    if rng.random() < 0.2:
        well = (0.0, 0.0, 0.0)
    clumps = rng.choice([0, 0, 2, 4, 7])
    debris = tuple(body for _ in range(clumps) for body in _clump(outer, x, y, rng))
    bubbles = _scattered(rng.choice([0, 0, 1, 3]), (2, 7), width, rng)
    shadows = _scattered(rng.choice([0, 0, 1, 3]), (3, 12), width, rng)
    specks = _specks(embryo, int(rng.choice([0, 30, 80, 160])), rng)
    dim = rng.random() < 0.5
    return Scene(
        size=size,
        pixel_size=pixel_size,
        center=(size / 2 + y / pixel_size, size / 2 + x / pixel_size),
        light=rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2]) + rng.normal(0, 0.4),
        relief=rng.uniform(0.08, 0.3),
        outline=rng.uniform(0.03, 0.18),
        crescent=rng.uniform(0.0, 0.5),
        crescent_width=rng.uniform(1.5, 7.0),
        glint=rng.uniform(0.0, 0.45),
        patchy=rng.uniform(0.0, 0.12),
        refractile=rng.uniform(0, 1) ** 0.7,
        rough=rng.uniform(0.0, 0.15),
        ground=rng.uniform(0.18, 0.35) if dim else rng.uniform(0.4, 0.7),
        cytoplasm=rng.uniform(-0.13, 0.02),
        grain=rng.uniform(0.015, 0.075),
        grain_size=rng.uniform(0.45, 1.0),
        shell=rng.uniform(0.3, 1.1),
        contrast=(0.7 if dim else 1.0) * rng.uniform(0.7, 1.3),
        well=well,
        wall=rng.uniform(0.25, 1.3),
        debris=debris,
        bubbles=bubbles,
        shadows=shadows,
        specks=specks,
        blur=rng.uniform(0.2, 0.9),
        noise=rng.uniform(0.004, 0.025),
        quality=100 if rng.random() < 0.4 else int(rng.integers(40, 95)),
        text=bool(rng.random() < 0.4),
        seed=int(rng.integers(2**31)),
    )


def labels_of(embryo: Embryo, scene: Scene) -> np.ndarray:
    """What is where: uint8 [Y, X] of BACKGROUND, EMBRYO, FRAGMENT.

    Fragments are outlined as a person does it, cluster by cluster: what lies between bodies that
    nearly touch counts as fragment.
    """
    y, x = _places(scene)
    cells = np.zeros(y.shape, bool)
    for cell in embryo.cells:
        rows, columns = _window(cell, scene)
        cells[rows, columns] |= cell.distance(y[rows, columns], x[rows, columns]) < 1
    fragments = np.zeros(y.shape, bool)
    for body in embryo.fragments:
        rows, columns = _window(body, scene)
        fragments[rows, columns] |= body.distance(y[rows, columns], x[rows, columns]) < 1
    reach = max(1, round(_BRIDGED / scene.pixel_size))
    padded = np.pad(fragments, reach + 1)
    inner = slice(reach + 1, -reach - 1)
    closed = np.asarray(ndimage.binary_closing(padded, _disc(reach)), bool)[inner, inner]
    labels = np.where(cells | closed, EMBRYO, BACKGROUND).astype(np.uint8)
    labels[closed] = FRAGMENT
    return labels


def show(embryo: Embryo, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """What the camera records: uint8 [Y, X].

    Args:
        embryo: At the time of the frame.
        scene: Of the recording.
        rng: Source of what changes from frame to frame: granules and noise.
    """
    fixed = np.random.default_rng(scene.seed)
    y, x = _places(scene)
    away = np.hypot(y, x)
    phase = np.zeros(y.shape)
    dark = np.zeros(y.shape)
    inside = np.zeros(y.shape)
    for cell in embryo.cells:
        _add(phase, dark, cell, y, x, scene, strength=1.0)
        rows, columns = _window(cell, scene)
        soft = _soft(cell, y[rows, columns], x[rows, columns], scene)
        inside[rows, columns] = np.maximum(inside[rows, columns], soft)
    if embryo.cavity is not None:
        _add(phase, dark, embryo.cavity, y, x, scene, strength=-0.8)
        rows, columns = _window(embryo.cavity, scene)
        clear = _soft(embryo.cavity, y[rows, columns], x[rows, columns], scene)
        inside[rows, columns] *= 1 - 0.85 * clear
    for nucleus in embryo.nuclei:
        _add(phase, dark, nucleus, y, x, scene, strength=rng.uniform(-0.12, 0.06))
    for body in embryo.polar_bodies:
        _add(phase, dark, body, y, x, scene, strength=0.7)
        rows, columns = _window(body, scene)
        soft = 0.8 * _soft(body, y[rows, columns], x[rows, columns], scene)
        inside[rows, columns] = np.maximum(inside[rows, columns], soft)
    bright = np.zeros(y.shape)
    cells = np.zeros(y.shape)
    for cell in embryo.cells:
        rows, columns = _window(cell, scene)
        cells[rows, columns] += _soft(cell, y[rows, columns], x[rows, columns], scene)
    coarse_in_fragments = np.zeros(y.shape)
    for body in embryo.fragments:
        is_blob = rng.random() < scene.refractile
        strength = rng.uniform(0.5, 1.6) * (0.5 if is_blob else 1.0)
        _add(phase, dark, body, y, x, scene, strength=strength)
        rows, columns = _window(body, scene)
        glint = _soft(body, y[rows, columns], x[rows, columns], scene)
        if is_blob:
            bright[rows, columns] += rng.normal(0.5, 1.4) * _dome(
                body, y[rows, columns], x[rows, columns]
            )
        else:
            bright[rows, columns] += rng.normal(0.15, 0.5) * glint
        inside[rows, columns] = np.maximum(inside[rows, columns], rng.uniform(0.2, 1) * glint)
        coarse_in_fragments[rows, columns] = np.maximum(coarse_in_fragments[rows, columns], glint)
    for body in scene.specks:
        rows, columns = _window(body, scene)
        bright[rows, columns] += fixed.normal(0, 0.8) * _soft(
            body, y[rows, columns], x[rows, columns], scene
        )
    for body in scene.debris:
        _add(phase, dark, body, y, x, scene, strength=fixed.uniform(0.6, 1.6))
        rows, columns = _window(body, scene)
        clump = _soft(body, y[rows, columns], x[rows, columns], scene)
        bright[rows, columns] += fixed.normal(-0.2, 1.2) * clump
    for body in scene.bubbles:
        _add(phase, dark, body, y, x, scene, strength=fixed.uniform(-1.6, 1.6))
    outer = embryo.zona + embryo.thickness
    softness = max(scene.pixel_size, 1.2)
    zona = _step(away - embryo.zona, softness) * _step(outer - away, 2.5 * softness)
    well = _step(outer - away, softness)
    granules = _grain(scene, scene.grain_size, rng)
    coarse = _grain(scene, 2.5 * scene.grain_size, rng)
    shell = _grain(scene, 1.8 * scene.grain_size, fixed)
    lit = scene.relief * _lit(phase, scene)
    lit -= scene.outline * dark
    broad = ndimage.gaussian_filter(cells, scene.crescent_width / scene.pixel_size)
    dy, dx = np.gradient(broad, scene.pixel_size)
    slope = (np.cos(scene.light) * dx + np.sin(scene.light) * dy) * scene.crescent_width
    lit += scene.crescent * slope * (0.3 + 0.7 * np.clip(cells, 0, 1))
    lit += scene.glint * _notches(cells > 0.5, y, x, scene)
    lit += scene.patchy * _patches(embryo, y, x, scene) * _grain(scene, 1.2, rng)
    lit += scene.rough * coarse_in_fragments * _grain(scene, 1.6, rng)
    lit += scene.relief * 0.9 * bright
    lit += inside * (scene.cytoplasm + scene.grain * granules + 0.3 * scene.grain * coarse)
    lit += zona * (scene.shell * scene.grain * shell + 0.35 * scene.cytoplasm)
    seam = np.exp(-(((away - embryo.zona) / max(0.8, 0.8 * scene.pixel_size)) ** 2))
    lit += 0.35 * scene.relief * seam * _grain(scene, 1.0, fixed)
    hidden = np.zeros(y.shape)
    for body in scene.shadows:
        rows, columns = _window(body, scene)
        soft = _soft(body, y[rows, columns], x[rows, columns], scene)
        hidden[rows, columns] += fixed.uniform(-0.15, 0.05) * soft
    lit += ndimage.gaussian_filter(hidden, 3.0 / scene.pixel_size)
    lit += 0.25 * scene.relief * _lit(3 * (zona + 0.3 * well) * embryo.thickness, scene)
    lit += 0.008 * fixed.standard_normal(y.shape)
    image = _within_well(scene, scene.contrast * lit, fixed)
    image = ndimage.gaussian_filter(image, scene.blur / scene.pixel_size)
    image += scene.noise * rng.standard_normal(image.shape)
    values = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    values = _with_text(values, fixed) if scene.text else values
    return values if scene.quality >= 100 else _compressed(values, scene.quality)


def _notches(cells: np.ndarray, y: np.ndarray, x: np.ndarray, scene: Scene) -> np.ndarray:
    """How bright light makes what lies between cells that touch, [Y, X] in [-1, 1].

    Bright on the side that faces the light, dark on the other.
    """
    reach = max(1, round(_NOTCH / scene.pixel_size))
    padded = np.pad(cells, reach + 1)
    away = np.asarray(ndimage.distance_transform_edt(~padded))
    # A closing by a disc, as distances give it without its cost.
    kept = np.asarray(ndimage.distance_transform_edt(away <= reach)) > reach
    inner = slice(reach + 1, -reach - 1)
    notch = ndimage.gaussian_filter(
        (kept[inner, inner] & ~cells).astype(float), max(0.5, 0.8 / scene.pixel_size)
    )
    far = np.maximum(np.hypot(y, x), 1.0)
    return -notch * (np.cos(scene.light) * x + np.sin(scene.light) * y) / far


def _patches(embryo: Embryo, y: np.ndarray, x: np.ndarray, scene: Scene) -> np.ndarray:
    """Where granules are coarse, [Y, X] in [0, 1], within cells alone."""
    found = np.zeros(y.shape)
    for body in embryo.patches:
        rows, columns = _window(body, scene)
        there = _dome(body, y[rows, columns], x[rows, columns])
        found[rows, columns] = np.maximum(found[rows, columns], there)
    return found


def _places(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Micrometres from the embryo's centre, (y, x), each [Y, X]."""
    rows, columns = np.mgrid[: scene.size, : scene.size].astype(np.float64)
    y = (rows - scene.center[0]) * scene.pixel_size
    return y, (columns - scene.center[1]) * scene.pixel_size


def _window(body: Body, scene: Scene, margin: float = 4.0) -> tuple[slice, slice]:
    reach = body.radius * body.stretch + margin
    found = []
    for place, middle in ((body.y, scene.center[0]), (body.x, scene.center[1])):
        low = int(np.floor(middle + (place - reach) / scene.pixel_size))
        high = int(np.ceil(middle + (place + reach) / scene.pixel_size)) + 1
        found.append(slice(min(max(0, low), scene.size), min(max(0, high), scene.size)))
    return found[0], found[1]


def _add(
    phase: np.ndarray,
    dark: np.ndarray,
    body: Body,
    y: np.ndarray,
    x: np.ndarray,
    scene: Scene,
    *,
    strength: float,
) -> None:
    """Adds a body's thickness, um, and its outline, to maps [Y, X] in place."""
    rows, columns = _window(body, scene)
    distance = body.distance(y[rows, columns], x[rows, columns])
    height = np.sqrt(np.maximum(0, 1 - distance**2)) * body.radius
    phase[rows, columns] += strength * height * (4 / (4 + body.radius)) ** 0.35
    width = max(0.7, 0.8 * scene.pixel_size)
    edge = np.exp(-0.5 * ((distance - 1) * body.radius / width) ** 2)
    dark[rows, columns] = np.maximum(dark[rows, columns], abs(strength) * edge)


def _soft(body: Body, y: np.ndarray, x: np.ndarray, scene: Scene) -> np.ndarray:
    """1 inside a body, 0 outside, over about a pixel."""
    return _step((1 - body.distance(y, x)) * body.radius, scene.pixel_size)


def _step(depth: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(0.5 + depth / (2 * softness), 0, 1)


def _lit(phase: np.ndarray, scene: Scene) -> np.ndarray:
    """The slope of a thickness [Y, X], um, towards the light, its steepest parts cut."""
    smooth = ndimage.gaussian_filter(phase, max(0.5, 0.5 / scene.pixel_size))
    dy, dx = np.gradient(smooth, scene.pixel_size)
    return np.tanh(0.7 * (np.cos(scene.light) * dx + np.sin(scene.light) * dy))


def _grain(scene: Scene, width: float, rng: np.random.Generator) -> np.ndarray:
    """Granules [Y, X] of mean 0 and deviation 1."""
    noise = rng.standard_normal((scene.size, scene.size))
    smooth = ndimage.gaussian_filter(noise, width / scene.pixel_size)
    return smooth / max(float(smooth.std()), 1e-6)


def _within_well(scene: Scene, content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The brightness of well, wall and what lies beyond; `content` shows within the wall only."""
    y0, x0, radius = scene.well
    half = scene.size / 2
    rows, columns = np.mgrid[: scene.size, : scene.size]
    y, x = ((n - half + 0.5) * scene.pixel_size for n in (rows, columns))
    slope = rng.normal(0, 0.05, 2)
    uneven = 1 + (slope[0] * y + slope[1] * x) / (half * scene.pixel_size)
    ground = scene.ground * uneven
    if radius == 0:
        return ground + content
    away = np.hypot(y - y0, x - x0)
    bearing = np.arctan2(y - y0, x - x0)
    lit_from = rng.uniform(0, 2 * np.pi)
    facing = 0.5 + 0.5 * np.cos(bearing - lit_from)
    width = rng.uniform(0.03, 0.2) * radius
    sharp = rng.uniform(0.004, 0.03) * radius
    inside = 1 / (1 + np.exp(np.clip((away - radius) / sharp, -30, 30)))
    beyond = np.maximum(away - radius, 0)
    ripples = 1 + 0.25 * np.sin(beyond / rng.uniform(2, 6) + rng.uniform(0, 6)) * np.exp(
        -beyond / (0.5 * radius)
    )
    outside = scene.ground * rng.uniform(0.1, 0.9) * facing * ripples
    wall = scene.wall * facing ** rng.uniform(0.3, 3) * np.exp(-((beyond / width - 0.5) ** 2) * 2)
    shadow = 1 - 0.5 * np.exp(-(((away - radius) / (2 * sharp)) ** 2)) * (1 - facing)
    shown = ground + content
    return shadow * inside * shown + (1 - inside) * (outside + wall + 0.5 * content)


def _clump(outer: float, x: float, y: float, rng: np.random.Generator) -> tuple[Body, ...]:
    """Cumulus cells or granules beside the zona; places are from the embryo's centre."""
    angle = rng.uniform(0, 2 * np.pi)
    away = outer * rng.uniform(0.98, 1.5)
    spread = rng.uniform(3, 11)
    middle = away * np.array([np.cos(angle), np.sin(angle)])
    bodies = []
    for _ in range(int(rng.integers(4, 40))):
        place = middle + rng.normal(0, spread, 2)
        if np.hypot(*place) > 0.97 * outer:
            bodies.append(Body(x=place[0], y=place[1], radius=rng.uniform(1.2, 6.0)))
    return tuple(bodies)


def _scattered(
    count: int, radii: tuple[float, float], width: float, rng: np.random.Generator
) -> tuple[Body, ...]:
    """Round things anywhere in a frame and somewhat beyond; places are from the embryo's centre."""
    return tuple(
        Body(x=x, y=y, radius=rng.uniform(*radii))
        for x, y in rng.uniform(-width, width, (count, 2))
    )


def _specks(embryo: Embryo, count: int, rng: np.random.Generator) -> tuple[Body, ...]:
    """Granules over an arc just within the zona."""
    middle, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 2.0)
    found = []
    for _ in range(count):
        angle, away = middle + rng.normal(0, spread), embryo.zona * rng.uniform(0.86, 1.0)
        place = away * np.cos(angle), away * np.sin(angle)
        found.append(Body(x=place[0], y=place[1], radius=rng.uniform(0.5, 2.2)))
    return tuple(found)


def _dome(body: Body, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """1 in the middle of a body, falling to 0 at its outline."""
    return np.clip(1 - body.distance(y, x) ** 2, 0, 1)


def _compressed(values: np.ndarray, quality: int) -> np.ndarray:
    """uint8 [Y, X] as it comes back from a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def _disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.hypot(y, x) <= radius + 0.5


def _with_text(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White boxes with dark strokes in the two lower corners, or the upper ones."""
    size = values.shape[0]
    height, width = max(4, size // 36), max(10, size // 14)
    low = bool(rng.random() < 0.8)
    rows = slice(size - 2 * height, size - height) if low else slice(height, 2 * height)
    shown = values.copy()
    for left in (size // 80 + 1, size - width - size // 80 - 1):
        box = np.full((height, width), 255, np.uint8)
        strokes = rng.random((height - 2, width - 2)) < 0.35
        box[1:-1, 1:-1][strokes] = 20
        shown[rows, left : left + width] = box
    return shown
