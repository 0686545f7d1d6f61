"""One picture under two names, whatever its type, contrast and size."""

import numpy as np
import pytest
from PIL import Image

from isl.data.twins import find_twins

RNG = np.random.default_rng(0)


def picture(height=96, width=120):
    """Structures of many sizes, as microscopes show them; uint8 [Y, X]."""
    coarse = Image.fromarray(RNG.normal(0, 1, (12, 15)).astype(np.float32))
    made = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(128 + 40 * made + RNG.normal(0, 4, made.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "copied",
    [
        lambda a: a,
        lambda a: a.astype(np.uint16) * 257,
        lambda a: a / 300 + 0.1,
        lambda a: np.asarray(Image.fromarray(a).resize((80, 64), Image.Resampling.LANCZOS)),
    ],
)
def test_a_copy_is_found(copied):
    first, other = picture(), picture()
    assert find_twins([other, first, copied(first)]) == [(1, 2)]


def test_other_pictures_are_none():
    first = picture()
    assert find_twins([]) == []
    assert find_twins([np.zeros((9, 9)), np.zeros((9, 9)), first, first[:, ::-1], picture()]) == []
    assert find_twins([first, first[:, :60]]) == []
