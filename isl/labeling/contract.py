"""Whether an image is what a model was trained on: what differs is mended, warned of or refused.

The rules, from the model's input contract (`model.toml`, table `input`):

- Number of planes: must agree, after `planes` has chosen some.
- Pixel size: more than 10 % off is warned about, more than twofold refused; `resample` mends both.
- Distance between planes: more than 10 % off is warned about, more than twofold refused.
- Modality: another one is refused.
- Intensity: normalization mends it; where it is turned off, planes that lie elsewhere are warned
  about.
- `allow_mismatch` turns these refusals into warnings, all but the number of planes.
- What the image does not say is warned about, never refused. What the model does not say is not
  checked.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.normalize import DEVIATION, MEAN, PlaneNormalization, is_normal
from isl.labeling.model import InputContract
from isl.labeling.source import TransmittedField

WARNED_RATIO = 1.1
REFUSED_RATIO = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """How an image is made to fit a model.

    Attributes:
        planes: Which of the image's planes are used, in the model's order.
        scale: Factors (y, x) by which the image is enlarged to the model's pixel size, or None.
        warnings: One line for everything that differs or is not known.
    """

    planes: tuple[int, ...]
    scale: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


def fit_to_model(
    stack: TransmittedField,
    expected: InputContract,
    *,
    model: str,
    planes: Sequence[int] | None = None,
    resample: bool = False,
    allow_mismatch: bool = False,
) -> Fit:
    """Checks an image against what a model expects.

    Args:
        stack: The image.
        expected: The model's input contract.
        model: The model's name, for messages.
        planes: Planes to use, counted from 0; None takes all.
        resample: Whether the image is to be brought to the model's pixel size.
        allow_mismatch: Whether to go on, with a warning, where the image is known not to fit.

    Raises:
        InputError: The image does not fit.
    """
    source = str(stack.source or stack.name)
    chosen = _choose_planes(stack, expected.planes, planes, f"{source}:", model)
    refusals: list[str] = []
    warnings: list[str] = []
    scale = None
    if resample:
        scale = _scale(stack, expected, source, model)
    else:
        _compare_pixel_size(stack, expected, model, refusals, warnings)
    _compare_z_step(stack, chosen, expected, model, refusals, warnings)
    _compare_modality(stack, expected, model, refusals, warnings)
    if refusals and not allow_mismatch:
        raise InputError(f"{source}: {refusals[0]}, or --allow-mismatch)")
    refused = tuple(f"{text})" for text in refusals)
    return Fit(planes=chosen, scale=scale, warnings=refused + tuple(warnings))


def compare_intensity(
    planes: Sequence[PlaneNormalization], expected: InputContract, *, normalize: str
) -> tuple[str, ...]:
    """A warning where planes look unlike the normalized ones that a model was trained on.

    Args:
        planes: What was measured of each plane, and done to it.
        expected: The model's input contract.
        normalize: "auto", which mends what differs, or "off".
    """
    if normalize == "auto" or expected.normalization == "off":
        return ()
    unlike = [plane for plane in planes if not is_normal(plane.mean, plane.standard_deviation)]
    if not unlike:
        return ()
    first = unlike[0]
    return (
        f"{len(unlike)} planes are not normalized as the model expects (plane {first.plane}: mean "
        f"{first.mean:.3f}, deviation {first.standard_deviation:.3f}; expected about {MEAN:g} and "
        f"{DEVIATION:g}; --normalize auto mends that)",
    )


def parse_planes(text: str) -> tuple[int, ...]:
    """Planes from a list such as `0,2,4` or a range such as `4:17` or `0:26:2` (end excluded).

    Raises:
        InputError: The text is neither.
    """
    planes: list[int] = []
    for part in text.split(","):
        try:
            numbers = [int(number) for number in part.split(":")]
            if min(numbers) < 0 or len(numbers) > 3:
                raise ValueError
            planes.extend(numbers if len(numbers) == 1 else range(*numbers))
        except ValueError:
            raise InputError(
                f"--planes {text}: expected numbers from 0 and ranges, such as 0,2,4 or 4:17"
            ) from None
    if not planes:
        raise InputError(f"--planes {text}: names no plane")
    return tuple(planes)


def _choose_planes(
    stack: TransmittedField, expected: int, planes: Sequence[int] | None, source: str, model: str
) -> tuple[int, ...]:
    count = stack.shape[1]
    if planes is None:
        if count != expected:
            raise InputError(
                f"{source} z-stack has {count} planes; model '{model}' expects {expected} "
                "(give --planes to choose)"
            )
        return tuple(range(count))
    absent = [plane for plane in planes if not 0 <= plane < count]
    if absent:
        raise InputError(
            f"{source} there is no plane {absent[0]}: its {count} planes are 0 to {count - 1} "
            "(mend --planes)"
        )
    if len(planes) != expected:
        raise InputError(
            f"{source} --planes names {len(planes)} planes; model '{model}' expects {expected}"
        )
    return tuple(planes)


def _scale(
    stack: TransmittedField, expected: InputContract, source: str, model: str
) -> tuple[float, float]:
    if expected.pixel_size is None:
        raise InputError(f"--resample: model '{model}' does not say its pixel size")
    if stack.pixel_size is None:
        raise InputError(f"{source}: does not say its pixel size; --resample needs --pixel-size UM")
    return stack.pixel_size.y / expected.pixel_size, stack.pixel_size.x / expected.pixel_size


def _compare_pixel_size(
    stack: TransmittedField,
    expected: InputContract,
    model: str,
    refusals: list[str],
    warnings: list[str],
) -> None:
    if expected.pixel_size is None:
        return
    if stack.pixel_size is None:
        warnings.append(
            f"does not say its pixel size; model '{model}' expects {_um(expected.pixel_size)} "
            "(tell it with --pixel-size UM)"
        )
        return
    ratio = max(
        _ratio(stack.pixel_size.y, expected.pixel_size),
        _ratio(stack.pixel_size.x, expected.pixel_size),
    )
    message = (
        f"pixel size is {_pixel_size(stack.pixel_size)}; model '{model}' expects "
        f"{_um(expected.pixel_size)} (give --resample, --pixel-size UM if the file is wrong"
    )
    _judge(ratio, message, refusals, warnings)


def _compare_z_step(
    stack: TransmittedField,
    planes: tuple[int, ...],
    expected: InputContract,
    model: str,
    refusals: list[str],
    warnings: list[str],
) -> None:
    steps = np.diff(planes)
    # Planes given twice, or unevenly, have no one distance to compare.
    if expected.z_step is None or not steps.size or steps.min() != steps.max() or not steps[0]:
        return
    if stack.pixel_size is None or stack.pixel_size.z is None:
        warnings.append(f"does not say its z step; model '{model}' expects {_um(expected.z_step)}")
        return
    z_step = abs(int(steps[0])) * stack.pixel_size.z
    message = (
        f"planes are {_um(z_step)} apart; model '{model}' expects {_um(expected.z_step)} "
        "(give --planes to choose others"
    )
    _judge(_ratio(z_step, expected.z_step), message, refusals, warnings)


def _compare_modality(
    stack: TransmittedField,
    expected: InputContract,
    model: str,
    refusals: list[str],
    warnings: list[str],
) -> None:
    if expected.modality is None or stack.modality == expected.modality:
        return
    if stack.modality is None:
        warnings.append(f"does not say its modality; model '{model}' expects {expected.modality}")
    else:
        refusals.append(
            f"modality is {stack.modality}; model '{model}' expects {expected.modality} "
            "(take another model"
        )


def _judge(ratio: float, message: str, refusals: list[str], warnings: list[str]) -> None:
    if ratio > REFUSED_RATIO:
        refusals.append(message)
    elif ratio > WARNED_RATIO:
        warnings.append(f"{message})")


def _ratio(a: float, b: float) -> float:
    return max(a / b, b / a)


def _um(length: float) -> str:
    return f"{length:g} um"


def _pixel_size(size: PixelSize) -> str:
    return _um(size.y) if size.y == size.x else f"{size.y:g} x {size.x:g} um"
