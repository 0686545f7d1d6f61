"""Augmentations of the published code, drawn for each example by itself."""

import operator
from collections.abc import Mapping

import numpy as np
import pydantic

from isl.config import Config
from isl.labeling.contract import spread

_CHANCE = 0.5


class AugmentConfig(Config):
    """What may happen to an example; every deviation is in intensities, 0 turns it off.

    The published code draws the chances once a batch, here every example has its own.

    Attributes:
        flip: Left-right flip, with chance 0.5.
        rotate: Rotation by a multiple of 90 degrees, all four equally likely.
        multiplier: Deviation of a factor around 1 for each plane, with chance 0.5.
        offset: Deviation of an offset for each plane, with chance 0.5.
        noise: Deviation of noise for each pixel, with chance 0.5.
        fewer_planes: Chance that only some planes are left, one to all but one, which stand in the
            others' places (`isl.labeling.contract.spread`). The model then takes any number.
    """

    flip: bool = True
    rotate: bool = True
    multiplier: float = pydantic.Field(default=0.0, ge=0)
    offset: float = pydantic.Field(default=0.0, ge=0)
    noise: float = pydantic.Field(default=0.0, ge=0)
    fewer_planes: float = pydantic.Field(default=0.0, ge=0, le=1, exclude_if=operator.not_)


def augment(
    example: Mapping[str, np.ndarray], config: AugmentConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Flips, rotates and disturbs one crop.

    Args:
        example: As `Cropper.draw` returns it: images [Y, X, ...] are turned together, and
            `transmitted` is disturbed.
        config: What may happen.
        rng: Source of chance; see numpy.random.Generator.
    """
    flipped = config.flip and rng.random() < _CHANCE
    quarters = int(rng.integers(4)) if config.rotate else 0
    turned = {name: _turn(array, flipped, quarters) for name, array in example.items()}
    turned["transmitted"] = _disturb(turned["transmitted"], config, rng)
    return turned


def _turn(array: np.ndarray, flipped: bool, quarters: int) -> np.ndarray:
    if array.ndim < 2:
        return array
    if flipped:
        array = array[:, ::-1]
    return np.ascontiguousarray(np.rot90(array, quarters))


def _disturb(
    transmitted: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """[Y, X, Z] in [0, 1] of fewer planes, other contrast, brightness and noise, clipped to it."""
    planes = transmitted.shape[-1]
    kept = None
    if planes > 1 and config.fewer_planes and rng.random() < config.fewer_planes:
        left = np.sort(rng.choice(planes, int(rng.integers(1, planes)), replace=False))
        kept = left[list(spread(len(left), planes))]
    disturbed = transmitted
    if config.multiplier and rng.random() < _CHANCE:
        disturbed = disturbed * (1 + config.multiplier * _normal(rng, (planes,)))
    if config.offset and rng.random() < _CHANCE:
        disturbed = disturbed + config.offset * _normal(rng, (planes,))
    if config.noise and rng.random() < _CHANCE:
        disturbed = disturbed + config.noise * _normal(rng, transmitted.shape)
    if disturbed is not transmitted:
        disturbed = np.clip(disturbed, 0.0, 1.0, dtype=np.float32)
    # Last: a plane that stands at several places is the same at all of them.
    return disturbed if kept is None else disturbed[..., kept]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)
