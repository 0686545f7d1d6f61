"""How far a fluorescence image lies from the transmitted-light image of the same field.

Brightness is no guide across modalities, but both images have detail where there are cells. So
the logarithm of local contrast is compared: normalised cross-correlation over all shifts allowed.
The peak must stand out from all others; where it does not, nothing is known.
"""

import dataclasses

import numpy as np
import scipy.ndimage
from skimage.feature import match_template

from isl.errors import InputError
from isl.imaging.sharpness import smoothed

MAX_SHIFT = 32
LEAST_CONFIDENCE = 0.5
# Pixels: contrast is measured over CONTRAST; what varies over more than GROUND is left out, since
# cells are many pixels wide and a map of them alone has no sharp peak.
CONTRAST, GROUND = 2.0, 8.0
# Peaks nearer than this are one.
SAME_PEAK = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """Where the fluorescence image shows what the transmitted image shows.

    Attributes:
        y: Rows further down, pixels.
        x: Columns further right, pixels.
        confidence: 0: another shift fits as well; 1: no other fits at all.
    """

    y: float
    x: float
    confidence: float

    @property
    def known(self) -> bool:
        """Whether it can be relied on."""
        return self.confidence >= LEAST_CONFIDENCE

    @property
    def length(self) -> float:
        """Pixels."""
        return float(np.hypot(self.y, self.x))


def measure_shift(
    transmitted: np.ndarray,
    fluorescence: np.ndarray,
    covered: np.ndarray | None = None,
    *,
    max_shift: int = MAX_SHIFT,
    source: object = "registration",
) -> Shift:
    """Measures how far fluorescence lies from transmitted light.

    Args:
        transmitted: Integers or floats [Y, X]; the sharpest plane serves best.
        fluorescence: Integers or floats [Y, X], of the same size.
        covered: bool [Y, X], where both show something; None: everywhere.
        max_shift: The farthest shift looked for, along each axis, pixels.
        source: The field, named in messages.

    Returns:
        The shift, to a fraction of a pixel; confidence 0 where an image shows nothing.

    Raises:
        InputError: The sizes differ, or are too small for `max_shift`.
    """
    if transmitted.shape != fluorescence.shape:
        raise InputError(
            f"{source}: transmitted light has {_size(transmitted)} pixels, fluorescence "
            f"{_size(fluorescence)}; give images of one size"
        )
    if max_shift < 1 or min(transmitted.shape) < 4 * max_shift:
        raise InputError(
            f"{source}: images of {_size(transmitted)} pixels cannot show shifts up to "
            f"{max_shift}; give 1 to {min(transmitted.shape) // 4}"
        )
    inner = np.s_[max_shift:-max_shift, max_shift:-max_shift]
    template = _contrast(transmitted, covered)[inner]
    image = _contrast(fluorescence, covered)
    if not (template.any() and image.any()):
        return Shift(y=0.0, x=0.0, confidence=0.0)
    return _peak(match_template(image, template), max_shift)


def shift_image(image: np.ndarray, shift: Shift) -> tuple[np.ndarray, np.ndarray]:
    """A fluorescence image moved back to where the transmitted image shows it.

    Args:
        image: Integers or floats [Y, X].
        shift: As `measure_shift` gave it.

    Returns:
        float32 [Y, X], linearly interpolated, and bool [Y, X], False where the image had nothing to
        put; it is 0 there.
    """
    back = (-shift.y, -shift.x)
    moved = scipy.ndimage.shift(image.astype(np.float32), back, order=1, cval=np.nan)
    covered = np.isfinite(moved)
    return np.where(covered, moved, np.float32(0)), covered


def _contrast(image: np.ndarray, covered: np.ndarray | None) -> np.ndarray:
    """Logarithm of local contrast, float32 [Y, X], of mean 0 around every pixel."""
    image = image.astype(np.float32)
    seen = image if covered is None else image[covered]
    if seen.size == 0 or seen.min() == seen.max():
        return np.zeros_like(image)
    image = image - seen.mean(dtype=np.float64).astype(np.float32)
    detail = image - smoothed(image, 4 * CONTRAST, covered)
    mean = smoothed(detail, CONTRAST, covered)
    variance = smoothed(detail**2, CONTRAST, covered) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))
    usual = np.median(deviation if covered is None else deviation[covered])
    # The floor keeps the emptiest places, where there is noise at most, from ruling.
    floor = max(0.5 * float(usual), 1e-3 * float(deviation.max()), np.finfo(np.float32).tiny)
    logarithm = np.log(deviation + np.float32(floor))
    relative = logarithm - smoothed(logarithm, GROUND, covered)
    return relative if covered is None else np.where(covered, relative, np.float32(0))


def _peak(response: np.ndarray, max_shift: int) -> Shift:
    """The highest peak of a correlation [2 m + 1, 2 m + 1], and how far it stands out."""
    y, x = (int(i) for i in np.unravel_index(np.argmax(response), response.shape))
    rows, columns = np.ogrid[: response.shape[0], : response.shape[1]]
    away = (rows - y) ** 2 + (columns - x) ** 2 > min(SAME_PEAK, max_shift) ** 2
    ground = float(np.median(response[away]))
    height = float(response[y, x]) - ground
    # Deepest valleys count as well: correlation by chance goes both ways.
    other = float(np.abs(response[away] - ground).max())
    confidence = max(0.0, 1 - other / height) if height > 0 else 0.0
    return Shift(
        y=y - max_shift + _vertex(response[:, x], y),
        x=x - max_shift + _vertex(response[y], x),
        confidence=confidence,
    )


def _vertex(values: np.ndarray, top: int) -> float:
    """Where the parabola through the highest value and its neighbors peaks, -0.5 to 0.5."""
    if not 0 < top < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[top - 1 : top + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _size(image: np.ndarray) -> str:
    return " x ".join(str(length) for length in image.shape)
