"""The camera: uneven light, shot and readout noise, and the scaling of stored planes."""

import dataclasses

import numpy as np

FULL_SCALE = 65535


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """How light becomes numbers.

    Attributes:
        photons: Electrons a pixel collects from an empty field.
        read_noise: Standard deviation, electrons.
        unevenness: Relative standard deviation of the illumination over the field.
    """

    photons: float
    read_noise: float = 20.0
    unevenness: float = 0.01


def expose(intensity: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """What the camera records, relative to the light of an empty field.

    Args:
        intensity: float32 [Z, Y, X], 1 is an empty field.
        camera: The camera.
        rng: Source of noise. Shot noise is drawn from the normal distribution that it approaches
            at thousands of electrons.

    Returns:
        float32 [Z, Y, X].
    """
    lit = intensity * _illumination(intensity.shape[-2:], camera.unevenness, rng)
    deviation = np.sqrt(
        np.maximum(lit, 0) / camera.photons + (camera.read_noise / camera.photons) ** 2
    )
    return lit + deviation * rng.standard_normal(lit.shape, dtype=np.float32)


def _illumination(
    shape: tuple[int, int], unevenness: float, rng: np.random.Generator
) -> np.ndarray:
    """A smooth field of light, float32 [Y, X], mean 1: a random polynomial of second order."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = np.stack([y, x, y * x, 1.5 * y**2 - 0.5, 1.5 * x**2 - 0.5])
    field = np.tensordot(rng.standard_normal(len(terms)), terms, axes=1)
    return (1 + unevenness * (field - field.mean())).astype(np.float32)


def store_planes(planes: np.ndarray, mean: float = 0.5, deviation: float = 0.125) -> np.ndarray:
    """Planes as the published images are stored.

    Args:
        planes: float32 [Z, Y, X].
        mean: Mean of a stored plane, as a share of full scale.
        deviation: Standard deviation of a stored plane, as a share of full scale.

    Returns:
        uint16 [Z, Y, X]; a plane without any contrast is flat.
    """
    centers = planes.mean(axis=(-2, -1), keepdims=True)
    spreads = planes.std(axis=(-2, -1), keepdims=True)
    scaled = mean + deviation * (planes - centers) / np.where(spreads > 1e-6, spreads, 1)
    return store(scaled)


def store(images: np.ndarray) -> np.ndarray:
    """Intensities, clipped to [0, 1], as uint16."""
    return np.rint(np.clip(images, 0, 1) * FULL_SCALE).astype(np.uint16)
