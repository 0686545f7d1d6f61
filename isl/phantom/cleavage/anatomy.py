"""What a simulated cleavage-stage embryo is made of: zona, blastomeres, fragments, polar bodies.

Lengths are in micrometres from the embryo's centre, x to the right, y down. An embryo is about 130
um wide within its zona; blastomeres share one volume, fragments are clusters of small round bodies
between and upon them.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

MOST_SHARE = 0.6
_ROUNDS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """A blastomere, fragment or polar body as seen from above.

    Attributes:
        x: Of its centre, um.
        y: Of its centre, um.
        radius: Geometric mean of its half axes, um.
        stretch: Ratio of the longer half axis to the mean.
        angle: Direction of the longer half axis, radians.
        dent: How far the outline leaves the ellipse, in half axes; three times around.
        turn: Where it does, radians.
    """

    x: float
    y: float
    radius: float
    stretch: float = 1.0
    angle: float = 0.0
    dent: float = 0.0
    turn: float = 0.0

    def distance(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """How far points lie from the centre, in half axes: 1 on the outline."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        along = cosine * (x - self.x) + sine * (y - self.y)
        across = cosine * (y - self.y) - sine * (x - self.x)
        distance = np.hypot(
            along / (self.radius * self.stretch), across * self.stretch / self.radius
        )
        if not self.dent:
            return distance
        return distance * (1 + self.dent * np.cos(3 * np.arctan2(across, along) + self.turn))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embryo:
    """One embryo at one time.

    Attributes:
        zona: Inner radius of the zona, um.
        thickness: Of the zona, um.
        cells: Blastomeres.
        fragments: Small bodies; clusters of them are what a person outlines.
        polar_bodies: Small bodies beside the embryo that are no fragments.
        nuclei: Faint rings in cells; two pronuclei in the only cell of a zygote.
        patches: Where the granules of a cell are coarse: easily taken for fragments, and none.
        cavity: Of a blastocyst: clear, without granules.
    """

    zona: float
    thickness: float
    cells: tuple[Body, ...]
    fragments: tuple[Body, ...]
    polar_bodies: tuple[Body, ...] = ()
    nuclei: tuple[Body, ...] = ()
    patches: tuple[Body, ...] = ()
    cavity: Body | None = None


def make_embryo(cells: int, share: float, rng: np.random.Generator) -> Embryo:
    """An embryo of so many cells, with fragments of about a share of its area.

    Args:
        cells: 1 to 10 blastomeres.
        share: Fragment area over embryo area to aim at, [0, MOST_SHARE]; what is drawn says what
            came of it.
        rng: Source of everything else.
    """
    if not 1 <= cells <= 10:
        raise ValueError(f"{cells} cells: cleavage stages have 1 to 10")
    if not 0 <= share <= MOST_SHARE:
        raise ValueError(f"a share of {share}: expected 0 to {MOST_SHARE}")
    zona = rng.uniform(58, 70)
    blastomeres = _blastomeres(cells, share, zona, rng)
    fragments = _fragments(blastomeres, share, zona, rng)
    polar = tuple(
        _at_border(zona, rng.uniform(4.5, 8.0), rng) for _ in range(rng.choice([0, 0, 1, 2]))
    )
    nuclei = tuple(_nucleus(cell, rng) for cell in blastomeres if rng.random() < 0.35)
    if cells == 1:
        nuclei = tuple(_nucleus(blastomeres[0], rng) for _ in range(2))
    patches = tuple(
        _patch(cell, rng) for cell in blastomeres for _ in range(rng.choice([0, 0, 1, 2]))
    )
    return Embryo(
        zona=zona,
        thickness=rng.uniform(10, 17),
        cells=blastomeres,
        fragments=fragments,
        polar_bodies=polar,
        nuclei=nuclei,
        patches=patches,
    )


OTHERS = ("oocyte", "zygote", "morula", "blastocyst")
"""Stages before and after cleavage, which are not graded."""


def make_other(stage: str, rng: np.random.Generator) -> Embryo:
    """An oocyte or embryo of a stage of OTHERS; nothing in it is a fragment."""
    if stage in ("oocyte", "zygote"):
        embryo = make_embryo(1, 0.0, rng)
        return embryo if stage == "zygote" else dataclasses.replace(embryo, nuclei=())
    embryo = make_embryo(2, 0.0, rng)
    expanded = rng.uniform(1.0, 1.3) if stage == "blastocyst" else 1.0
    zona = expanded * embryo.zona
    outline = Body(
        x=0.0,
        y=0.0,
        radius=zona * rng.uniform(0.8, 0.97) / expanded**0.3,
        stretch=1 + abs(rng.normal(0, 0.03)),
        angle=rng.uniform(0, np.pi),
        dent=abs(rng.normal(0, 0.015)),
        turn=rng.uniform(0, 2 * np.pi),
    )
    if stage == "morula":
        inner = _blastomeres(int(rng.integers(12, 25)), 0.0, 0.9 * outline.radius, rng)
        return dataclasses.replace(embryo, cells=(outline, *inner), nuclei=(), patches=())
    cavity, cells = _hollow(outline, rng)
    return dataclasses.replace(
        embryo,
        zona=zona,
        thickness=embryo.thickness / expanded**3,
        cells=(outline, *cells),
        nuclei=(),
        patches=(),
        cavity=cavity,
    )


def _hollow(outline: Body, rng: np.random.Generator) -> tuple[Body, tuple[Body, ...]]:
    """The cavity of a blastocyst, and its cells: a cluster opposite, and flat ones all around."""
    radius, angle = outline.radius, rng.uniform(0, 2 * np.pi)
    hollow = radius * rng.uniform(0.55, 0.88)
    off = (0.93 * radius - hollow) * rng.uniform(0.7, 1.0)
    cavity = Body(
        x=off * np.cos(angle), y=off * np.sin(angle), radius=hollow, dent=rng.uniform(0, 0.04)
    )
    cells = []
    for _ in range(int(rng.integers(6, 14))):
        bearing = angle + np.pi + rng.normal(0, 0.35)
        away = radius * rng.uniform(0.5, 0.85)
        place = away * np.cos(bearing), away * np.sin(bearing)
        cells.append(Body(x=place[0], y=place[1], radius=rng.uniform(6, 10)))
    for bearing in np.linspace(0, 2 * np.pi, int(rng.integers(10, 24)), endpoint=False):
        at = bearing + rng.normal(0, 0.1)
        place = 0.95 * radius * np.cos(at), 0.95 * radius * np.sin(at)
        cells.append(
            Body(
                x=place[0],
                y=place[1],
                radius=rng.uniform(4, 7),
                stretch=rng.uniform(1.5, 2.5),
                angle=at + np.pi / 2,
            )
        )
    return cavity, tuple(cells)


def moved_on(embryo: Embryo, cells: int, share: float, rng: np.random.Generator) -> Embryo:
    """The same embryo at another time: same zona and polar bodies, other cells and fragments."""
    later = make_embryo(cells, share, rng)
    scale = embryo.zona / later.zona
    return dataclasses.replace(
        later,
        zona=embryo.zona,
        thickness=embryo.thickness,
        cells=_scaled(later.cells, scale),
        fragments=_scaled(later.fragments, scale),
        nuclei=_scaled(later.nuclei, scale),
        patches=_scaled(later.patches, scale),
        polar_bodies=embryo.polar_bodies,
    )


def _scaled(bodies: Sequence[Body], scale: float) -> tuple[Body, ...]:
    return tuple(
        dataclasses.replace(b, x=scale * b.x, y=scale * b.y, radius=scale * b.radius)
        for b in bodies
    )


def _blastomeres(
    count: int, share: float, zona: float, rng: np.random.Generator
) -> tuple[Body, ...]:
    """Balls of one volume that push each other apart within the zona, flattened a little."""
    filled = rng.uniform(0.7, 1.0) * (1 - 0.6 * share)
    sizes = rng.uniform(0.75, 1.25, count)
    radii = zona * np.cbrt(filled * sizes / sizes.sum())
    places = rng.normal(0, 0.35 * zona, (count, 3))
    places[:, 2] *= 0.8
    give = rng.uniform(0.85, 0.97)
    for _ in range(_ROUNDS):
        for i in range(count):
            for j in range(i):
                apart = places[i] - places[j]
                gap = np.linalg.norm(apart) + 1e-6
                push = give * (radii[i] + radii[j]) - gap
                if push > 0:
                    places[i] += 0.5 * push * apart / gap
                    places[j] -= 0.5 * push * apart / gap
        away = np.linalg.norm(places, axis=1)
        most = np.maximum(zona - radii, 0)
        places *= np.minimum(1, most / np.maximum(away, 1e-6))[:, None]
    found = []
    for (x, y, _), radius in zip(places, radii, strict=True):
        # Pressed flat against the zona: longer along it than across.
        outward = np.arctan2(y, x) + rng.normal(0, 0.3)
        stretch = 1 + abs(rng.normal(0, 0.03)) + 0.14 * min(1, np.hypot(x, y) / zona)
        reach = zona - np.hypot(x, y)
        stretch = min(stretch, 1.25)
        radius = min(radius, max(reach, 0.3 * zona) * stretch)
        found.append(
            Body(
                x=x,
                y=y,
                radius=radius,
                stretch=stretch,
                angle=outward + np.pi / 2,
                dent=abs(rng.normal(0, 0.04)) if count > 1 else 0.0,
                turn=rng.uniform(0, 2 * np.pi),
            )
        )
    return tuple(found)


def _fragments(
    cells: Sequence[Body], share: float, zona: float, rng: np.random.Generator
) -> tuple[Body, ...]:
    """Clusters of small bodies until they cover the share of the embryo, or there is no room."""
    if share <= 0:
        return ()
    spots = np.linspace(-zona, zona, 65)
    y, x = np.meshgrid(spots, spots, indexing="ij")
    inside = np.hypot(x, y) < 0.97 * zona
    distances = np.stack([cell.distance(y, x) for cell in cells])
    covered = distances.min(axis=0) < 1
    # Free room first, then the outer parts of cells; the middle of a cell seldom.
    chance = np.where(covered, 0.12 * distances.min(axis=0) ** 4, 1.0) * inside
    chance /= chance.sum()
    fragment = np.zeros_like(covered)
    bodies: list[Body] = []
    mean = rng.uniform(2.5, 7.0)
    while len(bodies) < 400:
        at = rng.choice(chance.size, p=chance.ravel())
        middle = np.array([x.flat[at], y.flat[at]])
        spread = rng.uniform(3, 14)
        for _ in range(int(rng.integers(1, 12))):
            place = middle + rng.normal(0, spread, 2)
            radius = float(np.clip(mean * np.exp(rng.normal(0, 0.45)), 1.5, 13))
            if np.hypot(*place) + radius > 0.99 * zona:
                continue
            body = Body(
                x=place[0],
                y=place[1],
                radius=radius,
                stretch=1 + abs(rng.normal(0, 0.12)),
                angle=rng.uniform(0, np.pi),
            )
            bodies.append(body)
            fragment |= body.distance(y, x) < 1.1
            if fragment.sum() >= share * (covered | fragment).sum():
                return tuple(bodies)
    return tuple(bodies)


def _at_border(zona: float, radius: float, rng: np.random.Generator) -> Body:
    angle, away = rng.uniform(0, 2 * np.pi), zona - radius - rng.uniform(0, 2)
    return Body(x=away * np.cos(angle), y=away * np.sin(angle), radius=radius)


def _nucleus(cell: Body, rng: np.random.Generator) -> Body:
    x, y = rng.normal(0, 0.15 * cell.radius, 2)
    radius = min(cell.radius * 0.45, rng.uniform(7, 12))
    return Body(x=cell.x + x, y=cell.y + y, radius=radius)


def _patch(cell: Body, rng: np.random.Generator) -> Body:
    """Within a cell, more often near its outline than in its middle."""
    angle, away = rng.uniform(0, 2 * np.pi), cell.radius * rng.uniform(0.2, 0.8)
    return Body(
        x=cell.x + away * np.cos(angle),
        y=cell.y + away * np.sin(angle),
        radius=cell.radius * rng.uniform(0.15, 0.4),
        stretch=rng.uniform(1, 1.5),
        angle=angle + np.pi / 2,
    )
