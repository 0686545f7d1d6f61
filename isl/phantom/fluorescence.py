"""Fluorescence truth: dye density seen through a confocal microscope's point-spread function."""

import dataclasses
from typing import Literal

import numpy as np
import scipy.ndimage

Projection = Literal["SECTION", "MAXIMUM"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confocal:
    """A confocal microscope.

    Attributes:
        projection: "SECTION": the section at height 0; "MAXIMUM": the brightest of the sections
            at all heights, as published labels are made.
        lateral: Standard deviation of the point-spread function across the axis, um.
        axial: Standard deviation of the point-spread function along the axis, um.
        leak: Share of all the dye above and below that passes the pinhole, as haze.
        haze: Standard deviation of the haze, um.
    """

    projection: Projection
    axial: float
    lateral: float = 0.3
    leak: float = 0.05
    haze: float = 3.0


def project(
    dye: np.ndarray, heights: np.ndarray, confocal: Confocal, pixel_size: float
) -> np.ndarray:
    """The picture a confocal microscope makes of dye.

    Args:
        dye: float32 [K, Y, X], dye per volume.
        heights: float [K], um, evenly spaced, lowest first.
        confocal: The microscope.
        pixel_size: um.

    Returns:
        float32 [Y, X]; 1 where the dye is 1 at all heights.
    """
    focus = heights if confocal.projection == "MAXIMUM" else np.zeros(1)
    response = np.exp(-0.5 * ((focus[:, None] - heights) / confocal.axial) ** 2)
    response /= response.sum(axis=1, keepdims=True)
    weights = ((1 - confocal.leak) * response).astype(np.float32)
    sections = np.tensordot(weights, dye, axes=1)
    sharp = _blur(sections, confocal.lateral / pixel_size).max(axis=0)
    return sharp + confocal.leak * _blur(dye.mean(axis=0), confocal.haze / pixel_size)


def _blur(images: np.ndarray, deviation: float) -> np.ndarray:
    """A Gaussian over the last two axes, deviation in pixels."""
    for axis in (-2, -1):
        images = scipy.ndimage.gaussian_filter1d(images, deviation, axis=axis, truncate=3)
    return images
