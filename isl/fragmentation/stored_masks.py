"""Masks within JSON: COCO's run lengths, plain or compressed, and LabelMe's pictures in base64."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError


def from_run_lengths(given: Mapping[str, Any]) -> np.ndarray:
    """COCO's `{"size": [Y, X], "counts": ...}` as bool [Y, X].

    Counts are lengths of runs of 0 and 1 in turn, column by column; as a text they are compressed.

    Raises:
        ValueError: They do not fill the size.
    """
    height, width = (int(n) for n in given["size"])
    counts = given["counts"]
    lengths = np.asarray(_lengths(counts) if isinstance(counts, str) else counts, int)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"run lengths of {lengths.sum()} pixels for {width} x {height}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _lengths(text: str) -> list[int]:
    """COCO's compressed counts.

    Five bits a character, lowest first; from the fourth on they are differences to the last count
    of the same value.
    """
    found: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
    return found


def from_picture(
    text: str, corners: Sequence[Sequence[float]], size: tuple[int, int]
) -> np.ndarray:
    """LabelMe's mask, a PNG in base64 whose corners (x, y) are given, as bool of size (Y, X).

    Raises:
        ValueError: It is no picture, or reaches beyond the image.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as stored:
            part = np.asarray(stored.convert("L")) > 0
    except (binascii.Error, OSError, UnidentifiedImageError) as error:
        raise ValueError(f"a mask that is no picture ({error})") from error
    left, top = (round(float(v)) for v in corners[0])
    rows, columns = part.shape
    if left < 0 or top < 0 or top + rows > size[0] or left + columns > size[1]:
        raise ValueError(f"a mask of {columns} x {rows} at ({left}, {top}) leaves the image")
    whole = np.zeros(size, bool)
    whole[top : top + rows, left : left + columns] = part
    return whole
