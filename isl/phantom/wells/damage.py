"""What a microscope does to an image before anyone sees it; each damage is known exactly.

Uneven light, dust in the light path and on the camera, pixels that always or never count, the
camera's offset and its noise. Everything is drawn from a generator that is given.
"""

import dataclasses

import numpy as np

FULL_SCALE = 65535


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Damage:
    """What every image of one channel suffers.

    Attributes:
        flat_field: float32 [Y, X], mean 1: relative sensitivity, slowly varying.
        dust_factor: float32 [Y, X]: light that dust lets through, 1 beside it.
        dust_light: float32 [Y, X]: counts that dust scatters into an exposure, 0 beside it.
        hot: bool [Y, X]: pixels that always read full scale.
        dead: bool [Y, X]: pixels that always read 0.
        offset: Counts of an exposure without light.
        noise: 1: shot and readout noise; 0: none; between: so much of it.
    """

    flat_field: np.ndarray
    dust_factor: np.ndarray
    dust_light: np.ndarray
    hot: np.ndarray
    dead: np.ndarray
    offset: float
    noise: float


def draw_flat_field(
    shape: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Vignetting around a center that is somewhat off the image's, and a slope.

    Args:
        shape: (Y, X).
        strength: How much darker a corner is than the center, 0 to 1.
        rng: Source of chance.

    Returns:
        float32 [Y, X], mean 1.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    center, slope = rng.uniform(-0.2, 0.2, 2), rng.uniform(-0.1, 0.1, 2)
    fall = ((y - center[0]) ** 2 + (x - center[1]) ** 2) / 2
    field = 1 - strength * (fall - slope[0] * y - slope[1] * x)
    field = np.maximum(field, 0.05)
    return (field / field.mean()).astype(np.float32)


def draw_disks(
    shape: tuple[int, int], count: int, diameter: float, rng: np.random.Generator
) -> np.ndarray:
    """Disks with soft edges, at random places.

    Args:
        shape: (Y, X).
        count: How many.
        diameter: Mean diameter, pixels; disks differ by up to a fifth.
        rng: Source of chance.

    Returns:
        float32 [Y, X]: 0 beside the disks, up to 1 inside; they differ in strength.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    disks = np.zeros(shape, np.float32)
    for _ in range(count):
        center = rng.uniform(0, 1, 2) * shape
        radius = diameter / 2 * rng.uniform(0.8, 1.2)
        strength = rng.uniform(0.6, 1)
        # An edge a tenth of the radius wide, so that dust is smooth to the camera.
        inward = (radius - np.hypot(y - center[0], x - center[1])) / max(0.1 * radius, 0.5)
        disks = np.maximum(disks, strength * np.clip(inward + 0.5, 0, 1)).astype(np.float32)
    return disks


def draw_bad_pixels(
    shape: tuple[int, int], hot: float, dead: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that always, and pixels that never count: two masks, bool [Y, X], without overlap.

    Args:
        shape: (Y, X).
        hot: Share of the pixels that are hot.
        dead: Share of the pixels that are dead.
        rng: Source of chance.
    """
    drawn = rng.uniform(size=shape)
    return drawn < hot, (drawn >= hot) & (drawn < hot + dead)


def damaged(light: np.ndarray, damage: Damage) -> np.ndarray:
    """Counts of an exposure that no noise disturbs, before it is rounded and clipped.

    Args:
        light: float32 [Y, X], counts that the undamaged microscope would add to its offset.
        damage: What the channel suffers.

    Returns:
        float32 [Y, X].
    """
    lit = light * damage.flat_field * damage.dust_factor + damage.dust_light
    return (lit + damage.offset).astype(np.float32)


def record(
    light: np.ndarray, damage: Damage, rng: np.random.Generator, exposures: int = 1
) -> np.ndarray:
    """What the camera stores.

    Args:
        light: float32 [Y, X], as in `damaged`.
        damage: What the channel suffers.
        rng: Source of noise: of each count an electron, and 5 electrons of readout.
        exposures: How many images are taken in a row; each has noise of its own.

    Returns:
        uint16 [exposures, Y, X].
    """
    mean = damaged(light, damage)
    images = np.empty((exposures, *light.shape), np.uint16)
    deviation = damage.noise * np.sqrt(np.maximum(mean - damage.offset, 0) + 5.0**2)
    for number in range(exposures):
        counts = mean
        if damage.noise:
            counts = mean + deviation * rng.standard_normal(light.shape, dtype=np.float32)
        images[number] = np.rint(np.clip(counts, 0, FULL_SCALE))
    images[:, damage.hot], images[:, damage.dead] = FULL_SCALE, 0
    return images
