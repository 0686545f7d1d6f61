"""Label images that a person made, in place of detection."""

import dataclasses

import numpy as np

from isl.imaging.inputs.label_image import checked_labels, remarks_on

_MOST_NUMBERS = 2**16 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenMask:
    """A label image as it is used.

    Attributes:
        labels: uint16 [T, Y, X]; numbers are identities over time, unless:
        numbered: Whether it held one number only, so that the parts of each frame were numbered.
        remarks: What a person should know of how it was read.
    """

    labels: np.ndarray
    numbered: bool
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
    found, numbered = checked_labels(
        stored, shape, source=source, highest=_MOST_NUMBERS, one_for_all=True
    )
    several = numbered and found.max() > 1
    # A lone colony keeps the number that it was given.
    labels = (stored if numbered and not several else found).astype(np.uint16)
    remarks = remarks_on(found, numbered, what="colony")
    if labels.shape[0] != shape[0]:
        labels = np.broadcast_to(labels[0], shape)
    return GivenMask(labels=labels, numbered=numbered, remarks=tuple(remarks))
