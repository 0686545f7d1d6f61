"""Augmentations of the published code, drawn for each example by itself."""

import operator
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pydantic
from scipy import ndimage

from isl.config import Config
from isl.labeling.contract import spread

_CHANCE = 0.5
# Degrees either way.
_HALF_OF_ALL = 90
# Pixels a side of what is hidden.
_SQUARE = 16


class AugmentConfig(Config):
    """What may happen to an example; every deviation is in intensities, 0 turns it off.

    The published code draws the chances once a batch, here every example has its own.

    Attributes:
        flip: Left-right flip, with chance 0.5.
        rotate: Rotation by a multiple of 90 degrees, all four equally likely. "auto", of either, is
            both, unless light comes from one side in the training images: then it is neither.
        multiplier: Deviation of a factor around 1 for each plane, with chance 0.5.
        offset: Deviation of an offset for each plane, with chance 0.5.
        noise: Deviation of noise for each pixel, with chance 0.5.
        turn: Rotation by up to so many degrees either way; 180 is any angle. For this and the next
            two, crops are bent, bilinearly, as they are cut, with chance 0.5.
        mirror_axis: Of the crops that are bent, half are mirrored across the axis that lies so many
            degrees from down towards right: where light comes from one side, along that. None: none
            are.
        zoom: Deviation of the logarithm of a scale.
        elastic: Deviation, in pixels, of a smooth bending.
        defocus: All planes are blurred by a Gaussian of up to this deviation, in pixels, with
            chance 0.5.
        plane_shift: The stack is moved by up to so many planes up or down, its last one repeated,
            with chance 0.5.
        lost_planes: With chance 0.5 every plane is lost with this chance, and its neighbour stands
            in its place.
        hidden: With chance 0.5 this share of the crop's squares of 16 pixels shows nothing but
            each plane's mean.
        fewer_planes: Chance that only some planes are left, one to all but one, which stand in the
            others' places (`isl.labeling.contract.spread`). The model then takes any number.
    """

    flip: bool | Literal["auto"] = True
    rotate: bool | Literal["auto"] = True
    multiplier: float = pydantic.Field(default=0.0, ge=0)
    offset: float = pydantic.Field(default=0.0, ge=0)
    noise: float = pydantic.Field(default=0.0, ge=0)
    turn: float = pydantic.Field(default=0.0, ge=0, le=180, exclude_if=operator.not_)
    mirror_axis: float | None = pydantic.Field(
        default=None, ge=-180, le=180, exclude_if=lambda degrees: degrees is None
    )
    zoom: float = pydantic.Field(default=0.0, ge=0, lt=1, exclude_if=operator.not_)
    elastic: float = pydantic.Field(default=0.0, ge=0, exclude_if=operator.not_)
    defocus: float = pydantic.Field(default=0.0, ge=0, exclude_if=operator.not_)
    plane_shift: int = pydantic.Field(default=0, ge=0, exclude_if=operator.not_)
    lost_planes: float = pydantic.Field(default=0.0, ge=0, lt=1, exclude_if=operator.not_)
    hidden: float = pydantic.Field(default=0.0, ge=0, lt=1, exclude_if=operator.not_)
    fewer_planes: float = pydantic.Field(default=0.0, ge=0, le=1, exclude_if=operator.not_)

    def settled(self, *, one_sided: bool) -> "AugmentConfig":
        """Without "auto".

        Args:
            one_sided: Whether light comes from one side in the training images.
        """
        if "auto" not in (self.flip, self.rotate):
            return self
        return self.model_copy(update=dict.fromkeys(("flip", "rotate"), not one_sided))

    @property
    def all_ways(self) -> bool:
        """Whether images are turned so that light comes from every side alike, once settled."""
        return self.rotate is True or self.turn >= _HALF_OF_ALL


def augment(
    example: Mapping[str, np.ndarray], config: AugmentConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Flips, rotates and disturbs one crop.

    Args:
        example: As `Cropper.draw` returns it: images [Y, X, ...] are turned together, and
            `transmitted` is disturbed.
        config: What may happen, settled.
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
    disturbed = _refocused(transmitted, config, rng)
    if config.hidden and rng.random() < _CHANCE:
        disturbed = _partly_hidden(disturbed, config.hidden, rng)
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


def _refocused(
    transmitted: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """[Y, X, Z] of another focus: moved along the stack, without some planes, blurred."""
    planes = transmitted.shape[-1]
    taken = np.arange(planes)
    if config.plane_shift and rng.random() < _CHANCE:
        most = config.plane_shift
        taken = np.clip(taken + rng.integers(-most, most + 1), 0, planes - 1)
    if config.lost_planes and rng.random() < _CHANCE:
        there = np.flatnonzero(rng.random(planes) >= config.lost_planes)
        if there.size:
            nearest = np.abs(np.arange(planes)[:, None] - there).argmin(axis=1)
            taken = taken[there[nearest]]
    if config.defocus and rng.random() < _CHANCE:
        deviation = config.defocus * rng.random()
        transmitted = ndimage.gaussian_filter(transmitted, deviation, axes=(0, 1))
    return transmitted if np.array_equal(taken, np.arange(planes)) else transmitted[..., taken]


def _partly_hidden(transmitted: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """[Y, X, Z] with squares, the same of all planes, that show nothing."""
    rows, columns = transmitted.shape[:2]
    squares = rng.random((-(-rows // _SQUARE), -(-columns // _SQUARE), 1)) < share
    hidden = squares.repeat(_SQUARE, axis=0).repeat(_SQUARE, axis=1)[:rows, :columns]
    return np.where(hidden, transmitted.mean(axis=(0, 1)), transmitted)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)
