"""Whether an image is what a model was trained on: what differs is mended, warned of or refused.

The rules, from the model's input contract (`model.toml`, table `input`):

- Planes: those that lie as far apart as the model's, to 10 %, around the centre of the stack, where
  image and model say their z step; blended from neighbours where `planes` is "interpolate"; those
  that `planes` lists; else all. Their number must agree, unless the model takes any: then each
  stands where it lies among them (`spread`).
- Distance between planes: more than 10 % off is warned about, more than twofold refused. Where
  planes stand unevenly in a model of any number, what they span must not be more than the model's
  by as much, and less than one of its steps is warned about.
- Pixel size: more than 10 % off is warned about, more than twofold refused; `resample` mends both.
- Modality: another one is refused.
- Intensity: normalization mends it; where it is turned off, planes that lie elsewhere are warned
  about.
- `allow_mismatch` turns these refusals into warnings, all but the number of planes.
- What the image does not say is warned about, never refused. What the model does not say is not
  checked.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from isl.data.differences import REFUSED_RATIO, WARNED_RATIO
from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.normalize import DEVIATION, MEAN, PlaneNormalization, is_normal
from isl.labeling.model_config import InputContract
from isl.labeling.source import TransmittedField

INTERPOLATE = "interpolate"
# Planes counted from 0; or that they are to be blended where the model's lie.
Planes = tuple[int, ...] | Literal["interpolate"]
# A blend reaches so far beyond the outermost plane, which then stands for itself.
_SLACK = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """How an image is made to fit a model.

    Attributes:
        planes: Which of the image's planes are used, in the model's order; a number such as 1.25
            is a quarter of the way from plane 1 to plane 2.
        scale: Factors (y, x) by which the image is enlarged to the model's pixel size, or None.
        warnings: One line for everything that differs or is not known.
    """

    planes: tuple[float, ...]
    scale: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


def fit_to_model(
    stack: TransmittedField,
    expected: InputContract,
    *,
    model: str,
    planes: Planes | None = None,
    resample: bool = False,
    allow_mismatch: bool = False,
) -> Fit:
    """Checks an image against what a model expects.

    Args:
        stack: The image.
        expected: The model's input contract.
        model: The model's name, for messages.
        planes: Planes to use, counted from 0; "interpolate" blends neighbours where the model's
            planes lie; None takes those that lie there, or all where nothing says where they lie.
        resample: Whether the image is to be brought to the model's pixel size.
        allow_mismatch: Whether to predict with a warning where the image is known not to fit.

    Raises:
        InputError: The image does not fit.
    """
    source = str(stack.source or stack.name)
    refusals: list[str] = []
    warnings: list[str] = []
    chosen = _choose_planes(stack, expected, planes, model, allow_mismatch, warnings)
    scale = None
    if resample:
        scale = _scale(stack, expected, source, model)
    else:
        _compare_pixel_size(stack, expected, model, refusals, warnings)
    if planes != INTERPOLATE:
        _compare_z_step(stack, chosen, expected, model, refusals, warnings)
    _compare_modality(stack, expected, model, refusals, warnings)
    if refusals and not allow_mismatch:
        raise InputError(f"{source}: {refusals[0]}, or `allow_mismatch`)")
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
        f"{DEVIATION:g}; `normalize=auto` corrects that)",
    )


def parse_planes(text: str) -> Planes:
    """Planes from a list such as `0,2,4` or a range such as `4:17` or `0:26:2` (end excluded).

    Raises:
        InputError: The text is neither, nor `interpolate`.
    """
    if text.strip() == INTERPOLATE:
        return INTERPOLATE
    planes: list[int] = []
    for part in text.split(","):
        try:
            numbers = [int(number) for number in part.split(":")]
            if min(numbers) < 0 or len(numbers) > 3:
                raise ValueError
            planes.extend(numbers if len(numbers) == 1 else range(*numbers))
        except ValueError:
            raise InputError(
                f"`planes={text}`: expected numbers from 0 and ranges, such as 0,2,4 or 4:17, or "
                f"{INTERPOLATE}"
            ) from None
    if not planes:
        raise InputError(f"`planes={text}`: names no plane")
    return tuple(planes)


def spread(count: int, expected: int) -> tuple[int, ...]:
    """Which of `count` planes stands at each of `expected` places, evenly, first to last.

    Fewer planes stand at several places each, of more some are left out; one is at all places. Half
    way between two planes the inner one is taken, so that bottom and top are treated alike. At a
    single place stands the middle one.
    """
    if expected == 1:
        return ((count - 1) // 2,)
    places = np.linspace(0, count - 1, expected)
    below = 2 * np.arange(expected) < expected - 1
    return tuple(
        np.where(below, np.floor(places + 0.5), np.ceil(places - 0.5)).astype(int).tolist()
    )


def _choose_planes(
    stack: TransmittedField,
    expected: InputContract,
    planes: Planes | None,
    model: str,
    allow_mismatch: bool,
    warnings: list[str],
) -> tuple[float, ...]:
    source = str(stack.source or stack.name)
    count = stack.shape[1]
    if planes == INTERPOLATE:
        return _blended(stack, expected, source, model)
    if planes is not None:
        if expected.any_planes:
            planes = _spread(cast(tuple[int, ...], planes), expected, model, warnings)
        return _listed(count, expected.planes, cast(tuple[int, ...], planes), source, model)
    known = _z_step(stack) is not None and expected.z_step is not None and expected.planes > 1
    if known and count >= expected.planes and not (allow_mismatch and count == expected.planes):
        return _placed(stack, expected, source, model, warnings)
    if count == 1 != expected.planes == stack.shape[0]:
        message = (
            f"says that it is {stack.shape[0]} time points of one plane; model '{model}' "
            f"expects {expected.planes} planes (give `axes=ZYX` if they are z planes)"
        )
        if not expected.any_planes:
            raise InputError(f"{source}: {message}")
        warnings.append(message)
    if count != expected.planes and expected.any_planes:
        return _spread(tuple(range(count)), expected, model, warnings)
    if count != expected.planes:
        raise InputError(
            f"{source}: z-stack has {_planes(count)}; model '{model}' expects {expected.planes} "
            "(give `planes` to choose)"
        )
    return tuple(range(count))


def _spread(
    planes: tuple[int, ...], expected: InputContract, model: str, warnings: list[str]
) -> tuple[int, ...]:
    """Planes at the places of those that the model learned from; another number is said."""
    if len(planes) == expected.planes:
        return planes
    placed = tuple(planes[index] for index in spread(len(planes), expected.planes))
    shown = ", ".join(map(str, placed))
    repeated = len(set(placed)) < len(placed)
    unknown = ", and how familiar the image is cannot be told" if repeated else ""
    warnings.append(
        f"{_planes(len(planes))} where model '{model}' learned most from {expected.planes}: planes "
        f"{shown} stand for these{unknown}"
    )
    return placed


def _listed(
    count: int, expected: int, planes: tuple[int, ...], source: str, model: str
) -> tuple[int, ...]:
    absent = [plane for plane in planes if not 0 <= plane < count]
    if absent:
        raise InputError(
            f"{source}: there is no plane {absent[0]}: its {count} planes are 0 to {count - 1} "
            "(correct `planes`)"
        )
    if len(planes) != expected:
        raise InputError(
            f"{source}: `planes` names {_planes(len(planes))}; model '{model}' expects {expected}"
        )
    return planes


def _placed(
    stack: TransmittedField,
    expected: InputContract,
    source: str,
    model: str,
    warnings: list[str],
) -> tuple[int, ...]:
    """Every so many planes, around the centre, that they lie as far apart as the model's."""
    count, number = stack.shape[1], expected.planes
    z_step, wanted = _z_step(stack) or 0.0, expected.z_step or 0.0
    every = max(1, round(wanted / z_step))
    if _ratio(every * z_step, wanted) > WARNED_RATIO:
        raise InputError(
            f"{source}: planes are {_um(z_step)} apart, and model '{model}' expects {_um(wanted)}, "
            "where none lie (give `planes=interpolate` to blend neighbours, `planes=LIST` to "
            "choose)"
        )
    if (number - 1) * every >= count:
        raise InputError(f"{source}: {_too_thin(count, z_step, expected, model)}")
    first = (count - 1 - (number - 1) * every) // 2
    chosen = tuple(range(first, first + (number - 1) * every + 1, every))
    if number < count:
        warnings.append(
            f"of {count} planes, {_um(z_step)} apart, {chosen[0]} to {chosen[-1]} in steps of "
            f"{every} are taken, as model '{model}' expects {_um(wanted)} (`planes` chooses others)"
        )
    return chosen


def _blended(
    stack: TransmittedField, expected: InputContract, source: str, model: str
) -> tuple[float, ...]:
    """Where the model's planes lie around the centre, in numbers of the image's planes."""
    count, number, z_step = stack.shape[1], expected.planes, _z_step(stack)
    if expected.z_step is None:
        raise InputError(f"`planes={INTERPOLATE}`: model '{model}' does not say its z step")
    if z_step is None:
        raise InputError(
            f"{source}: does not say its z step, which `planes={INTERPOLATE}` needs; give "
            "`z_step=UM`, or `planes=LIST`"
        )
    # An odd number of planes has a middle one, which need not be blended.
    middle = (count - 1) // 2 if number % 2 else (count - 1) / 2
    wanted = middle + (np.arange(number) - (number - 1) / 2) * (expected.z_step / z_step)
    if wanted[0] < -_SLACK or wanted[-1] > count - 1 + _SLACK:
        raise InputError(f"{source}: {_too_thin(count, z_step, expected, model)}")
    # A thousandth of a step is nothing to see, and whole numbers stay what they are.
    places = [round(float(place), 3) for place in np.clip(wanted, 0, count - 1)]
    return tuple(int(place) if place.is_integer() else place for place in places)


def _too_thin(count: int, z_step: float, expected: InputContract, model: str) -> str:
    wanted = expected.z_step or 0.0
    return (
        f"its {_planes(count)}, {_um(z_step)} apart, span {_um((count - 1) * z_step)}; model "
        f"'{model}' expects {expected.planes}, {_um(wanted)} apart, which span "
        f"{_um((expected.planes - 1) * wanted)} (give `planes=LIST` to choose)"
    )


def _z_step(stack: TransmittedField) -> float | None:
    return None if stack.pixel_size is None else stack.pixel_size.z


def _scale(
    stack: TransmittedField, expected: InputContract, source: str, model: str
) -> tuple[float, float]:
    if expected.pixel_size is None:
        raise InputError(f"`resample`: model '{model}' does not say its pixel size")
    if stack.pixel_size is None:
        raise InputError(f"{source}: does not say its pixel size; `resample` needs `pixel_size=UM`")
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
            "(give `pixel_size=UM`)"
        )
        return
    ratio = max(
        _ratio(stack.pixel_size.y, expected.pixel_size),
        _ratio(stack.pixel_size.x, expected.pixel_size),
    )
    message = (
        f"pixel size is {_pixel_size(stack.pixel_size)}; model '{model}' expects "
        f"{_um(expected.pixel_size)} (give `resample`, `pixel_size=UM` if the file is wrong"
    )
    _judge(ratio, message, refusals, warnings)


def _compare_z_step(
    stack: TransmittedField,
    planes: tuple[float, ...],
    expected: InputContract,
    model: str,
    refusals: list[str],
    warnings: list[str],
) -> None:
    steps = np.diff(planes)
    if expected.z_step is None or not steps.any():
        return
    even = steps.min() == steps.max()
    # Planes given twice, or unevenly, have no one distance to compare.
    if not even and not expected.any_planes:
        return
    own = _z_step(stack)
    if own is None:
        warnings.append(
            f"does not say its z step; model '{model}' expects {_um(expected.z_step)} (give "
            "`z_step=UM`)"
        )
        return
    remedy = "(give `planes` to choose others, `z_step=UM` if the file is wrong"
    if not even:
        span, wanted = (max(planes) - min(planes)) * own, (expected.planes - 1) * expected.z_step
        message = f"planes span {_um(span)}; model '{model}' expects {_um(wanted)} {remedy}"
        if span > wanted:
            _judge(span / wanted, message, refusals, warnings)
        elif span < expected.z_step:
            warnings.append(f"{message})")
        return
    z_step = abs(float(steps[0])) * own
    message = (
        f"planes are {_um(z_step)} apart; model '{model}' expects {_um(expected.z_step)} {remedy}"
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
        warnings.append(
            f"does not say its modality; model '{model}' expects {expected.modality} (give "
            "`modality=NAME`)"
        )
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


def _planes(count: int) -> str:
    return "1 plane" if count == 1 else f"{count} planes"


def _um(length: float) -> str:
    return f"{length:g} um"


def _pixel_size(size: PixelSize) -> str:
    return _um(size.y) if size.y == size.x else f"{size.y:g} x {size.x:g} um"
