"""Sizes are derived; here they stand as the published tables print them."""

import hypothesis
import hypothesis.strategies as st
import pytest

from isl.backbones.unet import UNetConfig
from isl.labeling.towers import SCALES, TowersConfig, tower_widths
from isl.tiling.geometry import Geometry

# Specification, section 4: layer widths of every tower for a 250-pixel patch.
PUBLISHED_WIDTHS = [
    [*range(72, 34, -2)],
    [102, *range(50, 18, -2), 38, 36],
    [146, 72, 70, *range(34, 10, -2), 22, 20, 38, 36],
    [202, 100, 98, 48, 46, *range(22, 6, -2), 14, 12, 22, 20, 38, 36],
    [250, 124, 122, 60, 58, 28, 26, 12, 10, 8, 6, 10, 8, 14, 12, 22, 20, 38, 36],
]


@pytest.mark.parametrize("scale", range(SCALES))
def test_tower_widths_are_the_published_ones(scale: int) -> None:
    assert tower_widths(scale, output=8) == PUBLISHED_WIDTHS[scale]


def test_towers_turn_250_pixels_into_8() -> None:
    geometry = TowersConfig().geometry
    assert geometry == Geometry(margin=121, step=16, smallest=250)
    assert geometry.output_size(250) == 8
    assert geometry.output_size(266) == 24


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (1, Geometry(margin=2, step=1, smallest=5)),
        (2, Geometry(margin=8, step=2, smallest=18)),
        (3, Geometry(margin=20, step=4, smallest=44)),
        (4, Geometry(margin=44, step=8, smallest=92)),
    ],
)
def test_unet_sizes_follow_from_its_levels(levels: int, expected: Geometry) -> None:
    assert UNetConfig(levels=levels).geometry == expected


@hypothesis.given(st.integers(1, 3000))
def test_input_size_is_the_smallest_that_suffices(output: int) -> None:
    geometry = TowersConfig().geometry
    size = geometry.input_size(output)
    assert geometry.is_valid(size)
    assert geometry.output_size(size) >= output
    smaller = size - geometry.step
    assert not geometry.is_valid(smaller) or geometry.output_size(smaller) < output


def test_a_width_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"input width 251 does not fit: expected 250 \+ m \* 16"):
        TowersConfig().geometry.output_size(251)
