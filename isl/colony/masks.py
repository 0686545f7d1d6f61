"""Label images that a person made, in place of detection."""

import dataclasses

import numpy as np
from scipy import ndimage

from isl.errors import InputError
from isl.imaging.regions import connected_regions

_MOST_NUMBERS = 2**16 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenMask:
    """A label image as it is used.

    Attributes:
        labels: uint16 [T, Y, X]; numbers are identities over time.
        remarks: What a person should know of how it was read.
    """

    labels: np.ndarray
    remarks: tuple[str, ...]


def read_mask(stored: np.ndarray, shape: tuple[int, int, int], *, source: object) -> GivenMask:
    """A label image for a picture, checked.

    Args:
        stored: Integers [T, Y, X], or one frame for all.
        shape: T, Y, X of the picture.
        source: Its file, for messages.

    Raises:
        InputError: It does not fit the picture, or holds no whole numbers from 0.
    """
    if stored.shape[1:] != shape[1:] or stored.shape[0] not in (1, shape[0]):
        raise InputError(
            f"{source}: the label image is {_size(stored.shape)} and the picture {_size(shape)}; "
            "give one of the picture's size, with one frame or as many as the picture"
        )
    if stored.dtype.kind == "f":
        if not np.isfinite(stored).all() or (stored != np.rint(stored)).any():
            raise InputError(f"{source}: a label image holds whole numbers; this one does not")
    if stored.size and stored.min() < 0:
        raise InputError(f"{source}: a label image holds numbers from 0; this one goes below")
    highest = int(stored.max(initial=0))
    if highest > _MOST_NUMBERS:
        raise InputError(
            f"{source}: holds numbers up to {highest}; give one whose numbers go up to "
            f"{_MOST_NUMBERS}"
        )
    labels = stored.astype(np.uint16, copy=False)
    remarks: list[str] = []
    values = np.unique(labels)
    values = values[values > 0]
    if len(values) == 1:
        # One mask of everything: parts that do not touch are colonies of their own.
        connected = [connected_regions(frame > 0) for frame in labels]
        if max(int(frame.max(initial=0)) for frame in connected) > 1:
            labels = np.stack(connected).astype(np.uint16)
            remarks.append(
                "the label image holds one number only; parts that do not touch were numbered"
            )
    else:
        parted = _in_several_places(labels)
        if parted:
            listed = ", ".join(map(str, parted[:8])) + (", ..." if len(parted) > 8 else "")
            remarks.append(f"in several places, each taken for one colony: {listed}")
    if labels.shape[0] != shape[0]:
        labels = np.broadcast_to(labels[0], shape)
    return GivenMask(labels=labels, remarks=tuple(remarks))


def is_binary(stored: np.ndarray) -> bool:
    """Whether a label image holds one number beside 0, so that numbers are no identities."""
    values = np.unique(stored)
    return len(values[values > 0]) == 1


def _in_several_places(labels: np.ndarray) -> list[int]:
    """Numbers whose pixels in some frame do not hang together."""
    parted: set[int] = set()
    for frame in labels:
        for number, box in enumerate(ndimage.find_objects(frame), start=1):
            if box is not None:
                if connected_regions(frame[box] == number, corners=True).max() > 1:
                    parted.add(number)
    return sorted(parted)


def _size(shape: tuple[int, ...]) -> str:
    frames, height, width = shape
    return f"{width} x {height} pixels" + (f" and {frames} frames" if frames > 1 else "")
